"""Customers: find one, see everything about them, read a ledger, pause a rule."""

from starlette.responses import Response

from brimful import auto_topup, cards, customers, desk, explain, ledger, money, topups, wallets
from brimful.console.door import Page
from brimful.console.screen import Act, Cell, Field, Screen, Table, cash, moment
from brimful.db import Tx
from brimful.errors import Refused

__all__ = ["customer", "ledger_of", "look", "pause", "search"]

_PAGE = 100
_LATEST = 20


async def search(page: Page) -> Response:
    """By id, external id, id at Stripe, PaymentIntent, top-up, name or e-mail; the newest without a word."""
    text = page.query("q")
    rows: list[list[Cell | str]]
    async with page.database.transaction() as tx:
        if text is None:
            found, _ = await customers.list_page(tx, limit=_PAGE, offset=0)
            rows = [[Cell(one.name, f"/customers/{one.customer_id}"), one.customer_id, ""] for one in found]
        else:
            rows = [
                [Cell(one.name, f"/customers/{one.customer_id}"), one.customer_id,
                 Cell(f"{one.by} {one.top_up_id}", f"/top-ups/{one.customer_id}/{one.top_up_id}")
                 if one.top_up_id else one.by]
                for one in await desk.search(tx, text)
            ]  # fmt: skip
    table = Table("Newest customers" if text is None else "Found", ("Name", "Id", "By"), rows, "Nobody.")
    hint = "Name, e-mail, id, external id, cus_, pi_ or top-up"
    return page.show(Screen("Customers", "customers", tables=[table], filters=[Field("q", hint, text or "")]))


async def customer(page: Page) -> Response:
    """Balances, rules with why they charge or do not, cards, top-ups, holds, what was changed."""
    customer_id = page.path("customer_id")
    async with page.database.transaction() as tx:
        one = await customers.get(tx, customer_id)
        accounts = await wallets.list_for(tx, customer_id)
        rules, acts = await _rules(page, tx, customer_id)
        saved = await cards.list_for(tx, customer_id)
        latest = await topups.list_page(tx, customer_id, limit=_LATEST)
        held = await wallets.holds.list_page(tx, customer_id, limit=_LATEST)
        trail = await desk.trail(tx, customer_id=customer_id, limit=_LATEST)
    facts: list[tuple[str, Cell | str]] = [
        ("Id", customer_id), ("External id", one.external_id or "-"), ("E-mail", one.email or "-"),
        ("At Stripe", one.stripe_customer_id or "-"), ("Since", moment(one.created_at)),
    ]  # fmt: skip
    tables = [
        Table(
            "Balances",
            ("Asset", "Available", "Balance", "Held"),
            [
                [Cell(account.asset, f"/customers/{customer_id}/ledger/{account.asset}"), money.text(account.available),
                 money.text(account.balance), money.text(account.held)]
                for account in accounts
            ],
        ),
        rules,
        Table(
            "Cards",
            ("Card", "Expires", "State", "Why"),
            [[card.label, card.expiry, card.state, card.state_reason or ""] for card in saved],
        ),
        Table(
            "Latest top-ups",
            ("Top-up", "Amount", "State", "Reason", "Requested"),
            [
                [Cell(top_up.top_up_id, f"/top-ups/{customer_id}/{top_up.top_up_id}"),
                 cash(top_up.amount_minor, top_up.currency), top_up.state, top_up.reason or "",
                 moment(top_up.requested_at)]
                for top_up in latest
            ],
        ),
        Table(
            "Latest holds",
            ("Hold", "Amount", "State", "Expires"),
            [
                [item.hold_id, f"{money.text(item.amount)} {item.asset}", item.state, moment(item.expires_at)]
                for item in held
            ],
        ),
        Table(
            "Audit",
            ("At", "Who", "What"),
            [[moment(row["at"]), row["actor"], row["action"]] for row in trail],
        ),
    ]  # fmt: skip
    hint = (
        "Sessions in the portal, and every link that still opens something: one was stolen, or went to somebody else."
    )
    acts.append(Act(f"/customers/{customer_id}/sign-out", "End what is open", hint=hint))
    return page.show(Screen(one.name, "customers", facts, tables, acts))


async def _rules(page: Page, tx: Tx, customer_id: str) -> tuple[Table, list[Act]]:
    rows, acts = [], []
    for rule in await auto_topup.list_rules(tx, customer_id):
        found = await explain.explain(tx, customer_id, rule.asset, page.deps.pace)
        why = "" if found is None else found.sentence
        state = "paused" if rule.pause_reason else "on" if rule.enabled else "off"
        terms = f"below {money.text(rule.threshold)} add {cash(rule.amount_minor, rule.currency)}"
        rows.append([rule.asset, state, terms, f"{cash(rule.limit_minor, rule.currency)} a month", why])
        acts.append(Act(f"/customers/{customer_id}/rules/{rule.asset}/look", f"Judge {rule.asset} again"))
        if rule.enabled and rule.pause_reason is None:
            hint = "Only the customer can turn it on again."
            acts.append(Act(f"/customers/{customer_id}/rules/{rule.asset}/pause", f"Pause {rule.asset}", hint=hint))
    return Table("Auto top-up", ("Asset", "State", "Terms", "Limit", "Why"), rows, "No rule."), acts


async def ledger_of(page: Page) -> Response:
    """Every entry of one balance, newest first."""
    customer_id, asset = page.path("customer_id"), page.path("asset")
    before = page.query("before")
    if before is not None and not (before.isascii() and before.isdigit() and len(before) < 19):
        raise Refused("invalid_field", "This page does not exist.")
    async with page.database.transaction() as tx:
        one = await customers.get(tx, customer_id)
        place = None if before is None else int(before)
        rows = await ledger.newest(tx, customer_id, asset, before=place, limit=_PAGE + 1)
    shown = [
        [str(row["seq"]), row["kind"], money.text(row["amount"]), money.text(row["balance_after"]), row["key"],
         row["description"] or "",
         Cell(row["top_up_id"], f"/top-ups/{customer_id}/{row['top_up_id']}") if row["top_up_id"] else "",
         moment(row["recorded_at"])]
        for row in rows[:_PAGE]
    ]  # fmt: skip
    path = f"/customers/{customer_id}/ledger/{asset}"
    more = f"{path}?before={rows[_PAGE - 1]['seq']}" if len(rows) > _PAGE else None
    columns = ("Seq", "Kind", "Amount", "After", "Key", "Description", "Top-up", "Recorded")
    facts = [("Customer", Cell(one.name, f"/customers/{customer_id}"))]
    return page.show(Screen(f"Ledger of {asset}", "customers", facts, [Table("Entries", columns, shown, more=more)]))


async def pause(page: Page) -> Response:
    """Let a rule rest."""
    customer_id, asset = page.path("customer_id"), page.path("asset")
    async with page.database.transaction() as tx:
        await desk.pause_rule(tx, customer_id, asset, actor=page.session.actor, pace=page.deps.pace)
    return page.go(f"/customers/{customer_id}")


async def sign_out(page: Page) -> Response:
    """End what a customer has open."""
    customer_id = page.path("customer_id")
    async with page.database.transaction() as tx:
        await desk.sign_out(tx, customer_id, actor=page.session.actor)
    return page.go(f"/customers/{customer_id}")


async def look(page: Page) -> Response:
    """Judge an account anew."""
    customer_id, asset = page.path("customer_id"), page.path("asset")
    async with page.database.transaction() as tx:
        await desk.look_again(tx, customer_id, asset, actor=page.session.actor, pace=page.deps.pace)
    return page.go(f"/customers/{customer_id}")
