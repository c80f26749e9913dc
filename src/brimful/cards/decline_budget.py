"""Tries of one physical card, over all its accounts and customers.

Networks limit how often a declining card may be tried (Visa 15 in 30 days, Mastercard 35); we stay far
below. A claim is taken before a payment is sent, kept if it was declined, released if not.
"""

import datetime as dt
import enum

from brimful.db.pool import Tx

DECLINES_MAX = 8
WINDOW = dt.timedelta(days=30)


class Claim(enum.Enum):
    """Whether a payment with this card may be sent."""

    GRANTED = "granted"
    BUSY = "busy"  # other tries are in flight and may yet be declined: wait
    SPENT = "spent"  # the card has been declined too often


_COUNT = """
    SELECT count(*) FILTER (WHERE state <> 'open' AND at > %(since)s) AS declined,
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


_HARD = "SELECT 1 AS hard FROM card_tries WHERE fingerprint = %s AND state = 'hard' AND at > %s LIMIT 1"


async def forbidden(tx: Tx, fingerprint: str) -> bool:
    """Whether the physical card was declined for good. Asked right before a payment is sent, not with the claim: that
    may have been granted while another payment with the same plastic was on its way to its decline.
    """
    return await tx.one(_HARD, (fingerprint, await tx.now() - WINDOW)) is not None


_DECLINES = "SELECT count(*) AS n FROM card_tries WHERE fingerprint = %s AND state <> 'open' AND at > %s"


async def count_declines(tx: Tx, fingerprint: str) -> int:
    """How often the physical card was declined in the last 30 days, over all customers."""
    row = await tx.one(_DECLINES, (fingerprint, await tx.now() - WINDOW))
    return 0 if row is None else int(row["n"])


async def record_decline(tx: Tx, payment_id: str, *, hard: bool) -> None:
    """The claim becomes a decline and counts for 30 days. A hard one forbids the physical card for as long, for any
    customer who saves it again; after that its bank may have renewed it under the same number.
    """
    await tx.execute(
        "UPDATE card_tries SET state = %s, at = %s WHERE payment_id = %s AND state = 'open'",
        ("hard" if hard else "declined", await tx.now(), payment_id),
    )


async def release(tx: Tx, payment_id: str) -> None:
    """The payment was read as anything but declined: give the try back."""
    await tx.execute("DELETE FROM card_tries WHERE payment_id = %s AND state = 'open'", (payment_id,))
