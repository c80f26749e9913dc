"""Many histories: by seed, in as many processes as there are cores; failures are shrunk and reported."""

import asyncio
import collections
import concurrent.futures
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

from brimful.dev.simulation.history import FAULTS, History, Outcome

_CHUNK = 25
_VIOLATIONS_MAX = 20


def one(seed: str, **options: Any) -> Outcome:
    """Run one history."""
    logging.disable(logging.CRITICAL)
    try:
        return asyncio.run(History(seed, **options).run())
    finally:
        logging.disable(logging.NOTSET)


def _chunk(seeds: list[str]) -> list[Outcome]:
    return [one(seed) for seed in seeds]


def simulate(*, histories: int, seed: str, processes: int | None = None) -> dict[str, Any]:
    """Run histories `seed/0`, `seed/1`, ...

    Returns:
        {ok, histories, steps, debits, credits, faults, violations, by_fault, seconds}. A violation names its seed, the
        steps to which it was shrunk and what they did.
    """
    started = time.monotonic()
    totals: collections.Counter[str] = collections.Counter()
    by_fault: collections.Counter[str] = collections.Counter()
    violations: list[dict[str, Any]] = []
    for outcome in _outcomes(histories, seed, processes or os.cpu_count() or 1):
        totals.update(histories=1, steps=outcome.steps, debits=outcome.debits, credits=outcome.credits,
                      faults=sum(outcome.faults.values()))  # fmt: skip
        by_fault.update(outcome.faults)
        if outcome.violation is not None and len(violations) < _VIOLATIONS_MAX:
            violations.append(shrink(outcome))
    return {
        "ok": not violations,
        "histories": totals["histories"],
        "steps": totals["steps"],
        "debits": totals["debits"],
        "credits": totals["credits"],
        "faults": totals["faults"],
        "violations": violations,
        "by_fault": {fault: by_fault[fault] for fault in FAULTS},
        "seconds": round(time.monotonic() - started, 1),
    }


def _outcomes(histories: int, seed: str, processes: int) -> Iterator[Outcome]:
    seeds = [f"{seed}/{number}" for number in range(histories)]
    chunks = [seeds[first : first + _CHUNK] for first in range(0, histories, _CHUNK)]
    if processes == 1 or len(chunks) == 1:
        for chunk in chunks:
            yield from _chunk(chunk)
        return
    with concurrent.futures.ProcessPoolExecutor(processes) as pool:
        for outcomes in pool.map(_chunk, chunks):
            yield from outcomes


def shrink(outcome: Outcome, **options: Any) -> dict[str, Any]:
    """Leave out steps while the history still fails: what remains is what it takes."""
    steps = list(range(outcome.steps))
    size = max(1, len(steps) // 2)
    last = outcome
    while size:
        place = 0
        while place < len(steps):
            fewer = steps[:place] + steps[place + size :]
            tried = one(outcome.seed, only=fewer, **options)
            if tried.violation is not None:
                steps, last = fewer, tried
            else:
                place += size
        size //= 2
    return {"seed": outcome.seed, "violation": last.violation, "steps": steps, "trail": list(last.trail)}
