"""Making top-ups, and ending those that merely wait."""

import dataclasses
import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from psycopg.types.json import Jsonb

from brimful import customers, jobs, observability
from brimful.core import clock, ids, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.top_ups import store
from brimful.top_ups.model import WAITING_STATES, Bonus, TopUp

MANUAL_LIFE = dt.timedelta(hours=24)
APPROVAL_LIFE = dt.timedelta(hours=24)
_DAY = dt.timedelta(hours=24)


@dataclasses.dataclass(frozen=True)
class AutomaticWish:
    """What the policy decided for one account: a copy of the rule at this moment. With `ask` it waits for its
    customer's approval.
    """

    customer_id: CustomerId
    asset: str
    currency: str
    amount_minor: int
    units: Decimal
    rate: Fraction
    cut: bool
    card_id: str
    consent_id: str
    rule_version: int
    ask: str | None = None
    bonus: Bonus | None = None


# The partial unique index is the lock: a second request inserts nothing.
_INSERT_AUTOMATIC = """
    INSERT INTO top_ups (customer_id, top_up_id, asset, kind, state, currency, amount_minor, units, rate, rate_per,
        cut, card_id, consent_id, rule_version, limit_month, asked, reason, wake_at, expires_at, requested_at,
        bonus_units, bonus_days, offer_version)
    SELECT w.customer_id, w.top_up_id, w.asset, 'automatic',
        CASE WHEN w.asked IS NULL THEN 'requested' ELSE 'action_required' END, w.currency, w.amount_minor, w.units,
        w.rate, w.rate_per, w.cut, w.card_id, w.consent_id, w.rule_version, %(month)s, w.asked,
        CASE WHEN w.asked IS NOT NULL THEN 'approval_needed' END,
        CASE WHEN w.asked IS NULL THEN %(now)s::timestamptz ELSE %(until)s::timestamptz END,
        CASE WHEN w.asked IS NOT NULL THEN %(until)s::timestamptz END, %(now)s,
        w.bonus_units, w.bonus_days, w.offer_version
    FROM unnest(%(customers)s::uuid[], %(top_ups)s::text[], %(assets)s::text[], %(currencies)s::text[],
        %(amounts)s::bigint[], %(units)s::numeric[], %(rates)s::numeric[], %(pers)s::numeric[], %(cuts)s::boolean[],
        %(cards)s::text[],
        %(consents)s::text[], %(versions)s::int[], %(asks)s::text[], %(bonuses)s::numeric[],
        %(bonus_days)s::int[], %(offers)s::int[]) AS w (customer_id, top_up_id, asset, currency,
            amount_minor, units, rate, rate_per, cut, card_id, consent_id, rule_version, asked,
            bonus_units, bonus_days, offer_version)
    ON CONFLICT (customer_id, asset) WHERE kind = 'automatic' AND ended_at IS NULL DO NOTHING
    RETURNING """ + ", ".join(field.name for field in dataclasses.fields(TopUp))


async def request_automatic(tx: Tx, wishes: Sequence[AutomaticWish]) -> dict[tuple[CustomerId, str], TopUp]:
    """Insert automatic top-ups and their jobs in the caller's transaction.

    Returns:
        The new top-up by (customer_id, asset). An account that has a live one already is absent.
    """
    if not wishes:
        return {}
    tx.locked()  # requested_at is the time just before the commit
    now, rates = await tx.now(), [money.rate_parts(wish.rate) for wish in wishes]
    rows = await tx.all(
        _INSERT_AUTOMATIC,
        {
            "month": clock.month_start(now),
            "now": now,
            "customers": [wish.customer_id for wish in wishes],
            "top_ups": [ids.new("top") for _ in wishes],
            "assets": [wish.asset for wish in wishes],
            "currencies": [wish.currency for wish in wishes],
            "amounts": [wish.amount_minor for wish in wishes],
            "units": [wish.units for wish in wishes],
            "rates": [rate for rate, _ in rates],
            "pers": [per for _, per in rates],
            "cuts": [wish.cut for wish in wishes],
            "cards": [wish.card_id for wish in wishes],
            "consents": [wish.consent_id for wish in wishes],
            "versions": [wish.rule_version for wish in wishes],
            "asks": [wish.ask for wish in wishes],
            "until": now + APPROVAL_LIFE,
            "bonuses": [None if wish.bonus is None else wish.bonus.units for wish in wishes],
            "bonus_days": [None if wish.bonus is None else wish.bonus.days for wish in wishes],
            "offers": [None if wish.bonus is None else wish.bonus.version for wish in wishes],
        },
    )
    made = {(row["customer_id"], row["asset"]): TopUp(**row) for row in rows}
    for at, waits in ((None, False), (now + APPROVAL_LIFE, True)):
        arguments = [
            {"customer_id": top_up.customer_id, "top_up_id": top_up.top_up_id}
            for top_up in made.values()
            if (top_up.asked is not None) == waits
        ]
        await jobs.defer(tx, jobs.Name.PAY, arguments, at=at)
    for key, top_up in made.items():
        note = functools.partial(observability.tracing.requested, top_up.top_up_id, key, now, kind="automatic")
        tx.once_committed(note)
    return made


