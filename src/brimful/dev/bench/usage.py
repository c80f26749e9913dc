"""Debits per second: pgbench on the same tables, then ours in process, then over HTTP."""

import asyncio
import base64
import contextlib
import datetime as dt
import os
import time
from decimal import Decimal
from typing import Any

import psycopg
import uvloop

from brimful import ledger, payments, posting, settings
from brimful.auto_top_up.policy import Pace
from brimful.core.ids import CustomerId
from brimful.db.pool import Database
from brimful.dev.bench import ground, ground as grounds, load, reference
from brimful.dev.bench.ground import ACCOUNT, Location, Testbed, Times

_ACCOUNTS = 100_000
_SECONDS = 6
_BATCHES = (1, 10, 100, 500)
_HOT_BATCH = 500
_TURNS = 2
_WRITERS = 2  # the setting's default
_CONNECTIONS = (1, 16, 64, 256)
_PER_REQUEST = 250
_BATCH_CONNECTIONS = 16
_HALF = Decimal("-0.5")
Row = tuple[str, float, Times, float]  # what, debits per second, times of its answers, against its reference


def run() -> dict[str, Any]:
    """Measure debits per second and print a table: of the embedded server, or with DATABASE_URL of that database beside
    a plain one (`BRIMFUL_BENCH_BESIDE`, or the embedded server). Returns the figures.
    """
    there = settings.environment.database_url()
    return _alone() if there is None else _beside(there, settings.environment.bench_beside())


def _beside(there: str, plain: str | None) -> dict[str, Any]:
    """In process, at the same load in turn; enough callers to fill a batch for each place the database has."""
    keys = {"BRIMFUL_LEDGER_KEYS": "1:" + base64.b64encode(bytes(32)).decode()}
    with contextlib.ExitStack() as stack:
        if plain is None:
            plain = stack.enter_context(ground.testbed()).url
        both = {"plain PostgreSQL": Location(plain, keys), "DATABASE_URL": Location(there, keys)}
        for place in both.values():
            stack.enter_context(ground.borrowed(place.url))
            ground.seed_accounts(place.url, _ACCOUNTS)
        callers = 2 * _HOT_BATCH * ground.location_count(there)
        seen: dict[str, list[tuple[float, Times]]] = {what: [] for what in both}
        for _ in range(_TURNS):
            for what, place in both.items():
                measured = in_process(
                    place, accounts=_ACCOUNTS, batch_max=_HOT_BATCH, seconds=_SECONDS, callers=callers
                )
                seen[what].append(uvloop.run(measured))
    best = {what: max(turns, key=lambda turn: turn[0]) for what, turns in seen.items()}
    ratio = best["DATABASE_URL"][0] / best["plain PostgreSQL"][0]
    ground.table(
        ("what", "debits/s", "p50 ms", "p99 ms", "against plain"),
        [(what, f"{rate:,.0f}", f"{t.p50:.1f}", f"{t.p99:.1f}", f"{rate / best['plain PostgreSQL'][0]:.2f}x")
         for what, (rate, t) in best.items()],
        f"{_ACCOUNTS:,} accounts, up to {_HOT_BATCH} per commit, {callers:,} callers, the best of {_TURNS} turns of "
        f"{_SECONDS} s each",
    )  # fmt: skip
    return {"in_process": {what: rate for what, (rate, _) in best.items()}, "callers": callers, "ratio": ratio}


