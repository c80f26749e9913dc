"""What Brimful asks of a payment provider. Answers are snapshots; what is not an answer is a `Failure`.

Amounts are minor units; currencies are upper-case ISO codes. No method raises for what the provider may
answer: a decline is a reading, a refusal or a lost answer is a Failure. Keys make calls idempotent.
"""

import dataclasses
import datetime as dt
import enum
import time
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

IntentStatus = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "canceled",
    "succeeded",
]


@dataclasses.dataclass(frozen=True)
class Decline:
    """Why a card was not charged."""

    code: str | None
    decline_code: str | None
    advice_code: str | None

    @property
    def reason(self) -> str:
        """The most telling of its codes."""
        return self.decline_code or self.code or "card_declined"


@dataclasses.dataclass(frozen=True)
class PaymentIntentSnapshot:
    """A PaymentIntent as read at the provider."""

    intent_id: str
    status: IntentStatus
    amount_minor: int
    received_minor: int
    currency: str
    livemode: bool
    metadata: Mapping[str, str]
    customer: str | None
    payment_method: str | None
    decline: Decline | None
    redirect_url: str | None
    receipt_url: str | None = None  # the provider's own receipt, once it is paid
    created: dt.datetime | None = None
    received_s: float = dataclasses.field(
        default_factory=time.monotonic, compare=False, repr=False
    )  # for measuring only


@dataclasses.dataclass(frozen=True)
class CheckoutSnapshot:
    """A Checkout Session as read at the provider."""

    session_id: str
    status: Literal["open", "complete", "expired"]
    mode: str
    url: str | None
    intent_id: str | None
    payment_method: str | None  # of a completed setup
    customer: str | None
    metadata: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class CardSnapshot:
    """A saved card as read at the provider."""

    payment_method: str
    customer: str | None
    fingerprint: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    country: str | None  # of its bank, ISO 3166
    wallet: str | None = None  # through which it was given: apple_pay, google_pay, link, ...


@dataclasses.dataclass(frozen=True)
class CustomerSnapshot:
    """A customer as read at the provider. One that was deleted is still found there."""

    stripe_customer: str
    deleted: bool
    metadata: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class RefundSnapshot:
    """A refund as read at the provider. `failed` and `canceled` gave the money back to us."""

    refund_id: str
    intent_id: str | None
    amount_minor: int
    currency: str
    status: Literal["pending", "requires_action", "succeeded", "failed", "canceled"]
    reason: str | None
    metadata: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class DisputeSnapshot:
    """A dispute as read at the provider, with the movements of money that it has led to."""

    dispute_id: str
    intent_id: str | None
    amount_minor: int
    currency: str
    status: str
    reason: str | None
    withdrawn: bool
    reinstated: bool
    evidence_due_at: dt.datetime | None = None

    @property
    def closed(self) -> bool:
        return self.status in {"won", "lost", "warning_closed", "prevented"}


class FailureKind(enum.Enum):
    """Why there is no answer to act on."""

    REFUSED = "refused"  # 4xx: this customer's or this card's; sending it again changes nothing
    ACCOUNT = "account"  # 401, 403 and 4xx about the platform: its key, account, mode, our parameters; nobody's card
    BUSY = "busy"  # 409, 429, lock time-out: not carried out; same key, later
    SERVER_ERROR = "server_error"  # 5xx: it may have been carried out; the same key repeats the 5xx
    KEY_REUSED = "key_reused"  # the key was sent with other parameters before; what it made can only be looked for
    NO_ANSWER = "no_answer"  # it may have been carried out; the same key shows it within 24 hours


@dataclasses.dataclass(frozen=True)
class Failure:
    """No answer to act on."""

    kind: FailureKind
    code: str | None
    message: str
    param: str | None = None  # the parameter that it is about
    status: int | None = None  # of HTTP, where there was one

    @property
    def unanswered(self) -> bool:
        """Whether the provider seems to be down, or out of reach."""
        return self.kind in {FailureKind.SERVER_ERROR, FailureKind.NO_ANSWER}

    @property
    def unknown(self) -> bool:
        """Whether the call may have been carried out."""
        return self.unanswered or self.key_is_spent

    @property
    def key_is_spent(self) -> bool:
        """Whether the same key will never show what was made: look for it."""
        return self.kind in {FailureKind.SERVER_ERROR, FailureKind.KEY_REUSED}

    @property
    def missing(self) -> bool:
        """Whether an object that the call names does not exist, or no more."""
        return self.code == "resource_missing"


