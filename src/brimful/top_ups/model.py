"""The states of a top-up and the moves between them.

    requested -> intent_created -> confirming -> succeeded
    aside: processing, unknown, action_required, retry_wait, canceling
    ends:  succeeded, failed, canceled

`canceling` carries what comes next and why; it is left only when the payment was read at Stripe as
canceled or expired (then `next_state`), as succeeded, or as processing.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, get_args

from brimful.core import clock, money
from brimful.core.ids import CustomerId

CredytStatus = Literal["initiated", "pending", "succeeded", "failed", "expired"]
PaymentKind = Literal["intent", "checkout"]
Presence = Literal["off_session", "on_session"]
Asked = Literal["large_charge", "many_charges", "unusual_use"]
State = Literal[
    "requested",
    "intent_created",
    "confirming",
    "processing",
    "unknown",
    "action_required",
    "retry_wait",
    "canceling",
    "succeeded",
    "failed",
    "canceled",
]

STATES: tuple[State, ...] = get_args(State)
END_STATES = frozenset({"succeeded", "failed", "canceled"})

# Nothing has been sent that could still charge by itself: these give way when the need is gone.
WAITING_STATES = frozenset({"requested", "intent_created", "retry_wait", "action_required"})

MOVES: Mapping[str, frozenset[str]] = {
    "requested": frozenset(
        {"intent_created", "action_required", "canceling", "canceled", "failed", "retry_wait", "succeeded"}
    ),
    "intent_created": frozenset({"confirming", "canceling", "succeeded"}),
    "confirming": frozenset({"succeeded", "processing", "unknown", "action_required", "canceling", "canceled"}),
    "processing": frozenset({"succeeded", "canceling", "canceled"}),
    "unknown": frozenset({"succeeded", "processing", "action_required", "canceling", "canceled"}),
    "action_required": frozenset(
        {"intent_created", "action_required", "succeeded", "processing", "canceling", "canceled"}
    ),
    "retry_wait": frozenset({"requested", "canceling", "canceled", "succeeded"}),
    "canceling": frozenset(
        {"canceling", "retry_wait", "action_required", "failed", "canceled", "succeeded", "processing"}
    ),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "canceled": frozenset(),
}

LIVE_STATES = frozenset(MOVES) - END_STATES


@dataclasses.dataclass(frozen=True)
class Bonus:
    """What an offer gives on top of a payment: units of the asset, which expire so many days after they are credited.
    `version` is that of the list of offers.
    """

    units: Decimal
    days: int | None
    version: int


@dataclasses.dataclass(frozen=True)
class TopUp:
    """One wish to add funds. What is charged was fixed when it was made and is never computed again.

    `amount_minor` is money in minor units of `currency`; `units` is what the wallet gets, at the price that was used:
    `rate` for `rate_per` units; `bonus_units` come on top, and expire after `bonus_days` if that is set. `cut`: a limit
    allowed less than the rule wanted. `asked`: why its customer must approve it first.
    """

    customer_id: CustomerId
    top_up_id: str
    asset: str
    kind: Literal["automatic", "manual"]
    state: State
    next_state: State | None
    reason: str | None
    currency: str
    amount_minor: int
    units: Decimal
    rate: Decimal
    rate_per: Decimal
    cut: bool
    asked: Asked | None
    card_id: str | None
    consent_id: str | None
    rule_version: int | None
    limit_month: dt.date | None
    fence: int
    tries: int
    polls: int
    failures: int
    needs_review: bool
    wake_at: dt.datetime | None
    expires_at: dt.datetime | None
    requested_at: dt.datetime
    confirmed_at: dt.datetime | None
    ended_at: dt.datetime | None
    balance_after: Decimal | None
    available_after: Decimal | None
    return_url: str | None
    failure_url: str | None
    description: str | None
    metadata: Mapping[str, Any]
    credit_expires_at: dt.datetime | None = None
    bonus_units: Decimal | None = None
    bonus_days: int | None = None
    offer_version: int | None = None

    @property
    def bonus(self) -> Bonus | None:
        """What an offer gives on top; None where none applied."""
        if self.bonus_units is None or self.offer_version is None:
            return None
        return Bonus(self.bonus_units, self.bonus_days, self.offer_version)

    @property
    def live(self) -> bool:
        return self.ended_at is None

    @property
    def awaits_approval(self) -> bool:
        """Its customer has been asked, and has not tried to pay."""
        return self.asked is not None and self.state == "action_required" and not self.tries

    @property
    def price(self) -> Fraction:
        """Of one unit."""
        return money.rate_of(self.rate, self.rate_per)


@dataclasses.dataclass(frozen=True)
class Payment:
    """One PaymentIntent or one Checkout Session. `closed_at` is set when its end was read at Stripe."""

    customer_id: CustomerId
    payment_id: str
    top_up_id: str
    kind: PaymentKind
    presence: Presence
    state: Literal["new", "created", "confirming", "succeeded", "canceled", "expired", "abandoned"]
    card_id: str | None
    currency: str
    amount_minor: int
    stripe_intent_id: str | None
    stripe_session_id: str | None
    redirect_url: str | None
    setup_id: str | None
    error_code: str | None
    decline_code: str | None
    advice_code: str | None
    created_at: dt.datetime
    confirm_sent_at: dt.datetime | None
    closed_at: dt.datetime | None
    receipt_url: str | None


def described(top_up: TopUp) -> dict[str, Any]:
    """A top-up as JSON gives it, in the API's answers and in events."""
    return {
        "id": top_up.top_up_id,
        "customer_id": top_up.customer_id,
        "kind": top_up.kind,
        "status": credyt_status(top_up),
        "state": top_up.state,
        "reason": top_up.reason,
        "approval_needed": top_up.asked,
        "amount": money.major_text(top_up.amount_minor, top_up.currency),
        "currency": top_up.currency,
        "destination": {
            "account_name": "default", "asset": top_up.asset, "exchange_rate": money.rate_rounded(top_up.price),
        },
        "units": money.text(top_up.units),
        "bonus_units": None if top_up.bonus_units is None else money.text(top_up.bonus_units),
        "credit_expires_at": None if top_up.credit_expires_at is None else clock.rfc3339(top_up.credit_expires_at),
        "balance_after": None if top_up.balance_after is None else money.text(top_up.balance_after),
        "tries": top_up.tries,
        "requested_at": clock.rfc3339(top_up.requested_at),
        "ended_at": None if top_up.ended_at is None else clock.rfc3339(top_up.ended_at),
    }  # fmt: skip


def credyt_status(top_up: TopUp) -> CredytStatus:
    """The five statuses of Credyt's API."""
    if top_up.state == "succeeded":
        return "succeeded"
    if top_up.state == "failed":
        return "failed"
    if top_up.state == "canceled":
        return "expired" if top_up.reason in {"link_expired", "expired"} else "failed"
    if top_up.kind == "manual" and top_up.state in {"requested", "action_required"}:
        return "initiated"
    return "pending"
