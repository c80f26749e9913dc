"""The replay: each request of the trace is sent as one usage event at its time, and its answer is remembered."""

import asyncio
import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from brimful.dev.demo.cast import Customer, Price
from brimful.dev.traces import Request
from brimful_client.client import AsyncClient
from brimful_client.errors import ConnectionFailedError

_PARALLEL = 8
_BATCH_MAX = 100
_TICK_S = 0.02
_REMEMBERED_MAX = 1_000_000


@dataclasses.dataclass
class Tally:
    """What the API acknowledged: the first million events one by one, to be looked up afterwards."""

    total: int = 0
    applied: int = 0
    duplicates: int = 0
    refused: int = 0
    debited: dict[str, Decimal] = dataclasses.field(default_factory=dict)
    acknowledged: dict[tuple[str, str], tuple[str, str]] = dataclasses.field(default_factory=dict)

    def record(self, event: dict[str, Any], status: str) -> None:
        if status == "applied":
            self.applied += 1
            amount = Decimal(event["amount"])
            self.debited[event["asset"]] = self.debited.get(event["asset"], Decimal(0)) + amount
            if len(self.acknowledged) < _REMEMBERED_MAX:
                self.acknowledged[event["customer_id"], event["id"]] = event["asset"], event["amount"]
        elif status == "duplicate":
            self.duplicates += 1
        else:
            self.refused += 1


async def replay(
    api: AsyncClient,
    requests: Iterable[Request],
    cast: list[Customer],
    *,
    speed: float,
    seed: int,
    run_id: str,
    tally: Tally,
    stopped: Callable[[], bool],
) -> None:
    """Send the whole trace, `speed` times as fast as it happened, as it is read. What comes due within a tick goes out
    together, as a platform's own client would send it.
    """
    dice, bounds = random.Random(seed), list(itertools.accumulate(customer.weight for customer in cast))
    numbered = enumerate(requests)
    gate = asyncio.Semaphore(_PARALLEL)
    start, following = time.monotonic(), next(numbered, None)
    async with asyncio.TaskGroup() as group:
        while following is not None and not stopped():
            now_s = (time.monotonic() - start) * speed
            batch: list[dict[str, Any]] = []
            while following is not None and len(batch) < _BATCH_MAX and following[1].at_s <= now_s:
                [owner] = dice.choices(cast, cum_weights=bounds)
                batch.append(_event(*following, owner, run_id))
                following = next(numbered, None)
            if not batch:
                await asyncio.sleep(_TICK_S)
                continue
            await gate.acquire()
            task = group.create_task(_send(api, batch, tally))
            task.add_done_callback(lambda _task: gate.release())


def _event(number: int, request: Request, owner: Customer, run_id: str) -> dict[str, Any]:
    asset = owner.assets[number % len(owner.assets)]
    amount = Decimal(request.context + request.generated)
    if asset == "USD":
        amount = Price().usd(request.context, request.generated)
    return AsyncClient.usage_event(
        id=f"{run_id}-{number}", customer_id=owner.customer_id, asset=asset, amount=amount, description="Completion"
    )


async def _send(api: AsyncClient, events: list[dict[str, Any]], tally: Tally) -> None:
    """The client sends until it is answered: the same id is one use, however often it is sent."""
    tally.total += len(events)
    try:
        answer = await api.record_usages(events)
    except ConnectionFailedError:
        tally.refused += len(events)
        return
    for event, result in zip(events, answer.results, strict=True):
        tally.record(event, result.status)
