"""What a debit costs as accounts and entries grow, and what verification and the portal make of it."""

import asyncio
import time
from typing import Any

import click
import httpx
import psycopg
import uvloop

from brimful import operations, settings
from brimful.dev.bench import ground as grounds, reference, usage
from brimful.dev.bench.ground import ACCOUNT, Testbed, Times, table
from brimful.dev.demo.visitor import Visitor

_SIZES = ((10_000, 1_000_000), (100_000, 10_000_000), (1_000_000, 20_000_000))  # accounts, entries
_SECONDS = 8
_BATCH = 500
_PAGES = 40
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
    with grounds.testbed() as ground:
        accounts = entries = 0
        for upto, total in sizes:
            click.echo(f"filling: {upto:,} accounts, {total:,} entries ...")
            grounds.seed_entries(ground, upto, after=accounts, each=(total - entries) // (upto - accounts))
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


def _look(ground: Testbed, accounts: int) -> dict[str, Any]:
    with psycopg.connect(ground.url) as connection:
        sizes = connection.execute(_BYTES).fetchone()
        assert sizes is not None
    heap, indexes, entries = sizes
    keys = settings.environment.ledger_keyring(ground.keys)
    begun = time.monotonic()
    broken = [finding for finding in asyncio.run(operations.verify.run(ground.url, keys)) if not finding.ok]
    assert not broken, broken
    verify_s = time.monotonic() - begun
    uvloop.run(usage.in_process(ground, accounts=accounts, batch_max=_BATCH, seconds=1))  # warm
    rate, _ = uvloop.run(usage.in_process(ground, accounts=accounts, batch_max=_BATCH, seconds=_SECONDS))
    single, _ = reference.debits(ground, first=1, last=accounts, seconds=_SECONDS)
    with ground.api() as url:
        page = asyncio.run(_page(url, ground.environment["BRIMFUL_API_KEY"]))
    return {
        "accounts": accounts, "entries": entries, "debit_us": 1_000_000 / rate, "reference_us": 1_000_000 / single,
        "bytes_per_entry": (heap + indexes) / entries, "verify_s": verify_s, "page_ms": page.p50,
    }  # fmt: skip


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
