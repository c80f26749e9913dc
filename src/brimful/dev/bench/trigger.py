"""From the debit that crosses the threshold to the first call at the provider, and from the payment to the credit.

As the product runs: real processes, rules set through the portal's forms, every crossing a debit over HTTP.
"""

import asyncio
import os
import pathlib
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from brimful import runtime
from brimful.db.pool import Database
from brimful.dev.bench import ground
from brimful.dev.bench.ground import ACCOUNT, Times
from brimful.dev.demo import cast, report
from brimful_client.client import AsyncClient

_CUSTOMERS = 20
_CROSSINGS = 200
_PER_S = 10  # so each customer crosses every two seconds
_NOISE_ACCOUNTS = 10_000
_NOISE_PER_S = 2_000
_NOISE_BATCH = 40
_AMOUNT = 20
# One account crosses far more often here than the product's pace would allow.
_SETTINGS = {"BRIMFUL_PACE_PER_HOUR": "100000", "BRIMFUL_PACE_SPACING_S": "1"}


def run() -> dict[str, Any]:
    """Measure idle and under load, and print a table. Returns `{idle: {...}, loaded: {...}, noise_per_s}`."""
    with (
        tempfile.TemporaryDirectory(prefix="brimful-bench-") as scratch,
        runtime.local.up(pathlib.Path(scratch) / "data", port=0, extra=_SETTINGS, quiet=True) as running,
    ):
        return asyncio.run(_measure(running))


async def _measure(running: runtime.local.Running) -> dict[str, Any]:
    url = running.database_url
    await asyncio.to_thread(ground.seed_accounts, url, _NOISE_ACCOUNTS)
    database = Database(url, "brimful_api", pool_max=2)
    await database.open()
    headers = {"Authorization": f"Bearer {running.api_key}"}
    async with (
        httpx.AsyncClient(base_url=running.url, headers=headers, timeout=30) as api,
        httpx.AsyncClient(base_url=running.sandbox_url, timeout=30) as sandbox,
    ):
        players = await _prepare(api, running)
        floor = await _times(lambda: sandbox.get("/sandbox/switches"))
        debit = await _times(lambda: api.post("/v1/usage", json=_event(ACCOUNT % 1, "1")))
        idle = await _cross(api, sandbox, database, players)
        stop = asyncio.Event()
        noise = asyncio.create_task(_noise(api, stop))
        loaded = await _cross(api, sandbox, database, players)
        stop.set()
        rate = await noise
    await database.close()
    rows = [("reference: one request to the sandbox", floor, floor), ("reference: one debit over HTTP", debit, debit)]
    for name, (trigger, credit) in (("idle", idle), ("under load", loaded)):
        rows += [(f"trigger, {name}", trigger, floor), (f"credit, {name}", credit, floor)]
    ground.table(
        ("what", "p50 ms", "p99 ms", "against the first"),
        [(what, f"{t.p50:.1f}", f"{t.p99:.1f}", f"{t.p50 / ref.p50:.1f}x") for what, t, ref in rows],
        f"{_CROSSINGS} crossings each, {_PER_S} a second; under load: {rate:,.0f} other debits a second besides; "
        "trigger = from the debit's commit to the first call, credit = from the payment to the balance",
    )
    return {
        name: {"trigger_ms": vars(trigger), "credit_ms": vars(credit)}
        for name, (trigger, credit) in (("idle", idle), ("loaded", loaded))
    } | {"noise_per_s": rate, "request_ms": vars(floor), "debit_ms": vars(debit)}


async def _prepare(api: httpx.AsyncClient, running: runtime.local.Running) -> list[str]:
    """Customers with 11 USD, a line at 10 and a saved card, through the API and the portal."""
    players = [
        cast.Customer(f"Bench {place}", "4242424242424242", ("USD",), 1, 10, _AMOUNT, 500_000)
        for place in range(_CUSTOMERS)
    ]
    async with AsyncClient(running.url, running.api_key) as platform:
        await cast.set_up(platform)
        await cast.prepare(platform, running.url, players, os.urandom(4).hex(), lambda: None)
    for player in players:
        await _send(api, [_event(player.customer_id, "2")])  # 13 USD were given
    return [player.customer_id for player in players]


async def _cross(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, database: Database, players: list[str]
) -> tuple[Times, Times]:
    """Let every customer cross in turn; times of trigger and credit."""
    async with database.transaction() as tx:
        row = await tx.one("SELECT coalesce(max(top_up_id), '') AS last FROM top_ups")
    assert row is not None
    begun = time.monotonic()
    for turn in range(_CROSSINGS):
        await asyncio.sleep(max(0.0, begun + turn / _PER_S - time.monotonic()))
        await _send(api, [_event(players[turn % len(players)], str(_AMOUNT))])
    await asyncio.sleep(2)
    trigger, credit = await report.latencies(database, sandbox, after=row["last"])
    return Times.of(trigger), Times.of(credit)


async def _noise(api: httpx.AsyncClient, stop: asyncio.Event) -> float:
    """Debits of other accounts at a steady rate until stopped; returns the rate that was reached."""
    begun, sent, tasks = time.monotonic(), 0, set()
    while not stop.is_set():
        await asyncio.sleep(max(0.0, begun + sent / _NOISE_PER_S - time.monotonic()))
        events = [_event(ACCOUNT % ((sent + i) * 7919 % _NOISE_ACCOUNTS + 1), "0.01") for i in range(_NOISE_BATCH)]
        task = asyncio.create_task(_send(api, events))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        sent += _NOISE_BATCH
    await asyncio.gather(*tasks)
    return sent / (time.monotonic() - begun)


def _event(customer_id: str, amount: str) -> dict[str, str]:
    return {"id": os.urandom(8).hex(), "customer_id": customer_id, "asset": "USD", "amount": amount}


async def _send(api: httpx.AsyncClient, events: list[dict[str, str]]) -> None:
    answer = (await api.post("/v1/usage", json={"events": events})).raise_for_status().json()
    assert all(result["status"] == "applied" for result in answer["results"]), answer


async def _times(call: Callable[[], Awaitable[httpx.Response]]) -> Times:
    spent = []
    for _ in range(_CROSSINGS):
        begun = time.perf_counter()
        (await call()).raise_for_status()
        spent.append((time.perf_counter() - begun) * 1000)
    return Times.of(spent)
