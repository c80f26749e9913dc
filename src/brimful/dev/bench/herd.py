"""Ten thousand accounts cross their line within a second: how long until all are funded, at Stripe's limits.

One customer is made through the API and the portal, then copied: in our database, and in the sandbox's, each copy with
a plastic of its own.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

import click
import httpx
import psycopg

from brimful import operations, runtime, settings
from brimful.core.ids import CustomerId
from brimful.db.columns import ADAPTERS
from brimful.db.pool import Database
from brimful.dev.bench import ground
from brimful.dev.bench.ground import ACCOUNT, Times
from brimful.dev.demo import cast
from brimful_client.client import AsyncClient

_HERD = 10_000
_ALL_PER_S, _ENDPOINT_PER_S = 100, 25  # docs.stripe.com/rate-limits
_CALLS = 2  # create and confirm, on an endpoint each
_CARD = "4242424242424242"
_CALM_S = 20
_DEBITS_PER_S = 50
_REQUEST = 250
_SETTINGS = {"BRIMFUL_STRIPE_RATE": str(_ALL_PER_S), "BRIMFUL_STRIPE_ENDPOINT_RATE": str(_ENDPOINT_PER_S)}
_GIFT, _USE, _THRESHOLD, _AMOUNT = "13", "4", 10, 20

_PLACE = "lpad((n + 1000000)::text, 32, '0')::uuid"
_FROM = "generate_series(1, %(n)s::int) AS n WHERE customer_id = %(from)s"


def _copy_row(name: str, more: str = "") -> str:
    """A statement that copies the customer's row of a table, with another customer and what `more` names."""
    return f"""
        INSERT INTO {name} SELECT copy.* FROM {name} AS c, generate_series(1, %(n)s::int) AS n,
            jsonb_populate_record(c, jsonb_build_object('customer_id', {_PLACE}{more})) AS copy
        WHERE c.customer_id = %(from)s
    """


_PLASTIC = ", 'stripe_payment_method_id', 'pm_herd' || n, 'fingerprint', 'herd' || n"
_COPIES = [
    f"""
    INSERT INTO customers (customer_id, name, created_at, stripe_customer_id)
    SELECT {_PLACE}, name, created_at, 'cus_herd' || n FROM customers, {_FROM}
    """,
    f"""
    INSERT INTO aliases SELECT kind, 'cus_herd' || n, {_PLACE}, 'cus_' || replace({_PLACE}::text, '-', '')
    FROM aliases, {_FROM}
        AND kind = 'stripe_customer'
    """,
    f"""
    INSERT INTO aliases SELECT kind, 'pm_herd' || n, {_PLACE}, target_id FROM aliases, {_FROM}
        AND kind = 'payment_method'
    """,
    _copy_row("cards", _PLASTIC),
    _copy_row("consents"),
    _copy_row("consent_evidence"),
    f"""
    INSERT INTO accounts (customer_id, asset, created_at)
    SELECT {_PLACE}, 'USD', now() FROM generate_series(1, %(n)s::int) AS n
    """,
    _copy_row("rules"),
    _copy_row("rule_states"),
]


def run() -> dict[str, Any]:
    """Measure and print a table. Takes seven minutes: the limits are Stripe's."""
    return measure(_HERD)


def measure(herd: int) -> dict[str, Any]:
    """The same with a herd of that size."""
    with tempfile.TemporaryDirectory(prefix="brimful-bench-") as scratch:
        path = pathlib.Path(scratch) / "data"
        with runtime.local.up(path, port=0, quiet=True) as running:
            original = asyncio.run(_original(running))
        directory = runtime.embedded_postgres.DataDirectory(path).open(
            version=settings.environment.embedded_version(), create=False
        )
        try:
            with runtime.embedded_postgres.running(directory) as server:
                _copy(server.url(), original, herd)
                ground.seed_accounts(server.url(), 1_000)
            _copy_in_sandbox(path / "sandbox.db", herd)
            with runtime.local.up(path, port=0, extra=_SETTINGS, quiet=True) as running:
                return asyncio.run(_measure(running, herd))
        finally:
            directory.remove()


async def _original(running: runtime.local.Running) -> str:
    async with AsyncClient(running.url, running.api_key) as api:
        await cast.set_up(api)
        player = cast.Customer("Herd", _CARD, ("USD",), 1, _THRESHOLD, _AMOUNT, 500)
        await cast.prepare(api, running.url, [player], os.urandom(4).hex(), lambda: None)
    return player.customer_id


def _copy(url: str, original: str, herd: int) -> None:
    with psycopg.connect(url, autocommit=True, context=ADAPTERS) as connection:
        for statement in _COPIES:
            connection.execute(statement.encode(), {"n": herd, "from": CustomerId(original)})
    ground.clean_up(url)


