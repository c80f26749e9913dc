"""What the API answers, as types. Amounts are Decimal, times are aware. Unknown fields are ignored.

Generated from docs/reference/openapi.json by `make docs`.
"""

import datetime as dt
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

import msgspec

Item = TypeVar("Item")


class Items(msgspec.Struct, Generic[Item], frozen=True):
    """A whole list."""

    items: list[Item]


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list. `next_cursor` leads to the next one; None on the last."""

    items: list[Item]
    next_cursor: str | None = None


class AccountDetails(msgspec.Struct, frozen=True):
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


class Alert(msgspec.Struct, frozen=True):
    """When the platform and the customer are notified of a low balance; `level` is what was announced last."""

    asset: str
    threshold: Decimal
    level: Literal["ok", "low", "depleted"]
    updated_at: dt.datetime


class Priced(msgspec.Struct, frozen=True):
    """The price of one unit from a time on. With an `inverse_rate`, that is exact and `rate` is rounded."""

    valid_from: dt.datetime
    rate: Decimal
    valid_to: dt.datetime | None = None
    inverse_rate: Decimal | None = None


class Rates(msgspec.Struct, frozen=True):
    """The prices in one currency."""

    source: str
    schedule: list[Priced]


class Asset(msgspec.Struct, frozen=True):
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


class Card(msgspec.Struct, frozen=True):
    """A card, masked."""

    id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    state: str
    default: bool
    country: str | None = None


class CreatedAsset(msgspec.Struct, frozen=True):
    """An asset that was just created."""

    code: str
    created_at: dt.datetime


class CreatedWebhook(msgspec.Struct, frozen=True):
    """A new endpoint with its secret."""

    id: str
    secret: str
    created_at: dt.datetime


class ExternalAccount(msgspec.Struct, frozen=True):
    """The customer's id at another provider."""

    provider: str
    provider_id: str


class Customer(msgspec.Struct, frozen=True):
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


class Entry(msgspec.Struct, frozen=True):
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


class Hold(msgspec.Struct, frozen=True):
    """Units set aside."""

    id: str
    customer_id: str
    asset: str
    amount: Decimal
    state: Literal["open", "captured", "released", "expired"]
    expires_at: dt.datetime
    created_at: dt.datetime
    captured: Decimal | None = None
    description: str | None = None
    ended_at: dt.datetime | None = None


class Id(msgspec.Struct, frozen=True):
    """What was made, or was known already."""

    id: str


class PaymentLink(msgspec.Struct, frozen=True):
    """A link by which the customer can pay once."""

    id: str
    status: Literal["initiated", "pending", "succeeded", "failed", "expired"]
    redirect_url: str
    created_at: dt.datetime
    expires_at: dt.datetime


class PortalLink(msgspec.Struct, frozen=True):
    """A link into the Billing Portal."""

    redirect_url: str
    expires_at: dt.datetime


class Posted(msgspec.Struct, frozen=True):
    """An adjustment or a charge that was made, or was known already: when, and what the balance is now."""

    id: str
    balance: Decimal
    available: Decimal
    created_at: dt.datetime | None = None


class Quote(msgspec.Struct, frozen=True):
    """What an amount of a currency buys. With an `inverse_rate`, that is exact and `rate` is rounded."""

    source: str
    source_amount: Decimal
    destination: str
    destination_amount: Decimal
    rate: Decimal
    inverse_rate: Decimal | None = None


class Replayed(msgspec.Struct, frozen=True):
    """How many deliveries were queued."""

    queued: int


class Between(msgspec.Struct, frozen=True):
    """The bounds between which a threshold follows its account's use."""

    low: Decimal
    high: Decimal


class AskFirst(msgspec.Struct, frozen=True):
    """When a charge waits for its customer's approval: above a sum, after a number of charges in 24 hours, and with
    the brake while use is far beyond the account's own past.
    """

    brake: bool
    above: Decimal | None = None
    after: int | None = None


class Exposure(msgspec.Struct, frozen=True):
    """The most that a rule can charge in any case: in any hour, in any 24 hours, in a calendar month (UTC); and in
    any 24 hours without asking its customer first.
    """

    hour: Decimal
    day: Decimal
    month: Decimal
    day_unasked: Decimal


class Rule(msgspec.Struct, frozen=True):
    """A rule with why it charges, or does not."""

    asset: str
    enabled: bool
    card_id: str
    threshold: Decimal
    amount: Decimal
    charge_at_most: Decimal
    monthly_limit: Decimal
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


class TopUpDestination(msgspec.Struct, frozen=True):
    """Where a top-up goes."""

    account_name: str
    asset: str
    exchange_rate: Decimal


class TopUp(msgspec.Struct, frozen=True):
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
    balance_after: Decimal | None = None
    ended_at: dt.datetime | None = None


class Transaction(msgspec.Struct, frozen=True):
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


class UsageResult(msgspec.Struct, frozen=True):
    """The result of one event. `code` and `detail` say why it was refused."""

    status: Literal["applied", "duplicate", "refused"]
    id: str | None = None
    account: str | None = None
    balance: Decimal | None = None
    available: Decimal | None = None
    requested: Decimal | None = None
    top_up: dict[str, Any] | None = None
    code: str | None = None
    detail: str | None = None


class UsageResults(msgspec.Struct, frozen=True):
    """One result per event, in order."""

    results: list[UsageResult]


class Account(msgspec.Struct, frozen=True):
    """One balance. `available` is the balance less what is held."""

    id: str
    name: str
    asset: str
    available: Decimal
    balance: Decimal
    held: Decimal


class Wallet(msgspec.Struct, frozen=True):
    """Every balance of a customer."""

    accounts: list[Account]


class Webhook(msgspec.Struct, frozen=True):
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


class WebhookItem(msgspec.Struct, frozen=True):
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
