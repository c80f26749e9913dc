"""Why a rule charges, or does not, as the API answers and `brimful explain` prints."""

from typing import Self

from pydantic import BaseModel

from brimful import auto_top_up, cards, payments, top_ups
from brimful.api.schemas.base import Amount, Moment
from brimful.api.schemas.top_ups import Between, Exposure
from brimful.core import clock, money
from brimful.core.ids import CustomerId


class MonthlyLimit(BaseModel):
    """The customer's limit, and what is left of it this month (UTC)."""

    monthly: Amount
    used: Amount
    left: Amount
    day: Amount | None
    used_in_24_hours: Amount

    @classmethod
    def of(cls, found: payments.explain.Explanation) -> Self:
        """In the rule's currency."""
        monthly, used, left = (
            money.text(money.major(minor, found.facts.currency))
            for minor in (found.facts.limit_minor, found.facts.spent_minor, found.left_minor)
        )
        day = found.facts.day_limit_minor
        return cls(
            monthly=monthly,
            used=used,
            left=left,
            day=None if day is None else money.text(money.major(day, found.facts.currency)),
            used_in_24_hours=money.text(money.major(sum(minor for _, minor in found.facts.day), found.facts.currency)),
        )


class PaceNow(BaseModel):
    """How often the account was topped up, and may be."""

    in_the_last_hour: int
    per_hour: int
    spacing_s: int

    @classmethod
    def of(cls, found: payments.explain.Explanation) -> Self:
        """Of the account and the installation."""
        spacing = int(found.pace.spacing.total_seconds())
        return cls(in_the_last_hour=len(found.facts.recent), per_hour=found.pace.per_hour, spacing_s=spacing)


class CardNow(BaseModel):
    """The rule's card as it stands."""

    id: str
    brand: str
    last4: str
    state: str
    state_reason: str | None
    declines_in_30_days: int
    declines_max: int

    @classmethod
    def of(cls, found: payments.explain.Explanation) -> Self:
        """With what its issuer has declined of late."""
        return cls(
            id=found.card.card_id,
            brand=found.card.brand,
            last4=found.card.last4,
            state=found.card.state,
            state_reason=found.card.state_reason,
            declines_in_30_days=found.card_declines,
            declines_max=cards.decline_budget.DECLINES_MAX,
        )


class SuspensionNow(BaseModel):
    """Why no payment is sent at the moment, for anybody."""

    kind: str
    reason: str
    since: Moment


class ChargingNow(BaseModel):
    """Whether payments may be sent."""

    open: bool
    suspensions: list[SuspensionNow]

    @classmethod
    def of(cls, found: payments.explain.Explanation) -> Self:
        """With every suspension that stands, the oldest first."""
        standing = [
            SuspensionNow(kind=one.kind, reason=one.reason, since=clock.rfc3339(one.since)) for one in found.suspensions
        ]
        return cls(open=not standing, suspensions=standing)


class TopUpNow(BaseModel):
    """The top-up in flight."""

    id: str
    state: str
    reason: str | None
    tries: int
    needs_review: bool
    requested_at: Moment
    next_look_at: Moment | None

    @classmethod
    def of(cls, top_up: top_ups.model.TopUp) -> Self:
        """Of a live top-up."""
        return cls(
            id=top_up.top_up_id,
            state=top_up.state,
            reason=top_up.reason,
            tries=top_up.tries,
            needs_review=top_up.needs_review,
            requested_at=clock.rfc3339(top_up.requested_at),
            next_look_at=None if top_up.wake_at is None else clock.rfc3339(top_up.wake_at),
        )


class Explanation(BaseModel):
    """Why a rule charges, or does not: the last evaluation with every fact behind it."""

    customer_id: CustomerId
    asset: str
    at: Moment
    reason: str
    since: Moment
    explanation: str
    next_at: Moment | None
    runs_dry_at: Moment | None
    runs_dry_before_next: bool
    enabled: bool
    paused: str | None
    available: Amount
    threshold: Amount
    threshold_between: Between | None
    below: bool
    pending: Amount
    amount: Amount
    currency: str
    rate: Amount | None
    charge_at_most: Amount
    bring_back_to: Amount | None
    exposure: Exposure
    limit: MonthlyLimit
    pace: PaceNow
    card: CardNow
    consent_stands: bool
    charging: ChargingNow
    top_up: TopUpNow | None

    @classmethod
    def of(cls, found: payments.explain.Explanation) -> Self:
        """Money as decimal strings in major units, moments as RFC 3339 in UTC."""
        facts = found.facts
        return cls(
            customer_id=found.customer_id,
            asset=found.asset,
            at=clock.rfc3339(found.at),
            reason=found.reason,
            since=clock.rfc3339(found.reason_at),
            explanation=found.sentence,
            next_at=None if found.next_at is None else clock.rfc3339(found.next_at),
            runs_dry_at=None if found.runs_dry_at is None else clock.rfc3339(found.runs_dry_at),
            runs_dry_before_next=found.runs_dry_before_next,
            enabled=facts.enabled,
            paused=facts.paused,
            available=money.text(facts.available),
            threshold=money.text(facts.threshold),
            threshold_between=Between.of(found.rule),
            below=facts.below,
            pending=money.text(found.pending),
            amount=money.text(money.major(facts.amount_minor, facts.currency)),
            currency=facts.currency,
            rate=None if facts.rate is None else money.rate_rounded(facts.rate),
            charge_at_most=money.text(money.major(facts.charge_max_minor, facts.currency)),
            bring_back_to=None if facts.target is None else money.text(facts.target),
            exposure=Exposure.of(auto_top_up.exposure.of(facts, found.pace), facts.currency),
            limit=MonthlyLimit.of(found),
            pace=PaceNow.of(found),
            card=CardNow.of(found),
            consent_stands=facts.consent_stands,
            charging=ChargingNow.of(found),
            top_up=None if found.top_up is None else TopUpNow.of(found.top_up),
        )
