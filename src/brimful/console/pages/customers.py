"""Customers: find one, see everything about them, read a ledger, pause a rule."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

from starlette.responses import Response

from brimful import auto_top_up, budgets, cards, customers, grants, leases, ledger, operations, payments, top_ups
from brimful.console import view_model, words
from brimful.console.context import Page
from brimful.console.pages.top_ups import disputes
from brimful.console.view_model import Act, Cell, Field, Table, View
from brimful.core import money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx

_PAGE = 100
_LATEST = 20


async def search(page: Page) -> Response:
    """By id, external id, id at Stripe, PaymentIntent, top-up, name or e-mail; the newest without a word."""
    text = page.query("q")
    rows: list[list[Cell | str]]
    async with page.database.transaction() as tx:
        if text is None:
            rows = [_newest(line) for line in await operations.lookup.list_customers(tx, limit=_PAGE)]
        else:
            rows = [
                [Cell(one.name, f"/customers/{one.customer_id}"), one.customer_id,
                 Cell(f"{one.by} {one.top_up_id}", f"/top-ups/{one.customer_id}/{one.top_up_id}")
                 if one.top_up_id else one.by]
                for one in await operations.lookup.search(tx, text)
            ]  # fmt: skip
    columns = ("Name", "Balances", "Auto top-up", "Last top-up") if text is None else ("Name", "Id", "By")
    table = Table("Newest customers" if text is None else "Found", columns, rows, "Nobody.")
    hint = "Name, e-mail, id, external id, cus_, pi_ or top-up"
    return page.show(View("Customers", "customers", tables=[table], filters=[Field("q", hint, text or "")]))


def _newest(line: operations.lookup.CustomerLine) -> list[Cell | str]:
    last = "" if line.top_up_id is None else Cell(
        f"{view_model.moment(line.requested_at)} {line.state}", f"/top-ups/{line.customer_id}/{line.top_up_id}",
        "warn" if line.state in {"failed", "action_required", "retry_wait", "unknown"} else None,
    )  # fmt: skip
    paused = Cell(f"paused: {', '.join(line.paused)}", None, "warn") if line.paused else None
    return [
        Cell(line.name, f"/customers/{line.customer_id}"),
        ", ".join(f"{money.text(available)} {asset}" for asset, available in line.balances.items()),
        paused or (f"on: {', '.join(line.on)}" if line.on else ""),
        last,
    ]


async def customer(page: Page) -> Response:
    """Balances, rules with why they charge or do not, cards, top-ups, holds, what was changed."""
    customer_id = page.customer_id
    async with page.database.transaction() as tx:
        one = await customers.get(tx, customer_id)
        accounts = await ledger.accounts.list_for(tx, customer_id)
        rules, acts = await _rules(page, tx, customer_id)
        saved = await cards.store.list_for(tx, customer_id)
        latest = await top_ups.store.list_page(tx, customer_id, limit=_LATEST)
        held = await ledger.holds.list_page(tx, customer_id, limit=_LATEST)
        leased = await leases.store.of_holds(tx, held)
        limits = await budgets.store.page(tx, customer_id, limit=_PAGE)
        contested = await payments.reversals.disputes_of(tx, customer_id)
        trail = await operations.lookup.audit_trail(tx, customer_id=customer_id, limit=_LATEST)
    facts: list[tuple[str, Cell | str]] = [
        ("Id", customer_id), ("External id", one.external_id or "-"), ("E-mail", one.email or "-"),
        ("At Stripe", view_model.at_stripe(one.stripe_customer_id, page.deps.settings) or "-"),
        ("Since", view_model.moment(one.created_at)),
    ]  # fmt: skip
    saved_rows = [[card.label, card.expiry, card.state, card.state_reason or ""] for card in saved]
    trail_rows = [
        [view_model.moment(row["at"]), words.who(row["actor"]), row["action"],
         words.difference(row["before"], row["after"])]
        for row in trail
    ]  # fmt: skip
    tables = [
        _balances(customer_id, accounts),
        rules,
        Table("Cards", ("Card", "Expires", "State", "Why"), saved_rows),
        _top_ups(customer_id, latest),
        *([disputes(page, contested)] if contested else []),
        _holds(held, leased),
        *([_budgets(limits)] if limits else []),
        Table("Audit", ("At", "Who", "What", "Changed"), trail_rows),
    ]
    hint = "Portal sessions, and every link that is still valid: one was stolen, or went to somebody else."
    acts.append(Act(f"/customers/{customer_id}/sign-out", "End sessions and links", hint=hint))
    return page.show(View(one.name, "customers", facts, tables, acts))


def _balances(customer_id: CustomerId, accounts: Sequence[ledger.accounts.Account]) -> Table:
    rows: list[list[Cell | str]] = [
        [Cell(one.asset, f"/customers/{customer_id}/ledger/{one.asset}"), money.text(one.available),
         money.text(one.balance), money.text(one.held)]
        for one in accounts
    ]  # fmt: skip
    return Table("Balances", ("Asset", "Available", "Balance", "Held"), rows)


def _top_ups(customer_id: CustomerId, latest: Sequence[top_ups.model.TopUp]) -> Table:
    rows: list[list[Cell | str]] = [
        [Cell(one.top_up_id, f"/top-ups/{customer_id}/{one.top_up_id}"),
         view_model.cash(one.amount_minor, one.currency), words.state(one.state), words.reason(one.reason),
         view_model.moment(one.requested_at)]
        for one in latest
    ]  # fmt: skip
    return Table("Latest top-ups", ("Top-up", "Amount", "State", "Reason", "Requested"), rows)


def _holds(held: Sequence[ledger.holds.Hold], leased: Mapping[str, leases.model.Lease]) -> Table:
    rows: list[list[Cell | str]] = [
        [one.hold_id, f"{money.text(one.amount)} {one.asset}", one.state, _lease(leased.get(one.hold_id)),
         view_model.moment(one.expires_at)]
        for one in held
    ]  # fmt: skip
    return Table("Latest holds", ("Hold", "Amount", "State", "Lease", "Expires"), rows)


def _lease(lease: leases.model.Lease | None) -> Cell | str:
    if lease is None:
        return ""
    why = "" if lease.why is None else f": {lease.why}"
    tone: Literal["warn"] | None = "warn" if lease.state == "winding_down" else None
    return Cell(f"{lease.state.replace('_', ' ')}{why}, {money.text(lease.used)} used", None, tone)


def _budgets(limits: Sequence[budgets.counting.Running]) -> Table:
    """Those that stand, with what their windows have counted."""
    rows: list[list[Cell | str]] = []
    for one in limits:
        budget = one.budget
        key, value = budgets.tags.parts(budget.tag)
        what = "all" if value is None else value if key is None else f"{key}: {value}"
        beyond = sum((window.beyond for window in one.windows), Decimal(0))
        rows.append([
            budget.title, what, budget.parent_id or "",
            budget.span.replace("_", " "), "hard" if budget.hard else "soft", budget.set_by,
            f"{money.text(budget.amount)} {budget.asset}",
            Cell(money.text(one.used), None, "warn" if one.used >= budget.amount else None), money.text(one.held),
            money.text(beyond) if beyond else "",
        ])  # fmt: skip
    columns = ("Budget", "For", "Below", "Window", "At the limit", "Set by", "Amount", "Used", "Held", "Beyond")
    return Table("Budgets", columns, rows)


async def _rules(page: Page, tx: Tx, customer_id: CustomerId) -> tuple[Table, list[Act]]:
    rows, acts = [], []
    for rule in await auto_top_up.rules.list_rules(tx, customer_id):
        found = await payments.explain.explain(tx, customer_id, rule.asset, page.deps.pace)
        why = "" if found is None else found.sentence
        state = "paused" if rule.pause_reason else "on" if rule.enabled else "off"
        rows.append([rule.asset, state, _terms(rule), _limits(rule), why])
        acts.append(Act(f"/customers/{customer_id}/rules/{rule.asset}/look", f"Evaluate {rule.asset} again"))
        if rule.enabled and rule.pause_reason is None:
            hint = "Only the customer can turn it on again."
            acts.append(Act(f"/customers/{customer_id}/rules/{rule.asset}/pause", f"Pause {rule.asset}", hint=hint))
    return Table("Auto top-up", ("Asset", "State", "Terms", "Limit", "Why"), rows, "No rule."), acts


def _terms(rule: auto_top_up.rules.Rule) -> str:
    """When it charges, and how much."""
    most = view_model.cash(rule.most_minor, rule.currency)
    if rule.target is not None:
        return f"below {_threshold(rule)} back to {money.text(rule.target)}, at most {most}"
    if rule.lasts_days is not None:
        return f"below {_threshold(rule)} add {rule.lasts_days} days' use, at most {most}"
    amount = view_model.cash(rule.amount_minor, rule.currency)
    return f"below {_threshold(rule)} add {amount}" + ("" if most == amount else f", at most {most} at once")


def _threshold(rule: auto_top_up.rules.Rule) -> str:
    if rule.threshold_low is None:
        return money.text(rule.threshold)
    return f"{money.text(rule.in_force)} (between {money.text(rule.threshold_low)} and {money.text(rule.threshold)})"


def _limits(rule: auto_top_up.rules.Rule) -> str:
    bounds = [f"{view_model.cash(rule.limit_minor, rule.currency)} a month"]
    if rule.day_limit_minor is not None:
        bounds.insert(0, f"{view_model.cash(rule.day_limit_minor, rule.currency)} in 24 hours")
    if rule.ask_above_minor is not None:
        bounds.append(f"asks above {view_model.cash(rule.ask_above_minor, rule.currency)}")
    if rule.ask_after is not None:
        bounds.append(f"asks after {rule.ask_after} in 24 hours")
    if rule.promotional_counts is False:
        bounds.append("promotional credit not counted")
    return ", ".join([*bounds, *(["brake on"] if rule.brake else [])])


async def ledger_of(page: Page) -> Response:
    """Every entry of one balance, newest first."""
    customer_id, asset = page.customer_id, page.path("asset")
    before = page.query("before")
    if before is not None and not (before.isascii() and before.isdigit() and len(before) < 19):
        raise Refused("invalid_field", "This page does not exist.")
    async with page.database.transaction() as tx:
        one = await customers.get(tx, customer_id)
        place = None if before is None else int(before)
        rows = await ledger.entries.newest(tx, customer_id, asset, before=place, limit=_PAGE + 1)
        rows = await top_ups.store.with_top_ups(tx, customer_id, rows)
        used = await _used(page, tx, (customer_id, asset), rows)
        lots = [] if before else await _credits(page, tx, customer_id, asset)
    shown = [
        [str(row["seq"]), row["kind"], money.text(row["amount"]), money.text(row["balance_after"]), row["key"],
         row["description"] or "", ", ".join(sorted(used.get(row["seq"], ()))),
         Cell(row["top_up_id"], f"/top-ups/{customer_id}/{row['top_up_id']}") if row["top_up_id"] else "",
         view_model.moment(row["recorded_at"])]
        for row in rows[:_PAGE]
    ]  # fmt: skip
    path = f"/customers/{customer_id}/ledger/{asset}"
    more = f"{path}?before={rows[_PAGE - 1]['seq']}" if len(rows) > _PAGE else None
    columns = ("Seq", "Kind", "Amount", "After", "Key", "Description", "Credit used", "Top-up", "Recorded")
    facts = [("Customer", Cell(one.name, f"/customers/{customer_id}"))]
    tables = [*lots, Table("Entries", columns, shown, more=more)]
    return page.show(View(f"Ledger of {asset}", "customers", facts, tables))


async def _used(page: Page, tx: Tx, key: ledger.accounts.AccountKey, rows: Sequence[Row]) -> dict[int, frozenset[str]]:
    """The purposes of the credits that these entries used."""
    if not rows:
        return {}
    return await ledger.lot_store.purposes(tx, page.deps.keyring, key, rows[-1]["seq"], rows[0]["seq"])


async def _credits(page: Page, tx: Tx, customer_id: CustomerId, asset: str) -> list[Table]:
    """What is left of each credit, in the order in which they burn, and those that begin later."""
    account = await ledger.accounts.get(tx, customer_id, asset)
    if account is None:
        return []
    lots = await ledger.lot_store.read(tx, page.deps.keyring, account.key, account.head.seq)
    left = [
        [str(lot.seq), lot.kind, lot.purpose, str(lot.priority), money.text(lot.left), money.text(lot.amount),
         view_model.moment(lot.expires_at) or "never"]
        for lot in lots
    ]  # fmt: skip
    columns = ("Seq", "Kind", "Purpose", "Priority", "Left", "Of", "Expires")
    tables = [Table("Credits, in the order in which they burn", columns, left, "Nothing is left.")]
    later = [
        [one.key, one.purpose, money.text(one.amount), view_model.moment(one.effective_at),
         view_model.moment(one.expires_at) or "never"]
        for one in await grants.scheduled.list_for(tx, account.key)
    ]  # fmt: skip
    if later:
        tables.append(Table("Begin later", ("Key", "Purpose", "Amount", "Begins", "Expires"), later))
    return tables


async def pause(page: Page) -> Response:
    """Let a rule rest."""
    customer_id, asset = page.customer_id, page.path("asset")
    async with page.database.transaction() as tx:
        await operations.actions.pause_rule(tx, customer_id, asset, actor=page.session.actor, pace=page.deps.pace)
    return page.go(f"/customers/{customer_id}")


async def sign_out(page: Page) -> Response:
    """End what a customer has open."""
    customer_id = page.customer_id
    async with page.database.transaction() as tx:
        await operations.actions.sign_out(tx, customer_id, actor=page.session.actor)
    return page.go(f"/customers/{customer_id}")


async def lookup(page: Page) -> Response:
    """Evaluate an account again."""
    customer_id, asset = page.customer_id, page.path("asset")
    async with page.database.transaction() as tx:
        await operations.actions.check_event(tx, customer_id, asset, actor=page.session.actor, pace=page.deps.pace)
    return page.go(f"/customers/{customer_id}")
