"""What webhooks carry: the data of each topic. These models document; a test holds every event that is sent to them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from brimful.api.schemas.base import Amount, Moment
from brimful.api.schemas.budgets import Dimension
from brimful.api.schemas.top_ups import TopUp
from brimful.budgets.model import SetBy, Span
from brimful.core.ids import CustomerId
from brimful.notifications.events import Topic


class CustomerEvent(BaseModel):
    """Something about a customer."""

    model_config = ConfigDict(extra="forbid")
    customer_id: CustomerId


class RuleEvent(CustomerEvent):
    """A rule as its customer saved it."""

    asset: str
    enabled: bool
    card_id: str
    backup_card_id: str | None
    threshold: Amount
    threshold_low: Annotated[Amount | None, Field(description="A threshold that follows use is at least this.")]
    currency: str
    amount: Amount
    monthly_limit: Amount
    charge_at_most: Amount | None
    bring_back_to: Amount | None
    day_limit: Amount | None
    lasts_days: int | None
    ask_above: Amount | None
    ask_after: int | None
    brake: bool
    promotional_counts: bool
    exposure_day: Annotated[Amount, Field(description="The most in any 24 hours, in any case.")]
    version: int
    rose: Annotated[bool, Field(description="Whether it may charge more than before.")]


class AssetEvent(CustomerEvent):
    """What happened to one asset's rule."""

    asset: str


class PausedEvent(AssetEvent):
    """A rule that rests until its customer turns it on again."""

    reason: str


class ApprovalEvent(TopUp):
    """A top-up that waits for its customer's approval, and until when. `approval_needed` says why."""

    expires_at: Moment


class UnusualUseEvent(AssetEvent):
    """Use far beyond an account's own past: what was used in the last hour, and in the highest of 30 days before."""

    top_up_id: str
    used_last_hour: Amount
    highest_hour: Amount


class RetryEvent(AssetEvent):
    """A top-up that is tried again, and whether its balance lasts until then at the present rate of use."""

    top_up_id: str
    reason: str | None
    retry_at: Moment
    runs_dry_at: Moment | None
    runs_dry_before_retry: bool


class BackupEvent(AssetEvent):
    """A top-up that was paid with the backup card, because the first was declined or cannot be charged."""

    top_up_id: str
    card_id: str
    instead_of: str


class SkippedEvent(AssetEvent):
    """A rule that does not charge although its balance is below the threshold."""

    reason: str
    until: Moment | None = None


class LimitEvent(AssetEvent):
    """How much of a limit is used, in its currency."""

    spent: Amount
    limit: Amount
    currency: str
    reason: str | None = None
    until: Moment | None = None


class BalanceEvent(AssetEvent):
    """What is available of a balance with an alert."""

    available: Amount
    threshold: Amount


class HoldEvent(AssetEvent):
    """A hold that nobody captured or released."""

    hold_id: str
    amount: Amount


class LeaseEvent(AssetEvent):
    """A lease whose job is to finish, and `why`; or one that may go on."""

    hold_id: str
    state: Literal["running", "bridged", "winding_down"]
    why: str | None
    used: Amount
    good_until: Moment | None


class BudgetEvent(AssetEvent):
    """A budget as its window stands; `used` is more than `amount` where usage was recorded that it did not cover."""

    budget_id: str
    name: str | None
    subject: str | None
    dimension: Dimension | None
    window: Span
    hard: bool
    set_by: SetBy
    amount: Amount
    used: Amount
    held: Amount
    resets_at: Moment | None


class CreditExpiredEvent(AssetEvent):
    """What was left of a credit, and has expired."""

    grant_id: str
    purpose: str
    amount: Amount
    expires_at: Moment


class CreditExpiringEvent(CreditExpiredEvent):
    """What is left of a credit that expires within so many days."""

    days: int


class CardEvent(CustomerEvent):
    """A card."""

    card_id: str
    brand: str | None = None
    last4: str
    exp_month: int | None = None
    exp_year: int | None = None


class ConsentEvent(CustomerEvent):
    """What a customer agreed to, or took back."""

    consent_id: str
    asset: str | None = None
    card_id: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


class RefundEvent(CustomerEvent):
    """Money that went back to a card."""

    refund_id: Annotated[str, Field(description="Stripe's.")]
    top_up_id: str
    asset: str
    state: str
    amount: Amount
    currency: str
    loss: Annotated[Amount, Field(description="Units that went back and had been used.")]


class DisputeEvent(CustomerEvent):
    """A payment that its cardholder contests."""

    dispute_id: Annotated[str, Field(description="Stripe's.")]
    top_up_id: str
    asset: str
    status: str
    amount: Amount
    currency: str
    loss: Annotated[Amount, Field(description="Units that went back and had been used.")]


