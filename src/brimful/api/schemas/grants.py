"""Credits: what is left of each, what it was used for, and what is offered on top of payments."""

import datetime as dt
from decimal import Decimal
from typing import Literal, Self

from pydantic import BaseModel

from brimful import grants, ledger
from brimful.api.schemas.base import Amount, Moment, NextCursor, Paged
from brimful.core import clock, money
from brimful.db.pool import Row

NEVER = "9999-12-31T23:59:59Z"  # Credyt's form has no credit without an end


class Grant(BaseModel):
    """A credit: what was granted, what is left of it (`available`), and when it expires: the last moment there is where
    it does not. The lower its `priority`, the sooner it is used. One that takes effect later is `scheduled`, without a
    part in the balance; what has expired while open holds need it is `lapsing`.
    """

    id: str
    amount: Amount
    available: Amount
    effective_at: Moment
    expires_at: Moment
    purpose: str
    priority: int
    kind: str
    status: Literal["scheduled", "active", "used", "expired", "lapsing"]
    transaction_id: str | None
    created_at: Moment

    @classmethod
    def of(cls, row: Row, left: Decimal, now: dt.datetime) -> Self:
        """From an entry, and what is left of it."""
        terms = ledger.lots.terms_of(row["kind"], row["purpose"], row["priority"])
        expires_at = row["expires_at"]
        expired = expires_at is not None and expires_at <= now
        status: Literal["active", "used", "expired", "lapsing"] = "active" if left else "used"
        if expired:
            status = "lapsing" if left else "expired"
        return cls(
            id=ledger.entries.public_id(row["mac"]),
            amount=money.text(row["amount"]),
            available=money.text(left),
            effective_at=clock.rfc3339(row["effective_at"] or row["occurred_at"] or row["recorded_at"]),
            expires_at=NEVER if expires_at is None else clock.rfc3339(expires_at),
            purpose=terms.purpose,
            priority=terms.priority,
            kind=row["kind"],
            status=status,
            transaction_id=row["key"] if row["source"] == "api" else None,
            created_at=clock.rfc3339(row["recorded_at"]),
        )

    @classmethod
    def scheduled(cls, credit: grants.scheduled.Scheduled) -> Self:
        """One that has not begun."""
        return cls(
            id=f"sch_{credit.key}",
            amount=money.text(credit.amount),
            available=money.text(credit.amount),
            effective_at=clock.rfc3339(credit.effective_at),
            expires_at=NEVER if credit.expires_at is None else clock.rfc3339(credit.expires_at),
            purpose=credit.purpose,
            priority=credit.priority,
            kind="adjustment",
            status="scheduled",
            transaction_id=credit.key,
            created_at=clock.rfc3339(credit.created_at),
        )


class Grants(Paged):
    """The credits of one balance, newest first; `scheduled` are those that take effect later, the next one first."""

    items: list[Grant]
    scheduled: list[Grant]


class GrantEntry(BaseModel):
    """One movement, and how much of the credit it took; negative where it took none and is the credit itself."""

    id: str
    seq: int
    kind: str
    taken: Amount
    available: Amount
    key: str
    recorded_at: Moment

    @classmethod
    def of(cls, row: Row, taken: Decimal, left: Decimal) -> Self:
        return cls(
            id=ledger.entries.public_id(row["mac"]),
            seq=row["seq"],
            kind=row["kind"],
            taken=money.text(taken),
            available=money.text(left),
            key=row["key"],
            recorded_at=clock.rfc3339(row["recorded_at"]),
        )


class GrantEntries(BaseModel):
    """What took of one credit, oldest first. A page may be short where many movements took nothing of it: go on while
    there is a cursor.
    """

    items: list[GrantEntry]
    next_cursor: NextCursor


class Offer(BaseModel):
    """From `amount_from` on, so many percent come on top of what a payment buys."""

    currency: str
    amount_from: Amount
    percent: Amount
    expires_after_days: int | None
    valid_from: Moment
    valid_to: Moment | None

    @classmethod
    def of(cls, offer: grants.offers.Offer) -> Self:
        return cls(
            currency=offer.currency,
            amount_from=money.text(money.major(offer.from_minor, offer.currency)),
            percent=money.text(offer.percent),
            expires_after_days=offer.expires_after_days,
            valid_from=clock.rfc3339(offer.valid_from),
            valid_to=None if offer.valid_to is None else clock.rfc3339(offer.valid_to),
        )


class Offers(BaseModel):
    """The offers of an asset that are in force, and which version of the list that is: 0 before the first."""

    version: int
    offers: list[Offer]

    @classmethod
    def of(cls, found: grants.offers.OfferList) -> Self:
        return cls(version=found.version, offers=[Offer.of(offer) for offer in found.offers])
