"""What the API takes. Unknown fields are refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from brimful import budgets, grants, leases, ledger
from brimful.api.json_body import AmountText, Instant, Metadata, Place, Text, Whole
from brimful.core import money


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewExternalAccount(_Body):
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
    external_accounts: list[NewExternalAccount] = Field(default=[], max_length=20)


class UpdateCustomer(_Body):
    """What may change about a customer."""

    name: Text = Field("", min_length=1, max_length=200)  # only what is sent changes: the defaults are never used
    external_id: Text | None = Field(None, min_length=1, max_length=255)
    email: Text | None = Field(None, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")
    time_zone: Text = "UTC"
    external_accounts: list[NewExternalAccount] = Field(default=[], max_length=20)


class UnitRate(_Body):
    """A price of one unit: `rate` in the source currency, or `inverse_rate` units for one of it."""

    source: Text
    rate: AmountText | None = None
    inverse_rate: AmountText | None = None


class StartingRate(UnitRate):
    """A price of one unit from now on: `rate` in the source currency, or `inverse_rate` units for one of it."""


class CreateAsset(_Body):
    """A new asset. `precision` is the number of decimals."""

    code: Text
    name: Text = Field(min_length=1, max_length=100)
    precision: Whole | None = Field(None, ge=0, le=money.SCALE_MAX)
    label: Text | None = Field(None, max_length=50)
    symbol: Text | None = Field(None, max_length=8)
    rates: list[StartingRate] = Field(default=[], max_length=20)
    hold_bridge: AmountText | None = None


class AddRate(UnitRate):
    """A price of one unit from a time on: `rate` in the source currency, or `inverse_rate` units for one of it."""

    valid_from: Instant | None = None
    valid_to: Instant | None = None


class QuoteRequest(_Body):
    """How many units an amount of the source currency buys."""

    source: Text
    amount: AmountText
    exchange_at: Instant | None = None


class _Transaction(_Body):
    transaction_id: Text = Field(min_length=1, max_length=255)
    account_name: Text | None = None
    asset: Text
    amount: AmountText
    description: Text | None = None
    metadata: Metadata | None = None


class Adjustment(_Transaction):
    """A signed change of a balance, keyed by `transaction_id`. One that adds may take effect later and expire; the
    lower its `priority`, the sooner it is used up. A gift is promotional, an external top-up paid, unless `purpose`
    says otherwise.
    """

    reason: Literal["gift", "external_topup", "external_refund", "other"] = "other"
    effective_at: Instant | None = None
    expires_at: Instant | None = None
    purpose: Literal["paid", "promotional", "correction"] | None = None
    priority: Whole | None = Field(None, ge=0, le=ledger.lots.PRIORITY_MAX)


class Charge(_Transaction):
    """A fee that the balance must cover, keyed by `transaction_id`. The amount is positive."""

    subject: Text | None = Field(None, min_length=1, max_length=budgets.tags.SUBJECT_MAX)
    dimensions: dict[str, Text] | None = None
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
    """Ask for a link by which the customer can pay. `amount` is money in `currency`; what it buys expires at
    `credit_expires_at`, if that is set.
    """

    customer_id: Text
    amount: AmountText
    currency: Text
    description: Text | None = None
    destination: Destination | None = None
    credit_expires_at: Instant | None = None
    return_url: Place
    failure_url: Place
    metadata: Metadata | None = None


class CreateRefund(_Body):
    """Give money of a paid top-up back. `amount` is money in its currency; all that is left without it."""

    amount: AmountText | None = None


class NewOffer(_Body):
    """From `amount_from` of `currency` on, `percent` of what a payment buys comes on top, from `valid_from` (or now)
    until `valid_to`; it expires so many days after it is credited, if that is set.
    """

    currency: Text
    amount_from: AmountText
    percent: AmountText
    expires_after_days: Whole | None = Field(None, ge=1, le=3650)
    valid_from: Instant | None = None
    valid_to: Instant | None = None


class SetOffers(_Body):
    """All the offers of an asset, from now on; none end them."""

    offers: list[NewOffer] = Field(max_length=grants.offers.OFFERS_MAX)


class CreateSession(_Body):
    """Ask for a link to the Billing Portal."""

    customer_id: Text
    return_url: Place
    failure_url: Place
    flow: Literal["overview", "top_up", "auto_top_up", "cards"] = "overview"
    asset: Text | None = None
    locale: Text | None = Field(None, max_length=20)


class CreateBalanceToken(_Body):
    """Ask for a token with which a browser reads one customer's balances."""

    customer_id: Text
    expires_in_s: Whole = Field(900, ge=60, le=3600)


