"""Failpoints: named places before and after every commit and every call to Stripe in the life of a top-up.

Outside tests a point costs one comparison. A test arms a fault at one of them: an exception, a kill, or a
hang; what must hold afterwards stands in docs/faults.md.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

Fault = Callable[[str], Awaitable[None]]
_planted: Fault | None = None


class CrashError(Exception):
    """The fault that a test armed."""


async def crash_point(name: str) -> None:
    """Pass a named point; a fault that is armed there happens."""
    if _planted is not None:
        await _planted(name)


def arm(fault: Fault) -> None:
    """Call `fault` at every point, with its name. One at a time; `disarm` ends it."""
    global _planted  # noqa: PLW0603 - one process is one subject of one experiment
    _planted = fault


def disarm() -> None:
    """Failpoints do nothing again."""
    global _planted  # noqa: PLW0603
    _planted = None


def arm_by_name(text: str) -> None:
    """`POINT:kill`, `POINT:exception` or `POINT:hang`, once: for a process that a test starts."""
    wanted, _, what = text.rpartition(":")
    done = False

    async def fault(name: str) -> None:
        nonlocal done
        if done or name != wanted:
            return
        done = True
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang":
            await asyncio.sleep(3600)
        raise CrashError(name)

    arm(fault)
