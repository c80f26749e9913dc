"""Holds: while one stands, no payment is sent. Debits go on, top-ups are requested and wait.

`key`: Stripe refuses the platform's key; nobody's card is to blame, and one caller in half a minute tries whether
it still does. `operator`: a person said stop. `restore`: the database went back in time; reconciliation lifts it.
"""

import dataclasses
import datetime as dt
import logging
from typing import Literal

from brimful import audit
from brimful.db import Tx

__all__ = ["Hold", "Kind", "hold", "holds", "is_open", "lift"]

_log = logging.getLogger(__name__)
Kind = Literal["key", "operator", "restore"]


@dataclasses.dataclass(frozen=True)
class Hold:
    """Why nothing is charged, and since when."""

    kind: Kind
    reason: str
    since: dt.datetime


async def holds(tx: Tx) -> list[Hold]:
    """Every hold that stands, the oldest first."""
    return [Hold(**row) for row in await tx.all("SELECT kind, reason, since FROM charging_holds ORDER BY since, kind")]


# While Stripe refuses our key, one caller in half a minute tries whether it does so still.
_PROBE = """
    UPDATE charging_holds SET probed_at = %(now)s
    WHERE kind = 'key' AND probed_at < %(now)s::timestamptz - interval '30 s'
        AND NOT EXISTS (SELECT FROM charging_holds WHERE kind <> 'key')
    RETURNING kind
"""


# A failover that no worker has noted yet: the server writes another timeline than the last beat saw. The name of its
# WAL file tells at once; the control file only after the next checkpoint.
_TURNED = """
    SELECT timeline FROM epochs
    WHERE timeline <> ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
"""


async def is_open(tx: Tx) -> bool:
    """Whether payments may be sent. Under a role that may not probe, held is held."""
    if await tx.one("SELECT kind FROM charging_holds LIMIT 1") is None:
        return await tx.one(_TURNED) is None  # a beat within five seconds holds it, and compares with Stripe
    if not await _may_write(tx):
        return False
    return await tx.one(_PROBE, {"now": await tx.now()}) is not None


_HOLD = """
    INSERT INTO charging_holds (kind, reason, since, probed_at) VALUES (%s, %s, %s, %s) ON CONFLICT (kind) DO NOTHING
"""


async def hold(tx: Tx, kind: Kind, reason: str, *, actor: str) -> bool:
    """Stop charging. True, with one alarm, when this hold is news."""
    if not await _may_write(tx):
        return False
    now = await tx.now()
    if not await tx.execute(_HOLD, (kind, reason[:500], now, now)):
        return False
    _log.critical("ALARM charging is held (%s): %s", kind, reason)
    await audit.record(tx, actor=actor, action="charging.held", after={"kind": kind, "reason": reason[:500]})
    return True


async def lift(tx: Tx, kind: Kind, *, actor: str, reason: str | None = None) -> bool:
    """Lift one hold. True when it stood. The others stand on."""
    if await tx.one("SELECT kind FROM charging_holds WHERE kind = %s", (kind,)) is None or not await _may_write(tx):
        return False
    if not await tx.execute("DELETE FROM charging_holds WHERE kind = %s", (kind,)):
        return False
    _log.warning("charging is no longer held (%s)", kind)
    await audit.record(tx, actor=actor, action="charging.lifted", before={"kind": kind}, after={"reason": reason})
    return True


async def _may_write(tx: Tx) -> bool:
    row = await tx.one("SELECT has_table_privilege('charging_holds', 'UPDATE') AS may")
    return bool(row and row["may"])