class UpdateAsset(_Body):
    """What may change about an asset. `hold_bridge` is how far below zero a hold may take an account of it, while an
    automatic top-up that covers it is in flight.
    """

    hold_bridge: AmountText


class LeaseTerms(_Body):
    """How a hold renews itself: `chunk` is set aside again with every use, and its job hears of the end of the balance
    `wind_down_s` seconds before it.
    """

    chunk: AmountText
    wind_down_s: Whole = Field(60, ge=0, le=leases.model.WIND_DOWN_MAX_S)


class CreateHold(_Body):
    """Set units aside for a job whose cost is not known yet, keyed by `id`. The amount is positive; a hold that renews
    itself has a `lease` in its place, and ends `expires_in_s` seconds after its last use.
    """

    id: Annotated[Text, Field(pattern=r"^[A-Za-z0-9_:~-][A-Za-z0-9._:~-]{0,127}$")]
    asset: Text
    amount: AmountText | None = None
    lease: LeaseTerms | None = None
    expires_in_s: Whole = Field(3600, ge=1, le=7 * 86_400)
    description: Text | None = None
    subject: Text | None = Field(None, min_length=1, max_length=budgets.tags.SUBJECT_MAX)
    dimensions: dict[str, Text] | None = None


class UseLease(_Body):
    """What was used of a lease since its last use, keyed by `id`. An amount of zero is a sign of life."""

    id: Annotated[Text, Field(pattern=r"^[A-Za-z0-9._:~-]{1,126}$")]
    amount: AmountText


class DimensionValue(_Body):
    """One value of a dimension."""

    key: Text = Field(min_length=1, max_length=budgets.tags.KEY_MAX)
    value: Text = Field(min_length=1, max_length=budgets.tags.VALUE_MAX)


class SetBudget(_Body):
    """At most `amount` of an asset in each window: for one subject, for one value of a dimension, or for all. A hard
    budget refuses what it does not cover, a soft one announces it. What counts in a budget counts in its parents.
    """

    asset: Text
    amount: AmountText
    window: Literal["day", "week", "month", "rolling_24h", "total"]
    hard: StrictBool = True
    name: Text | None = Field(None, min_length=1, max_length=100)
    subject: Text | None = Field(None, min_length=1, max_length=budgets.tags.SUBJECT_MAX)
    dimension: DimensionValue | None = None
    parent_id: Text | None = None


class CaptureHold(_Body):
    """Turn a hold into a debit of what the job cost; the rest becomes available. `overrun` says what an amount above
    the hold may do: be refused, take what is available besides, or be recorded in any case.
    """

    amount: AmountText
    overrun: Literal["refuse", "covered", "record"] = "refuse"
    description: Text | None = None


class SetAlert(_Body):
    """Tell when what is available falls below `threshold`, and when it is used up."""

    threshold: AmountText


class SetPreset(_Body):
    """What a customer's form of auto top-up begins with, and its bounds; what is left out is the portal's own. Units of
    your own need the `currency` that pays for them.
    """

    currency: Text | None = None
    threshold: AmountText | None = None
    amount: AmountText | None = None
    monthly_limit: AmountText | None = None
    charge_at_most: AmountText | None = None
    day_limit: AmountText | None = None
    threshold_min: AmountText | None = None
    threshold_max: AmountText | None = None
    amount_min: AmountText | None = None
    amount_max: AmountText | None = None


class CreateWebhook(_Body):
    """A new endpoint. `connect` is Credyt's, for accounts that are connected to a platform: there are none here."""

    url: Place
    topics: list[Text] = Field(["*"], min_length=1, max_length=50)
    connect: StrictBool = False


class UpdateWebhook(_Body):
    """What may change about an endpoint."""

    url: Place | None = None
    topics: list[Text] | None = Field(None, min_length=1, max_length=50)
    enabled: StrictBool | None = None


class ReplayEvent(_Body):
    """Where an event is to be sent again: everywhere that wants it, or to one endpoint."""

    webhook_id: Text | None = None


class ReplaySince(_Body):
    """From when on an endpoint is to be sent what it has not got."""

    since: Instant
