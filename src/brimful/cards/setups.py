"""Cards being added: a row opened by the customer in the portal, closed by Stripe's answer.

The row carries the consent to save the card. Without an open row no card is ever made, by no event
comes in.
"""

import dataclasses
import datetime as dt
from typing import Literal

from brimful.auth.portal_sessions import PortalSession
from brimful.cards import consents, store, velocity
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx
from brimful.gateway.gateway import CardSnapshot


@dataclasses.dataclass(frozen=True)
class Limits:
    """How many cards may be added in an hour."""

    per_customer: int
    per_address: int


@dataclasses.dataclass(frozen=True)
class Setup:
    """One card being added."""

    customer_id: CustomerId
    setup_id: str
    purpose: Literal["setup", "payment"]
    state: Literal["open", "completed", "expired"]
    consent_id: str
    stripe_session_id: str | None
    card_id: str | None
    return_to: str | None


_RECENT = "SELECT count(*) AS n FROM card_setups WHERE customer_id = %s AND created_at > %s"
_INSERT = """
    INSERT INTO card_setups (customer_id, setup_id, purpose, state, consent_id, session_id, return_to, created_at)
    VALUES (%s, %s, %s, 'open', %s, %s, %s, %s)
"""


async def open_setup(
    tx: Tx,
    session: PortalSession,
    *,
    rendered: str,
    purpose: Literal["setup", "payment"],
    limits: Limits,
    failed: int,
    return_to: str | None = None,
) -> str:
    """Record the consent to save a card, as it was `rendered`, and open the row that may make one. Returns its id.

    Refuses more than its `limits`, and all of them while most fail: stolen cards are tested on forms that add cards.
    """
    now = await tx.now()
    recent = await tx.one(_RECENT, (session.customer_id, now - dt.timedelta(hours=1)))
    if recent is not None and recent["n"] >= limits.per_customer:
        raise Refused("too_many_requests", "Too many cards were added in the last hour. Try again later.")
    await velocity.require_within_limits(tx, session.address, per_hour=limits.per_address, failed=failed)
    consent_id = await consents.give(tx, session, rendered=rendered, terms=None, at=await tx.now())
    setup_id = ids.new("set")
    await tx.execute(_INSERT, (session.customer_id, setup_id, purpose, consent_id, session.session_id, return_to, now))
    return setup_id


async def remember_session(tx: Tx, session: PortalSession, setup_id: str, stripe_session_id: str) -> None:
    """Keep Stripe's session id: events and returns are matched by it."""
    await tx.execute(
        "UPDATE card_setups SET stripe_session_id = %s WHERE customer_id = %s AND setup_id = %s AND state = 'open'",
        (stripe_session_id, session.customer_id, setup_id),
    )


_COLUMNS = """
    SELECT customer_id, setup_id, purpose, state, consent_id, stripe_session_id, card_id, return_to FROM card_setups
"""
_GET = _COLUMNS + "WHERE customer_id = %s AND setup_id = %s"
_GET_LOCKED = _GET + " FOR NO KEY UPDATE"
_LIST_OPEN = (
    _COLUMNS
    + """
    WHERE state = 'open' AND (stripe_session_id IS NOT NULL OR purpose = 'payment') AND created_at < %s
    ORDER BY created_at LIMIT %s
"""
)


async def get(tx: Tx, customer_id: CustomerId, setup_id: str) -> Setup | None:
    """One setup of this customer."""
    row = await tx.one(_GET, (customer_id, setup_id))
    return None if row is None else _setup(row)


async def list_open(tx: Tx, *, older_than_s: float, limit: int) -> list[Setup]:
    """Setups that Stripe has not answered for a while: the sweep reads them."""
    before = await tx.now() - dt.timedelta(seconds=older_than_s)
    return [_setup(row) for row in await tx.all(_LIST_OPEN, (before, limit))]


@dataclasses.dataclass(frozen=True)
class Saved:
    """A card that was saved, and the provider's id of what it replaced: the same physical card, saved before."""

    card: store.Card
    replaced: str | None


async def complete(tx: Tx, customer_id: CustomerId, setup_id: str, card: CardSnapshot) -> Saved | None:
    """Make the card of an open setup and close it. None when the setup is closed already.

    The same physical card saved twice is one row, with its newest data; what it was blocked for is the caller's to look
    at.
    """
    setup = await _lock_open(tx, customer_id, setup_id)
    if setup is None:
        return None
    before = await store.find_by_fingerprint(tx, customer_id, card.fingerprint)
    if before is not None:
        again = await store.renew(tx, before, card, consent_id=setup.consent_id)
        await _close(tx, setup, "completed", again.card_id)
        same = before.stripe_payment_method_id == card.payment_method
        return Saved(again, None if same else before.stripe_payment_method_id)
    await store.insert(
        tx,
        {
            "customer_id": customer_id,
            "card_id": ids.new("card"),
            "consent_id": setup.consent_id,
            **dataclasses.asdict(card),
        },
    )
    made = await store.find_by_payment_method(tx, customer_id, card.payment_method)
    assert made is not None
    await _close(tx, setup, "completed", made.card_id)
    return Saved(made, None)


async def expire(tx: Tx, customer_id: CustomerId, setup_id: str) -> bool:
    """Close a setup that has ended at Stripe. True when that is new."""
    setup = await _lock_open(tx, customer_id, setup_id)
    if setup is None:
        return False
    await _close(tx, setup, "expired", None)
    return True


async def _lock_open(tx: Tx, customer_id: CustomerId, setup_id: str) -> Setup | None:
    row = await tx.one(_GET_LOCKED, (customer_id, setup_id))
    tx.locked()
    return _setup(row) if row is not None and row["state"] == "open" else None


async def _close(tx: Tx, setup: Setup, state: str, card_id: str | None) -> None:
    await tx.execute(
        "UPDATE card_setups SET state = %s, card_id = %s, closed_at = %s WHERE customer_id = %s AND setup_id = %s",
        (state, card_id, await tx.now(), setup.customer_id, setup.setup_id),
    )


def _setup(row: Row) -> Setup:
    return Setup(**row)
