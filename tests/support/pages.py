"""Pages of the docs as something to run: their blocks of commands, and the answers that they promise."""

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess

__all__ = ["Block", "blocks_of", "fits", "run_blocks"]

_BLOCK = re.compile(r"(?:<!-- terminal: (\w+) -->\n)?```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
_MARK = "@@@ end of block"


@dataclasses.dataclass(frozen=True)
class Block:
    """Commands with the answer that stands below them, for the terminal that they belong to."""

    terminal: str
    commands: str
    answer: str


def blocks_of(path: pathlib.Path) -> list[Block]:
    """Every block of commands, in order."""
    return [
        Block(terminal or "main", commands, answer) for terminal, commands, answer in _BLOCK.findall(path.read_text())
    ]


def run_blocks(blocks, *, cwd, env, timeout=120):
    """Run blocks in one shell; each must succeed and answer what its page says."""
    script = ["set -euo pipefail"]
    for block in blocks:
        script += [block.commands, f"printf '\\n{_MARK}\\n'"]
    with subprocess.Popen(
        ["bash", "-c", "\n".join(script)], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as shell:  # fmt: skip
        try:
            stdout, stderr = shell.communicate(timeout=timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # what a page starts and an error has left behind
    outputs = stdout.split(f"\n{_MARK}\n")
    assert shell.returncode == 0, f"{blocks[len(outputs) - 1].commands}\n{stdout[-2000:]}\n{stderr[-2000:]}"
    for block, output in zip(blocks, outputs, strict=False):
        for line in block.answer.splitlines():
            assert fits(line, output), f"{block.commands}\npromised: {line}\nanswered: {output}"


def fits(promised: str, output: str) -> bool:
    """Whether a promised line stands in the output; `…` is anything."""
    pattern = ".*".join(re.escape(part) for part in promised.split("…"))
    return re.search(pattern, output, re.DOTALL) is not None
