"""The installation: the settings that its workers share, and the workers that reported lately.

A worker can outlive its installation: its supervisor is killed, and the database is started again by another one. It
would go on with addresses and keys of the past. So a worker that starts publishes its settings, as digests by name; a
worker that finds others takes no part until they are its own again, and the doctor names it.
"""

import dataclasses
import hashlib
import os
import socket
from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from brimful.core import ids
from brimful.db.pool import Row, Tx
from brimful.settings.model import Settings

REPORTED_S = 30  # a worker that has not reported for so long has ended


@dataclasses.dataclass(frozen=True)
class Membership:
    """One worker process, with digests of the settings that decide whom it charges through."""

    worker_id: str
    settings: Mapping[str, str]


def membership(settings: Settings) -> Membership:
    """This process as a worker of an installation with these settings."""
    secrets = {
        "STRIPE_API_KEY": settings.stripe_key,
        "STRIPE_API_URL": settings.stripe_url,
        "STRIPE_WEBHOOK_SECRET": ",".join(sorted(settings.stripe_webhook_secrets)),
    }
    return Membership(ids.new("wrk"), {name: _digest(value) for name, value in secrets.items()})


def _digest(value: str | None) -> str:
    return "" if not value else hashlib.blake2b(value.encode(), digest_size=8).hexdigest()


_PUBLISH = """
    UPDATE installation SET settings = %(settings)s, published_at = %(now)s
    WHERE settings IS DISTINCT FROM %(settings)s
"""
_REPORT = """
    INSERT INTO workers (worker_id, host, pid, settings, started_at, seen_at)
    VALUES (%(worker_id)s, %(host)s, %(pid)s, %(settings)s, %(now)s, %(now)s)
    ON CONFLICT (worker_id) DO UPDATE SET seen_at = excluded.seen_at
"""
_FORGET = "DELETE FROM workers WHERE seen_at < %(now)s::timestamptz - make_interval(secs => %(reported_s)s)"
_CURRENT = "SELECT settings = %(settings)s AS current FROM installation"


async def publish(tx: Tx, worker: Membership) -> bool:
    """Make this worker's settings the installation's. True if they were others before."""
    values = {"settings": Jsonb(worker.settings), "now": await tx.now()}
    return bool(await tx.execute(_PUBLISH, values))


async def report(tx: Tx, worker: Membership) -> bool:
    """Note that this worker is alive. Returns whether its settings are still the installation's."""
    values: dict[str, Any] = {
        "worker_id": worker.worker_id,
        "host": socket.gethostname()[:200],
        "pid": os.getpid(),
        "settings": Jsonb(worker.settings),
        "now": await tx.now(),
        "reported_s": REPORTED_S,
    }
    await tx.execute(_FORGET, values)
    await tx.execute(_REPORT, values)
    row = await tx.one(_CURRENT, values)
    assert row is not None
    return bool(row["current"])


# By the database's own clock: a test may move the product's. A worker that was killed before the present settings were
# published reported last before them, and is no worry.
_OUTDATED = """
    SELECT w.host, w.pid, w.settings, i.settings AS wanted FROM workers AS w, installation AS i
    WHERE w.settings <> i.settings AND w.seen_at > i.published_at
        AND w.seen_at > clock_timestamp() - make_interval(secs => %s)
    ORDER BY w.host, w.pid
"""


async def outdated(tx: Tx) -> list[str]:
    """Workers that run with other settings than the installation's: where, and which settings differ."""
    return [_described(row) for row in await tx.all(_OUTDATED, (REPORTED_S,))]


def _described(row: Row) -> str:
    names = sorted({*row["settings"], *row["wanted"]})
    differ = ", ".join(name for name in names if row["settings"].get(name) != row["wanted"].get(name))
    return f"process {row['pid']} on {row['host']} has another {differ}"
