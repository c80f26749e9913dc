"""Resident memory of the API and the worker: at rest, and after an hour's worth of load, minute by minute."""

import asyncio
import os
import pathlib
import tempfile
from typing import Any

from brimful import runtime
from brimful.dev import traces
from brimful.dev.bench import ground
from brimful.dev.demo import cast, replay
from brimful.dev.demo.replay import Tally
from brimful_client.client import AsyncClient

_CUSTOMERS = 60
_ROWS = 19_000  # an hour of the trace's form
_PARTS = 4
_SPEED = 60.0
_REST_S = 5
_SETTINGS = {"BRIMFUL_PACE_PER_HOUR": "100000", "BRIMFUL_PACE_SPACING_S": "1", "BRIMFUL_CARDS_PER_HOUR": "20"}
_KIB = 1024


def run() -> dict[str, Any]:
    """Measure and print a table. Returns `{serve: [MB, ...], worker: [MB, ...]}`, first at rest."""
    with (
        tempfile.TemporaryDirectory(prefix="brimful-bench-") as scratch,
        runtime.local.up(pathlib.Path(scratch) / "data", port=0, extra=_SETTINGS, quiet=True) as running,
    ):
        seen = asyncio.run(_measure(running))
    rows = [
        (name, *(f"{megabytes:.0f}" for megabytes in seen[name]), f"{seen[name][-1] / seen[name][0]:.2f}x")
        for name in ("serve", "worker")
    ]
    ground.table(
        ("MB resident", "at rest (reference)", *(f"after {n}/{_PARTS}" for n in range(1, _PARTS + 1)), "end to rest"),
        rows,
        f"{_ROWS:,} requests of {_CUSTOMERS} customers, an hour at {_SPEED:g}x, with their automatic top-ups; in "
        f"{_PARTS} equal parts",
    )
    return seen


async def _measure(running: runtime.local.Running) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {"serve": [], "worker": []}

    async def look() -> None:
        await asyncio.sleep(_REST_S)
        for name, found in seen.items():
            found.append(_resident_mb(running.children[name].pid))

    async with AsyncClient(running.url, running.api_key) as api:
        await look()
        await cast.set_up(api)
        players = cast.cast_parts(_CUSTOMERS, cast.SEED)
        await cast.prepare(api, running.url, players, os.urandom(4).hex(), lambda: None)
        requests = list(traces.Generated(_ROWS, cast.SEED))
        share = len(requests) // _PARTS
        for part in range(_PARTS):
            begin = requests[part * share].at_s
            some = [
                traces.Request(request.at_s - begin, request.context, request.generated)
                for request in requests[part * share : (part + 1) * share]
            ]
            await replay.replay(
                api, some, players, speed=_SPEED, seed=cast.SEED + part, run_id=f"part{part}", tally=Tally(),
                stopped=lambda: False,
            )  # fmt: skip
            await look()
    return seen


def _resident_mb(pid: int) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / _KIB
