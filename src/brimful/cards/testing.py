"""Card testing: whoever tries stolen cards on a form that adds them is slowed down by address, and by all of them.

An address is kept as a hash, for two hours at most. When most cards that are being added fail, nobody adds one until an
hour has passed; charging goes on (ADR 0028).
"""

import datetime as dt
import hashlib
import logging

from brimful import quotas
from brimful.db import Tx
from brimful.errors import Refused

__all__ = ["forget", "require_calm"]

_log = logging.getLogger(__name__)
_HOUR = dt.timedelta(hours=1)
_FAILED_MIN = 20
_FAILED_SHARE = 0.7

_FAILED = """
    SELECT count(*) AS n FROM stripe_events WHERE type = 'setup_intent.setup_failed' AND received_at > %s
"""
_ADDED = "SELECT count(*) AS n FROM card_setups WHERE state = 'completed' AND created_at > %s"
# Counted before it is judged: of a hundred at once no more than the limit pass.
_COUNT = """
    INSERT INTO card_attempts AS a (address_hash, hour, count) VALUES (%s, %s, 1)
    ON CONFLICT (address_hash, hour) DO UPDATE SET count = a.count + 1
    RETURNING count
"""


async def require_calm(tx: Tx, address: str | None, *, per_hour: int) -> None:
    """Count a card that is about to be added; refuses too many from one `address`, and all of them in a storm.

    Args:
        tx: under the portal's role.
        address: where the request came from, if that is known.
        per_hour: how many from one address in a clock hour.
    """
    now = await tx.now()
    failed = await _number(tx, _FAILED, now - _HOUR)
    if failed >= _FAILED_MIN:
        added = await _number(tx, _ADDED, now - _HOUR)
        if failed > _FAILED_SHARE * (failed + added):
            _log.critical("ALARM %d of %d cards failed in an hour: adding cards is stopped", failed, failed + added)
            raise Refused("payments_unavailable", "Cards cannot be added at the moment. Try again in an hour.")
    if address is None:
        return
    hashed = hashlib.sha256(quotas.neighbourhood(address).encode("utf-8", "replace")).digest()
    row = await tx.one(_COUNT, (hashed, now.replace(minute=0, second=0, microsecond=0)))
    if row is not None and row["count"] > per_hour:
        raise Refused("too_many_requests", "Too many cards were added from here in the last hour. Try again later.")


async def _number(tx: Tx, query: str, since: dt.datetime) -> int:
    row = await tx.one(query, (since,))
    return 0 if row is None else int(row["n"])


async def forget(tx: Tx) -> None:
    """Addresses are not kept."""
    await tx.execute("DELETE FROM card_attempts WHERE hour < %s", (await tx.now() - 2 * _HOUR,))
