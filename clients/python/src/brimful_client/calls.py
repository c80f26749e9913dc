"""Every operation as a description of its request: what `Client` and `AsyncClient` share.

Amounts are `Decimal`, `int` or text such as `"0.0125"`, never floats. Each function says which key makes it safe to
send again.
"""

import dataclasses
import datetime as dt
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Generic, Literal, Required, TypeAlias, TypedDict, TypeVar, Unpack

from brimful_client import shapes

Amount: TypeAlias = Decimal | int | str
Shape = TypeVar("Shape")


@dataclasses.dataclass(frozen=True)
class Call(Generic[Shape]):
    """One request, and the type of its answer. `again` says that sending it twice does no more than once."""

    method: str
    path: str
    shape: type[Shape]
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    again: bool = True


# --- customers and assets -----------------------------------------------------------------------------------


def create_customer(
    *,
    name: str,
    external_id: str | None = None,
    email: str | None = None,
    time_zone: str | None = None,
    metadata: Mapping[str, str] | None = None,
    stripe_customer_id: str | None = None,
) -> Call[shapes.Customer]:
    """Create a customer. With an `external_id` a second one is refused as `external_id_taken`; `stripe_customer_id` is
    the one that you have at Stripe already.
    """
    stripe = None if stripe_customer_id is None else [{"provider": "stripe", "provider_id": stripe_customer_id}]
    body = _present(
        name=name, external_id=external_id, email=email, time_zone=time_zone, metadata=metadata,
        external_accounts=stripe,
    )  # fmt: skip
    return Call("POST", "/customers", shapes.Customer, body, headers=_key(None))


def get_customer(customer_id: str) -> Call[shapes.Customer]:
    """One customer."""
    return Call("GET", f"/customers/{_part(customer_id)}", shapes.Customer)


def find_customer(external_id: str) -> Call[shapes.Customer]:
    """The customer with your own id; the problem `customer_not_found` if there is none."""
    return Call("GET", "/customers", shapes.Customer, query={"external_id": external_id})


def create_asset(
    *,
    code: str,
    name: str,
    precision: int | None = None,
    label: str | None = None,
    symbol: str | None = None,
    rates: Mapping[str, Amount] | None = None,
    hold_bridge: Amount | None = None,
) -> Call[shapes.CreatedAsset]:
    """Create an asset; `rates` is the price of one unit by currency. A second one is refused as `asset_exists`."""
    prices = None if rates is None else [{"source": source, "rate": _text(rate)} for source, rate in rates.items()]
    bridge = None if hold_bridge is None else _text(hold_bridge)
    body = _present(
        code=code, name=name, precision=precision, label=label, symbol=symbol, rates=prices, hold_bridge=bridge
    )
    return Call("POST", "/assets", shapes.CreatedAsset, body, headers=_key(None))


def get_asset(code: str) -> Call[shapes.Asset]:
    """One asset with its rates."""
    return Call("GET", f"/assets/{_part(code)}", shapes.Asset)


def update_asset(code: str, *, hold_bridge: Amount) -> Call[shapes.Asset]:
    """Set how far below zero holds may take an account while a top-up that covers them is in flight."""
    return Call("PATCH", f"/assets/{_part(code)}", shapes.Asset, {"hold_bridge": _text(hold_bridge)})


def quote(code: str, *, source: str, amount: Amount) -> Call[shapes.Quote]:
    """How many units an amount of a currency buys."""
    return Call("POST", f"/assets/{_part(code)}/quote", shapes.Quote, {"source": source, "amount": _text(amount)})


# --- balances -----------------------------------------------------------------------------------------------


def get_wallet(customer_id: str) -> Call[shapes.Wallet]:
    """Every balance of a customer."""
    return Call("GET", f"{_wallet(customer_id)}", shapes.Wallet)


def get_account(customer_id: str, asset: str) -> Call[shapes.AccountDetails]:
    """One balance, with what is on its way."""
    return Call("GET", f"{_wallet(customer_id)}/default:{_part(asset)}", shapes.AccountDetails)


def list_entries(
    customer_id: str, asset: str, *, limit: int | None = None, cursor: str | None = None
) -> Call[shapes.Page[shapes.Entry]]:
    """The ledger of one balance, newest first."""
    path = f"{_wallet(customer_id)}/default:{_part(asset)}/entries"
    return Call("GET", path, shapes.Page[shapes.Entry], query=_present(limit=limit, cursor=cursor))


