"""Look up customers and top-ups by any id or name that an operator has."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from brimful import auto_top_up, budgets, cards, customers, ledger, payments, top_ups
from brimful.auto_top_up.policy import Pace
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx
from brimful.operations import health

_LATEST = 20


@dataclasses.dataclass(frozen=True)
class Found:
    """A customer, and by what they were found."""

    customer_id: CustomerId
    name: str
    by: str
    top_up_id: str | None = None


# What is found by an alias, and what by the customers' own tables: they may lie on different nodes.
_ALIASED = """
    SELECT kind, customer_id, target_id FROM aliases WHERE kind = ANY(%(kinds)s) AND value = %(text)s LIMIT %(limit)s
"""
_PAID_FOR = "SELECT payment_id, top_up_id FROM payments WHERE customer_id = ANY(%s) AND payment_id = ANY(%s)"
_SEARCH = """
    SELECT customer_id, name,
        CASE WHEN customer_id = %(id)s THEN 'id' WHEN customer_id = ANY(%(others)s) THEN 'other'
            ELSE 'name or e-mail' END AS by
    FROM customers
    WHERE customer_id = %(id)s OR customer_id = ANY(%(others)s)
        OR name ILIKE %(like)s ESCAPE '!' OR email ILIKE %(like)s ESCAPE '!'
    ORDER BY customer_id = %(id)s OR customer_id = ANY(%(others)s) DESC LIMIT %(limit)s
"""
_KINDS = ["external_id", "stripe_customer", "payment_intent", "checkout_session", "payment_method", "top_up"]


async def search(tx: Tx, text: str, *, limit: int = 50) -> list[Found]:
    """Customers by their id, external id, id at Stripe, PaymentIntent, top-up, or part of name or e-mail."""
    wanted = text.strip()[:300]
    if not wanted:
        return []
    escaped = wanted.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    named = await _named(tx, wanted, limit)
    values = {"id": CustomerId(wanted), "like": f"%{escaped}%", "others": [one[0] for one in named], "limit": limit}
    rows = await tx.all(_SEARCH, values)
    names = {row["customer_id"]: row["name"] for row in rows}
    known = {
        (one, top_up_id): Found(one, names[one], by, top_up_id) for one, by, top_up_id in named if one in names
    }  # fmt: skip
    for row in rows:
        if row["by"] != "other":
            known[row["customer_id"], None] = Found(row["customer_id"], row["name"], row["by"])
    return list(known.values())[:limit]


async def _named(tx: Tx, text: str, limit: int) -> list[tuple[CustomerId, str, str | None]]:
    """Who is meant by an id of something of theirs: (customer, what it is, the top-up it leads to)."""
    aliases = await tx.all(_ALIASED, {"kinds": _KINDS, "text": text, "limit": limit})
    columns = [[row[name] for row in aliases] for name in ("customer_id", "target_id")]
    paid_for = {row["payment_id"]: row["top_up_id"] for row in await tx.all(_PAID_FOR, columns)}
    named = [
        (row["customer_id"], row["kind"].replace("_", " "),
         row["target_id"] if row["kind"] == "top_up" else paid_for.get(row["target_id"]))
        for row in aliases
    ]  # fmt: skip
    owner = await top_ups.store.owner_of(tx, text)
    if owner is not None and (owner, "top up", text) not in named:
        named.append((owner, "top up", text))
    return named


@dataclasses.dataclass(frozen=True)
class TopUpLine:
    """A top-up in a list, with whose it is."""

    customer_id: CustomerId
    customer_name: str
    top_up_id: str
    asset: str
    kind: str
    state: str
    reason: str | None
    currency: str
    amount_minor: int
    tries: int
    needs_review: bool
    requested_at: dt.datetime
    wake_at: dt.datetime | None
    ended_at: dt.datetime | None
    balance_after: Decimal | None
    failures: int

    @property
    def money(self) -> str:
        """Its amount, with the currency."""
        return f"{money.text(money.major(self.amount_minor, self.currency))} {self.currency}"

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return _json(dataclasses.asdict(self))


_LINES = """
    SELECT t.customer_id, c.name AS customer_name, t.top_up_id, t.asset, t.kind, t.state, t.reason, t.currency,
        t.amount_minor, t.tries, t.needs_review, t.requested_at, t.wake_at, t.ended_at, t.balance_after,
        t.failures
    FROM top_ups AS t JOIN customers AS c ON c.customer_id = t.customer_id
    WHERE (%(states)s::text[] IS NULL OR t.state = ANY(%(states)s))
        AND (%(reason)s::text IS NULL OR t.reason = %(reason)s)
        AND (%(review)s::boolean IS NULL OR t.needs_review = %(review)s)
        AND (%(live)s::boolean IS NULL OR (t.ended_at IS NULL) = %(live)s)
        AND (%(late)s::timestamptz IS NULL OR coalesce(t.wake_at, t.requested_at) < %(late)s)
        AND (%(before)s::text IS NULL OR t.top_up_id < %(before)s)
    ORDER BY t.top_up_id DESC LIMIT %(limit)s
