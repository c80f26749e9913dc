"""The scheduler: tasks run until they ask the provider; which answer comes next, and whether, the history decides."""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

_CALM = 6  # turns of the loop without anything happening
_TURNS_MAX = 20_000


@dataclasses.dataclass
class Parked:
    """A call on its way to the provider. `perform` answers it, with a fault or without."""

    number: int
    call: str
    task: "asyncio.Task[Any] | None"
    waiter: "asyncio.Future[str | None]"


class Scheduler:
    """Owns the tasks of a history."""

    def __init__(self) -> None:
        self.parked: list[Parked] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.failures: list[BaseException] = []
        self.pulse = 0
        self._count = 0

    async def park(self, call: str) -> str | None:
        """Wait here until the history lets this call through. Returns the fault that it meets."""
        self.pulse += 1
        self._count += 1
        waiter: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        parked = Parked(self._count, call, asyncio.current_task(), waiter)
        self.parked.append(parked)
        try:
            return await waiter
        finally:
            if parked in self.parked:
                self.parked.remove(parked)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task; what it raises is kept."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._done)
        self.tasks.append(task)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.pulse += 1
        if task in self.tasks:
            self.tasks.remove(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failures.append(error)

    def let(self, parked: Parked, fault: str | None) -> None:
        """Let a call through."""
        self.parked.remove(parked)
        parked.waiter.set_result(fault)

    def kill(self, parked: Parked) -> None:
        """End the task that waits for this call, as a killed process would."""
        self.parked.remove(parked)
        if parked.task is not None:
            parked.task.cancel()

    async def settle(self, pulse: Callable[[], int]) -> None:
        """Run every task until nothing moves any more but by the history's hand."""
        seen, calm = -1, 0
        for _ in range(_TURNS_MAX):
            await asyncio.sleep(0)
            now = pulse() + self.pulse
            calm = calm + 1 if now == seen else 0
            seen = now
            if calm >= _CALM:
                return
        raise AssertionError("a task never rests")

    async def stop(self) -> None:
        """Kill what still runs."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
