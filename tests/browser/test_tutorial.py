"""The tutorial, followed to the letter in an empty directory: commands in three terminals, Ada in Chromium."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
from playwright.sync_api import expect

from support.harness import free_port
from support.pages import blocks_of, run_blocks

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tutorial" / "first-automatic-top-up.md"


class Tutorial:
    """The page's terminals. Its port may be taken here, so another stands for it."""

    def __init__(self, folder, port):
        self.folder = folder
        self.port = port
        self.blocks = [self._moved(block) for block in blocks_of(PAGE)]
        self.environment = {"PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
        self.exports = ""

    def _moved(self, block):
        def moved(text):
            return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}").replace(
                "--port 8000", f"--port {self.port}"
            )

        return type(block)(block.terminal, moved(block.commands), moved(block.answer))

    @contextlib.contextmanager
    def terminal(self, name, ready):
        """A terminal whose last command stays; waits until it has said that it is ready."""
        [block] = [block for block in self.blocks if block.terminal == name]
        log = self.folder / f"{name}.log"
        *first, last = block.commands.rstrip().splitlines()
        script = "\n".join([*first, f"exec {last}"])
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", script], cwd=self.folder, env=self.environment, stdout=output, stderr=output
            )
        try:
            deadline = time.monotonic() + 60
            while ready not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)

    def type(self, blocks):
        """Commands in the third terminal; what it exports stays."""
        setting = self.blocks[0].__class__("main", self.exports or ":", "")
        run_blocks([setting, *blocks], cwd=self.folder, env=self.environment)
        for block in blocks:
            self.exports += "\n".join(re.findall(r"^export .*$", block.commands, re.MULTILINE)) + "\n"


@pytest.mark.timeout(300)
def test_the_tutorial_ends_with_a_top_up_in_the_portal_and_a_webhook(chromium, tmp_path):
    tutorial = Tutorial(tmp_path, free_port())
    typed = [block for block in tutorial.blocks if block.terminal == "main"]
    with tutorial.terminal("server", "Running."), tutorial.terminal("listener", "Listening.") as heard:
        before = next(place for place, block in enumerate(typed) if "billing-portal" in block.commands) + 1
        for block in typed[:before]:
            tutorial.type([block])
        page = chromium.new_page()
        page.set_default_timeout(15_000)
        page.goto(json.loads((tmp_path / "link.json").read_text())["redirect_url"])
        be_ada(page)
        for block in typed[before:]:
            tutorial.type([block])
        page.goto(f"http://127.0.0.1:{tutorial.port}/billing/")
        expect(page.locator("#figure-USD")).to_have_text("$34.50")
        expect(page.get_by_role("link", name="Receipt")).to_be_visible()
        for topic in ("card.added", "consent.recorded", "auto_top_up.enabled", "auto_top_up.triggered",
                      "top_up.succeeded"):  # fmt: skip
            deadline = time.monotonic() + 15
            while topic not in heard.read_text():
                assert time.monotonic() < deadline, heard.read_text()
                time.sleep(0.1)
        page.close()


def be_ada(page):
    """What the page asks Ada to press and to fill in, by the names that it gives."""
    text = PAGE.read_text()
    for name in ("**Open billing**", "**Add a card**", "**Visa, succeeds**", "**Turn on**"):
        assert name in text
    page.get_by_role("button", name="Open billing").click()
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Add a card").click()
    page.get_by_role("button", name="Visa, succeeds").first.click()
    page.wait_for_url(re.compile("/auto-top-up/USD"))
    for label, value in re.findall(r"\*([A-Z][^*]+)\* \*\*(\d+)\*\*", text):
        page.get_by_label(label, exact=True).fill(value)
    page.locator("#agreed").check()
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_text("Auto top-up is on: we add $25.00")).to_be_visible()
