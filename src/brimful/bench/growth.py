"""What a debit costs as accounts and entries grow, and what verification and the portal make of it."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import click
import httpx
import psycopg
import uvloop

from brimful import settings, verify
from brimful.bench import ground as grounds
from brimful.bench import reference
from brimful.bench.ground import ACCOUNT, Ground, Times, table
from brimful.bench.usage import in_process
from brimful.demo.visitor import Visitor
from brimful.ledger import Keyring
from brimful.verify import mark

__all__ = ["measure", "run"]

_SIZES = ((10_000, 1_000_000), (100_000, 10_000_000), (1_000_000, 20_000_000))  # accounts, entries
_SECONDS = 8
_BATCH = 500
_STEP = 1_000_000  # entries in one statement
_PAGES = 40
_MAC = bytes(17)

_FILL = """
    INSERT INTO entries (customer_id, asset, seq, entry_id, kind, amount, balance_after, source, key, occurred_at,
        recorded_at, mac)
    SELECT 'cus_' || lpad(n::text, 32, '0'), 'USD', s, 'ent_' || md5(n || '-' || s), 'usage', -0.5, -0.5 * s, 'usage',
        md5('k' || n || '-' || s), now(), now(), %s
    FROM generate_series(%s::int, %s::int) AS n, generate_series(1, %s::int) AS s
"""
_ENDS = """
    UPDATE accounts SET seq = %(each)s::int, balance = -0.5 * %(each)s::int, mac = %(mac)s
    WHERE customer_id BETWEEN 'cus_' || lpad(%(first)s::int::text, 32, '0')
        AND 'cus_' || lpad(%(last)s::int::text, 32, '0')
"""
_BYTES = """
    SELECT pg_table_size('entries') AS heap, pg_indexes_size('entries') AS indexes,
        (SELECT count(*) FROM entries) AS entries
"""


def run() -> dict[str, Any]:
    """Measure at one, ten and twenty million entries, and print a table. Takes a quarter of an hour."""
    return measure(_SIZES)


def measure(sizes: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    """The same at these sizes, which must grow."""
    found = []
    with grounds.ground() as ground:
        accounts = entries = 0
        for upto, total in sizes:
            click.echo(f"filling: {upto:,} accounts, {total:,} entries ...")
            _fill(ground, accounts, upto, total - entries)
            accounts, entries = upto, total
            found.append(_look(ground, upto))
    least = found[0]
    table(
        ("accounts / entries", "us per debit", "against the least", "pgbench's", "bytes/entry", "verify s", "page ms"),
        [
            (
                f"{size['accounts']:,} / {size['entries']:,}",
                f"{size['debit_us']:.1f}",
                f"{size['debit_us'] / least['debit_us']:.2f}x",
                f"{size['reference_us'] / least['reference_us']:.2f}x",
                f"{size['bytes_per_entry']:.0f}",
                f"{size['verify_s']:.2f}",
                f"{size['page_ms']:.1f}",
            )
            for size in found
        ],
        f"in process, {_BATCH} per commit, over all accounts, {_SECONDS} s each; pgbench's: the same growth of the "
        "reference, one debit per commit; verify onward from its marks; page: the portal's overview, p50",
    )
    return {"sizes": found, "ratio": found[-1]["debit_us"] / least["debit_us"]}


def _fill(ground: Ground, after: int, upto: int, entries: int) -> None:
    """New accounts with as many entries each, verified as it were: what they hold is not looked at again."""
    grounds.seed_accounts(ground.url, upto, after=after)
    each = entries // (upto - after)
    keyring = Keyring(settings.ledger_keyring(ground.keys))
    with psycopg.connect(ground.url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        step = max(1, _STEP // each)
        for first in range(after + 1, upto + 1, step):
            connection.execute(_FILL, (_MAC, first, min(first + step - 1, upto), each))
        connection.execute(_ENDS, {"each": each, "first": after + 1, "last": upto, "mac": _MAC})
        with connection.cursor().copy(
            "COPY verified_marks (customer_id, asset, seq, balance, mac, signature) FROM STDIN"
        ) as rows:
            for place in range(after + 1, upto + 1):
                where = ACCOUNT % place, "USD", each, Decimal(each) / -2, _MAC
                rows.write_row((*where, keyring.sign(b"mark", mark(*where))))
    grounds.tidy(ground.url)


def _look(ground: Ground, accounts: int) -> dict[str, Any]:
    with psycopg.connect(ground.url) as connection:
        sizes = connection.execute(_BYTES).fetchone()
        assert sizes is not None
    heap, indexes, entries = sizes
    keys = settings.ledger_keyring(ground.keys)
    begun = time.monotonic()
    broken = [finding for finding in asyncio.run(verify.run(ground.url, keys)) if not finding.ok]
    assert not broken, broken
    verify_s = time.monotonic() - begun
    uvloop.run(in_process(ground, accounts=accounts, batch_max=_BATCH, seconds=1))  # warm
    rate, _ = uvloop.run(in_process(ground, accounts=accounts, batch_max=_BATCH, seconds=_SECONDS))
    single, _ = reference.debits(ground, first=1, last=accounts, seconds=_SECONDS)
    with ground.api() as url:
        page = asyncio.run(_page(url, ground.environment["BRIMFUL_API_KEY"]))
    _forget_reference(ground)
    return {
        "accounts": accounts, "entries": entries, "debit_us": 1_000_000 / rate, "reference_us": 1_000_000 / single,
        "bytes_per_entry": (heap + indexes) / entries, "verify_s": verify_s, "page_ms": page.p50,
    }  # fmt: skip


def _forget_reference(ground: Ground) -> None:
    """Entries of pgbench have no genuine macs: its accounts are taken for verified as they stand."""
    keyring = Keyring(settings.ledger_keyring(ground.keys))
    with psycopg.connect(ground.url, autocommit=True) as connection:
        moved = connection.execute(_MOVED).fetchall()
        with connection.cursor() as cursor:
            cursor.executemany(
                _MARK,
                [(seq, balance, mac, keyring.sign(b"mark", mark(customer_id, "USD", seq, balance, mac)), customer_id)
                 for customer_id, seq, balance, mac in moved],
            )  # fmt: skip


_MOVED = """
    SELECT a.customer_id, a.seq, a.balance, a.mac FROM accounts AS a
    JOIN verified_marks AS m ON m.customer_id = a.customer_id AND m.asset = a.asset WHERE m.seq <> a.seq
"""
_MARK = "UPDATE verified_marks SET seq = %s, balance = %s, mac = %s, signature = %s WHERE customer_id = %s"


async def _page(url: str, key: str) -> Times:
    """The portal's overview of one customer, as a browser asks for it."""
    home = "http://127.0.0.1/app"
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as api:
        body = {"customer_id": ACCOUNT % 7, "return_url": home, "failure_url": home}
        link = (await api.post("/v1/billing-portal/sessions", json=body)).raise_for_status().json()["redirect_url"]
    visitor, spent = Visitor(url), []
    try:
        await visitor.open(link)
        for _ in range(_PAGES):
            begun = time.perf_counter()
            (await visitor.get("/")).raise_for_status()
            spent.append((time.perf_counter() - begun) * 1000)
    finally:
        await visitor.close()
    return Times.of(spent)
