"""Debian's Chromium, driven by Playwright."""

import os
import shutil

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")


def executable():
    """The system's browser, or None: Playwright's own download is not relied on."""
    return next((found for name in EXECUTABLES if (found := shutil.which(name))), None)


def launch(play):
    path = executable()
    assert path is not None, "Chromium is missing: apt-get install chromium"
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    return play.chromium.launch(executable_path=path, args=[*sandbox, "--disable-dev-shm-usage"])
