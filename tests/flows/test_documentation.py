"""The docs: built strictly, and every how-to does what it says."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from brimful import processes
from support.pages import blocks_of, fits, run_blocks

DOCS = pathlib.Path(__file__).parents[2] / "docs"
KEY = "key_for_documentation_0123456789"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    path = tmp_path_factory.mktemp("docs") / "data"
    with processes.up(path, port=0, extra={"BRIMFUL_API_KEY": KEY}, quiet=True) as running:
        yield running


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=lambda path: path.stem)
def test_a_how_to_does_what_it_says(running, tmp_path, page):
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(tmp_path), "BRIMFUL_URL": running.url, "BRIMFUL_API_KEY": KEY}
    blocks = blocks_of(page)
    assert any(block.answer for block in blocks)
    run_blocks(blocks, cwd=tmp_path, env=env)


def test_what_is_promised_must_stand_in_the_answer():
    assert fits('{"id":"…,"state":"open",…}', '{"id":"a","x":1,"state":"open","b":2}\n')
    assert not fits('{"id":"…","state":"open"}', '{"id":"a","state":"closed"}')


@pytest.mark.timeout(180)
def test_the_pages_are_built_without_a_warning_and_every_link_leads_somewhere(tmp_path):
    """Sphinx holds references among the pages; links to files of the project and anchors are looked at here."""
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", DOCS, tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    root = DOCS.parent
    missing = [
        f"{page.relative_to(root)}: {target}"
        for page in [*root.glob("*.md"), *DOCS.rglob("*.md")]
        for target in re.findall(r"\]\((?!https?://|mailto:)([^)#]+)[^)]*\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []
