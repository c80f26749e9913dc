"""Verification on many entries: onward from its marks, beside reading the table once."""

import asyncio
import time
from typing import Any

import click
import psycopg

from brimful import operations, settings
from brimful.dev.bench import ground as grounds

_ACCOUNTS = 10_000
_EACH = 1_000


def run() -> dict[str, Any]:
    """Measure on ten million entries and print a table. Returns the figures."""
    with grounds.testbed() as ground:
        click.echo(f"filling: {_ACCOUNTS:,} accounts with {_EACH:,} entries each ...")
        grounds.seed_entries(ground, _ACCOUNTS, each=_EACH)
        with psycopg.connect(ground.url) as connection:
            begun = time.monotonic()
            connection.execute("SELECT count(*), sum(amount) FROM entries")
            reference_s = time.monotonic() - begun
        begun = time.monotonic()
        findings = asyncio.run(operations.verify.run(ground.url, settings.environment.ledger_keyring(ground.keys)))
        quick_s = time.monotonic() - begun
    grounds.table(
        ("what", "seconds", "against the reference"),
        [
            ("reference: one sum over the entries", f"{reference_s:.2f}", "1.00x"),
            ("verify, onward from its marks", f"{quick_s:.2f}", f"{quick_s / reference_s:.2f}x"),
        ],
        f"{_ACCOUNTS * _EACH:,} entries of {_ACCOUNTS:,} accounts",
    )
    for finding in findings:
        if not finding.ok:
            click.echo(f"BAD  {finding.id} {finding.detail}")
    ok = all(finding.ok for finding in findings)
    return {"entries": _ACCOUNTS * _EACH, "reference_s": reference_s, "quick_s": quick_s, "ok": ok}
