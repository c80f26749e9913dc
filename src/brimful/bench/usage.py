"""Debits per second: pgbench on the same tables, then ours in process."""

import asyncio
import datetime as dt
import pathlib
import re
import subprocess
import tempfile
import time
from decimal import Decimal
from typing import Any

import click
import psycopg
import psycopg.conninfo

from brimful import ledger, usage
from brimful.auto_topup import Pace
from brimful.db import Database, embedded, migrate

__all__ = ["run"]

_CUSTOMERS = 20_000
_SECONDS = 8
_CLIENTS = 16
_KEYS = {1: bytes(32)}

# One debit per commit on the same tables, indexes and look-up of the key as ours; its mac is a constant.
_PGBENCH = r"""
\set n random(1, {customers})
\set k random(1, 9000000000000)
BEGIN;
SELECT balance, seq, mac, armed_below FROM accounts
    WHERE customer_id = 'cus_' || :n AND asset = 'USD' FOR NO KEY UPDATE;
SELECT 1 FROM entries WHERE customer_id = 'cus_' || :n AND source = 'usage' AND key = 'p' || :k;
WITH moved AS (
    UPDATE accounts SET balance = balance - 0.5, seq = seq + 1, mac = '\x0000000000000000000000000000000000'
    WHERE customer_id = 'cus_' || :n AND asset = 'USD' RETURNING seq, balance)
INSERT INTO entries (customer_id, asset, seq, entry_id, kind, amount, balance_after, source, key, occurred_at,
    recorded_at, mac)
SELECT 'cus_' || :n, 'USD', seq, 'ent_' || :k, 'usage', -0.5, balance, 'usage', 'p' || :k, now(), now(),
    '\x0000000000000000000000000000000000' FROM moved;
COMMIT;
"""
_SEED = """
    INSERT INTO customers (customer_id, name, created_at)
    SELECT 'cus_' || n, 'c', now() FROM generate_series(1, %s) AS n
"""
_SEED_ACCOUNTS = """
    INSERT INTO accounts (customer_id, asset, created_at) SELECT customer_id, 'USD', now() FROM customers
"""


def run() -> dict[str, Any]:
    """Measure debits per second and print a table. Returns the figures."""
    with tempfile.TemporaryDirectory(prefix="brimful-bench-") as scratch:
        directory = embedded.DataDirectory(pathlib.Path(scratch) / "data").open(version="18")
        try:
            with embedded.running(directory) as server:
                return _usage(server)
        finally:
            directory.remove()


def _usage(server: embedded.Server) -> dict[str, Any]:
    migrate.apply(server.url())
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(_SEED, (_CUSTOMERS,))
        connection.execute(_SEED_ACCOUNTS)
        connection.execute("VACUUM ANALYZE")
    reference = _pgbench(server)
    ours = {size: asyncio.run(_in_process(server.url(), size)) for size in (1, 100, 500)}
    click.echo(f"{'debits per commit':<28}{'debits/s':>10}{'against the reference':>24}")
    click.echo(f"{'1, pgbench (reference)':<28}{reference:>10,.0f}{'1.0x':>24}")
    for size, rate in ours.items():
        click.echo(f"{f'up to {size}, in process':<28}{rate:>10,.0f}{f'{rate / reference:.1f}x':>24}")
    click.echo(f"({_CUSTOMERS:,} accounts, {_SECONDS} s each, {_CLIENTS} clients, one server with fsync on)")
    return {
        "reference_tps": {"spread": reference},
        "in_process": {str(size): rate for size, rate in ours.items()},
        "ratios": {"in_process": ours[500] / reference},
    }


def _pgbench(server: embedded.Server) -> float:
    """Transactions per second of the wheel's pgbench, prepared statements."""
    program = embedded.program(server.directory.postgres, "pgbench")
    parts = psycopg.conninfo.conninfo_to_dict(server.url())
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_PGBENCH.replace("{customers}", str(_CUSTOMERS)))
        script.flush()
        done = subprocess.run(  # noqa: S603 - the wheel's own program
            [str(program), "-n", "-M", "prepared", "-c", str(_CLIENTS), "-j", "2", "-T", str(_SECONDS),
             "-f", script.name, "-h", str(parts["host"]), "-U", str(parts["user"]), str(parts["dbname"])],
            capture_output=True, text=True, check=True, env={"PGPASSWORD": str(parts["password"])},
        )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))


async def _in_process(url: str, batch_max: int) -> float:
    """Debits per second through the recorder, with enough callers to fill its batches."""
    database = Database(url, "brimful_api", pool_max=2)
    await database.open()
    pace = Pace(5, dt.timedelta(seconds=60))
    recorder = usage.Recorder(database, ledger.Keyring(_KEYS), pace, batch_max=batch_max, queue_max=100_000)
    recorder.start()
    done, until = 0, time.monotonic() + _SECONDS
    callers = max(_CLIENTS, 2 * batch_max)

    async def caller(number: int) -> None:
        nonlocal done
        turn = 0
        while time.monotonic() < until:
            turn += 1
            customer = (number * 7919 + turn * 104_729) % _CUSTOMERS + 1
            key = f"{batch_max}-{number}-{turn}"
            await recorder.submit([usage.Movement("usage", f"cus_{customer}", "USD", key, Decimal("-0.5"))])
            done += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    await recorder.stop()
    await database.close()
    return done / _SECONDS
