"""Suspensions: while one stands, no payment is sent. Debits go on, top-ups are requested and wait.

`key`: Stripe refuses the platform's key or account; nobody's card is to blame, and one caller in half a minute tries
whether it still does. `operator`: a person said stop. `restore`: the database went back in time; reconciliation lifts
it.
"""

import dataclasses
import datetime as dt
import logging
from typing import Literal

from brimful.auth import audit
from brimful.db.pool import Query, Tx

_log = logging.getLogger(__name__)
Kind = Literal["key", "operator", "restore"]


@dataclasses.dataclass(frozen=True)
class Suspension:
    """Why nothing is charged, since when, and by whom (`operator:ada`, `stripe`, `engine`)."""

    kind: Kind
    reason: str
    since: dt.datetime
    actor: str


# For those who send no payment and must not count on one.
SUSPENDED = Query("SELECT kind FROM suspensions LIMIT 1", None, bool)


async def list_all(tx: Tx) -> list[Suspension]:
    """Every suspension that stands, the oldest first."""
    return [
        Suspension(**row)
        for row in await tx.all("SELECT kind, reason, since, actor FROM suspensions ORDER BY since, kind")
    ]


# While Stripe refuses our key, one caller in half a minute tries whether it does so still.
_PROBE = """
    UPDATE suspensions SET probed_at = %(now)s
    WHERE kind = 'key' AND probed_at NOT BETWEEN %(now)s::timestamptz - interval '30 s' AND %(now)s::timestamptz
        AND NOT EXISTS (SELECT FROM suspensions WHERE kind <> 'key')
    RETURNING kind
"""


# A failover that no worker has noted yet: the server writes another timeline than the last heartbeat saw. The name of
# its WAL file shows it at once; the control file only after the next checkpoint.
_TURNED = """
    SELECT timeline FROM restore_guard
    WHERE timeline <> ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
"""


_STANDS = f"SELECT EXISTS (SELECT FROM suspensions) AS suspended, EXISTS ({_TURNED}) AS turned"


@dataclasses.dataclass(frozen=True)
class Standing:
    """`suspended`: charging is. `turned`: the server has failed over, and no worker has noted it yet."""

    suspended: bool
    turned: bool


STANDING: Query[Standing] = Query(_STANDS, None, lambda rows: Standing(**rows[0]))


async def charging_allowed(tx: Tx, standing: Standing | None = None) -> bool:
    """Whether payments may be sent, by what stands, asked for here when the caller has not. A role that may not probe
    counts a suspension of any kind.
    """
    if standing is None:
        standing = await tx.ask(STANDING)
    if not standing.suspended:
        # After a failover a heartbeat within five seconds suspends charging, and compares with Stripe.
        return not standing.turned
    if not await _may_write(tx):
        return False
    return await tx.one(_PROBE, {"now": await tx.now()}) is not None


_SUSPEND = """
    INSERT INTO suspensions (kind, reason, since, probed_at, actor) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (kind) DO NOTHING
"""


async def suspend(tx: Tx, kind: Kind, reason: str, *, actor: str) -> bool:
    """Suspend charging. True, with one alarm, when this suspension is new."""
    if not await _may_write(tx):
        return False
    now = await tx.now()
    if not await tx.execute(_SUSPEND, (kind, reason[:500], now, now, actor)):
        return False
    _log.critical("ALARM charging is suspended (%s): %s", kind, reason)
    await audit.record(tx, actor=actor, action="charging.suspended", after={"kind": kind, "reason": reason[:500]})
    return True


async def resume(tx: Tx, kind: Kind, *, actor: str, reason: str | None = None) -> bool:
    """End one suspension. True when it stood. The others remain."""
    if await tx.one("SELECT kind FROM suspensions WHERE kind = %s", (kind,)) is None or not await _may_write(tx):
        return False
    if not await tx.execute("DELETE FROM suspensions WHERE kind = %s", (kind,)):
        return False
    _log.warning("charging is no longer suspended (%s)", kind)
    await audit.record(tx, actor=actor, action="charging.resumed", before={"kind": kind}, after={"reason": reason})
    return True


async def _may_write(tx: Tx) -> bool:
    row = await tx.one("SELECT has_table_privilege('suspensions', 'UPDATE') AS may")
    return bool(row and row["may"])