def _copy_in_sandbox(path: pathlib.Path, herd: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as sandbox:
        [(customer,)] = sandbox.execute("SELECT body FROM objects WHERE kind = 'customer'")
        [(method,)] = sandbox.execute("SELECT body FROM objects WHERE kind = 'payment_method'")
        [(newest,)] = sandbox.execute("SELECT max(n) FROM objects")
        for place in range(1, herd + 1):
            person = {**json.loads(customer), "id": f"cus_herd{place}"}
            plastic = json.loads(method)
            plastic |= {"id": f"pm_herd{place}", "customer": person["id"]}
            plastic["card"] |= {"fingerprint": f"herd{place}"}
            number = {"id": plastic["id"], "number": _CARD}
            rows = [
                (item["id"], kind, json.dumps(item), newest + place)
                for kind, item in (("customer", person), ("payment_method", plastic), ("card_number", number))
            ]
            sandbox.executemany("INSERT INTO objects VALUES (?, ?, ?, ?)", rows)
        sandbox.commit()


async def _measure(running: runtime.local.Running, herd: int) -> dict[str, Any]:
    database = Database(running.database_url, "brimful_api", pool_max=2)
    await database.open()
    headers = {"Authorization": f"Bearer {running.api_key}"}
    async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=60) as api:
        members = [ACCOUNT % (place + 1_000_000) for place in range(1, herd + 1)]
        await _give(api, members)
        async with _watched(api) as calm:
            await asyncio.sleep(_CALM_S)
        async with _watched(api) as busy:
            begun = time.monotonic()
            gate = asyncio.Semaphore(8)
            await asyncio.gather(
                *(_use(api, gate, members[place : place + _REQUEST]) for place in range(0, herd, _REQUEST))
            )
            crossed_s = time.monotonic() - begun
            click.echo(f"{herd:,} accounts crossed within {crossed_s:.1f} s; waiting until all are funded ...")
            while await _live(database):  # noqa: ASYNC110 - other processes do the work
                await asyncio.sleep(0.25)
            drained_s = time.monotonic() - begun
    result = await _result(running, database, herd)
    await database.close()
    # Without the quarter of a second's worth with which a bucket may begin (gateway/limits.py).
    floor_s = herd * max(1 / _ENDPOINT_PER_S, _CALLS / _ALL_PER_S)
    before, meanwhile = Times.of(calm), Times.of(busy)
    ground.table(
        ("what", "", "against its reference"),
        [
            ("reference: calls at the provider's limits", f"{floor_s:,.1f} s", "1.00x"),
            ("until every account was funded", f"{drained_s:,.1f} s", f"{drained_s / floor_s:.2f}x"),
            ("reference: a debit's p99 before", f"{before.p99:.1f} ms", "1.00x"),
            ("a debit's p99 meanwhile", f"{meanwhile.p99:.1f} ms", f"{meanwhile.p99 / before.p99:.2f}x"),
            ("payments", f"{result['paid']:,}", ""),
            ("second payments of an account", f"{result['doubles']:,}", ""),
        ],
        f"{herd:,} accounts crossed within {crossed_s:.1f} s; {_ALL_PER_S} calls a second, {_ENDPOINT_PER_S} on one "
        f"endpoint, {_CALLS} calls each; {_DEBITS_PER_S} other debits a second",
    )
    return {
        "herd": herd, "crossed_s": crossed_s, "floor_s": floor_s, "drained_s": drained_s,
        "ratio": drained_s / floor_s, "debit_p99_ms": {"calm": before.p99, "meanwhile": meanwhile.p99},
        "debit_ratio": meanwhile.p99 / before.p99, **result,
    }  # fmt: skip


async def _give(api: httpx.AsyncClient, members: list[str]) -> None:
    """Funds above the threshold, which arm it."""
    gate = asyncio.Semaphore(64)

    async def one(member: str) -> None:
        body = {"transaction_id": "gift", "asset": "USD", "amount": _GIFT, "reason": "gift"}
        async with gate:
            (await api.post(f"/v1/customers/{member}/wallet/adjustments", json=body)).raise_for_status()

    await asyncio.gather(*(one(member) for member in members))


async def _use(api: httpx.AsyncClient, gate: asyncio.Semaphore, members: list[str]) -> None:
    events = [{"id": "cross", "customer_id": member, "asset": "USD", "amount": _USE} for member in members]
    async with gate:
        answer = (await api.post("/v1/usage", json={"events": events})).raise_for_status().json()
    assert all(result["status"] == "applied" for result in answer["results"])


@contextlib.asynccontextmanager
async def _watched(api: httpx.AsyncClient) -> AsyncIterator[list[float]]:
    """Debits of other accounts, one at a time at a steady pace; their times in milliseconds."""
    spent: list[float] = []
    stop = asyncio.Event()

    async def go() -> None:
        begun, sent = time.monotonic(), 0
        while not stop.is_set():
            await asyncio.sleep(max(0.0, begun + sent / _DEBITS_PER_S - time.monotonic()))
            sent += 1
            event = {"id": os.urandom(8).hex(), "customer_id": ACCOUNT % (sent % 1_000 + 1), "asset": "USD"}
            start = time.perf_counter()
            (await api.post("/v1/usage", json={**event, "amount": "0.01"})).raise_for_status()
            spent.append((time.perf_counter() - start) * 1000)

    task = asyncio.create_task(go())
    try:
        yield spent
    finally:
        stop.set()
        await task


async def _live(database: Database) -> int:
    async with database.transaction() as tx:
        row = await tx.one("SELECT count(*) AS n FROM top_ups WHERE ended_at IS NULL")
    assert row is not None
    return int(row["n"])


async def _result(running: runtime.local.Running, database: Database, herd: int) -> dict[str, Any]:
    async with database.transaction() as tx:
        states = {row["state"]: row["n"] for row in await tx.all(_STATES)}
    async with httpx.AsyncClient(base_url=running.sandbox_url, timeout=60) as sandbox:
        books = (await sandbox.get("/sandbox/books")).json()
    paid = books["charged"].get("USD", 0) // (_AMOUNT * 100)
    keys = settings.environment.ledger_keyring({"BRIMFUL_LEDGER_KEYS": running.environment["BRIMFUL_LEDGER_KEYS"]})
    broken = [finding.id for finding in await operations.verify.run(database.url, keys) if not finding.ok]
    assert not broken, broken
    assert states.get("succeeded") == herd, states
    return {"paid": paid, "doubles": paid - herd}


_STATES = "SELECT state, count(*) AS n FROM top_ups GROUP BY state"
