"""The doctor: looks at what surrounds the product. First form."""

import dataclasses
from typing import Any

import psycopg
import psycopg.rows

from brimful import settings
from brimful.db import migrate
from brimful.errors import ConfigurationError
from brimful.payments.stripe import StripeGateway

__all__ = ["Examined", "run"]


@dataclasses.dataclass(frozen=True)
class Examined:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str


async def run(url: str) -> list[Examined]:
    """Look at everything; one finding each."""
    found = [_server(url), _migrations(url)]
    if all(finding.ok for finding in found):
        async with await psycopg.AsyncConnection.connect(url, row_factory=psycopg.rows.dict_row) as connection:
            found += [await _roles(connection), await _worker(connection), await _queue(connection)]
            found += [await _charging(connection)]
    found.append(await _stripe())
    return found


def _server(url: str) -> Examined:
    try:
        migrate.check_server(url)
    except ConfigurationError as error:
        return Examined("database", ok=False, detail=str(error))
    return Examined("database", ok=True, detail="reachable, version and durability settings are safe")


def _migrations(url: str) -> Examined:
    try:
        missing = migrate.pending(url)
    except ConfigurationError as error:
        return Examined("migrations", ok=False, detail=str(error))
    if missing:
        return Examined("migrations", ok=False, detail=f"{len(missing)} pending: run `brimful migrate`")
    return Examined("migrations", ok=True, detail="none pending")


async def _one(connection: psycopg.AsyncConnection[dict[str, Any]], sql: Any) -> dict[str, Any]:
    row = await (await connection.execute(sql)).fetchone()
    assert row is not None
    return row


_ROLES = """
    SELECT count(*) FILTER (WHERE has_table_privilege(role, 'entries', 'UPDATE')
            OR has_table_privilege(role, 'entries', 'DELETE')
            OR has_table_privilege(role, 'consents', 'UPDATE')) AS wide,
        bool_or(role <> 'brimful_portal' AND (has_table_privilege(role, 'rules', 'INSERT')
            OR has_table_privilege(role, 'rules', 'UPDATE'))) AS rules
    FROM unnest(ARRAY['brimful_api', 'brimful_portal', 'brimful_engine']) AS role
"""


async def _roles(connection: psycopg.AsyncConnection[dict[str, Any]]) -> Examined:
    row = await _one(connection, _ROLES)
    if row["wide"] or row["rules"]:
        return Examined("roles", ok=False, detail="a service role may do too much: compare with 0004.grants.sql")
    return Examined(
        "roles", ok=True, detail="no service role changes entries or consents; only the portal writes rules"
    )


async def _worker(connection: psycopg.AsyncConnection[dict[str, Any]]) -> Examined:
    row = await _one(
        connection,
        "SELECT count(*) AS n FROM procrastinate_workers WHERE last_heartbeat > clock_timestamp() - interval '30 s'",
    )
    if not row["n"]:
        return Examined("worker", ok=False, detail="no worker has been heard for 30 s: start `brimful worker`")
    return Examined("worker", ok=True, detail=f"{row['n']} at work")


_QUEUE = """
    SELECT count(*) AS waiting,
        coalesce(extract(epoch FROM clock_timestamp() - min(e.at)), 0)::int AS oldest_s
    FROM procrastinate_jobs AS j JOIN procrastinate_events AS e ON e.job_id = j.id AND e.type = 'deferred'
    WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= clock_timestamp())
"""
_QUEUE_AGE_MAX_S = 60


async def _queue(connection: psycopg.AsyncConnection[dict[str, Any]]) -> Examined:
    row = await _one(connection, _QUEUE)
    detail = f"{row['waiting']} jobs wait, the oldest for {row['oldest_s']} s"
    return Examined("queue", ok=row["oldest_s"] <= _QUEUE_AGE_MAX_S, detail=detail)


async def _charging(connection: psycopg.AsyncConnection[dict[str, Any]]) -> Examined:
    row = await _one(
        connection, "SELECT string_agg(kind || ': ' || reason, '; ' ORDER BY since) AS held FROM charging_holds"
    )
    return Examined(
        "charging", ok=row["held"] is None, detail="open" if row["held"] is None else f"held ({row['held']})"
    )


async def _stripe() -> Examined:
    key, url = settings.stripe_access()
    if key is None:
        return Examined("stripe", ok=True, detail="STRIPE_API_KEY is not set here: not asked")
    gateway = StripeGateway(key, url=url, timeout_s=10)
    try:
        failure = await gateway.check_key()
    finally:
        await gateway.close()
    if failure is not None:
        return Examined("stripe", ok=False, detail=f"the key is not accepted ({failure.kind.value}): {failure.message}")
    return Examined("stripe", ok=True, detail="the key is accepted")
