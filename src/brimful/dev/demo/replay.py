"""The replay: each request of the trace is sent as one usage event at its time, and its answer is remembered."""

import asyncio
import dataclasses
import random
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from brimful.client.client import AsyncClient
from brimful.client.errors import ConnectionFailedError
from brimful.dev.demo.cast import Customer, Price
from brimful.dev.demo.trace import Request

_PARALLEL = 8
_BATCH_MAX = 100
_TICK_S = 0.02


@dataclasses.dataclass
class Tally:
    """What the API acknowledged."""

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
            self.acknowledged[event["customer_id"], event["id"]] = event["asset"], event["amount"]
        elif status == "duplicate":
            self.duplicates += 1
        else:
            self.refused += 1


async def replay(
    api: AsyncClient,
    requests: list[Request],
    cast: list[Customer],
    *,
    speed: float,
    seed: int,
    run_id: str,
    tally: Tally,
    stopped: Callable[[], bool],
) -> None:
    """Send the whole trace, `speed` times as fast as it happened. What comes due within a tick goes out together, as
    a platform's own client would send it.
    """
    dice = random.Random(seed)
    owners = dice.choices(cast, weights=[customer.weight for customer in cast], k=len(requests))
    events = [_event(number, *pair, run_id) for number, pair in enumerate(zip(requests, owners, strict=True))]
    gate = asyncio.Semaphore(_PARALLEL)
    start, sent = time.monotonic(), 0
    async with asyncio.TaskGroup() as group:
        while sent < len(events) and not stopped():
            now_s = (time.monotonic() - start) * speed
            end = sent
            while end < len(events) and end - sent < _BATCH_MAX and requests[end].at_s <= now_s:
                end += 1
            if end == sent:
                await asyncio.sleep(_TICK_S)
                continue
            await gate.acquire()
            task = group.create_task(_send(api, events[sent:end], tally))
            task.add_done_callback(lambda _task: gate.release())
            sent = end


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
