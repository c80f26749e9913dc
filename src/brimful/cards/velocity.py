"""Card testing: limits against stolen cards being tried on the form that adds them, by address and over all.

An address is kept as a hash, for two hours at most. When most cards that are being added fail, none can be added
until an hour has passed; charging goes on (ADR 0028).
"""

import datetime as dt
import hashlib
import logging

from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.web import rate_limit

_log = logging.getLogger(__name__)
HOUR = dt.timedelta(hours=1)
_FAILED_MIN = 20
_FAILED_SHARE = 0.7

_ADDED = "SELECT count(*) AS n FROM card_setups WHERE state = 'completed' AND created_at > %s"
# Counted before it is compared: of a hundred at once no more than the limit pass.
_COUNT = """
    INSERT INTO card_attempts AS a (address_hash, hour, count) VALUES (%s, %s, 1)
    ON CONFLICT (address_hash, hour) DO UPDATE SET count = a.count + 1
    RETURNING count
"""


async def require_within_limits(tx: Tx, address: str | None, *, per_hour: int, failed: int) -> None:
    """Count a card that is about to be added. Refuses too many from one `address`, and all of them while most fail.

    Args:
        tx: under the portal's role.
        address: where the request came from, if that is known.
        per_hour: how many from one address in a clock hour.
        failed: how many cards of all customers could not be added in the last hour.
    """
    now = await tx.now()
    if failed >= _FAILED_MIN:
        added = await _added(tx, now - HOUR)
        if failed > _FAILED_SHARE * (failed + added):
            _log.critical("ALARM %d of %d cards failed in an hour: adding cards is stopped", failed, failed + added)
            raise Refused("payments_unavailable", "Cards cannot be added at the moment. Try again in an hour.")
    if address is None:
        return
    hashed = hashlib.sha256(rate_limit.network_of(address).encode("utf-8", "replace")).digest()
    row = await tx.one(_COUNT, (hashed, now.replace(minute=0, second=0, microsecond=0)))
    if row is not None and row["count"] > per_hour:
        raise Refused("too_many_requests", "Too many cards were added from here in the last hour. Try again later.")


async def _added(tx: Tx, since: dt.datetime) -> int:
    row = await tx.one(_ADDED, (since,))
    return 0 if row is None else int(row["n"])


async def delete_expired(tx: Tx) -> None:
    """Delete addresses that are older than two hours."""
    await tx.execute("DELETE FROM card_attempts WHERE hour < %s", (await tx.now() - 2 * HOUR,))
