"""Why a rule charges, or does not, as the API gives it."""

from pydantic import BaseModel

from brimful.api.given.base import Amount, Moment

__all__ = ["Explanation"]


class MonthlyLimit(BaseModel):
    """The customer's limit, and what is left of it this month (UTC)."""

    monthly: Amount
    used: Amount
    left: Amount


class PaceNow(BaseModel):
    """How often the account was topped up, and may be."""

    in_the_last_hour: int
    per_hour: int
    spacing_s: int


class CardNow(BaseModel):
    """The rule's card as it stands."""

    id: str
    brand: str
    last4: str
    state: str
    state_reason: str | None
    declines_in_30_days: int
    declines_max: int


class ChargingHold(BaseModel):
    """Why no payment is sent at the moment, for anybody."""

    kind: str
    reason: str
    since: Moment


class ChargingNow(BaseModel):
    """Whether payments may be sent."""

    open: bool
    holds: list[ChargingHold]


class TopUpNow(BaseModel):
    """The top-up in flight."""

    id: str
    state: str
    reason: str | None
    tries: int
    needs_review: bool
    requested_at: Moment
    next_look_at: Moment | None


class Explanation(BaseModel):
    """Why a rule charges, or does not: the last judgement with every fact behind it."""

    customer_id: str
    asset: str
    at: Moment
    reason: str
    since: Moment
    explanation: str
    next_at: Moment | None
    enabled: bool
    paused: str | None
    available: Amount
    threshold: Amount
    below: bool
    pending: Amount
    amount: Amount
    currency: str
    rate: Amount | None
    limit: MonthlyLimit
    pace: PaceNow
    card: CardNow
    consent_stands: bool
    charging: ChargingNow
    top_up: TopUpNow | None
