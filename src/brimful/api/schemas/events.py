"""What webhooks carry: the data of each topic. These models document; a test holds every event that is sent to them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from brimful.api.schemas.base import Amount, Moment
from brimful.core.ids import CustomerId
from brimful.notifications.events import Topic

Minor = Annotated[int, Field(description="Money in minor units of its currency.")]


class CustomerEvent(BaseModel):
    """Something about a customer."""

    model_config = ConfigDict(extra="forbid")
    customer_id: CustomerId


class TopUpEvent(CustomerEvent):
    """A top-up that has ended, or waits for its customer."""

    top_up_id: str
    asset: str
    kind: Literal["automatic", "manual"]
    state: str
    reason: str | None
    amount_minor: Minor
    currency: str
    units: Amount
    balance: Amount | None


class TriggeredEvent(CustomerEvent):
    """A balance fell below its threshold: a top-up was requested."""

    top_up_id: str
    asset: str
    amount_minor: Minor
    currency: str
    units: Amount


class RuleEvent(CustomerEvent):
    """A rule as its customer saved it."""

    asset: str
    enabled: bool
    card_id: str
    backup_card_id: str | None = None
    threshold: Amount
    threshold_low: Amount | None = None
    currency: str
    amount_minor: Minor
    limit_minor: Minor
    charge_max_minor: Minor | None = None
    target: Amount | None = None
    day_limit_minor: Minor | None = None
    lasts_days: int | None = None
    ask_above_minor: Minor | None = None
    ask_after: int | None = None
    brake: bool = False
    exposure_day_minor: Annotated[Minor | None, Field(description="The most in any 24 hours, in any case.")] = None
    version: int
    rose: bool


class AssetEvent(CustomerEvent):
    """What happened to one asset's rule."""

    asset: str


class PausedEvent(AssetEvent):
    """A rule that rests until its customer turns it on again."""

    reason: str


class ApprovalEvent(TriggeredEvent):
    """A top-up that waits for its customer's approval, and until when."""

    why: Literal["large_charge", "many_charges", "unusual_use"]
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
    """How much of the month's limit is used."""

    spent_minor: Minor
    limit_minor: Minor
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
    amount_minor: Minor
    currency: str


class DisputeEvent(CustomerEvent):
    """A payment that its cardholder contests."""

    dispute_id: Annotated[str, Field(description="Stripe's.")]
    top_up_id: str
    asset: str
    status: str
    amount_minor: Minor
    currency: str


class EndpointDisabledEvent(BaseModel):
    """A webhook that is sent nothing more, announced to the others."""

    model_config = ConfigDict(extra="forbid")
    webhook_id: str
    url: str
    reason: Literal["gone", "failing"]


DATA: dict[Topic, type[BaseModel]] = {
    Topic.TOP_UP_SUCCEEDED: TopUpEvent,
    Topic.TOP_UP_FAILED: TopUpEvent,
    Topic.TOP_UP_ACTION_REQUIRED: TopUpEvent,
    Topic.AUTO_TOP_UP_ENABLED: RuleEvent,
    Topic.AUTO_TOP_UP_UPDATED: RuleEvent,
    Topic.AUTO_TOP_UP_DISABLED: AssetEvent,
    Topic.AUTO_TOP_UP_TRIGGERED: TriggeredEvent,
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