@dataclasses.dataclass(frozen=True)
class PaymentRequest:
    """What a payment asks of the provider, on a saved card or on its own page.

    `key` makes it safe to send again. `amount_minor` is in minor units of `currency`; `customer` and `payment_method`
    are the provider's ids; its own page needs no `payment_method`.
    """

    key: str
    customer: str
    payment_method: str | None
    amount_minor: int
    currency: str
    description: str
    metadata: Mapping[str, str]


class Gateway(Protocol):
    """The provider. One implementation: gateway/stripe/."""

    livemode: bool

    @property
    def reachable(self) -> bool:
        """False while the provider seems to be down: nothing new should be begun."""

    async def check_key(self) -> Failure | None:
        """Whether the key is accepted."""

    async def create_customer(
        self, *, key: str, name: str, email: str | None, metadata: Mapping[str, str]
    ) -> str | Failure:
        """A customer at the provider; returns its id there."""

    async def read_customer(self, stripe_customer: str) -> CustomerSnapshot | Failure:
        """The customer as it stands; a Failure that is `missing` where the account has never had it."""

    async def update_customer(self, stripe_customer: str, *, name: str, email: str | None) -> Failure | None:
        """Bring name and e-mail up to date."""

    async def create_intent(self, request: PaymentRequest) -> PaymentIntentSnapshot | Failure:
        """A payment that is not sent yet. Moves no money."""

    async def confirm_intent(
        self, intent_id: str, *, key: str, payment_method: str, return_url: str | None
    ) -> PaymentIntentSnapshot | Failure:
        """Send the payment: off-session without `return_url`, with the customer present with it."""

    async def read_intent(self, intent_id: str) -> PaymentIntentSnapshot | Failure:
        """The payment as it stands."""

    async def cancel_intent(self, intent_id: str) -> PaymentIntentSnapshot | Failure:
        """Make sure that it never takes money; refused when it has."""

    async def list_intents(
        self, *, customer: str | None, since: dt.datetime
    ) -> Sequence[PaymentIntentSnapshot] | Failure:
        """Payments made since then: one customer's, or everybody's."""

    async def create_refund(
        self, *, key: str, intent_id: str, amount_minor: int, metadata: Mapping[str, str]
    ) -> RefundSnapshot | Failure:
        """Give money back."""

    async def read_refund(self, refund_id: str) -> RefundSnapshot | Failure:
        """A refund as it stands."""

    async def list_refunds(
        self, *, intent_id: str | None = None, since: dt.datetime | None = None
    ) -> Sequence[RefundSnapshot] | Failure:
        """Refunds of one payment, or all that were made since then."""

    async def read_dispute(self, dispute_id: str) -> DisputeSnapshot | Failure:
        """A dispute as it stands."""

    async def list_disputes(self, *, since: dt.datetime) -> Sequence[DisputeSnapshot] | Failure:
        """Disputes opened since then."""

    async def submit_evidence(
        self, dispute_id: str, *, key: str, fields: Mapping[str, str]
    ) -> DisputeSnapshot | Failure:
        """Answer a dispute, once: texts by the provider's names for them."""

    async def read_warning(self, warning_id: str) -> str | Failure | None:
        """The payment that an early fraud warning is about."""

    async def create_setup_checkout(
        self,
        *,
        key: str,
        customer: str,
        currency: str,
        success_url: str,
        cancel_url: str,
        metadata: Mapping[str, str],
    ) -> CheckoutSnapshot | Failure:
        """A page that saves a card without charging it."""

    async def create_payment_checkout(
        self, request: PaymentRequest, *, save_card: bool, success_url: str, cancel_url: str, expires_at: dt.datetime
    ) -> CheckoutSnapshot | Failure:
        """A page that charges a new card once."""

    async def read_checkout(self, session_id: str) -> CheckoutSnapshot | Failure:
        """The page's session as it stands."""

    async def expire_checkout(self, session_id: str) -> CheckoutSnapshot | Failure:
        """Make sure that it is never completed; refused when it was."""

    async def find_checkout(self, *, intent_id: str) -> CheckoutSnapshot | Failure | None:
        """The session that made a payment, if one did."""

    async def read_card(self, payment_method: str) -> CardSnapshot | Failure:
        """A saved card."""

    async def detach_card(self, payment_method: str) -> Failure | None:
        """Remove a saved card from its customer."""

    async def close(self) -> None:
        """Close connections."""
