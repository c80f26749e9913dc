"""Top-ups, refunds, cards and rules."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field

from brimful import auto_top_up, cards, payments, top_ups
from brimful.api.schemas.base import Amount, Moment, NextCursor
from brimful.core import clock, money
from brimful.core.ids import CustomerId


class TopUpDestination(BaseModel):
    """Where a top-up goes."""

    account_name: str
    asset: str
    exchange_rate: Amount


class TopUp(BaseModel):
    """A top-up: Credyt's status beside our own state and reason."""

    id: str
    customer_id: CustomerId
    kind: Literal["automatic", "manual"]
    status: Literal["initiated", "pending", "succeeded", "failed", "expired"]
    state: str
    reason: str | None
    approval_needed: top_ups.model.Asked | None
    amount: Amount
    currency: str
    destination: TopUpDestination
    units: Amount
    bonus_units: Annotated[Amount | None, Field(description="What an offer gives on top, of the same asset.")]
    credit_expires_at: Moment | None
    balance_after: Amount | None
    tries: int
    requested_at: Moment
    ended_at: Moment | None

    @classmethod
    def of(cls, top_up: top_ups.model.TopUp) -> Self:
        """The shape that events have as well."""
        return cls.model_validate(top_ups.model.described(top_up))


class TopUps(BaseModel):
    """A customer's top-ups, newest first."""

    items: list[TopUp]
    next_cursor: NextCursor


class PaymentLink(BaseModel):
    """A link by which the customer can pay once."""

    id: str
    status: Literal["initiated", "pending", "succeeded", "failed", "expired"]
    redirect_url: str
    created_at: Moment
    expires_at: Moment


class PortalLink(BaseModel):
    """A link into the Billing Portal."""

    redirect_url: str
    expires_at: Moment


class Refund(BaseModel):
    """A refund as it stands."""

    id: str
    state: str
    reason: str | None
    amount: Amount
    currency: str
    loss: Annotated[Amount | None, Field(description="Units of it that had been used; null before it is booked.")]
    created_at: Moment

    @classmethod
    def of(cls, refund: payments.refunds.Refund) -> Self:
        return cls(
            id=refund.refund_id,
            state=refund.state,
            reason=refund.reason,
            amount=money.text(money.major(refund.amount_minor, refund.currency)),
            currency=refund.currency,
            loss=None if refund.loss is None else money.text(refund.loss),
            created_at=clock.rfc3339(refund.created_at),
        )


class Card(BaseModel):
    """A card, masked."""

    id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    country: str | None
    wallet: str | None
    state: str
    default: bool

    @classmethod
    def of(cls, card: cards.store.Card) -> Self:
        return cls(
            id=card.card_id,
            brand=card.brand,
            last4=card.last4,
            exp_month=card.exp_month,
            exp_year=card.exp_year,
            country=card.country,
            wallet=card.wallet,
            state=card.state,
            default=card.is_default,
        )


class Cards(BaseModel):
    """A customer's saved cards."""

    items: list[Card]


class Exposure(BaseModel):
    """The most that a rule can charge in any case: in any hour, in any 24 hours, in a calendar month (UTC); and in any
    24 hours without asking its customer first.
    """

    hour: Amount
    day: Amount
    month: Amount
    day_unasked: Amount

    @classmethod
    def of(cls, most: auto_top_up.exposure.Exposure, currency: str) -> Self:
        """In the rule's currency."""
        hour, day, month, unasked = (
            money.text(money.major(minor, currency))
            for minor in (most.hour_minor, most.day_minor, most.month_minor, most.unasked_day_minor)
        )
        return cls(hour=hour, day=day, month=month, day_unasked=unasked)


class AskFirst(BaseModel):
    """When a charge waits for its customer's approval: above a sum, after a number of charges in 24 hours, and with the
    brake while use is far beyond the account's own past.
    """

    above: Amount | None
    after: int | None
    brake: bool


class Between(BaseModel):
    """The bounds between which a threshold follows its account's use."""

    low: Amount
    high: Amount

    @classmethod
    def of(cls, rule: auto_top_up.rules.Rule) -> Self | None:
        """None for a fixed threshold."""
        if rule.threshold_low is None:
            return None
        return cls(low=money.text(rule.threshold_low), high=money.text(rule.threshold))


class Rule(BaseModel):
    """A rule with why it charges, or does not."""

    asset: str
    enabled: bool
    card_id: str
    backup_card_id: str | None
    threshold: Amount
    threshold_between: Between | None
    amount: Amount
    charge_at_most: Amount
    bring_back_to: Amount | None
    lasts_days: int | None
    monthly_limit: Amount
    day_limit: Amount | None
    promotional_counts: Annotated[bool, Field(description="Whether the threshold counts promotional credit.")]
    ask_first: AskFirst
    exposure: Exposure
    currency: str
    version: int
    paused: str | None
    reason: str
    until: Moment | None
    updated_at: Moment

    @classmethod
    def of(cls, rule: auto_top_up.rules.Rule, pace: auto_top_up.policy.Pace) -> Self:
        """Read-only: only the customer sets a rule."""
        most, day, above = rule.most_minor, rule.day_limit_minor, rule.ask_above_minor
        stated = auto_top_up.exposure.exposure(
            most, rule.limit_minor, day, pace, ask_above_minor=above, ask_after=rule.ask_after
        )
        return cls(
            asset=rule.asset,
            enabled=rule.enabled,
            card_id=rule.card_id,
            backup_card_id=rule.backup_card_id,
            threshold=money.text(rule.in_force),
            threshold_between=Between.of(rule),
            amount=money.text(money.major(rule.amount_minor, rule.currency)),
            charge_at_most=money.text(money.major(most, rule.currency)),
            bring_back_to=None if rule.target is None else money.text(rule.target),
            lasts_days=rule.lasts_days,
            monthly_limit=money.text(money.major(rule.limit_minor, rule.currency)),
            day_limit=None if day is None else money.text(money.major(day, rule.currency)),
            promotional_counts=rule.promotional_counts is not False,
            ask_first=AskFirst(
                above=None if above is None else money.text(money.major(above, rule.currency)),
                after=rule.ask_after,
                brake=bool(rule.brake),
            ),
            exposure=Exposure.of(stated, rule.currency),
            currency=rule.currency,
            version=rule.version,
            paused=rule.pause_reason,
            reason=rule.reason,
            until=None if rule.wake_at is None else clock.rfc3339(rule.wake_at),
            updated_at=clock.rfc3339(rule.updated_at),
        )


class Rules(BaseModel):
    """A customer's rules."""

    items: list[Rule]
