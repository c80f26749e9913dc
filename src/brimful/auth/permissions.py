"""Permissions: every route of every application, and who may use it. A route that is not here does not exist.

An application says who calls (`Caller`); only `authorize` says whether they may. A route without a row keeps it from
opening, and a test walks every row with every caller. Rules, cards and consents have one kind of caller, the customer:
the row of a key says `refused` there, for any scopes.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

from brimful.core.errors import Refused

Surface = Literal["api", "billing", "console"]
Who = Literal[
    "anyone",
    "key",
    "balance_token",
    "refused",
    "stripe",
    "customer",
    "payment_link",
    "turn_off_link",
    "viewer",
    "operator",
]


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who is there. A key brings its name and its scopes."""

    who: Who
    scopes: frozenset[str] = frozenset()
    key_id: str | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A route, and who may use it. A key needs the `scope`; `step_up` asks the customer for a code by mail as well."""

    surface: Surface
    method: str
    path: str
    who: frozenset[Who]
    scope: str | None = None
    step_up: bool = False


_CUSTOMER = "/v1/customers/{customer_id}"
_WALLET = f"{_CUSTOMER}/wallet"
_HOLD = f"{_WALLET}/holds/{{hold_id}}"
_WEBHOOK = "/v1/webhooks/{webhook_id}"

# Methods, path, and the scope that a key needs.
_KEYS: Sequence[tuple[str, str, str]] = (
    ("GET POST", "/v1/customers", "customers"),
    ("GET PATCH", _CUSTOMER, "customers"),
    ("GET POST", "/v1/assets", "assets"),
    ("GET PATCH", "/v1/assets/{code}", "assets"),
    ("POST DELETE", "/v1/assets/{code}/rates", "assets"),
    ("POST", "/v1/assets/{code}/quote", "assets"),
    ("GET PUT", "/v1/assets/{code}/offers", "assets"),
    ("POST", "/v1/usage", "usage"),
    ("GET POST", f"{_WALLET}/holds", "usage"),
    ("GET", _HOLD, "usage"),
    ("POST", f"{_HOLD}/capture", "usage"),
    ("POST", f"{_HOLD}/release", "usage"),
    ("POST", f"{_HOLD}/use", "usage"),
    ("GET", _WALLET, "wallets"),
    ("GET", f"{_WALLET}/{{account_id}}", "wallets"),
    ("GET", f"{_WALLET}/{{account_id}}/entries", "wallets"),
    ("GET", f"{_WALLET}/{{account_id}}/grants", "wallets"),
    ("GET", f"{_WALLET}/{{account_id}}/grants/{{grant_id}}/entries", "wallets"),
    ("POST", f"{_WALLET}/adjustments", "wallets"),
    ("POST", f"{_WALLET}/charges", "wallets"),
    ("GET", f"{_WALLET}/transactions/{{transaction_id}}", "wallets"),
    ("GET", f"{_WALLET}/{{account_id}}/spend", "wallets"),
    ("GET", f"{_WALLET}/{{account_id}}/explain", "wallets"),
    ("GET", f"{_CUSTOMER}/budgets", "budgets"),
    ("GET PUT DELETE", f"{_CUSTOMER}/budgets/{{budget_id}}", "budgets"),
    ("GET", f"{_CUSTOMER}/alerts", "wallets"),
    ("GET PUT DELETE", f"{_CUSTOMER}/alerts/{{asset}}", "wallets"),
    ("GET", f"{_CUSTOMER}/auto-top-ups", "wallets"),
    ("GET", f"{_CUSTOMER}/auto-top-ups/{{asset}}", "wallets"),
    ("GET", f"{_CUSTOMER}/auto-top-ups/{{asset}}/explain", "wallets"),
    ("GET", f"{_CUSTOMER}/presets", "portal"),
    ("PUT DELETE", f"{_CUSTOMER}/presets/{{asset}}", "portal"),
    ("GET", "/v1/segments/{segment}/presets", "portal"),
    ("PUT DELETE", "/v1/segments/{segment}/presets/{asset}", "portal"),
    ("GET", f"{_CUSTOMER}/cards", "wallets"),
    ("GET POST", "/v1/top-ups", "top_ups"),
    ("GET", "/v1/top-ups/{top_up_id}", "top_ups"),
    ("POST", "/v1/top-ups/{top_up_id}/refunds", "refunds"),
    ("POST", "/v1/billing-portal/sessions", "portal"),
    ("POST", "/v1/balance-tokens", "portal"),
    ("GET POST", "/v1/webhooks", "webhooks"),
    ("GET", "/v1/webhooks/events", "webhooks"),
    ("GET", "/v1/webhooks/events/{event_id}", "webhooks"),
    ("POST", "/v1/webhooks/events/{event_id}/replay", "webhooks"),
    ("POST", "/v1/webhooks/test/{topic}", "webhooks"),
    ("GET PATCH DELETE", _WEBHOOK, "webhooks"),
    ("POST", f"{_WEBHOOK}/rotate", "webhooks"),
    ("POST", f"{_WEBHOOK}/replay", "webhooks"),
    ("POST", f"{_WEBHOOK}/test/{{topic}}", "webhooks"),
)
# What no key may write, with any scopes: these paths answer with the way to the portal.
_CUSTOMERS_OWN = ("auto-top-ups", "auto-top-ups/{asset}", "cards", "cards/{card_id}", "consents")
_OPEN = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")

# Methods, path, who besides the customer's whole session, and whether a code by mail is asked for before it is written.
_BILLING: Sequence[tuple[str, str, str, bool]] = (
    ("GET", "/", "", False),
    ("GET", "/live", "", False),
    ("POST", "/language", "payment_link turn_off_link", False),
    ("POST", "/leave", "payment_link turn_off_link", False),
    ("GET POST", "/top-up", "", False),
    ("POST", "/top-up/summary", "", False),
    ("GET", "/top-ups/{top_up_id}", "payment_link", False),
    ("GET", "/receipts/{top_up_id}", "payment_link", False),
    ("GET POST", "/pay", "payment_link", False),
    ("GET POST", "/confirm/{top_up_id}", "payment_link", False),
    ("GET", "/auto-top-up", "", False),
    ("GET POST", "/auto-top-up/{asset}", "", True),
    ("POST", "/auto-top-up/{asset}/terms", "", False),
    ("POST", "/auto-top-up/{asset}/off", "", False),
    ("GET POST", "/alerts/{asset}", "", False),
    ("POST", "/alerts/{asset}/off", "", False),
    ("GET POST", "/turn-off", "turn_off_link", False),
    ("GET", "/consents/{consent_id}", "", False),
    ("GET", "/cards", "", False),
    ("POST", "/cards/add", "", True),
    ("GET", "/cards/added/{setup_id}", "", False),
    ("GET POST", "/cards/{card_id}/remove", "", True),
    ("POST", "/cards/{card_id}/default", "", True),
    ("GET", "/credits/{asset}", "", False),
    ("GET POST", "/limits/{asset}", "", False),
    ("POST", "/limits/{asset}/end", "", False),
    ("GET POST", "/take-back/{top_up_id}", "", False),
    ("GET", "/activity", "", False),
    ("GET", "/activity.csv", "", False),
)
_BILLING_OPEN = ("/open/{token}", "/theme.css", "/logo.png", "/static")

_TOP_UP = "/top-ups/{customer_id}/{top_up_id}"
# Methods, path, and the least that somebody at the console must be.
_CONSOLE: Sequence[tuple[str, str, Literal["viewer", "operator"]]] = (
    ("GET", "/", "viewer"),
    ("GET", "/customers", "viewer"),
    ("GET", "/customers/{customer_id}", "viewer"),
    ("GET", "/customers/{customer_id}/ledger/{asset}", "viewer"),
    ("POST", "/customers/{customer_id}/rules/{asset}/pause", "operator"),
    ("POST", "/customers/{customer_id}/rules/{asset}/look", "operator"),
    ("POST", "/customers/{customer_id}/sign-out", "operator"),
    ("GET", "/top-ups", "viewer"),
    ("GET", "/queue", "viewer"),
    ("GET", _TOP_UP, "viewer"),
    ("POST", f"{_TOP_UP}/retry", "operator"),
    ("POST", f"{_TOP_UP}/ask", "operator"),
    ("POST", f"{_TOP_UP}/cancel", "operator"),
    ("POST", f"{_TOP_UP}/resolve", "operator"),
    ("POST", f"{_TOP_UP}/refund", "operator"),
    ("GET", "/disputes/{dispute_id}", "viewer"),
    ("GET", "/webhooks", "viewer"),
    ("GET", "/webhooks/events/{event_id}", "viewer"),
    ("POST", "/webhooks/events/{event_id}/replay", "operator"),
    ("POST", "/webhooks/{endpoint_id}/enable", "operator"),
    ("GET", "/stripe", "viewer"),
    ("POST", "/stripe/{event_id}/again", "operator"),
    ("POST", "/stripe/{event_id}/leave", "operator"),
    ("GET", "/reconciliation", "viewer"),
    ("POST", "/reconciliation/compare", "operator"),
    ("GET", "/charging", "viewer"),
    ("POST", "/charging/stop", "operator"),
    ("POST", "/charging/start", "operator"),
    ("GET", "/audit", "viewer"),
    ("GET", "/password", "viewer"),
    ("POST", "/password", "viewer"),
)


def _api() -> Iterator[Row]:
    for methods, path, scope in _KEYS:
        for method in methods.split():
            yield Row("api", method, path, frozenset({"key"}), scope)
    for path in _CUSTOMERS_OWN:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            yield Row("api", method, f"{_CUSTOMER}/{path}", frozenset({"refused"}))
    yield Row("api", "GET", "/v1/balances", frozenset({"balance_token"}))
    yield Row("api", "POST", "/v1/stripe/webhooks", frozenset({"stripe"}))
    for path in _OPEN:
        yield Row("api", "GET", path, frozenset({"anyone"}))


def _billing() -> Iterator[Row]:
    for methods, path, also, step_up in _BILLING:
        links: list[Who] = [who for who in ("payment_link", "turn_off_link") if who in also.split()]
        for method in methods.split():
            who: frozenset[Who] = frozenset({"customer", *links})
            yield Row("billing", method, path, who, step_up=step_up and method == "POST")
    for path in _BILLING_OPEN:
        for method in ("GET", "POST") if path.startswith("/open") else ("GET",):
            yield Row("billing", method, path, frozenset({"anyone"}))


def _console() -> Iterator[Row]:
    for method, path, least in _CONSOLE:
        both: frozenset[Who] = frozenset({"viewer", "operator"})
        yield Row("console", method, path, both if least == "viewer" else frozenset({"operator"}))
    for method, path in (("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out"), ("GET", "/static")):
        yield Row("console", method, path, frozenset({"anyone"}))


PERMISSIONS: dict[tuple[Surface, str, str], Row] = {
    (row.surface, row.method, row.path): row for row in (*_api(), *_billing(), *_console())
}


def rows_of(surface: Surface) -> list[Row]:
    """Every row of an application."""
    return [row for row in PERMISSIONS.values() if row.surface == surface]


def row_for(surface: Surface, method: str, path: str) -> Row:
    """The row of a route. There must be one: who may use it is decided here, not beside the route."""
    row = PERMISSIONS.get((surface, "GET" if method == "HEAD" else method, path))
    assert row is not None, f"{method} {path} of {surface} has no row in access.py"
    return row


_HOW = {
    "api": "This key or token may not do this.",
    "billing": "This link is for one thing only.",
    "console": "You may look, not act: ask for the role of an operator.",
}


def authorize(row: Row, caller: Caller) -> None:
    """Whether they may; refuses everybody who is not named."""
    if "anyone" in row.who:
        return
    if "refused" in row.who and caller.who == "key":
        raise Refused(
            "customer_only",
            "Only the customer may set rules, cards and consents. Send them to the Billing Portal: "
            "POST /v1/billing-portal/sessions.",
        )
    if caller.who not in row.who:
        raise Refused("forbidden", _HOW[row.surface])
    if caller.who == "key" and row.scope not in caller.scopes:
        raise Refused("forbidden", f"This key lacks the scope {row.scope!r}.")
