"""What the API answers, as types. Amounts are Decimal, times are aware. Unknown fields are ignored.

Generated from docs/reference/openapi.json by `make docs`.
"""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Items(Generic[Item]):
    """A whole list."""

    items: list[Item]


@dataclasses.dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list. `next_cursor` leads to the next one; None on the last."""

    items: list[Item]
    next_cursor: str | None = None


@dataclasses.dataclass(frozen=True)
class AccountDetails:
    """One balance, with what is on its way in (live top-ups) and out (holds), and when it runs dry at the present
    burn: the last hour's, or an average hour's of the last 24 if that is higher; null where it does not.
    """

    id: str
    name: str
    asset: str
    available: Decimal
    balance: Decimal
    held: Decimal
    pending_in: Decimal
    pending_out: Decimal
    runs_dry_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Alert:
    """When the platform and the customer are notified of a low balance; `level` is what was announced last."""

    asset: str
    threshold: Decimal
    level: Literal["ok", "low", "depleted"]
    updated_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Priced:
    """The price of one unit from a time on. With an `inverse_rate`, that is exact and `rate` is rounded."""

    valid_from: dt.datetime
    rate: Decimal
    valid_to: dt.datetime | None = None
    inverse_rate: Decimal | None = None


@dataclasses.dataclass(frozen=True)
class Rates:
    """The prices in one currency."""

    source: str
    schedule: list[Priced]


@dataclasses.dataclass(frozen=True)
class Asset:
    """An asset with its rates by source currency."""

    code: str
    name: str
    kind: Literal["currency", "unit"]
    precision: int
    hold_bridge: Decimal
    rates: list[Rates]
    created_at: dt.datetime
    label: str | None = None
    symbol: str | None = None


@dataclasses.dataclass(frozen=True)
class BalanceToken:
    """A token to read one customer's balances with, until it ends."""

    token: str
    expires_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One value of a dimension."""

    key: str
    value: str


@dataclasses.dataclass(frozen=True)
class Budget:
    """A budget with what its window has counted: `left` is below zero where more was recorded than it covers, and
    `beyond` is how much of it. `notices` says what is allowed and may surprise.
    """

    id: str
    customer_id: str
    asset: str
    window: Literal["day", "week", "month", "rolling_24h", "total"]
    amount: Decimal
    hard: bool
    set_by: Literal["platform", "customer"]
    used: Decimal
    held: Decimal
    left: Decimal
    beyond: Decimal
    created_at: dt.datetime
    notices: list[str]
    name: str | None = None
    subject: str | None = None
    dimension: Dimension | None = None
    parent_id: str | None = None
    resets_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Card:
    """A card, masked."""

    id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    state: str
    default: bool
    country: str | None = None
    wallet: str | None = None


@dataclasses.dataclass(frozen=True)
class CreatedAsset:
    """An asset that was just created."""

    code: str
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class CreatedWebhook:
    """A new endpoint with its secret."""

    id: str
    secret: str
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class ExternalAccount:
    """The customer's id at another provider."""

    provider: str
    provider_id: str


@dataclasses.dataclass(frozen=True)
class Customer:
    """A customer. Subscriptions are Credyt's and always empty here."""

    id: str
    name: str
    time_zone: str
    active_subscription_count: int
    metadata: dict[str, str]
    subscriptions: list[Any]
    external_accounts: list[ExternalAccount]
    created_at: dt.datetime
    external_id: str | None = None
    email: str | None = None


