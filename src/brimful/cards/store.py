"""Saved cards: brand, last four and expiry; the card itself is at Stripe."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Literal

from brimful.auth.portal_sessions import PortalSession
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Query, Row, Tx
from brimful.gateway.gateway import CardSnapshot

# The Reserve Bank of India's rule for payments without their customer: docs.stripe.com/india-recurring-payments.
_MANDATE_COUNTRIES = frozenset({"IN"})


@dataclasses.dataclass(frozen=True)
class Card:
    """A card of the customer. `active` may be charged off-session where a rule's consent names it."""

    customer_id: CustomerId
    card_id: str
    stripe_payment_method_id: str
    fingerprint: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    country: str | None
    wallet: str | None
    state: Literal["active", "blocked", "detached"]
    state_reason: str | None
    is_default: bool
    created_at: dt.datetime

    @property
    def label(self) -> str:
        """As people know it: `Visa ···· 4242`, and through which wallet it was given."""
        names = {"amex": "American Express", "mastercard": "Mastercard", "visa": "Visa"}
        wallet = "" if self.wallet is None else f" ({self.wallet.replace('_', ' ').title()})"
        return f"{names.get(self.brand, self.brand.title())} ···· {self.last4}{wallet}"

    @property
    def needs_mandate(self) -> bool:
        """Whether its bank lets nobody charge it without its customer, but under a mandate, which we do not make."""
        return self.country in _MANDATE_COUNTRIES

    @property
    def usable_until(self) -> dt.datetime:
        """The end of its month of expiry."""
        year, month = (self.exp_year + 1, 1) if self.exp_month == 12 else (self.exp_year, self.exp_month + 1)
        return dt.datetime(year, month, 1, tzinfo=dt.UTC)

    @property
    def expiry(self) -> str:
        return f"{self.exp_month:02d}/{self.exp_year % 100:02d}"


_COLUMNS = """
    SELECT customer_id, card_id, stripe_payment_method_id, fingerprint, brand, last4, exp_month, exp_year, country,
        wallet, state, state_reason, is_default, created_at
    FROM cards
"""
_LIST = _COLUMNS + "WHERE customer_id = %s AND state <> 'detached' ORDER BY is_default DESC, created_at"


async def list_for(tx: Tx, customer_id: CustomerId) -> list[Card]:
    """The customer's cards, the default first, without removed ones."""
    return [_card(row) for row in await tx.all(_LIST, (customer_id,))]


_GET = _COLUMNS + "WHERE customer_id = %s AND card_id = %s"


async def get(tx: Tx, customer_id: CustomerId, card_id: str) -> Card:
    """One card of this customer; refuses any other."""
    return await tx.ask(get_query(customer_id, card_id))


def get_query(customer_id: CustomerId, card_id: str) -> Query[Card]:
    """The same as a query."""

    def read(rows: Sequence[Row]) -> Card:
        if not rows:
            raise Refused("card_unavailable", "This card is not on file: choose another or add one.", field="card")
        return _card(rows[0])

    return Query(_GET, (customer_id, card_id), read)


_CONSENT_OF = "SELECT consent_id FROM cards WHERE customer_id = %s AND card_id = %s"


async def consent_of(tx: Tx, customer_id: CustomerId, card_id: str) -> str:
    """The consent with which a card was saved."""
    row = await tx.one(_CONSENT_OF, (customer_id, card_id))
    assert row is not None, card_id
    consent_id: str = row["consent_id"]
    return consent_id


_FIND = _COLUMNS + "WHERE customer_id = %s AND stripe_payment_method_id = %s"
_FIND_PLASTIC = (
    _COLUMNS + "WHERE customer_id = %s AND fingerprint = %s AND state <> 'detached' ORDER BY created_at LIMIT 1"
)


async def find_by_payment_method(tx: Tx, customer_id: CustomerId, payment_method_id: str) -> Card | None:
    """The card behind Stripe's id."""
    row = await tx.one(_FIND, (customer_id, payment_method_id))
    return None if row is None else _card(row)


async def find_by_fingerprint(tx: Tx, customer_id: CustomerId, fingerprint: str) -> Card | None:
    """The customer's row of a physical card, if they have it saved."""
    row = await tx.one(_FIND_PLASTIC, (customer_id, fingerprint))
    return None if row is None else _card(row)


_INSERT = """
    INSERT INTO cards (customer_id, card_id, stripe_payment_method_id, fingerprint, brand, last4, exp_month, exp_year,
        country, wallet, state, is_default, consent_id, created_at, updated_at)
    SELECT %(customer_id)s, %(card_id)s, %(payment_method)s, %(fingerprint)s, %(brand)s, %(last4)s, %(exp_month)s,
        %(exp_year)s, %(country)s, %(wallet)s, 'active',
        NOT EXISTS (SELECT FROM cards WHERE customer_id = %(customer_id)s AND is_default AND state <> 'detached'),
        %(consent_id)s, %(now)s, %(now)s
    ON CONFLICT (customer_id, stripe_payment_method_id) DO NOTHING
"""


