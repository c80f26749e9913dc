"""Node and npm: the machine's own, or those that scripts/tools.sh has installed where its own are too old."""

import os
import pathlib
import shutil
import subprocess

import pytest

__all__ = ["copied", "environment", "folder", "run"]

_ROOT = pathlib.Path(__file__).parents[2]
_TOOLS = pathlib.Path(os.environ.get("BRIMFUL_TOOLS", _ROOT / ".cache" / "tools"))


def folder() -> str:
    """Where `node` and `npm` are."""
    own = _TOOLS / "node"
    found = shutil.which("npm", path=f"{own}:{os.environ['PATH']}")
    if found is None:
        assert not os.environ.get("CI"), "node is missing"
        pytest.skip("node is not installed")
    return str(pathlib.Path(found).parent)


def environment(**more: str) -> dict[str, str]:
    """That of a command of npm's."""
    return {**os.environ, "PATH": f"{folder()}:{os.environ['PATH']}", **more}


def run(*command: str, cwd: pathlib.Path, **more: str) -> str:
    """What a command says; it must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def copied(into: pathlib.Path) -> pathlib.Path:
    """The clients as a checkout has them, in a folder of the test's own: `npm ci` empties one. Returns TypeScript's."""
    shutil.copytree(_ROOT / "clients", into / "clients", ignore=shutil.ignore_patterns("node_modules", "dist"))
    return into / "clients" / "typescript"