class EndpointDisabledEvent(BaseModel):
    """A webhook that is sent nothing more, announced to the others."""

    model_config = ConfigDict(extra="forbid")
    webhook_id: str
    url: str
    reason: Literal["gone", "failing"]


DATA: dict[Topic, type[BaseModel]] = {
    Topic.TOP_UP_SUCCEEDED: TopUp,
    Topic.TOP_UP_FAILED: TopUp,
    Topic.TOP_UP_ACTION_REQUIRED: TopUp,
    Topic.AUTO_TOP_UP_ENABLED: RuleEvent,
    Topic.AUTO_TOP_UP_UPDATED: RuleEvent,
    Topic.AUTO_TOP_UP_DISABLED: AssetEvent,
    Topic.AUTO_TOP_UP_TRIGGERED: TopUp,
    Topic.AUTO_TOP_UP_APPROVAL_NEEDED: ApprovalEvent,
    Topic.AUTO_TOP_UP_UNUSUAL_USE: UnusualUseEvent,
    Topic.AUTO_TOP_UP_RETRY_SCHEDULED: RetryEvent,
    Topic.AUTO_TOP_UP_BACKUP_USED: BackupEvent,
    Topic.AUTO_TOP_UP_SKIPPED: SkippedEvent,
    Topic.AUTO_TOP_UP_PAUSED: PausedEvent,
    Topic.AUTO_TOP_UP_LIMIT_NEAR: LimitEvent,
    Topic.AUTO_TOP_UP_LIMIT_REACHED: LimitEvent,
    Topic.BALANCE_LOW: BalanceEvent,
    Topic.BALANCE_DEPLETED: BalanceEvent,
    Topic.HOLD_EXPIRED: HoldEvent,
    Topic.LEASE_WINDING_DOWN: LeaseEvent,
    Topic.LEASE_RESUMABLE: LeaseEvent,
    Topic.BUDGET_NEAR: BudgetEvent,
    Topic.BUDGET_REACHED: BudgetEvent,
    Topic.BUDGET_EXCEEDED: BudgetEvent,
    Topic.CREDIT_EXPIRING: CreditExpiringEvent,
    Topic.CREDIT_EXPIRED: CreditExpiredEvent,
    Topic.CARD_ADDED: CardEvent,
    Topic.CARD_REMOVED: CardEvent,
    Topic.CARD_EXPIRING: CardEvent,
    Topic.CUSTOMER_EMAIL_CHANGED: CustomerEvent,
    Topic.CONSENT_RECORDED: ConsentEvent,
    Topic.CONSENT_WITHDRAWN: ConsentEvent,
    Topic.REFUND_RECORDED: RefundEvent,
    Topic.DISPUTE_OPENED: DisputeEvent,
    Topic.DISPUTE_CLOSED: DisputeEvent,
    Topic.WEBHOOK_DISABLED: EndpointDisabledEvent,
}

