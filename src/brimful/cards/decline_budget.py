"""Tries of one physical card, over all its accounts and customers.

Networks limit how often a declining card may be tried (Visa 15 in 30 days, Mastercard 35); we stay far
below. A claim is taken before a payment is sent, kept if it was declined, released if not.
"""

import datetime as dt
import enum

from brimful.db.pool import Tx
from brimful.gateway.declines import DeclineKind

DECLINES_MAX = 8
WINDOW = dt.timedelta(days=30)


class Claim(enum.Enum):
    """Whether a payment with this card may be sent."""

    GRANTED = "granted"
    BUSY = "busy"  # other tries are in flight and may yet be declined: wait
    SPENT = "spent"  # the card has been declined too often


_COUNT = """
    SELECT count(*) FILTER (WHERE state IN ('declined', 'hard', 'data') AND at > %(since)s) AS declined,
        count(*) FILTER (WHERE state = 'open') AS open,
        count(*) FILTER (WHERE payment_id = %(payment_id)s) AS mine
    FROM card_tries WHERE fingerprint = %(fingerprint)s
"""
_INSERT = "INSERT INTO card_tries (payment_id, fingerprint, state, at) VALUES (%s, %s, 'open', %s)"


async def claim(tx: Tx, fingerprint: str, payment_id: str) -> Claim:
    """Take one of the card's tries for this payment, in a transaction of its own."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (fingerprint,))
    tx.locked()
    now = await tx.now()
    count = await tx.one(_COUNT, {"fingerprint": fingerprint, "payment_id": payment_id, "since": now - WINDOW})
    assert count is not None
    if count["mine"]:
        return Claim.GRANTED
    if count["declined"] >= DECLINES_MAX:
        return Claim.SPENT
    if count["declined"] + count["open"] >= DECLINES_MAX:
        return Claim.BUSY
    await tx.execute(_INSERT, (payment_id, fingerprint, now))
    return Claim.GRANTED


_FORBIDDEN = """
    SELECT state FROM card_tries
    WHERE fingerprint = %(fingerprint)s AND (state = 'disputed' OR (at > %(since)s
        AND (state = 'hard' OR (state = 'data' AND expiry = %(expiry)s))))
    ORDER BY state = 'data' LIMIT 1
"""


async def forbidden(tx: Tx, fingerprint: str, expiry: str) -> str | None:
    """Why the physical card must not be charged, if so: `hard` (declined for good, for 30 days), `disputed` (or under
    suspicion of fraud, for good), or `data` (declined with this very expiry). Asked right before a payment is sent, not
    with the claim: that may have been granted while another payment with the same plastic was on its way to its
    decline.
    """
    values = {"fingerprint": fingerprint, "expiry": expiry, "since": await tx.now() - WINDOW}
    row = await tx.one(_FORBIDDEN, values)
    return None if row is None else str(row["state"])


_DISPUTED = """
    INSERT INTO card_tries (payment_id, fingerprint, state, at)
    VALUES (%(payment_id)s, %(fingerprint)s, 'disputed', %(now)s)
    ON CONFLICT (payment_id) DO UPDATE SET state = 'disputed', at = excluded.at
"""


async def record_dispute(tx: Tx, fingerprint: str, payment_id: str) -> None:
    """A payment with this plastic was disputed, or is under suspicion of fraud: it is charged automatically no more."""
    values = {"payment_id": payment_id, "fingerprint": fingerprint, "now": await tx.now()}
    await tx.execute(_DISPUTED, values)


_DECLINES = """
    SELECT count(*) AS n FROM card_tries
    WHERE fingerprint = %s AND state IN ('declined', 'hard', 'data') AND at > %s
"""


async def count_declines(tx: Tx, fingerprint: str) -> int:
    """How often the physical card was declined in the last 30 days, over all customers."""
    row = await tx.one(_DECLINES, (fingerprint, await tx.now() - WINDOW))
    return 0 if row is None else int(row["n"])


_DECLINED = """
    UPDATE card_tries SET state = %(state)s, expiry = %(expiry)s, at = %(now)s
    WHERE payment_id = %(payment_id)s AND state = 'open'
"""


async def record_decline(tx: Tx, payment_id: str, kind: DeclineKind, expiry: str) -> None:
    """The claim becomes a decline and counts for 30 days. A hard one forbids the physical card for as long, for any
    customer who saves it again; after that its bank may have renewed it under the same number. One about the card's
    data forbids this expiry alone.
    """
    state = kind.value if kind in {DeclineKind.HARD, DeclineKind.DATA} else "declined"
    values = {"state": state, "expiry": expiry, "now": await tx.now(), "payment_id": payment_id}
    await tx.execute(_DECLINED, values)


async def release(tx: Tx, payment_id: str) -> None:
    """The payment was read as anything but declined: give the try back."""
    await tx.execute("DELETE FROM card_tries WHERE payment_id = %s AND state = 'open'", (payment_id,))
