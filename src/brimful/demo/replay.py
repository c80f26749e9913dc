"""The replay: each request of the trace is sent as one usage event at its time, and its answer is remembered."""

import asyncio
import dataclasses
import random
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx

from brimful.demo.cast import Customer, Price
from brimful.demo.trace import Request

__all__ = ["Tally", "replay"]

_PARALLEL = 24
_ATTEMPTS = 20


@dataclasses.dataclass
class Tally:
    """What the API acknowledged."""

    total: int = 0
    applied: int = 0
    duplicates: int = 0
    refused: int = 0
    debited: dict[str, Decimal] = dataclasses.field(default_factory=dict)
    acknowledged: dict[tuple[str, str], tuple[str, str]] = dataclasses.field(default_factory=dict)

    def hear(self, event: dict[str, Any], status: str) -> None:
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
    api: httpx.AsyncClient,
    requests: list[Request],
    cast: list[Customer],
    *,
    speed: float,
    seed: int,
    run_id: str,
    tally: Tally,
    stopped: Callable[[], bool],
) -> None:
    """Send the whole trace, `speed` times as fast as it happened."""
    dice = random.Random(seed)
    owners = dice.choices(cast, weights=[customer.weight for customer in cast], k=len(requests))
    gate = asyncio.Semaphore(_PARALLEL)
    start = time.monotonic()
    running: set[asyncio.Task[None]] = set()
    for number, (request, owner) in enumerate(zip(requests, owners, strict=True)):
        if stopped():
            break
        wait_s = start + request.at_s / speed - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await gate.acquire()
        event = _event(number, request, owner, run_id)
        task = asyncio.create_task(_send(api, event, tally))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(lambda _task: gate.release())
    await asyncio.gather(*running)


def _event(number: int, request: Request, owner: Customer, run_id: str) -> dict[str, Any]:
    asset = owner.assets[number % len(owner.assets)]
    amount = Decimal(request.context + request.generated)
    if asset == "USD":
        amount = Price().usd(request.context, request.generated)
    return {"id": f"{run_id}-{number}", "customer_id": owner.customer_id, "asset": asset, "amount": str(amount),
            "description": "Completion"}  # fmt: skip


async def _send(api: httpx.AsyncClient, event: dict[str, Any], tally: Tally) -> None:
    """Send until it is answered: the same id is one use, however often it is sent."""
    tally.total += 1
    for attempt in range(_ATTEMPTS):
        try:
            answer = await api.post("/v1/usage", json=event)
        except httpx.TransportError:
            await asyncio.sleep(0.1 * (attempt + 1))
            continue
        if answer.status_code == 503:
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
            continue
        tally.hear(event, answer.json().get("status", "refused") if answer.is_success else "refused")
        return
    tally.refused += 1
