"""Verification on many entries: onward from its marks, beside reading the table once."""

import asyncio
import pathlib
import tempfile
import time
from decimal import Decimal
from typing import Any

import click
import psycopg

from brimful import verify
from brimful.db import embedded, migrate
from brimful.ledger import Keyring
from brimful.verify import mark

__all__ = ["run"]

_ACCOUNTS = 10_000
_EACH = 1_000
_KEYS = {1: bytes(32)}
_CUSTOMERS = """
    INSERT INTO customers (customer_id, name, created_at)
    SELECT 'cus_' || n, 'c', now() FROM generate_series(1, %s) AS n
"""
# Their macs are constants: what is measured is how much is read, and marks say that these were verified.
_OLD = """
    INSERT INTO entries (customer_id, asset, seq, entry_id, kind, amount, balance_after, source, key, occurred_at,
        recorded_at, mac)
    SELECT 'cus_' || n, 'USD', s, 'ent_' || n || '_' || s, 'usage', -1, -s, 'usage', 'k' || s, now(), now(),
        decode(repeat('00', 17), 'hex')
    FROM generate_series(%s::int, %s::int) AS n, generate_series(1, %s) AS s
"""
_ENDS = """
    INSERT INTO accounts (customer_id, asset, balance, seq, mac, created_at)
    SELECT customer_id, 'USD', -%(each)s, %(each)s, decode(repeat('00', 17), 'hex'), now() FROM customers
"""
_MARKS = """
    INSERT INTO verified_marks (customer_id, asset, seq, balance, mac, signature) VALUES (%s, 'USD', %s, %s, %s, %s)
"""


def run() -> dict[str, Any]:
    """Measure on ten million entries and print a table. Returns the figures."""
    with tempfile.TemporaryDirectory(prefix="brimful-bench-") as scratch:
        directory = embedded.DataDirectory(pathlib.Path(scratch) / "data").open(version="18")
        try:
            with embedded.running(directory) as server:
                return _measure(server.url())
        finally:
            directory.remove()


def _measure(url: str) -> dict[str, Any]:
    migrate.apply(url)
    click.echo(f"filling: {_ACCOUNTS:,} accounts with {_EACH:,} entries each ...")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(_CUSTOMERS, (_ACCOUNTS,))
        connection.execute(_ENDS, {"each": _EACH})
        for first in range(1, _ACCOUNTS + 1, 500):
            connection.execute(_OLD, (first, first + 499, _EACH))
        keyring, mac = Keyring(_KEYS), bytes(17)
        with connection.cursor() as cursor:
            rows = []
            for number in range(1, _ACCOUNTS + 1):
                place = f"cus_{number}", "USD", _EACH, Decimal(-_EACH), mac
                rows.append((place[0], _EACH, -_EACH, mac, keyring.sign(b"mark", mark(*place))))
            cursor.executemany(_MARKS, rows)
        connection.execute("VACUUM ANALYZE")
        begun = time.monotonic()
        connection.execute("SELECT count(*), sum(amount) FROM entries")
        reference_s = time.monotonic() - begun
    begun = time.monotonic()
    findings = asyncio.run(verify.run(url, _KEYS))
    quick_s = time.monotonic() - begun
    click.echo(f"{'what':<44}{'seconds':>10}{'against the reference':>24}")
    click.echo(f"{'one sum over the entries (reference)':<44}{reference_s:>10.2f}{'1.00x':>24}")
    click.echo(f"{'verify, onward from its marks':<44}{quick_s:>10.2f}{f'{quick_s / reference_s:.2f}x':>24}")
    for finding in findings:
        if not finding.ok:
            click.echo(f"BAD  {finding.id} {finding.detail}")
    return {"entries": _ACCOUNTS * _EACH, "reference_s": reference_s, "quick_s": quick_s,
            "ok": all(finding.ok for finding in findings)}  # fmt: skip
