"""Bonuses: a second credit beside a payment's, which goes back in proportion when the payment does."""

import datetime as dt
from typing import Any

from brimful import ledger
from brimful.core import money
from brimful.db.pool import Tx
from brimful.ledger.entries import Draft
from brimful.ledger.lots import Terms
from brimful.top_ups.model import Payment, TopUp


def _key(payment: Payment) -> str:
    return f"bonus:{payment.payment_id}"


def credit(top_up: TopUp, payment: Payment, now: dt.datetime) -> Draft | None:
    """The bonus of a payment that has succeeded; None where there is none."""
    if top_up.bonus_units is None:
        return None
    expires_at = None if top_up.bonus_days is None else now + dt.timedelta(days=top_up.bonus_days)
    terms = Terms.of("bonus", expires_at=expires_at)
    return Draft(top_up.customer_id, top_up.asset, "bonus", top_up.bonus_units, "system", _key(payment), terms=terms)


# What has expired of it nobody had any use of, and nobody is asked for again.
_SINCE = """
    SELECT coalesce(sum(amount) FILTER (WHERE kind = 'bonus'), 0) AS given,
        coalesce(-sum(amount) FILTER (WHERE kind = 'expiry'), 0) AS expired
    FROM entries
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND kind NOT IN ('usage', 'charge')
        AND ((kind = 'bonus' AND left(key, %(length)s) = %(key)s)
            OR (kind = 'expiry' AND lot_seq IN (
                SELECT seq FROM entries AS b
                WHERE b.customer_id = %(customer_id)s AND b.asset = %(asset)s AND b.kind = 'bonus' AND b.amount > 0
                    AND left(b.key, %(length)s) = %(key)s)))
"""


async def follow(tx: Tx, top_up: TopUp, payment: Payment, movement: str, left_minor: int, scale: int) -> Draft | None:
    """What a movement of a payment's money does to its bonus: as much of it stays as of the money.

    Args:
        tx: holds the account's lock.
        top_up: the payment's.
        payment: credited.
        movement: the key of the payment's own entry.
        left_minor: what is left of the money afterwards.
        scale: the asset's.
    """
    first = await ledger.entries.find_by_key(tx, payment.customer_id, "system", _key(payment))
    if first is None:
        return None
    key = _key(payment)
    values: dict[str, Any] = {
        "customer_id": payment.customer_id, "asset": top_up.asset, "key": key, "length": len(key),
    }  # fmt: skip
    row = await tx.one(_SINCE, values)
    assert row is not None
    stays = money.units_left(first["amount"] - row["expired"], left_minor, payment.amount_minor, scale=scale)
    change = stays - (row["given"] - row["expired"])
    owner = payment.customer_id, top_up.asset
    if change < 0:
        return Draft(*owner, "bonus", change, "system", f"{key}:{movement}", lot_seq=first["seq"])
    if not change:
        return None
    expires_at, now = first["expires_at"], await tx.now()
    if expires_at is not None and expires_at <= now:  # it was away when it expired: its days begin again
        expires_at = now + dt.timedelta(days=top_up.bonus_days or 0)
    terms = Terms("bonus", first["priority"], None, expires_at)
    return Draft(*owner, "bonus", change, "system", f"{key}:{movement}", terms=terms)
