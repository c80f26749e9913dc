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

from brimful import ledger, posting, settings
from brimful.auto_top_up.policy import Pace
from brimful.core import garbage
from brimful.core.ids import CustomerId
from brimful.db.pool import Database
from brimful.dev.bench import ground, ground as grounds, load, reference
from brimful.dev.bench.ground import ACCOUNT, Location, Testbed, Times
from brimful.dev.bench.rounds import ROUNDS, Rounds

_ACCOUNTS = 100_000
_SECONDS = 4
_BATCHES = (1, 10, 100, 500)
_HOT_BATCH = 500
_WRITERS = 2  # the setting's default
_CONNECTIONS = (1, 16, 64, 256)
_PER_REQUEST = 250
_BATCH_CONNECTIONS = 16
_LOADS = [*((connections, 1) for connections in _CONNECTIONS), (_BATCH_CONNECTIONS, _PER_REQUEST)]
_HALF = Decimal("-0.5")
_SPREAD = "reference: pgbench, one per commit"
_SPREAD_AGAIN = "reference: the same before HTTP"  # what it is compared with is measured beside it
_HOT = "reference: the same on one account"
_WITHIN = "in process, up to %d per commit"
_PLAIN = "plain PostgreSQL"
_WITHIN_BUDGETS = f"in process, up to {_HOT_BATCH} per commit, in three budgets each"
_WITHIN_HOT = f"in process, up to {_HOT_BATCH}, one account"


def run() -> dict[str, Any]:
    """Measure debits per second and print a table: of the embedded server, or with DATABASE_URL of that database beside
    a plain one (`BRIMFUL_BENCH_BESIDE`, or the embedded server). Returns the figures.
    """
    garbage.settle()  # as the product's processes are
    there = settings.environment.database_url()
    return _alone() if there is None else _beside(there, settings.environment.bench_beside())


def _beside(there: str, plain: str | None) -> dict[str, Any]:
    """In process, at the same load in turn; enough callers to fill a batch for each place the database has."""
    keys = {"BRIMFUL_LEDGER_KEYS": "1:" + base64.b64encode(bytes(32)).decode()}
    with contextlib.ExitStack() as stack:
        if plain is None:
            plain = stack.enter_context(ground.testbed()).url
        both = {_PLAIN: Location(plain, keys), "DATABASE_URL": Location(there, keys)}
        for place in both.values():
            stack.enter_context(ground.borrowed(place.url))
            ground.seed_accounts(place.url, _ACCOUNTS)
        callers = 2 * _HOT_BATCH * ground.location_count(there)
        measured = Rounds()
        for _ in range(ROUNDS):
            for what, place in both.items():
                rate, times = uvloop.run(
                    in_process(place, accounts=_ACCOUNTS, batch_max=_HOT_BATCH, seconds=_SECONDS, callers=callers)
                )
                measured.add(what, rate, times, against=None if what == _PLAIN else _PLAIN)
    measured.table(
        f"{_ACCOUNTS:,} accounts, up to {_HOT_BATCH} per commit, {callers:,} callers, medians of {ROUNDS} rounds of "
        f"{_SECONDS} s each"
    )
    return {
        "in_process": {what: measured.rate(what) for what in both}, "callers": callers,
        "ratio": measured.ratio("DATABASE_URL"), "rounds": measured.figures(),
    }  # fmt: skip


def _alone() -> dict[str, Any]:
    measured = Rounds()
    with grounds.testbed() as ground:
        grounds.seed_accounts(ground.url, _ACCOUNTS)
        grounds.seed_budgets(ground.url, 2 * _ACCOUNTS, after=_ACCOUNTS)
        with ground.api() as url:
            load.wrk(url, _key(ground), connections=4, accounts=_ACCOUNTS, per_request=1, seconds=1)  # warm
            for _ in range(ROUNDS):
                _reference(ground, measured, _SPREAD, last=_ACCOUNTS)
                for size in _BATCHES:
                    _inside(ground, measured, _WITHIN % size, accounts=_ACCOUNTS, batch_max=size, against=_SPREAD)
                _inside(
                    ground, measured, _WITHIN_BUDGETS, accounts=_ACCOUNTS, batch_max=_HOT_BATCH,
                    against=_WITHIN % _HOT_BATCH, first=_ACCOUNTS + 1,
                )  # fmt: skip
                _reference(ground, measured, _HOT, last=1)
                _inside(ground, measured, _WITHIN_HOT, accounts=1, batch_max=_HOT_BATCH, against=_HOT)
                _reference(ground, measured, _SPREAD_AGAIN, last=_ACCOUNTS)
                for connections, size in _LOADS:
                    _over_http(ground, measured, url, connections=connections, size=size)
    measured.table(
        f"{_ACCOUNTS:,} accounts, medians of {ROUNDS} rounds of {_SECONDS} s each, one server with fsync on; "
        f"pgbench with {reference.CLIENTS} clients; p50 and p99 are of one commit, one call or one request"
    )
    single = {str(connections): measured.rate(_over(connections, 1)) for connections in _CONNECTIONS}
    inside = {str(size): measured.rate(_WITHIN % size) for size in _BATCHES} | {"hot": measured.rate(_WITHIN_HOT)}
    return {
        "reference_tps": {"spread": measured.rate(_SPREAD), "hot": measured.rate(_HOT)},
        "in_process": inside,
        "http_single": single,
        "http_batch": {str(_BATCH_CONNECTIONS): measured.rate(_over(_BATCH_CONNECTIONS, _PER_REQUEST))},
        "ratios": {
            "in_process": measured.ratio(_WITHIN % 500),
            "hot": measured.ratio(_WITHIN_HOT),
            "budgets": measured.ratio(_WITHIN_BUDGETS),
            "http_single": measured.ratio(_over(256, 1)),
            "http_batch": measured.ratio(_over(_BATCH_CONNECTIONS, _PER_REQUEST)),
        },
        "rounds": measured.figures(),
    }


def _key(ground: Testbed) -> str:
    return ground.environment["BRIMFUL_API_KEY"]


def _over(connections: int, size: int) -> str:
    return f"HTTP, {size} per request, {connections} connection{'s' if connections > 1 else ''}"


def _reference(ground: Testbed, measured: Rounds, what: str, *, last: int) -> None:
    measured.add(what, *reference.debits(ground, first=1, last=last, seconds=_SECONDS))


def _inside(
    ground: Testbed, measured: Rounds, what: str, *, accounts: int, batch_max: int, against: str, first: int = 1
) -> None:
    rate, times = uvloop.run(in_process(ground, accounts=accounts, batch_max=batch_max, seconds=_SECONDS, first=first))
    measured.add(what, rate, times, against=against)


def _over_http(ground: Testbed, measured: Rounds, url: str, *, connections: int, size: int) -> None:
    """Through the API's own process. All that was acknowledged is counted in the books afterwards."""
    before = _entries(ground.url)
    seen = load.wrk(url, _key(ground), connections=connections, accounts=_ACCOUNTS, per_request=size, seconds=_SECONDS)
    kept = _entries(ground.url) - before
    assert kept >= seen.requests * size, f"{seen.requests * size} acknowledged, {kept} in the books"
    assert seen.refused == seen.broken == 0, seen
    measured.add(_over(connections, size), seen.requests_per_s * size, seen.times, against=_SPREAD_AGAIN)


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