"""


async def list_top_ups(
    tx: Tx,
    *,
    limit: int,
    states: Sequence[str] | None = None,
    reason: str | None = None,
    review: bool | None = None,
    live: bool | None = None,
    overdue: bool = False,
    before: str | None = None,
) -> list[TopUpLine]:
    """Top-ups of everybody, newest first; `overdue` are those that nobody has looked at in time."""
    values = {
        "states": None if states is None else list(states), "reason": reason, "review": review, "live": live,
        "late": await tx.now() - health.OVERDUE if overdue else None, "before": before, "limit": limit,
    }  # fmt: skip
    return [TopUpLine(**row) for row in await tx.all(_LINES, values)]


@dataclasses.dataclass(frozen=True)
class CustomerLine:
    """A customer in a list: what they have, what is on or paused, and their latest top-up."""

    customer_id: CustomerId
    name: str
    balances: Mapping[str, Decimal]  # what is available
    on: Sequence[str]  # assets
    paused: Sequence[str]
    top_up_id: str | None
    state: str | None
    requested_at: dt.datetime | None


_BALANCES = (
    "SELECT customer_id, asset, balance - held AS available FROM accounts WHERE customer_id = ANY(%s) ORDER BY asset"
)
_RULES = """
    SELECT r.customer_id, r.asset, s.paused_at FROM rules AS r
    JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset AND s.customer_id = ANY(%(customers)s)
    WHERE r.customer_id = ANY(%(customers)s) AND r.enabled ORDER BY r.asset
"""
_NEWEST = """
    SELECT DISTINCT ON (customer_id) customer_id, top_up_id, state, requested_at FROM top_ups
    WHERE customer_id = ANY(%s) ORDER BY customer_id, top_up_id DESC
"""


async def list_customers(tx: Tx, *, limit: int) -> list[CustomerLine]:
    """The newest customers with what an operator asks of them first: three queries, however many there are."""
    found = await customers.list_page(tx, limit=limit)
    ids = [one.customer_id for one in found]
    balances: dict[str, dict[str, Decimal]] = {}
    for row in await tx.all(_BALANCES, (ids,)):
        balances.setdefault(row["customer_id"], {})[row["asset"]] = row["available"]
    rules = await tx.all(_RULES, {"customers": ids})
    newest = {row["customer_id"]: row for row in await tx.all(_NEWEST, (ids,))}
    nothing: Mapping[str, Any] = {"top_up_id": None, "state": None, "requested_at": None}
    return [
        CustomerLine(
            one.customer_id, one.name, balances.get(one.customer_id, {}),
            [r["asset"] for r in rules if r["customer_id"] == one.customer_id and r["paused_at"] is None],
            [r["asset"] for r in rules if r["customer_id"] == one.customer_id and r["paused_at"] is not None],
            **{name: newest.get(one.customer_id, nothing)[name] for name in nothing},
        )
        for one in found
    ]  # fmt: skip


_TRAIL = """
    SELECT audit_id, at, actor, action, customer_id, before, after FROM audit
    WHERE (%(customer_id)s::uuid IS NULL OR customer_id = %(customer_id)s)
        AND (%(actor)s::text IS NULL OR actor = %(actor)s) AND (%(action)s::text IS NULL OR action = %(action)s)
        AND (%(before)s::text IS NULL OR audit_id < %(before)s)
    ORDER BY audit_id DESC LIMIT %(limit)s
