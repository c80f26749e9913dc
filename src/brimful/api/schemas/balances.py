"""Customers, assets, balances and what is held of them."""

from fractions import Fraction
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from brimful import assets, customers, grants, leases, ledger
from brimful.api.schemas.base import Amount, Moment, NextCursor, Paged
from brimful.core import clock, money
from brimful.core.ids import CustomerId
from brimful.db.pool import Row
from brimful.notifications import balance_alerts
from brimful.posting.model import Verdict

LeaseState = Literal["running", "bridged", "winding_down", "ended"]


class ExternalAccount(BaseModel):
    """The customer's id at another provider."""

    provider: str
    provider_id: str


class Customer(BaseModel):
    """A customer. Subscriptions are Credyt's and always empty here."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)
    id: str
    external_id: str | None
    name: str
    email: str | None
    time_zone: str
    active_subscription_count: int = 0
    metadata: dict[str, str]
    subscriptions: list[Any] = []
    external_accounts: list[ExternalAccount]
    created_at: Moment

    @classmethod
    def of(cls, customer: customers.Customer) -> Self:
        return cls(
            id=customer.customer_id,
            external_id=customer.external_id,
            name=customer.name,
            email=customer.email,
            time_zone=customer.time_zone,
            metadata=dict(customer.metadata),
            external_accounts=[ExternalAccount(**account) for account in customer.external_accounts],
            created_at=clock.rfc3339(customer.created_at),
        )


class CustomerPage(Paged):
    """Customers, newest first."""

    items: list[Customer]


class CreatedAsset(BaseModel):
    """An asset that was just created."""

    code: str
    created_at: Moment


def inverse(rate: Fraction) -> str | None:
    """Units for one of the currency, where the price of one unit is no decimal; else None."""
    _, per = money.rate_parts(rate)
    return None if per == 1 else money.text(per)


class Priced(BaseModel):
    """The price of one unit from a time on. With an `inverse_rate`, that is exact and `rate` is rounded."""

    valid_from: Moment
    valid_to: Moment | None
    rate: Amount
    inverse_rate: Amount | None


class Rates(BaseModel):
    """The prices in one currency."""

    source: str
    schedule: list[Priced]


class Asset(BaseModel):
    """An asset with its rates by source currency."""

    code: str
    name: str
    kind: Literal["currency", "unit"]
    precision: int
    label: str | None
    symbol: str | None
    hold_bridge: Amount
    rates: list[Rates]
    created_at: Moment

    @classmethod
    def of(cls, asset: assets.Asset, rates: list[assets.Rate]) -> Self:
        schedules: dict[str, list[Priced]] = {}
        for rate in rates:
            until = None if rate.valid_to is None else clock.rfc3339(rate.valid_to)
            priced = Priced(
                valid_from=clock.rfc3339(rate.valid_from),
                valid_to=until,
                rate=money.rate_rounded(rate.rate),
                inverse_rate=inverse(rate.rate),
            )
            schedules.setdefault(rate.currency, []).append(priced)
        return cls(
            code=asset.code,
            name=asset.name,
            kind=asset.kind,
            precision=asset.scale,
            label=asset.label,
            symbol=asset.symbol,
            hold_bridge=money.text(asset.bridge_max),
            rates=[Rates(source=source, schedule=schedule) for source, schedule in schedules.items()],
            created_at=clock.rfc3339(asset.created_at),
        )


class AssetItem(BaseModel):
    """An asset in a list."""

    code: str
    name: str


class AssetPage(Paged):
    """Assets by code."""

    items: list[AssetItem]


class Quote(BaseModel):
    """What an amount of a currency buys. With an `inverse_rate`, that is exact and `rate` is rounded."""

    source: str
    source_amount: Amount
    destination: str
    destination_amount: Amount
    rate: Amount
    inverse_rate: Amount | None


class Account(BaseModel):
    """One balance. `available` is the balance less what is held."""

    id: str = Field(examples=["default:USD"])
    name: str
    asset: str
    available: Amount
    balance: Amount
    held: Amount

    @classmethod
    def of(cls, account: ledger.accounts.Account, **more: str | None) -> Self:
        return cls(
            id=account.name,
            name="default",
            asset=account.asset,
            available=money.text(account.available),
            balance=money.text(account.balance),
            held=money.text(account.held),
            **more,
        )


class AccountDetails(Account):
    """One balance, with what is on its way in (live top-ups) and out (holds), and when it runs dry at the present burn:
    the last hour's, or an average hour's of the last 24 if that is higher; null where it does not.
    """

    pending_in: Amount
    pending_out: Amount
    runs_dry_at: Moment | None


class BalanceToken(BaseModel):
    """A token to read one customer's balances with, until it ends."""

    token: str
    expires_at: Moment


class Balance(BaseModel):
    """One balance as a page shows it. `currency` says that the asset is money; `runs_dry_at` is when it is used up at
    the present rate of use, null where it is not or where auto top-up keeps it funded.
    """

    asset: str
    name: str
    currency: bool
    symbol: str | None
    available: Amount
    runs_dry_at: Moment | None
    auto_top_up: bool


class Balances(BaseModel):
    """Every balance of the token's customer."""

    items: list[Balance]


class Wallet(BaseModel):
    """Every balance of a customer."""

    accounts: list[Account]