_INSERT_MANUAL = """
    INSERT INTO top_ups (customer_id, top_up_id, asset, kind, state, currency, amount_minor, units, rate, rate_per,
        card_id, wake_at, expires_at, requested_at, return_url, failure_url, description, metadata, credit_expires_at,
        bonus_units, bonus_days, offer_version)
    VALUES (%(customer_id)s, %(top_up_id)s, %(asset)s, 'manual', 'requested', %(currency)s, %(amount_minor)s,
        %(units)s, %(rate)s, %(rate_per)s, NULL, %(expires_at)s, %(expires_at)s, %(now)s, %(return_url)s,
        %(failure_url)s, %(description)s, %(metadata)s, %(credit_expires_at)s, %(bonus_units)s, %(bonus_days)s,
        %(offer_version)s)
    ON CONFLICT (customer_id, top_up_id) DO NOTHING
"""


async def request_manual(
    tx: Tx,
    *,
    customer_id: CustomerId,
    asset: str,
    currency: str,
    amount_minor: int,
    units: Decimal,
    rate: Fraction,
    return_url: str | None = None,
    failure_url: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    top_up_id: str | None = None,
    credit_expires_at: dt.datetime | None = None,
    bonus: Bonus | None = None,
) -> TopUp:
    """A top-up that waits for the customer to pay, for 24 hours. The same `top_up_id` twice is one top-up."""
    now = await tx.now()
    chosen, (price, per) = top_up_id or ids.new("top"), money.rate_parts(rate)
    if top_up_id is not None and await store.owner_of(tx, top_up_id) not in {None, customer_id}:
        raise Refused("invalid_field", "This page is out of date. Reload it and try again.")
    inserted = await tx.execute(
        _INSERT_MANUAL,
        {
            "customer_id": customer_id,
            "top_up_id": chosen,
            "asset": asset,
            "currency": currency,
            "amount_minor": amount_minor,
            "units": units,
            "rate": price,
            "rate_per": per,
            "now": now,
            "expires_at": now + MANUAL_LIFE,
            "return_url": return_url,
            "failure_url": failure_url,
            "description": description,
            "metadata": Jsonb(dict(metadata or {})),
            "credit_expires_at": credit_expires_at,
            "bonus_units": None if bonus is None else bonus.units,
            "bonus_days": None if bonus is None else bonus.days,
            "offer_version": None if bonus is None else bonus.version,
        },
    )
    if inserted:
        await customers.add_alias(tx, "top_up", chosen, customer_id, chosen)
        arguments = {"customer_id": customer_id, "top_up_id": chosen}
        await jobs.defer(tx, jobs.Name.PAY, [arguments], at=now + MANUAL_LIFE)
        tx.once_committed(lambda: observability.tracing.requested(chosen, (customer_id, asset), now, kind="manual"))
    return await store.get(tx, customer_id, chosen)


async def cancel_waiting(tx: Tx, top_up: TopUp, reason: str) -> TopUp:
    """End a top-up that waits: at once if it has no open payment, else through `canceling`."""
    assert top_up.state in WAITING_STATES, top_up.state
    if await store.open_payment(tx, top_up) is None:
        return await store.move(tx, top_up, "canceled", reason=reason)
    return await store.move(tx, top_up, "canceling", wake_in_s=0, next_state="canceled", reason=reason)


_PAID_BY_HAND = """
    SELECT p.created_at FROM payments AS p
    JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
    WHERE p.customer_id = %(customer_id)s AND p.created_at > %(since)s AND p.presence = 'on_session'
        AND t.kind = 'manual' AND p.top_up_id <> %(top_up_id)s AND (p.state = 'succeeded' OR p.closed_at IS NULL)
    ORDER BY p.created_at
"""


async def require_manual_room(tx: Tx, top_up: TopUp, per_day: int) -> None:
    """Refuse a manual payment beyond `per_day` in 24 hours, of all the customer's balances. A link to the
    portal can charge a saved card: so often, and no more. The caller holds the customer's locks.
    """
    if top_up.kind != "manual":
        return
    now = await tx.now()
    values = {"customer_id": top_up.customer_id, "top_up_id": top_up.top_up_id, "since": now - _DAY}
    paid = await tx.all(_PAID_BY_HAND, values)
    if len(paid) >= per_day:
        until = paid[len(paid) - per_day]["created_at"] + _DAY
        raise Refused(
            "too_many_payments", f"{len(paid)} payments were made by hand in 24 hours, the most that is allowed.",
            until=clock.rfc3339(until),
        )  # fmt: skip