@dataclasses.dataclass(frozen=True)
class Exceeded:
    """The hard budget that does not cover a debit."""

    id: str
    amount: Decimal
    used: Decimal
    held: Decimal
    name: str | None = None
    resets_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class DebitExplanation:
    """Whether a debit that must be covered would be refused now, and by what; every budget that it would count in,
    the tightest first.
    """

    allowed: bool
    detail: str
    available: Decimal
    budgets: list[Budget]
    code: Literal["insufficient_funds", "budget_exceeded"] | None = None
    exceeded: Exceeded | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    id: str
    seq: int
    kind: str
    amount: Decimal
    balance_after: Decimal
    key: str
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    money_minor: int | None = None
    currency: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    subject: str | None = None
    dimensions: dict[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class Grant:
    """A credit: what was granted, what is left of it (`available`), and when it expires: the last moment there is
    where it does not. The lower its `priority`, the sooner it is used. One that takes effect later is `scheduled`,
    without a part in the balance; what has expired while open holds need it is `lapsing`.
    """

    id: str
    amount: Decimal
    available: Decimal
    effective_at: dt.datetime
    expires_at: dt.datetime
    purpose: str
    priority: int
    kind: str
    status: Literal["scheduled", "active", "used", "expired", "lapsing"]
    created_at: dt.datetime
    transaction_id: str | None = None


@dataclasses.dataclass(frozen=True)
class GrantEntry:
    """One movement, and how much of the credit it took; negative where it took none and is the credit itself."""

    id: str
    seq: int
    kind: str
    taken: Decimal
    available: Decimal
    key: str
    recorded_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Lease:
    """How a hold renews itself, what was used of it so far, and its state: `why` it winds down, and until when its
    share lasts at the present burn, as far as an end can be seen.
    """

    chunk: Decimal
    wind_down_s: int
    used: Decimal
    state: Literal["running", "bridged", "winding_down", "ended"]
    why: str | None = None
    good_until: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Hold:
    """Units set aside; with a `lease`, they are set aside again with every use."""

    id: str
    customer_id: str
    asset: str
    amount: Decimal
    state: Literal["open", "captured", "released", "expired"]
    expires_at: dt.datetime
    created_at: dt.datetime
    captured: Decimal | None = None
    description: str | None = None
    subject: str | None = None
    dimensions: dict[str, str] | None = None
    lease: Lease | None = None
    ended_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Id:
    """What was made, or was known already."""

    id: str


@dataclasses.dataclass(frozen=True)
class LeaseUse:
    """What became of a use of a lease, and the lease's state after it: as of `at`, by the server's clock."""

    id: str
    hold_id: str
    status: Literal["applied", "duplicate"]
    state: Literal["running", "bridged", "winding_down", "ended"]
    held: Decimal
    used: Decimal
    at: dt.datetime
    balance: Decimal
    available: Decimal
    why: str | None = None
    good_until: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class PaymentLink:
    """A link by which the customer can pay once."""

    id: str
    status: Literal["initiated", "pending", "succeeded", "failed", "expired"]
    redirect_url: str
    created_at: dt.datetime
    expires_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class PortalLink:
    """A link into the Billing Portal."""

    redirect_url: str
    expires_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class Posted:
    """An adjustment or a charge that was made, or was known already: when, and what the balance is now."""

    id: str
    balance: Decimal
    available: Decimal
    created_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Quote:
    """What an amount of a currency buys. With an `inverse_rate`, that is exact and `rate` is rounded."""

    source: str
    source_amount: Decimal
    destination: str
    destination_amount: Decimal
    rate: Decimal
    inverse_rate: Decimal | None = None


@dataclasses.dataclass(frozen=True)
class Replayed:
    """How many deliveries were queued."""

    queued: int


@dataclasses.dataclass(frozen=True)
class Between:
    """The bounds between which a threshold follows its account's use."""

    low: Decimal
    high: Decimal


@dataclasses.dataclass(frozen=True)
class AskFirst:
    """When a charge waits for its customer's approval: above a sum, after a number of charges in 24 hours, and with
    the brake while use is far beyond the account's own past.
    """

    brake: bool
    above: Decimal | None = None
    after: int | None = None


@dataclasses.dataclass(frozen=True)
class Exposure:
    """The most that a rule can charge in any case: in any hour, in any 24 hours, in a calendar month (UTC); and in
    any 24 hours without asking its customer first.
    """

    hour: Decimal
    day: Decimal
    month: Decimal
    day_unasked: Decimal


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule with why it charges, or does not."""

    asset: str
    enabled: bool
    card_id: str
    threshold: Decimal
    amount: Decimal
    charge_at_most: Decimal
    monthly_limit: Decimal
    promotional_counts: bool
    ask_first: AskFirst
    exposure: Exposure
    currency: str
    version: int
    reason: str
    updated_at: dt.datetime
    backup_card_id: str | None = None
    threshold_between: Between | None = None
    bring_back_to: Decimal | None = None
    lasts_days: int | None = None
    day_limit: Decimal | None = None
    paused: str | None = None
    until: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class SpentFor:
    """What was spent for one subject, or with one value of the dimension."""

    value: str
    used: Decimal


@dataclasses.dataclass(frozen=True)
class Spend:
    """What was spent for whom, the most first, in whole days of the customer's."""

    asset: str
    first_day: str
    last_day: str
    spent: list[SpentFor]
    dimension: str | None = None


@dataclasses.dataclass(frozen=True)
class TopUpDestination:
    """Where a top-up goes."""

    account_name: str
    asset: str
    exchange_rate: Decimal


@dataclasses.dataclass(frozen=True)
class TopUp:
    """A top-up: Credyt's status beside our own state and reason."""

    id: str
    customer_id: str
    kind: Literal["automatic", "manual"]
    status: Literal["initiated", "pending", "succeeded", "failed", "expired"]
    state: str
    amount: Decimal
    currency: str
    destination: TopUpDestination
    units: Decimal
    tries: int
    requested_at: dt.datetime
    reason: str | None = None
    approval_needed: Literal["large_charge", "many_charges", "unusual_use"] | None = None
    bonus_units: Decimal | None = None
    credit_expires_at: dt.datetime | None = None
    balance_after: Decimal | None = None
    ended_at: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Transaction:
    """An adjustment or a charge, in Credyt's form."""

    id: str
    type: Literal["fee", "adjustment"]
    account_id: str
    asset: str
    amount: Decimal
    metadata: dict[str, Any]
    created_at: dt.datetime
    executed_at: dt.datetime
    description: str | None = None


@dataclasses.dataclass(frozen=True)
class UsageResult:
    """The result of one event. `code` and `detail` say why it was refused."""

    status: Literal["applied", "duplicate", "refused"]
    id: str | None = None
    account: str | None = None
    balance: Decimal | None = None
    available: Decimal | None = None
    requested: Decimal | None = None
    budget: dict[str, Any] | None = None
    top_up: dict[str, Any] | None = None
    code: str | None = None
    detail: str | None = None


@dataclasses.dataclass(frozen=True)
class UsageResults:
    """One result per event, in order."""

    results: list[UsageResult]


@dataclasses.dataclass(frozen=True)
class Account:
    """One balance. `available` is the balance less what is held."""

    id: str
    name: str
    asset: str
    available: Decimal
    balance: Decimal
    held: Decimal


@dataclasses.dataclass(frozen=True)
class Wallet:
    """Every balance of a customer."""

    accounts: list[Account]


@dataclasses.dataclass(frozen=True)
class Webhook:
    """An endpoint with the secret that its events are signed with."""

    id: str
    url: str
    topics: list[str]
    connect: bool
    enabled: bool
    created_at: dt.datetime
    updated_at: dt.datetime
    secret: str
    disabled_reason: Literal["gone", "failing"] | None = None
    failing_since: dt.datetime | None = None


@dataclasses.dataclass(frozen=True)
class WebhookItem:
    """An endpoint without its secret."""

    id: str
    url: str
    topics: list[str]
    connect: bool
    enabled: bool
    created_at: dt.datetime
    updated_at: dt.datetime
    disabled_reason: Literal["gone", "failing"] | None = None
    failing_since: dt.datetime | None = None