class Entry(BaseModel):
    """One line of the ledger."""

    id: str
    seq: int
    kind: str
    amount: Amount
    balance_after: Amount
    key: str
    money_minor: int | None
    currency: str | None
    description: str | None
    metadata: dict[str, Any] | None
    subject: str | None
    dimensions: dict[str, str] | None
    occurred_at: Moment
    recorded_at: Moment

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=ledger.entries.public_id(row["mac"]),
            subject=row["subject"],
            dimensions=row["dimensions"],
            seq=row["seq"],
            kind=row["kind"],
            amount=money.text(row["amount"]),
            balance_after=money.text(row["balance_after"]),
            key=row["key"],
            money_minor=row["money_minor"],
            currency=row["currency"],
            description=row["description"],
            metadata=row["metadata"],
            occurred_at=clock.rfc3339(row["occurred_at"] or row["recorded_at"]),
            recorded_at=clock.rfc3339(row["recorded_at"]),
        )


class Entries(BaseModel):
    """The ledger of one balance, newest first."""

    items: list[Entry]
    next_cursor: NextCursor


class Id(BaseModel):
    """What was made, or was known already."""

    id: str


class Posted(Id):
    """An adjustment or a charge that was made, or was known already: when, and what the balance is now."""

    created_at: Moment | None
    balance: Amount
    available: Amount

    @classmethod
    def of(cls, transaction_id: str, verdict: Verdict) -> "Posted":
        assert verdict.balance is not None
        assert verdict.available is not None
        return cls(
            id=transaction_id,
            created_at=None if verdict.recorded_at is None else clock.rfc3339(verdict.recorded_at),
            balance=money.text(verdict.balance),
            available=money.text(verdict.available),
        )


class Transaction(BaseModel):
    """An adjustment or a charge, in Credyt's form."""

    id: str
    type: Literal["fee", "adjustment"]
    account_id: str
    asset: str
    amount: Amount
    description: str | None
    metadata: dict[str, Any]
    created_at: Moment
    executed_at: Moment

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            id=row["key"],
            type="fee" if row["kind"] == "charge" else "adjustment",
            account_id=f"default:{row['asset']}",
            asset=row["asset"],
            amount=money.text(row["amount"]),
            description=row["description"],
            metadata=row["metadata"] or {},
            created_at=clock.rfc3339(row["recorded_at"]),
            executed_at=clock.rfc3339(row["recorded_at"]),
        )

    @classmethod
    def scheduled(cls, credit: grants.scheduled.Scheduled) -> Self:
        """A credit that has not begun: it is executed when it takes effect."""
        return cls(
            id=credit.key,
            type="adjustment",
            account_id=f"default:{credit.asset}",
            asset=credit.asset,
            amount=money.text(credit.amount),
            description=credit.description,
            metadata=dict(credit.metadata or {}),
            created_at=clock.rfc3339(credit.created_at),
            executed_at=clock.rfc3339(credit.effective_at),
        )


class Lease(BaseModel):
    """How a hold renews itself, what was used of it so far, and its state: `why` it winds down, and until when its
    share lasts at the present burn, as far as an end can be seen.
    """

    chunk: Amount
    wind_down_s: int
    used: Amount
    state: LeaseState
    why: str | None
    good_until: Moment | None

    @classmethod
    def of(cls, lease: leases.model.Lease) -> Self:
        return cls(
            chunk=money.text(lease.chunk),
            wind_down_s=lease.wind_down_s,
            used=money.text(lease.used),
            state=lease.state,
            why=lease.why,
            good_until=None if lease.good_until is None else clock.rfc3339(lease.good_until),
        )


class LeaseUse(BaseModel):
    """What became of a use of a lease, and the lease's state after it: as of `at`, by the server's clock."""

    id: str
    hold_id: str
    status: Literal["applied", "duplicate"]
    state: LeaseState
    why: str | None
    held: Amount
    used: Amount
    at: Moment
    good_until: Moment | None
    balance: Amount
    available: Amount


class Hold(BaseModel):
    """Units set aside; with a `lease`, they are set aside again with every use."""

    id: str
    customer_id: CustomerId
    asset: str
    amount: Amount
    state: Literal["open", "captured", "released", "expired"]
    captured: Amount | None
    description: str | None
    subject: str | None
    dimensions: dict[str, str] | None
    lease: Lease | None
    expires_at: Moment
    created_at: Moment
    ended_at: Moment | None

    @classmethod
    def of(cls, hold: ledger.holds.Hold, lease: leases.model.Lease | None = None) -> Self:
        return cls(
            id=hold.hold_id,
            customer_id=hold.customer_id,
            asset=hold.asset,
            amount=money.text(hold.amount),
            state=hold.state,
            captured=None if hold.captured is None else money.text(hold.captured),
            description=hold.description,
            subject=hold.subject,
            dimensions=None if hold.dimensions is None else dict(hold.dimensions),
            lease=None if lease is None else Lease.of(lease),
            expires_at=clock.rfc3339(hold.expires_at),
            created_at=clock.rfc3339(hold.created_at),
            ended_at=None if hold.ended_at is None else clock.rfc3339(hold.ended_at),
        )


class Holds(BaseModel):
    """A customer's holds, newest first."""

    items: list[Hold]
    next_cursor: NextCursor


class Alert(BaseModel):
    """When the platform and the customer are notified of a low balance; `level` is what was announced last."""

    asset: str
    threshold: Amount
    level: Literal["ok", "low", "depleted"]
    updated_at: Moment

    @classmethod
    def of(cls, alert: balance_alerts.Alert) -> Self:
        return cls(
            asset=alert.asset,
            threshold=money.text(alert.threshold),
            level=alert.level,
            updated_at=clock.rfc3339(alert.updated_at),
        )


class Alerts(BaseModel):
    """A customer's alerts."""

    items: list[Alert]
