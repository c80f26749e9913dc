"""What the API takes and gives. Unknown fields are refused on write."""

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from brimful import assets, auto_topup, cards, clock, customers, money, topups, wallets
from brimful.api.body import AmountText, Metadata, Text, Whole
from brimful.db import Row
from brimful.paying import refunds

__all__ = [
    "AddRate",
    "Adjustment",
    "Charge",
    "CreateAsset",
    "CreateCustomer",
    "CreateSession",
    "CreateTopUp",
    "Quote",
    "UpdateCustomer",
    "show_account",
    "show_asset",
    "show_card",
    "show_customer",
    "show_entry",
    "show_rule",
    "show_top_up",
    "show_transaction",
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ExternalAccount(_Body):
    """The customer's id at another provider."""

    provider: Text
    provider_id: Text


class CreateCustomer(_Body):
    """A new customer."""

    name: Text = Field(min_length=1, max_length=200)
    external_id: Text | None = Field(None, min_length=1, max_length=255)
    email: Text | None = Field(None, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")
    time_zone: Text = "UTC"
    metadata: Metadata | None = None
    external_accounts: list[ExternalAccount] = Field(default=[], max_length=20)


class UpdateCustomer(_Body):
    """What may change about a customer."""

    name: Text | None = Field(None, min_length=1, max_length=200)
    external_id: Text | None = Field(None, min_length=1, max_length=255)
    email: Text | None = Field(None, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")
    time_zone: Text | None = None


class StartingRate(_Body):
    """A price of one unit: `rate` in the source currency, or `inverse_rate` units for one of it."""

    source: Text
    rate: AmountText | None = None
    inverse_rate: AmountText | None = None


class CreateAsset(_Body):
    """A new asset. `precision` is the number of decimals."""

    code: Text
    name: Text = Field(min_length=1, max_length=100)
    precision: Whole | None = Field(None, ge=0, le=money.SCALE_MAX)
    label: Text | None = Field(None, max_length=50)
    symbol: Text | None = Field(None, max_length=8)
    rates: list[StartingRate] = Field(default=[], max_length=20)


class AddRate(_Body):
    """A price of one unit in the source currency, from a time on."""

    source: Text
    rate: AmountText
    valid_from: dt.datetime | None = None
    valid_to: dt.datetime | None = None


class Quote(_Body):
    """How many units an amount of the source currency buys."""

    source: Text
    amount: AmountText
    exchange_at: dt.datetime | None = None


class _Transaction(_Body):
    transaction_id: Text = Field(min_length=1, max_length=255)
    account_name: Text | None = None
    asset: Text
    amount: AmountText
    description: Text | None = None
    metadata: Metadata | None = None


class Adjustment(_Transaction):
    """A signed change of a balance, keyed by `transaction_id`."""

    reason: Literal["gift", "external_topup", "external_refund", "other"] = "other"
    effective_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None


class Charge(_Transaction):
    """A fee that the balance must cover, keyed by `transaction_id`. The amount is positive."""

    subject: Text | None = None
    input_units: Whole | None = None
    input_volume: Whole | None = None
    unit_price: AmountText | None = None
    volume_rate: AmountText | None = None
    package_size: Whole | None = None


class Destination(_Body):
    """Where a top-up goes."""

    account_name: Text | None = None
    asset: Text
    exchange_rate: AmountText | None = None


class CreateTopUp(_Body):
    """Ask for a link by which the customer can pay. `amount` is money in `currency`."""

    customer_id: Text
    amount: AmountText
    currency: Text
    description: Text | None = None
    destination: Destination | None = None
    credit_expires_at: dt.datetime | None = None
    return_url: Text = Field(max_length=2000)
    failure_url: Text = Field(max_length=2000)
    metadata: Metadata | None = None


class CreateRefund(_Body):
    """Give money of a paid top-up back. `amount` is money in its currency; all that is left without it."""

    amount: AmountText | None = None


class CreateSession(_Body):
    """Ask for a link to the Billing Portal."""

    customer_id: Text
    return_url: Text = Field(max_length=2000)
    failure_url: Text = Field(max_length=2000)
    flow: Literal["overview", "top_up", "auto_top_up", "cards"] = "overview"
    asset: Text | None = None
    locale: Text | None = Field(None, max_length=20)


def show_customer(customer: customers.Customer) -> dict[str, Any]:
    """A customer; subscriptions are Credyt's and always empty here."""
    return {
        "id": customer.customer_id,
        "external_id": customer.external_id,
        "name": customer.name,
        "email": customer.email,
        "time_zone": customer.time_zone,
        "active_subscription_count": 0,
        "metadata": customer.metadata,
        "subscriptions": [],
        "external_accounts": customer.external_accounts,
        "created_at": clock.rfc3339(customer.created_at),
    }


def show_asset(asset: assets.Asset, rates: list[assets.Rate]) -> dict[str, Any]:
    """An asset with its rates by source currency."""
    schedules: dict[str, list[dict[str, Any]]] = {}
    for rate in rates:
        schedules.setdefault(rate.currency, []).append(
            {
                "valid_from": clock.rfc3339(rate.valid_from),
                "valid_to": None if rate.valid_to is None else clock.rfc3339(rate.valid_to),
                "rate": money.text(rate.rate),
            }
        )
    return {
        "code": asset.code,
        "name": asset.name,
        "kind": asset.kind,
        "precision": asset.scale,
        "label": asset.label,
        "symbol": asset.symbol,
        "rates": [{"source": source, "schedule": schedule} for source, schedule in schedules.items()],
        "created_at": clock.rfc3339(asset.created_at),
    }


def show_account(account: wallets.Account) -> dict[str, Any]:
    """A balance."""
    return {
        "id": account.name,
        "name": "default",
        "asset": account.asset,
        "available": money.text(account.balance),
    }


def show_entry(row: Row) -> dict[str, Any]:
    """A ledger entry."""
    return {
        "id": row["entry_id"],
        "seq": row["seq"],
        "kind": row["kind"],
        "amount": money.text(row["amount"]),
        "balance_after": money.text(row["balance_after"]),
        "key": row["key"],
        "money_minor": row["money_minor"],
        "currency": row["currency"],
        "description": row["description"],
        "metadata": row["metadata"],
        "occurred_at": clock.rfc3339(row["occurred_at"]),
        "recorded_at": clock.rfc3339(row["recorded_at"]),
    }


def show_transaction(row: Row) -> dict[str, Any]:
    """An adjustment or a charge, in Credyt's form."""
    return {
        "id": row["key"],
        "type": "fee" if row["kind"] == "charge" else "adjustment",
        "account_id": f"default:{row['asset']}",
        "asset": row["asset"],
        "amount": money.text(row["amount"]),
        "description": row["description"],
        "metadata": row["metadata"] or {},
        "created_at": clock.rfc3339(row["recorded_at"]),
        "executed_at": clock.rfc3339(row["recorded_at"]),
    }


def show_top_up(top_up: topups.TopUp) -> dict[str, Any]:
    """A top-up: Credyt's status beside our own state and reason."""
    return {
        "id": top_up.top_up_id,
        "customer_id": top_up.customer_id,
        "kind": top_up.kind,
        "status": topups.credyt_status(top_up),
        "state": top_up.state,
        "reason": top_up.reason,
        "amount": money.text(money.major(top_up.amount_minor, top_up.currency)),
        "currency": top_up.currency,
        "destination": {"account_name": "default", "asset": top_up.asset, "exchange_rate": money.text(top_up.rate)},
        "units": money.text(top_up.units),
        "balance_after": None if top_up.balance_after is None else money.text(top_up.balance_after),
        "tries": top_up.tries,
        "requested_at": clock.rfc3339(top_up.requested_at),
        "ended_at": None if top_up.ended_at is None else clock.rfc3339(top_up.ended_at),
    }


def show_refund(refund: refunds.Refund) -> dict[str, Any]:
    """A refund as it stands."""
    return {
        "id": refund.refund_id,
        "state": refund.state,
        "reason": refund.reason,
        "amount": money.text(money.major(refund.amount_minor, refund.currency)),
        "currency": refund.currency,
        "created_at": clock.rfc3339(refund.created_at),
    }


def show_card(card: cards.Card) -> dict[str, Any]:
    """A card, masked."""
    return {
        "id": card.card_id,
        "brand": card.brand,
        "last4": card.last4,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "state": card.state,
        "default": card.is_default,
    }


def show_rule(rule: auto_topup.Rule) -> dict[str, Any]:
    """A rule with why it charges, or does not."""
    return {
        "asset": rule.asset,
        "enabled": rule.enabled,
        "card_id": rule.card_id,
        "threshold": money.text(rule.threshold),
        "amount": money.text(money.major(rule.amount_minor, rule.currency)),
        "monthly_limit": money.text(money.major(rule.limit_minor, rule.currency)),
        "currency": rule.currency,
        "version": rule.version,
        "paused": rule.pause_reason,
        "reason": rule.reason,
        "until": None if rule.wake_at is None else clock.rfc3339(rule.wake_at),
        "updated_at": clock.rfc3339(rule.updated_at),
    }