"""


async def audit_trail(
    tx: Tx,
    *,
    limit: int,
    customer_id: CustomerId | None = None,
    actor: str | None = None,
    action: str | None = None,
    before: str | None = None,
) -> list[Row]:
    """The audit trail, newest first."""
    narrowed = {"customer_id": customer_id, "actor": actor, "action": action}
    return await tx.all(_TRAIL, {**narrowed, "before": before, "limit": limit})


async def owner_of(tx: Tx, top_up_id: str) -> CustomerId:
    """The customer whose top-up it is."""
    owner = await top_ups.store.owner_of(tx, top_up_id)
    if owner is None:
        raise Refused("top_up_not_found", f"There is no top-up {top_up_id[:60]!r}.")
    return owner


async def find_one(tx: Tx, text: str) -> CustomerId:
    """The one customer that a text names; refuses when it names none or several."""
    found = {one.customer_id: one for one in await search(tx, text, limit=10)}
    if not found:
        raise Refused("customer_not_found", f"Nobody is found by {text[:60]!r}.")
    if len(found) > 1:
        names = "; ".join(f"{one.customer_id} {one.name}" for one in found.values())
        raise Refused("invalid_field", f"{text[:60]!r} names several: {names}. Give an id.")
    return next(iter(found))


_PAYMENTS = """
    SELECT payment_id, kind, presence, state, card_id, stripe_intent_id, stripe_session_id, error_code, decline_code,
        advice_code, created_at, confirm_sent_at, closed_at
    FROM payments WHERE customer_id = %s AND top_up_id = %s ORDER BY created_at
"""


async def payments_of(tx: Tx, customer_id: CustomerId, top_up_id: str) -> list[Row]:
    """Every try of a top-up, the oldest first."""
    return await tx.all(_PAYMENTS, (customer_id, top_up_id))


async def describe(tx: Tx, customer_id: CustomerId, top_up_id: str) -> dict[str, Any]:
    """A top-up with every payment and refund of it, as JSON."""
    top_up = await top_ups.store.get(tx, customer_id, top_up_id)
    tries = await payments_of(tx, customer_id, top_up_id)
    refunds = await payments.refunds.list_of_top_up(tx, customer_id, top_up_id)
    return {
        **_json(dataclasses.asdict(top_up)),
        "payments": [_json(row) for row in tries],
        "refunds": [_json(dataclasses.asdict(one)) for one in refunds],
    }


_BUDGETS_MAX = 100


async def customer_record(tx: Tx, customer_id: CustomerId, pace: Pace) -> dict[str, Any]:
    """A customer with balances, rules and why they charge or do not, cards, budgets and the latest top-ups, as JSON."""
    one = await customers.get(tx, customer_id)
    rules = []
    for rule in await auto_top_up.rules.list_rules(tx, customer_id):
        found = await payments.explain.explain(tx, customer_id, rule.asset, pace)
        why = None if found is None else found.sentence
        rules.append({**_json(dataclasses.asdict(rule)), "explanation": why})
    accounts = await ledger.accounts.list_for(tx, customer_id)
    saved = await cards.store.list_for(tx, customer_id)
    latest = await top_ups.store.list_page(tx, customer_id, limit=_LATEST)
    limits = await budgets.store.page(tx, customer_id, limit=_BUDGETS_MAX)
    return {
        **_json(dataclasses.asdict(one)),
        "accounts": [
            {"asset": item.asset, "available": money.text(item.available), "balance": money.text(item.balance),
             "held": money.text(item.held)}
            for item in accounts
        ],
        "rules": rules,
        "cards": [
            {"card_id": card.card_id, "card": card.label, "expires": card.expiry, "state": card.state,
             "state_reason": card.state_reason}
            for card in saved
        ],
        "budgets": [
            {"budget_id": item.budget.budget_id, "asset": item.budget.asset, "for": item.budget.tag,
             "window": item.budget.span, "amount": money.text(item.budget.amount), "used": money.text(item.used),
             "held": money.text(item.held), "hard": item.budget.hard, "set_by": item.budget.set_by}
            for item in limits
        ],
        "top_ups": [
            {"top_up_id": item.top_up_id, "kind": item.kind, "asset": item.asset, "state": item.state,
             "reason": item.reason, "requested_at": clock.rfc3339(item.requested_at)}
            for item in latest
        ],
    }  # fmt: skip


def _json(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return money.text(value)
    if isinstance(value, dt.datetime):
        return clock.rfc3339(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return value