class UsageEvent(TypedDict, total=False):
    """One use. `id` is yours and names it for ever; the customer is named by one of the two ids."""

    id: Required[str]
    asset: Required[str]
    amount: Required[Amount]
    customer_id: str
    customer_external_id: str
    occurred_at: dt.datetime
    description: str
    if_insufficient: Literal["record", "refuse"]
    subject: str
    dimensions: Mapping[str, str]


def record_usage(**event: Unpack[UsageEvent]) -> Call[shapes.UsageResult]:
    """Debit one use, given as the fields of `UsageEvent`. Keyed by `id`: the same one again answers `duplicate`."""
    return Call("POST", "/usage", shapes.UsageResult, usage_event(**event))


def record_usages(events: Sequence[Mapping[str, Any]]) -> Call[shapes.UsageResults]:
    """Debit up to 1,000 uses, each an event as `usage_event` makes it. One that is refused spoils no other."""
    return Call("POST", "/usage", shapes.UsageResults, {"events": list(events)})


def usage_event(**event: Unpack[UsageEvent]) -> dict[str, Any]:
    """One event of a batch, from the fields of `UsageEvent`."""
    body: dict[str, Any] = {**event, "amount": _text(event["amount"])}
    if event.get("occurred_at") is not None:
        body["occurred_at"] = event["occurred_at"].isoformat()
    return _present(**body)


def adjust(
    customer_id: str,
    *,
    transaction_id: str,
    asset: str,
    amount: Amount,
    reason: Literal["gift", "external_topup", "external_refund", "other"] = "other",
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    effective_at: dt.datetime | None = None,
    expires_at: dt.datetime | None = None,
    purpose: Literal["paid", "promotional", "correction"] | None = None,
    priority: int | None = None,
) -> Call[shapes.Posted]:
    """Change a balance by a signed amount. Keyed by `transaction_id`. One that adds may begin later and expire; the
    lower its `priority`, the sooner it is used up.
    """
    body = _present(
        transaction_id=transaction_id, asset=asset, amount=_text(amount), reason=reason, description=description,
        metadata=metadata, effective_at=_moment(effective_at), expires_at=_moment(expires_at), purpose=purpose,
        priority=priority,
    )  # fmt: skip
    return Call("POST", f"{_wallet(customer_id)}/adjustments", shapes.Posted, body)


def charge(
    customer_id: str,
    *,
    transaction_id: str,
    asset: str,
    amount: Amount,
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    subject: str | None = None,
    dimensions: Mapping[str, str] | None = None,
) -> Call[shapes.Posted]:
    """Take a fee that what is available must cover, and the budgets. Keyed by `transaction_id`."""
    body = _present(
        transaction_id=transaction_id, asset=asset, amount=_text(amount), description=description, metadata=metadata,
        subject=subject, dimensions=dimensions,
    )  # fmt: skip
    return Call("POST", f"{_wallet(customer_id)}/charges", shapes.Posted, body)


