"""The docs: built strictly, and every how-to does what it says."""

import collections
import os
import pathlib
import re
import subprocess
import sys

import pytest

from brimful import runtime
from support import node
from support.harness import free_port
from support.pages import blocks_of, fits, run_blocks

DOCS = pathlib.Path(__file__).parents[2] / "docs"
# How this machine reaches the registries.
REGISTRIES = re.compile(
    r"(?i)(https?|no|all)_proxy$|pip_|npm_config_|node_extra_ca_certs$|ssl_cert|requests_ca|curl_ca"
)
KEY = "key_for_documentation_0123456789"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    path = tmp_path_factory.mktemp("docs") / "data"
    with runtime.local.up(path, port=0, extra={"BRIMFUL_API_KEY": KEY}, quiet=True) as running:
        yield running


@pytest.mark.timeout(700)  # a quick start installs from the registries
@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=lambda path: path.stem)
def test_a_how_to_does_what_it_says(running, tmp_path, page):
    path = f"{pathlib.Path(sys.executable).parent}:{node.folder()}:{os.environ['PATH']}"
    source = node.copied(tmp_path / "source").parents[1]
    env = {name: value for name, value in os.environ.items() if REGISTRIES.match(name)}
    env |= {"PATH": path, "HOME": str(tmp_path), "BRIMFUL_URL": running.url, "BRIMFUL_API_KEY": KEY,
           "BRIMFUL_SOURCE": str(source), "APP_PORT": str(free_port())}  # fmt: skip
    blocks = blocks_of(page)
    assert any(block.answer for block in blocks)
    run_blocks(blocks, cwd=tmp_path, env=env, timeout=600)  # ten minutes are what a quick start promises


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


def test_what_the_others_do_is_held_by_tests_that_there_are():
    rows = [row.split(" | ") for row in (DOCS / "reference/real-behavior.md").read_text().splitlines()
            if row.startswith("| ") and not row.startswith(("| what ", "|--"))]  # fmt: skip
    assert {len(row) for row in rows} == {6}
    named = [re.findall(r"`(\w+/test_\w+\.py)::(\w+)`", row[-1]) for row in rows]
    assert sum(map(bool, named)) >= len(rows) - 1  # Citus is built by hand
    missing = [(path, test) for tests in named for path, test in tests
               if f"def {test}(" not in (DOCS.parent / "tests" / path).read_text()]  # fmt: skip
    assert missing == []


def test_every_threat_has_its_tests_and_every_test_of_a_threat_its_row():
    page = (DOCS / "security" / "threat-model.md").read_text()
    named = set(re.findall(r"tests/threats/(test_\w+\.py)", page))
    there = {path.name for path in (DOCS.parent / "tests" / "threats").glob("test_*.py")}
    assert named == there


# Requirements of levels 1 and 2 in each chapter of ASVS 5.0.0.
ASVS = {
    1: 27,
    2: 11,
    3: 19,
    4: 10,
    5: 9,
    6: 35,
    7: 18,
    8: 7,
    9: 7,
    10: 29,
    11: 14,
    12: 9,
    13: 13,
    14: 9,
    15: 13,
    16: 16,
    17: 7,
}


def test_the_sheet_has_every_requirement_once_and_every_test_that_it_names_exists():
    text = (DOCS / "security" / "asvs.md").read_text()
    rows = re.findall(
        r"^\| (\d+)\.(\d+)\.(\d+) \| ([12]) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]*) \|$", text, re.MULTILINE
    )
    numbers = [tuple(map(int, row[:3])) for row in rows]
    assert len(set(numbers)) == len(numbers)
    assert collections.Counter(chapter for chapter, _, _ in numbers) == ASVS
    states = collections.Counter(row[5] for row in rows)
    assert set(states) == {"met", "partly", "open", "operator", "not applicable"}
    head = re.search(
        r"Of (\d+): \*\*(\d+) met\*\*, \*\*(\d+) partly\*\*, \*\*(\d+) open\*\*, (\d+) up to .* (\d+) that do not", text
    )
    counted = (len(rows), *(states[state] for state in ("met", "partly", "open", "operator", "not applicable")))
    assert tuple(map(int, head.groups())) == counted
    for *number, _, _, state, _, shown in rows:
        for name, path in re.findall(r"\[([^\]]+)\]\(../../(tests/[^)]+)\)", shown):
            source = (DOCS.parent / path).read_text()
            assert re.search(rf"def {name}\(", source), (number, name)
        assert shown.strip() or state == "not applicable", number