def _alone() -> dict[str, Any]:
    with grounds.testbed() as ground:
        grounds.seed_accounts(ground.url, _ACCOUNTS)
        spread, spread_times = reference.debits(ground, first=1, last=_ACCOUNTS, seconds=_SECONDS)
        hot, hot_times = reference.debits(ground, first=1, last=1, seconds=_SECONDS)
        rows: list[Row] = [
            ("reference: pgbench, one per commit", spread, spread_times, 1.0),
            ("reference: the same on one account", hot, hot_times, 1.0),
        ]
        inside: dict[str, float] = {}
        for size in _BATCHES:
            rate, times = uvloop.run(in_process(ground, accounts=_ACCOUNTS, batch_max=size, seconds=_SECONDS))
            inside[str(size)] = rate
            rows.append((f"in process, up to {size} per commit", rate, times, rate / spread))
        rate, times = uvloop.run(in_process(ground, accounts=1, batch_max=_HOT_BATCH, seconds=_SECONDS))
        inside["hot"] = rate
        rows.append((f"in process, up to {_HOT_BATCH}, one account", rate, times, rate / hot))
        single, batch = _over_http(ground, rows, spread)
        grounds.table(
            ("what", "debits/s", "p50 ms", "p99 ms", "against its reference"),
            [(what, f"{rate:,.0f}", f"{t.p50:.1f}", f"{t.p99:.1f}", f"{ratio:.2f}x") for what, rate, t, ratio in rows],
            f"{_ACCOUNTS:,} accounts, {_SECONDS} s each, one server with fsync on; pgbench with {reference.CLIENTS} "
            f"clients; p50 and p99 are of one commit, one call or one request",
        )
    return {
        "reference_tps": {"spread": spread, "hot": hot},
        "in_process": inside,
        "http_single": single,
        "http_batch": batch,
        "ratios": {
            "in_process": inside["500"] / spread,
            "hot": inside["hot"] / hot,
            "http_single": single["256"] / spread,
            "http_batch": batch[str(_BATCH_CONNECTIONS)] / spread,
        },
    }


def _over_http(ground: Testbed, rows: list[Row], spread: float) -> tuple[dict[str, float], dict[str, float]]:
    """Through the API's own process. All that was acknowledged is counted in the books afterwards."""
    single: dict[str, float] = {}
    batch: dict[str, float] = {}
    loads = [(connections, 1) for connections in _CONNECTIONS] + [(_BATCH_CONNECTIONS, _PER_REQUEST)]
    key = ground.environment["BRIMFUL_API_KEY"]
    with ground.api() as url:
        load.wrk(url, key, connections=4, accounts=_ACCOUNTS, per_request=1, seconds=1)  # warm
        for connections, size in loads:
            before = _entries(ground.url)
            seen = load.wrk(url, key, connections=connections, accounts=_ACCOUNTS, per_request=size, seconds=_SECONDS)
            kept = _entries(ground.url) - before
            assert kept >= seen.requests * size, f"{seen.requests * size} acknowledged, {kept} in the books"
            assert seen.refused == seen.broken == 0, seen
            rate = seen.requests_per_s * size
            (single if size == 1 else batch)[str(connections)] = rate
            what = f"HTTP, {size} per request, {connections} connection{'s' if connections > 1 else ''}"
            rows.append((what, rate, seen.times, rate / spread))
    return single, batch


def _entries(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM entries").fetchone()
        assert row is not None
        return int(row[0])


async def in_process(
    ground: Testbed | Location,
    *,
    accounts: int,
    batch_max: int,
    seconds: float,
    first: int = 1,
    callers: int | None = None,
) -> tuple[float, Times]:
    """Debits per second through the recorder, with callers enough to fill its batches, and the time of each call."""
    database = Database(ground.url, "brimful_api", pool_max=_WRITERS + 1, options=posting.group_commit.PLANS)
    await database.open()
    recorder = posting.group_commit.Recorder(
        database,
        ledger.hash_chain.Keyring(settings.environment.ledger_keyring(ground.keys)),
        Pace(5, dt.timedelta(seconds=60)),
        suspended=payments.suspensions.SUSPENDED,
        batch_max=batch_max,
        queue_max=100_000,
        writers=_WRITERS,
    )
    recorder.start()
    name, spent = os.urandom(4).hex(), []
    until = time.monotonic() + seconds

    async def caller(number: int) -> None:
        turn = 0
        while time.monotonic() < until:
            turn += 1
            place = (number * 7919 + turn * 104_729) % accounts + first
            begun = time.perf_counter()
            movement = posting.model.Movement(
                "usage", CustomerId(ACCOUNT % place), "USD", f"{name}-{number}-{turn}", _HALF
            )
            await recorder.submit([movement])
            spent.append((time.perf_counter() - begun) * 1000)

    begun = time.monotonic()
    await asyncio.gather(*(caller(number) for number in range(callers or max(reference.CLIENTS, 2 * batch_max))))
    took = time.monotonic() - begun
    await recorder.stop()
    await database.close()
    return len(spent) / took, Times.of(spent)
