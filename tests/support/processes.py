"""`brimful` commands in processes of their own, each forked from one that has imported the program: importing it takes
most commands longer than what they do.
"""

import dataclasses
import multiprocessing
import os
import pathlib
import sys
import tempfile

from brimful import cli

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["brimful.cli", "brimful.api.app", "brimful.worker", "brimful.operations"])


@dataclasses.dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def run(arguments, environment, *, stdin="", timeout_s=120):
    """Run `brimful ARGUMENTS` with this environment and nothing else of ours."""
    with tempfile.TemporaryDirectory(prefix="brimful-command-") as home:
        given, said, complained = (pathlib.Path(home) / name for name in ("stdin", "stdout", "stderr"))
        given.write_text(stdin)
        process = _FORKS.Process(target=_main, args=(arguments, environment, given, said, complained), daemon=True)
        process.start()
        process.join(timeout_s)
        assert process.exitcode is not None, f"brimful {' '.join(arguments)} does not end"
        return Done(process.exitcode, said.read_text(), complained.read_text())


def _main(arguments, environment, given, said, complained):
    flags = os.O_WRONLY | os.O_CREAT
    for number, opened in enumerate((os.open(given, os.O_RDONLY), os.open(said, flags), os.open(complained, flags))):
        os.dup2(opened, number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["brimful", *arguments]
    with open(0) as sys.stdin, open(1, "w") as sys.stdout, open(2, "w", buffering=1) as sys.stderr:
        status = cli.main()
    os._exit(status)