def list_grants(
    customer_id: str,
    asset: str,
    *,
    purpose: str | None = None,
    exclude_expired: bool | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[shapes.Page[shapes.Grant]]:
    """The credits of one balance, newest first, each with what is left of it."""
    query = _present(purpose=purpose, exclude_expired=exclude_expired, limit=limit, cursor=cursor)
    path = f"{_wallet(customer_id)}/default:{_part(asset)}/grants"
    return Call("GET", path, shapes.Page[shapes.Grant], query=query)


def list_grant_entries(
    customer_id: str, asset: str, grant_id: str, *, limit: int | None = None, cursor: str | None = None
) -> Call[shapes.Page[shapes.GrantEntry]]:
    """What took of one credit, oldest first."""
    path = f"{_wallet(customer_id)}/default:{_part(asset)}/grants/{_part(grant_id)}/entries"
    return Call("GET", path, shapes.Page[shapes.GrantEntry], query=_present(limit=limit, cursor=cursor))


def get_transaction(customer_id: str, transaction_id: str) -> Call[shapes.Transaction]:
    """One adjustment or charge."""
    return Call("GET", f"{_wallet(customer_id)}/transactions/{_part(transaction_id)}", shapes.Transaction)


# --- holds and alerts ---------------------------------------------------------------------------------------


def hold(
    customer_id: str,
    *,
    id: str,  # noqa: A002 - the field's name
    asset: str,
    amount: Amount | None = None,
    lease_chunk: Amount | None = None,
    wind_down_s: int | None = None,
    expires_in_s: int | None = None,
    description: str | None = None,
    subject: str | None = None,
    dimensions: Mapping[str, str] | None = None,
) -> Call[shapes.Hold]:
    """Set units aside for a job whose cost is not known yet. Keyed by `id`. With a `lease_chunk` in place of an amount
    it renews itself; `Client.lease` looks after one.
    """
    chunk = None if lease_chunk is None else _text(lease_chunk)
    lease = None if chunk is None else _present(chunk=chunk, wind_down_s=wind_down_s)
    body = _present(
        id=id, asset=asset, amount=None if amount is None else _text(amount), lease=lease, expires_in_s=expires_in_s,
        description=description, subject=subject, dimensions=dimensions,
    )  # fmt: skip
    return Call("POST", f"{_wallet(customer_id)}/holds", shapes.Hold, body)


def get_hold(customer_id: str, hold_id: str) -> Call[shapes.Hold]:
    """One hold as it stands."""
    return Call("GET", f"{_wallet(customer_id)}/holds/{_part(hold_id)}", shapes.Hold)


def list_holds(
    customer_id: str,
    *,
    state: Literal["open", "captured", "released", "expired"] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[shapes.Page[shapes.Hold]]:
    """A customer's holds, newest first."""
    query = _present(state=state, limit=limit, cursor=cursor)
    return Call("GET", f"{_wallet(customer_id)}/holds", shapes.Page[shapes.Hold], query=query)


def use_lease(
    customer_id: str,
    hold_id: str,
    *,
    id: str,  # noqa: A002 - the field's name
    amount: Amount,
) -> Call[shapes.LeaseUse]:
    """Take what was used of a lease, and set its chunk aside again. Keyed by `id`; zero is a sign of life."""
    path = f"{_wallet(customer_id)}/holds/{_part(hold_id)}/use"
    return Call("POST", path, shapes.LeaseUse, {"id": id, "amount": _text(amount)})


def capture(
    customer_id: str,
    hold_id: str,
    *,
    amount: Amount,
    overrun: Literal["refuse", "covered", "record"] = "refuse",
    description: str | None = None,
) -> Call[shapes.Hold]:
    """Turn a hold into a debit of what the job cost. Keyed by the hold."""
    body = _present(amount=_text(amount), overrun=overrun, description=description)
    return Call("POST", f"{_wallet(customer_id)}/holds/{_part(hold_id)}/capture", shapes.Hold, body)


def release(customer_id: str, hold_id: str) -> Call[shapes.Hold]:
    """Make a hold available again. Keyed by the hold."""
    return Call("POST", f"{_wallet(customer_id)}/holds/{_part(hold_id)}/release", shapes.Hold)


def set_budget(
    customer_id: str,
    budget_id: str,
    *,
    asset: str,
    amount: Amount,
    window: Literal["day", "week", "month", "rolling_24h", "total"],
    hard: bool | None = None,
    name: str | None = None,
    subject: str | None = None,
    dimension: tuple[str, str] | None = None,
    parent_id: str | None = None,
) -> Call[shapes.Budget]:
    """Allow at most an amount in each window: for a subject, for a dimension's value, or for all. Keyed by the id."""
    pair = None if dimension is None else {"key": dimension[0], "value": dimension[1]}
    body = _present(
        asset=asset, amount=_text(amount), window=window, hard=hard, name=name, subject=subject, dimension=pair,
        parent_id=parent_id,
    )  # fmt: skip
    return Call("PUT", f"{_budget(customer_id, budget_id)}", shapes.Budget, body)


def get_budget(customer_id: str, budget_id: str) -> Call[shapes.Budget]:
    """One budget with what its window has counted."""
    return Call("GET", f"{_budget(customer_id, budget_id)}", shapes.Budget)


def list_budgets(
    customer_id: str,
    *,
    asset: str | None = None,
    set_by: Literal["platform", "customer"] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[shapes.Page[shapes.Budget]]:
    """A customer's budgets, by their ids."""
    query = _present(asset=asset, set_by=set_by, limit=limit, cursor=cursor)
    return Call("GET", f"/customers/{_part(customer_id)}/budgets", shapes.Page[shapes.Budget], query=query)


def end_budget(customer_id: str, budget_id: str) -> Call[None]:
    """End a budget. Its id stays taken."""
    return Call("DELETE", f"{_budget(customer_id, budget_id)}", type(None))


def get_spend(
    customer_id: str,
    asset: str,
    *,
    dimension: str | None = None,
    first_day: dt.date | None = None,
    last_day: dt.date | None = None,
    limit: int | None = None,
) -> Call[shapes.Spend]:
    """What was spent for each subject, or with each value of a dimension; in the last 30 days, or in those given."""
    first, last = (None if day is None else day.isoformat() for day in (first_day, last_day))
    query = _present(dimension=dimension, first_day=first, last_day=last, limit=limit)
    return Call("GET", f"{_wallet(customer_id)}/default:{_part(asset)}/spend", shapes.Spend, query=query)


def explain_debit(
    customer_id: str,
    asset: str,
    *,
    amount: Amount,
    subject: str | None = None,
    dimensions: Mapping[str, str] | None = None,
) -> Call[shapes.DebitExplanation]:
    """Whether a debit that must be covered would be refused now, and by what."""
    pairs = [f"{key}={value}" for key, value in (dimensions or {}).items()]
    query = _present(amount=_text(amount), subject=subject, dimension=pairs or None)
    path = f"{_wallet(customer_id)}/default:{_part(asset)}/explain"
    return Call("GET", path, shapes.DebitExplanation, query=query)


def set_alert(customer_id: str, asset: str, *, threshold: Amount) -> Call[shapes.Alert]:
    """Get `balance.low` below a threshold, and `balance.depleted` at zero."""
    path = f"/customers/{_part(customer_id)}/alerts/{_part(asset)}"
    return Call("PUT", path, shapes.Alert, {"threshold": _text(threshold)})


def list_alerts(customer_id: str) -> Call[shapes.Items[shapes.Alert]]:
    """A customer's alerts."""
    return Call("GET", f"/customers/{_part(customer_id)}/alerts", shapes.Items[shapes.Alert])


def remove_alert(customer_id: str, asset: str) -> Call[None]:
    """Remove the alert of this balance."""
    return Call("DELETE", f"/customers/{_part(customer_id)}/alerts/{_part(asset)}", type(None))


# --- top-ups and the portal -----------------------------------------------------------------------------------


def portal_link(
    customer_id: str,
    *,
    return_url: str,
    failure_url: str | None = None,
    flow: Literal["overview", "top_up", "auto_top_up", "cards"] | None = None,
    asset: str | None = None,
    locale: str | None = None,
) -> Call[shapes.PortalLink]:
    """A link into the Billing Portal: ten minutes, one use."""
    body = _present(
        customer_id=customer_id, return_url=return_url, failure_url=failure_url or return_url, flow=flow, asset=asset,
        locale=locale,
    )  # fmt: skip
    return Call("POST", "/billing-portal/sessions", shapes.PortalLink, body, headers=_key(None))


def balance_token(customer_id: str, *, expires_in_s: int | None = None) -> Call[shapes.BalanceToken]:
    """A token with which a browser reads this customer's balances, and can do nothing else: 15 minutes, or as given."""
    body = _present(customer_id=customer_id, expires_in_s=expires_in_s)
    return Call("POST", "/balance-tokens", shapes.BalanceToken, body)


def payment_link(
    customer_id: str,
    *,
    amount: Amount,
    currency: str,
    return_url: str,
    failure_url: str | None = None,
    asset: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Call[shapes.PaymentLink]:
    """A link by which the customer can pay once, within 24 hours. A key of its own makes sending it again safe."""
    destination = None if asset is None else {"asset": asset}
    body = _present(
        customer_id=customer_id, amount=_text(amount), currency=currency, return_url=return_url,
        failure_url=failure_url or return_url, destination=destination, description=description, metadata=metadata,
    )  # fmt: skip
    return Call("POST", "/top-ups", shapes.PaymentLink, body, headers=_key(idempotency_key))


def get_top_up(top_up_id: str) -> Call[shapes.TopUp]:
    """One top-up."""
    return Call("GET", f"/top-ups/{_part(top_up_id)}", shapes.TopUp)


def list_top_ups(
    customer_id: str | None = None,
    *,
    asset: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[shapes.Page[shapes.TopUp]]:
    """A customer's top-ups, or everybody's, newest first."""
    query = _present(customer_id=customer_id, asset=asset, limit=limit, cursor=cursor)
    return Call("GET", "/top-ups", shapes.Page[shapes.TopUp], query=query)


def list_rules(customer_id: str) -> Call[shapes.Items[shapes.Rule]]:
    """A customer's auto top-up rules."""
    return Call("GET", f"/customers/{_part(customer_id)}/auto-top-ups", shapes.Items[shapes.Rule])


def list_cards(customer_id: str) -> Call[shapes.Items[shapes.Card]]:
    """A customer's saved cards, masked."""
    return Call("GET", f"/customers/{_part(customer_id)}/cards", shapes.Items[shapes.Card])


# --- webhooks -------------------------------------------------------------------------------------------------


def create_webhook(*, url: str, topics: Sequence[str] = ("*",)) -> Call[shapes.CreatedWebhook]:
    """Have events sent to a URL. The secret is in the answer."""
    return Call("POST", "/webhooks", shapes.CreatedWebhook, {"url": url, "topics": list(topics)}, headers=_key(None))


def list_webhooks() -> Call[shapes.Items[shapes.WebhookItem]]:
    """Every endpoint, without secrets."""
    return Call("GET", "/webhooks", shapes.Items[shapes.WebhookItem])


def get_webhook(webhook_id: str) -> Call[shapes.Webhook]:
    """One endpoint with its secret."""
    return Call("GET", f"/webhooks/{_part(webhook_id)}", shapes.Webhook)


def update_webhook(
    webhook_id: str, *, url: str | None = None, topics: Sequence[str] | None = None, enabled: bool | None = None
) -> Call[shapes.Webhook]:
    """Change URL or topics; turn it off or on."""
    body = _present(url=url, topics=None if topics is None else list(topics), enabled=enabled)
    return Call("PATCH", f"/webhooks/{_part(webhook_id)}", shapes.Webhook, body)


def delete_webhook(webhook_id: str) -> Call[None]:
    """Remove an endpoint."""
    return Call("DELETE", f"/webhooks/{_part(webhook_id)}", type(None), again=False)


def rotate_webhook(webhook_id: str) -> Call[shapes.Webhook]:
    """A new secret; the old one signs as well for 24 hours."""
    return Call("POST", f"/webhooks/{_part(webhook_id)}/rotate", shapes.Webhook, headers=_key(None))


def try_webhook(webhook_id: str, topic: str, data: Mapping[str, Any] | None = None) -> Call[shapes.Id]:
    """Send an event that did not happen to one endpoint: with these data, or with a sample."""
    path = f"/webhooks/{_part(webhook_id)}/test/{_part(topic)}"
    return Call("POST", path, shapes.Id, data, headers=_key(None))


def replay_event(event_id: str, *, webhook_id: str | None = None) -> Call[shapes.Replayed]:
    """Send an event again; its id stays the same."""
    path = f"/webhooks/events/{_part(event_id)}/replay"
    return Call("POST", path, shapes.Replayed, _present(webhook_id=webhook_id), headers=_key(None))


def replay_missed(webhook_id: str, *, since: dt.datetime) -> Call[shapes.Replayed]:
    """Send an endpoint everything since a time that it has not got."""
    return Call(
        "POST",
        f"/webhooks/{_part(webhook_id)}/replay",
        shapes.Replayed,
        {"since": since.isoformat()},
        headers=_key(None),
    )


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _text(amount: Amount) -> str:
    if isinstance(amount, float):
        raise TypeError("An amount is a Decimal, an int or text, never a float: 0.1 is not a tenth.")
    return format(amount, "f") if isinstance(amount, Decimal) else str(amount)


def _moment(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _part(text: str) -> str:
    return urllib.parse.quote(text, safe=":")


def _budget(customer_id: str, budget_id: str) -> str:
    return f"/customers/{_part(customer_id)}/budgets/{_part(budget_id)}"


def _wallet(customer_id: str) -> str:
    return f"/customers/{_part(customer_id)}/wallet"


def _key(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key or os.urandom(16).hex()}