async def insert(tx: Tx, values: dict[str, object]) -> None:
    """A new card. Only `setups.complete` calls this, from an open row that carries the consent."""
    await tx.execute(_INSERT, {**values, "now": await tx.now()})


_SET_STATE = """
    UPDATE cards SET state = %(state)s, state_reason = %(reason)s, is_default = false, updated_at = %(now)s
    WHERE customer_id = %(customer_id)s AND card_id = %(card_id)s AND state <> 'detached' AND state <> %(state)s
"""


async def block(tx: Tx, customer_id: CustomerId, card_id: str, reason: str) -> bool:
    """Never charge this card off-session again. True when that is news."""
    return await _set_state(tx, customer_id, card_id, "blocked", reason)


async def detach(tx: Tx, customer_id: CustomerId, card_id: str, reason: str) -> bool:
    """The card is gone: removed by the customer, or at Stripe. True when that is news."""
    return await _set_state(tx, customer_id, card_id, "detached", reason)


async def _set_state(tx: Tx, customer_id: CustomerId, card_id: str, state: str, reason: str) -> bool:
    values = {"customer_id": customer_id, "card_id": card_id, "state": state, "reason": reason, "now": await tx.now()}
    return await tx.execute(_SET_STATE, values) == 1


_SAME_PLASTIC = """
    SELECT customer_id, card_id FROM cards
    WHERE fingerprint = %s AND state = 'active' AND (customer_id, card_id) <> (%s, %s) ORDER BY customer_id, card_id
"""


async def same_plastic(tx: Tx, card: Card) -> list[Row]:
    """Other rows of the same physical card that may be charged, of every customer: {customer_id, card_id}."""
    return await tx.all(_SAME_PLASTIC, (card.fingerprint, card.customer_id, card.card_id))


_UNBLOCK = """
    UPDATE cards SET state = 'active', state_reason = NULL, updated_at = %s
    WHERE customer_id = %s AND card_id = %s AND state = 'blocked' AND state_reason = %s
"""


async def unblock(tx: Tx, card: Card, reason: str) -> bool:
    """It may be charged again, if it was blocked for that reason. True when that is news."""
    return await tx.execute(_UNBLOCK, (await tx.now(), card.customer_id, card.card_id, reason)) == 1


_RENEW = """
    UPDATE cards SET stripe_payment_method_id = %(payment_method)s, fingerprint = %(fingerprint)s, brand = %(brand)s,
        last4 = %(last4)s, exp_month = %(exp_month)s, exp_year = %(exp_year)s, country = %(country)s,
        wallet = %(wallet)s, updated_at = %(now)s,
        consent_id = coalesce(%(consent_id)s, consent_id)
    WHERE customer_id = %(customer_id)s AND card_id = %(card_id)s
"""


async def renew(tx: Tx, card: Card, snapshot: CardSnapshot, *, consent_id: str | None = None) -> Card:
    """Keep what is new about a card: number, expiry, brand, the provider's id of it, and the consent of its customer
    who saved it again. Returns it as it is now.
    """
    values = {**dataclasses.asdict(snapshot), "customer_id": card.customer_id, "card_id": card.card_id,
              "consent_id": consent_id}  # fmt: skip
    await tx.execute(_RENEW, {**values, "now": await tx.now()})
    return await get(tx, card.customer_id, card.card_id)


_MAKE_DEFAULT = """
    UPDATE cards SET is_default = (card_id = %(card_id)s), updated_at = %(now)s
    WHERE customer_id = %(customer_id)s AND is_default <> (card_id = %(card_id)s)
"""


async def make_default(tx: Tx, session: PortalSession, card_id: str) -> None:
    """Preselect this card in forms. It changes no rule."""
    card = await get(tx, session.customer_id, card_id)
    if card.state != "active":
        raise Refused("card_unavailable", "This card cannot be used any more: choose another.", field="card")
    values = {"customer_id": session.customer_id, "card_id": card_id, "now": await tx.now()}
    await tx.execute(_MAKE_DEFAULT, values)


def _card(row: Row) -> Card:
    return Card(**row)


_EXPIRY_NOTIFIED = """
    UPDATE cards SET expiry_notified = make_date(exp_year, exp_month, 1)
    WHERE customer_id = %s AND card_id = %s AND expiry_notified IS DISTINCT FROM make_date(exp_year, exp_month, 1)
"""


async def note_expiry_notified(tx: Tx, customer_id: CustomerId, card_id: str) -> bool:
    """Note that the customer was notified of this card's expiry. False if that was noted before."""
    return bool(await tx.execute(_EXPIRY_NOTIFIED, (customer_id, card_id)))
