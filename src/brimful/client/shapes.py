"""What the API answers, as types. Amounts are Decimal, times are aware. Fields that are new to it are ignored."""

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


class Customer(msgspec.Struct, frozen=True):
    """One of the platform's customers."""

    id: str
    name: str
    created_at: dt.datetime
    external_id: str | None = None
    email: str | None = None
    time_zone: str = "UTC"
    metadata: dict[str, str] = {}


class NewAsset(msgspec.Struct, frozen=True):
    """An asset that was just created."""

    code: str
    created_at: dt.datetime


class Asset(msgspec.Struct, frozen=True):
    """What a balance counts."""

    code: str
    name: str
    kind: Literal["currency", "unit"]
    precision: int
    hold_bridge: Decimal
    rates: list[dict[str, Any]]
    created_at: dt.datetime
    label: str | None = None
    symbol: str | None = None


class Quote(msgspec.Struct, frozen=True):
    """What an amount of a currency buys."""

    source: str
    source_amount: Decimal
    destination: str
    destination_amount: Decimal
    rate: Decimal


class Account(msgspec.Struct, frozen=True):
    """One balance. `available` is `balance` less `held`; `pending_in` is what live top-ups will bring."""

    id: str
    asset: str
    available: Decimal
    balance: Decimal
    held: Decimal
    pending_in: Decimal | None = None
    pending_out: Decimal | None = None


class Wallet(msgspec.Struct, frozen=True):
    """Every balance of a customer."""

    accounts: list[Account]


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


class UsageResult(msgspec.Struct, frozen=True):
    """The result of one event. `code` and `detail` say why it was refused."""

    status: Literal["applied", "duplicate", "refused"]
    id: str | None = None
    account: str | None = None
    balance: Decimal | None = None
    code: str | None = None
    detail: str | None = None


class UsageResults(msgspec.Struct, frozen=True):
    """One result per event, in order."""

    results: list[UsageResult]


class Created(msgspec.Struct, frozen=True):
    """What was made, or was known already."""

    id: str
    created_at: dt.datetime | None = None


class Transaction(msgspec.Struct, frozen=True):
    """An adjustment or a charge."""

    id: str
    type: Literal["fee", "adjustment"]
    account_id: str
    asset: str
    amount: Decimal
    created_at: dt.datetime
    description: str | None = None
    metadata: dict[str, Any] = {}


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


class Alert(msgspec.Struct, frozen=True):
    """When a low balance is announced; `level` is what was announced last."""

    asset: str
    threshold: Decimal
    level: Literal["ok", "low", "depleted"]
    updated_at: dt.datetime


class TopUp(msgspec.Struct, frozen=True):
    """A top-up. `state` and `reason` say more than `status`."""

    id: str
    customer_id: str
    kind: Literal["automatic", "manual"]
    status: Literal["initiated", "pending", "succeeded", "failed", "expired"]
    state: str
    amount: Decimal
    currency: str
    destination: dict[str, Any]
    units: Decimal
    tries: int
    requested_at: dt.datetime
    reason: str | None = None
    balance_after: Decimal | None = None
    ended_at: dt.datetime | None = None

    @property
    def asset(self) -> str:
        """The asset that it credits."""
        return str(self.destination["asset"])


class PaymentLink(msgspec.Struct, frozen=True):
    """A link by which the customer can pay once."""

    id: str
    status: str
    redirect_url: str
    created_at: dt.datetime
    expires_at: dt.datetime


class PortalLink(msgspec.Struct, frozen=True):
    """A link into the Billing Portal: ten minutes, one use."""

    redirect_url: str
    expires_at: dt.datetime


class Rule(msgspec.Struct, frozen=True):
    """A customer's rule, with why it charges or does not. Only the customer writes it, in the portal."""

    asset: str
    enabled: bool
    card_id: str
    threshold: Decimal
    amount: Decimal
    monthly_limit: Decimal
    currency: str
    version: int
    reason: str
    updated_at: dt.datetime
    paused: str | None = None
    until: dt.datetime | None = None


class Card(msgspec.Struct, frozen=True):
    """A saved card, masked."""

    id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    state: str
    default: bool


class NewWebhook(msgspec.Struct, frozen=True):
    """A new endpoint with its secret."""

    id: str
    secret: str
    created_at: dt.datetime


class Webhook(msgspec.Struct, frozen=True):
    """An endpoint. The secret is in the answer about one, not in lists."""

    id: str
    url: str
    topics: list[str]
    enabled: bool
    created_at: dt.datetime
    updated_at: dt.datetime
    secret: str | None = None
    disabled_reason: str | None = None
    failing_since: dt.datetime | None = None


class Replayed(msgspec.Struct, frozen=True):
    """How many deliveries were queued."""

    queued: int