SUMMARIES: dict[Topic, str] = {
    Topic.TOP_UP_SUCCEEDED: "A top-up was paid, and the wallet credited.",
    Topic.TOP_UP_FAILED: "A top-up has failed for good.",
    Topic.TOP_UP_ACTION_REQUIRED: "A payment waits for its customer: send them to the Billing Portal.",
    Topic.AUTO_TOP_UP_ENABLED: "The customer turned auto top-up on.",
    Topic.AUTO_TOP_UP_UPDATED: "The customer changed an auto top-up that is on.",
    Topic.AUTO_TOP_UP_DISABLED: "The customer turned auto top-up off.",
    Topic.AUTO_TOP_UP_TRIGGERED: "A balance fell below its threshold: a top-up was requested.",
    Topic.AUTO_TOP_UP_APPROVAL_NEEDED: "A charge waits for its customer's approval: send them to the Billing Portal.",
    Topic.AUTO_TOP_UP_UNUSUAL_USE: "An account uses far more than it ever did: a loop, or a key that leaked.",
    Topic.AUTO_TOP_UP_RETRY_SCHEDULED: "A declined top-up is tried again, and whether the balance lasts until then.",
    Topic.AUTO_TOP_UP_BACKUP_USED: "The backup card paid, because the first card was declined or cannot be charged.",
    Topic.AUTO_TOP_UP_SKIPPED: "A balance is below its threshold, and nothing is charged: the reason.",
    Topic.AUTO_TOP_UP_PAUSED: "Auto top-up rests until the customer turns it on again.",
    Topic.AUTO_TOP_UP_LIMIT_NEAR: "Four fifths of the month's limit are used.",
    Topic.AUTO_TOP_UP_LIMIT_REACHED: "The month's limit allows no further top-up.",
    Topic.BALANCE_LOW: "What is available fell below its alert.",
    Topic.BALANCE_DEPLETED: "Nothing is available any more.",
    Topic.HOLD_EXPIRED: "A hold's time ran out; its units are available again.",
    Topic.LEASE_WINDING_DOWN: "What there is for a lease ends soon, and nothing more comes: its job should finish.",
    Topic.LEASE_RESUMABLE: "A lease that wound down can be whole again: its job may go on.",
    Topic.BUDGET_NEAR: "Four fifths of a budget are used. Once for each of its windows.",
    Topic.BUDGET_REACHED: "A budget is used up. Once for each of its windows.",
    Topic.BUDGET_EXCEEDED: "Usage was recorded that a hard budget did not cover. Once for each of its windows.",
    Topic.CREDIT_EXPIRING: "A credit expires soon, and some of it is left: seven days and one day before.",
    Topic.CREDIT_EXPIRED: "A credit has expired; what was left of it is no part of the balance any more.",
    Topic.CARD_ADDED: "The customer added a card.",
    Topic.CARD_REMOVED: "A card was removed.",
    Topic.CARD_EXPIRING: "A card that a rule uses is about to expire.",
    Topic.CUSTOMER_EMAIL_CHANGED: "The customer's e-mail address was changed.",
    Topic.CONSENT_RECORDED: "The customer agreed to be charged, or to a card being kept.",
    Topic.CONSENT_WITHDRAWN: "The customer took an agreement back.",
    Topic.REFUND_RECORDED: "Money of a top-up went back; its units left the wallet.",
    Topic.DISPUTE_OPENED: "A payment is contested; its units left the wallet.",
    Topic.DISPUTE_CLOSED: "A contested payment was decided.",
    Topic.WEBHOOK_DISABLED: "Another webhook gets nothing more: it is gone, or has failed for days.",
}

