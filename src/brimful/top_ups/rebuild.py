"""Rows of payments that Stripe has and a restored database lost: written again from what Stripe keeps."""

from collections.abc import Mapping
from typing import Any

from brimful.db.pool import Tx

_INSERT_PAYMENT = """
    INSERT INTO payments (customer_id, payment_id, top_up_id, kind, presence, state, card_id, currency, amount_minor,
        stripe_intent_id, created_at, confirm_sent_at, closed_at)
    VALUES (%(customer_id)s, %(payment_id)s, %(top_up_id)s, 'intent', %(presence)s, 'canceled', %(card_id)s,
        %(currency)s, %(amount_minor)s, %(intent_id)s, %(created)s, %(created)s, %(now)s)
    ON CONFLICT (customer_id, payment_id) DO NOTHING
"""
_INSERT_TOP_UP = """
    INSERT INTO top_ups (customer_id, top_up_id, asset, kind, state, currency, amount_minor, units, rate, rate_per,
        card_id, consent_id, rule_version, limit_month, confirmed_at, requested_at, metadata, asked, needs_review)
    VALUES (%(customer_id)s, %(top_up_id)s, %(asset)s, %(kind)s, 'requested', %(currency)s, %(amount_minor)s,
        %(units)s, %(rate)s, %(rate_per)s, %(card_id)s, %(consent_id)s, %(version)s, %(month)s, %(created)s,
        %(created)s, %(metadata)s, %(asked)s, true)
"""


async def insert_top_up(tx: Tx, values: Mapping[str, Any]) -> None:
    """A top-up that is requested and needs a review. `values` are its columns."""
    await tx.execute(_INSERT_TOP_UP, values)


async def insert_payment(tx: Tx, values: Mapping[str, Any]) -> None:
    """A payment that is closed until it is settled again; one that exists is left alone. `values` are its columns."""
    await tx.execute(_INSERT_PAYMENT, values)