MOMENT = "2026-11-24T10:00:00.000000Z"
_LATER = "2026-11-24T14:00:00.000000Z"
_TOP_UP: dict[str, Any] = {
    "id": "top_0198a1", "customer_id": "cus_0198a1", "kind": "automatic", "status": "succeeded", "state": "succeeded",
    "reason": None, "approval_needed": None, "amount": "25", "currency": "USD",
    "destination": {"account_name": "default", "asset": "USD", "exchange_rate": "1"}, "units": "25",
    "bonus_units": None, "credit_expires_at": None, "balance_after": "34.5", "tries": 1,
    "requested_at": MOMENT, "ended_at": MOMENT,
}  # fmt: skip
_PENDING = {**_TOP_UP, "status": "pending", "balance_after": None, "ended_at": None}
_RULE: dict[str, Any] = {
    "asset": "USD", "enabled": True, "card_id": "card_0198a1", "backup_card_id": None, "threshold": "10",
    "threshold_low": None, "currency": "USD", "amount": "25", "monthly_limit": "500", "charge_at_most": None,
    "bring_back_to": None, "day_limit": None, "lasts_days": None, "ask_above": None, "ask_after": None, "brake": False,
    "promotional_counts": True,
    "exposure_day": "500", "version": 1, "rose": False,
}  # fmt: skip
_CARD: dict[str, Any] = {"card_id": "card_0198a1", "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030}
_REVERSAL: dict[str, Any] = {"top_up_id": "top_0198a1", "asset": "USD", "amount": "25", "currency": "USD", "loss": "0"}
_CREDIT: dict[str, Any] = {
    "asset": "USD", "grant_id": "ent_0198a1", "purpose": "promotional", "amount": "4.5", "expires_at": _LATER,
}  # fmt: skip
_LEASE: dict[str, Any] = {"asset": "USD", "hold_id": "run-81", "used": "3.2", "good_until": _LATER}
_BUDGET: dict[str, Any] = {
    "asset": "USD", "budget_id": "key-1-a-day", "name": "Key 1", "subject": "key-1", "dimension": None, "window": "day",
    "hard": True, "set_by": "platform", "amount": "50", "held": "0", "resets_at": "2026-11-25T00:00:00.000000Z",
}  # fmt: skip
_SAMPLES: dict[Topic, dict[str, Any]] = {
    Topic.TOP_UP_SUCCEEDED: _TOP_UP,
    Topic.TOP_UP_FAILED: {
        **_TOP_UP, "status": "failed", "state": "failed", "reason": "insufficient_funds",
        "balance_after": None, "tries": 4,
    },
    Topic.TOP_UP_ACTION_REQUIRED: {**_PENDING, "state": "action_required", "reason": "authentication_required"},
    Topic.AUTO_TOP_UP_ENABLED: _RULE,
    Topic.AUTO_TOP_UP_UPDATED: {**_RULE, "amount": "50", "version": 2, "rose": True},
    Topic.AUTO_TOP_UP_DISABLED: {"asset": "USD"},
    Topic.AUTO_TOP_UP_TRIGGERED: {**_PENDING, "state": "requested", "tries": 0},
    Topic.AUTO_TOP_UP_APPROVAL_NEEDED: {
        **_PENDING, "state": "action_required", "reason": "approval_needed", "approval_needed": "large_charge",
        "tries": 0,
        "expires_at": "2026-11-25T10:00:00.000000Z",
    },
    Topic.AUTO_TOP_UP_UNUSUAL_USE: {
        "asset": "USD", "top_up_id": "top_0198a1", "used_last_hour": "120", "highest_hour": "8.5",
    },
    Topic.AUTO_TOP_UP_RETRY_SCHEDULED: {
        "asset": "USD", "top_up_id": "top_0198a1", "reason": "insufficient_funds", "retry_at": _LATER,
        "runs_dry_at": None, "runs_dry_before_retry": False,
    },
    Topic.AUTO_TOP_UP_BACKUP_USED: {
        "asset": "USD", "top_up_id": "top_0198a1", "card_id": "card_0198b2", "instead_of": "card_0198a1",
    },
    Topic.AUTO_TOP_UP_SKIPPED: {"asset": "USD", "reason": "cooldown", "until": _LATER},
    Topic.AUTO_TOP_UP_PAUSED: {"asset": "USD", "reason": "declined"},
    Topic.AUTO_TOP_UP_LIMIT_NEAR: {"asset": "USD", "spent": "400", "limit": "500", "currency": "USD"},
    Topic.AUTO_TOP_UP_LIMIT_REACHED: {
        "asset": "USD", "reason": "limit_reached", "until": "2026-12-01T00:00:00.000000Z", "spent": "500",
        "limit": "500", "currency": "USD",
    },
    Topic.BALANCE_LOW: {"asset": "USD", "available": "4.5", "threshold": "5"},
    Topic.BALANCE_DEPLETED: {"asset": "USD", "available": "0", "threshold": "5"},
    Topic.HOLD_EXPIRED: {"asset": "USD", "hold_id": "job-81", "amount": "3"},
    Topic.LEASE_WINDING_DOWN: {**_LEASE, "state": "winding_down", "why": "limit_reached"},
    Topic.LEASE_RESUMABLE: {**_LEASE, "state": "running", "why": None, "good_until": None},
    Topic.BUDGET_NEAR: {**_BUDGET, "used": "41"},
    Topic.BUDGET_REACHED: {**_BUDGET, "used": "50"},
    Topic.BUDGET_EXCEEDED: {**_BUDGET, "used": "52.5"},
    Topic.CREDIT_EXPIRING: {**_CREDIT, "days": 1},
    Topic.CREDIT_EXPIRED: _CREDIT,
    Topic.CARD_ADDED: _CARD,
    Topic.CARD_REMOVED: {"card_id": "card_0198a1", "last4": "4242"},
    Topic.CARD_EXPIRING: _CARD,
    Topic.CUSTOMER_EMAIL_CHANGED: {},
    Topic.CONSENT_RECORDED: {"asset": "USD", "consent_id": "con_0198a1"},
    Topic.CONSENT_WITHDRAWN: {"asset": "USD", "consent_id": "con_0198a1"},
    Topic.REFUND_RECORDED: {**_REVERSAL, "refund_id": "re_3P0198", "amount": "10", "state": "succeeded"},
    Topic.DISPUTE_OPENED: {**_REVERSAL, "dispute_id": "dp_1P0198", "status": "needs_response"},
    Topic.DISPUTE_CLOSED: {**_REVERSAL, "dispute_id": "dp_1P0198", "status": "won"},
    Topic.WEBHOOK_DISABLED: {"webhook_id": "whk_0198a1", "url": "https://app.example/hooks/brimful", "reason": "gone"},
}  # fmt: skip


def sample(topic: str) -> dict[str, Any]:
    """The data of an event that could have happened, for tests of receivers; `{}` for what is no topic."""
    if topic not in set(Topic):
        return {}
    customer = {} if topic == Topic.WEBHOOK_DISABLED else {"customer_id": "cus_0198a1"}
    return {**customer, **_SAMPLES[Topic(topic)]}
