"""Top-ups: by state and reason, the queue of those that want something, one with its payments, and what can be done."""

import re
import urllib.parse
from collections.abc import Sequence
from decimal import Decimal

from starlette.responses import Response

from brimful import assets, auto_top_up, cards, customers, ledger, operations, payments, top_ups
from brimful.console import view_model, words
from brimful.console.context import Page
from brimful.console.view_model import Act, Cell, Field, Table, View
from brimful.core import ids, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx

_PAGE = 100
_REFUND_HINT = "The next page says what follows, and asks once more."
_REFUND_ID = re.compile(r"ref_[0-9a-f]{32}", re.ASCII)
_COLUMNS = ("Top-up", "Customer", "Amount", "State", "Reason", "Tries", "Requested", "Next look", "")


async def listed(page: Page) -> Response:
    """Everybody's, newest first."""
    state, reason, before = page.query("state"), page.query("reason"), page.query("before")
    async with page.database.transaction() as tx:
        lines = await operations.lookup.list_top_ups(
            tx, limit=_PAGE + 1, states=None if state is None else [state], reason=reason, before=before
        )
    more = None
    if len(lines) > _PAGE:
        kept = {"state": state or "", "reason": reason or "", "before": lines[_PAGE - 1].top_up_id}
        more = f"/top-ups?{urllib.parse.urlencode(kept)}"
    table = Table("Top-ups", _COLUMNS, [_line(line) for line in lines[:_PAGE]], more=more)
    filters = [
        Field("state", "State", state or "", ("", *top_ups.model.STATES)),
        Field("reason", "Reason", reason or ""),
    ]
    return page.show(View("Top-ups", "top-ups", tables=[table], filters=filters))


async def queue(page: Page) -> Response:
    """What wants a person, a customer or time."""
    async with page.database.transaction() as tx:
        review = await operations.lookup.list_top_ups(tx, limit=_PAGE, review=True)
        waiting = await operations.lookup.list_top_ups(tx, limit=_PAGE, states=["action_required"], live=True)
        retries = await operations.lookup.list_top_ups(tx, limit=_PAGE, states=["retry_wait"], live=True)
        unknown = await operations.lookup.list_top_ups(tx, limit=_PAGE, states=["unknown", "processing"], live=True)
        stuck = await operations.lookup.list_top_ups(tx, limit=_PAGE, live=True, overdue=True)
        failed = await operations.lookup.list_top_ups(tx, limit=_PAGE, states=["failed"])
        disputed = await payments.reversals.open_disputes(tx, limit=_PAGE)
    tables = [
        Table(title, _COLUMNS, [_line(line) for line in lines])
        for title, lines in (
            ("Needs review", review), ("Waiting for the customer", waiting), ("Waiting for a retry", retries),
            ("Outcome not known yet", unknown), ("Overdue by a quarter of an hour", stuck),
            ("Failed, newest first", failed),
        )
    ]  # fmt: skip
    first, *others = tables
    contested = [disputes(page, disputed, "Disputed: answer before evidence is due")] if disputed else []
    return page.show(View("Queue", "queue", tables=[first, *contested, *others]))


def _line(line: operations.lookup.TopUpLine) -> list[Cell | str]:
    return [
        Cell(line.top_up_id, f"/top-ups/{line.customer_id}/{line.top_up_id}"),
        Cell(line.customer_name, f"/customers/{line.customer_id}"),
        f"{line.money} for {line.asset}",
        words.state(line.state),
        words.reason(line.reason),
        str(line.tries),
        view_model.moment(line.requested_at),
        view_model.moment(line.wake_at),
        Cell(words.review(line), None, "warn") if line.needs_review else "",
    ]


async def one(page: Page) -> Response:
    """One top-up with every try, and what can be done about it."""
    customer_id, top_up_id = _place(page)
    async with page.database.transaction() as tx:
        top_up = await top_ups.store.get(tx, customer_id, top_up_id)
        owner = await customers.get(tx, customer_id)
        card = None if top_up.card_id is None else await cards.store.get(tx, customer_id, top_up.card_id)
        tries = await operations.lookup.payments_of(tx, customer_id, top_up_id)
        back = await payments.refunds.list_of_top_up(tx, customer_id, top_up_id)
        contested = await payments.reversals.disputes_of(tx, customer_id, top_up_id)
    facts: list[tuple[str, Cell | str]] = [
        ("Customer", Cell(owner.name, f"/customers/{customer_id}")),
        ("Kind", top_up.kind),
        ("State", words.state(top_up.state)),
        ("Reason", words.reason(top_up.reason) or "-"),
        ("Amount", view_model.cash(top_up.amount_minor, top_up.currency)),
        ("Units", f"{money.text(top_up.units)} {top_up.asset}"),
        ("Card", "-" if card is None else f"{card.label}, {card.state}"),
        ("Consent", top_up.consent_id or "-"),
        ("Requested", view_model.moment(top_up.requested_at)),
        ("Next look", view_model.moment(top_up.wake_at) or "-"),
        ("Expires", view_model.moment(top_up.expires_at) or "-"),
        ("Ended", view_model.moment(top_up.ended_at) or "-"),
        ("Needs review", Cell(words.review(top_up), None, "warn") if top_up.needs_review else "no"),
    ]
    tries_table = Table(
        "Payments",
        ("Payment", "At Stripe", "State", "Error", "Decline", "Advice", "Made", "Closed"),
        [
            [
                row["payment_id"],
                view_model.at_stripe(row["stripe_intent_id"] or row["stripe_session_id"], page.deps.settings),
                row["state"],
                row["error_code"] or "",
                row["decline_code"] or "",
                row["advice_code"] or "",
                view_model.moment(row["created_at"]),
                view_model.moment(row["closed_at"]),
            ]
            for row in tries
        ],
        "None yet.",
    )
    refunds = Table(
        "Refunds",
        ("Refund", "Amount", "State", "Asked by", "At"),
        [
            [
                row.refund_id,
                view_model.cash(row.amount_minor, row.currency),
                row.state,
                words.who(row.actor),
                view_model.moment(row.created_at),
            ]
            for row in back
        ],
    )
    tables = [tries_table, refunds, *([disputes(page, contested)] if contested else [])]
    if contested:
        facts.append(("Disputed", Cell("yes", None, "warn")))
    return page.show(View(top_up_id, "top-ups", facts, tables, _acts(top_up)))


def disputes(page: Page, rows: Sequence[Row], title: str = "Disputes") -> Table:
    """Disputes and inquiries, each with the top-up it is about and the day until which an answer counts."""
    return Table(
        title,
        ("At Stripe", "Top-up", "Amount", "Status", "Reason", "Opened", "Evidence due", "Closed"),
        [
            [
                view_model.at_stripe(row["dispute_id"], page.deps.settings),
                Cell(row["top_up_id"], f"/top-ups/{row['customer_id']}/{row['top_up_id']}"),
                view_model.cash(row["amount_minor"], row["currency"]),
                Cell(
                    row["status"].replace("_", " "), None if row.get("closed_at") else f"/disputes/{row['dispute_id']}"
                ),
                (row["reason"] or "").replace("_", " "),
                view_model.moment(row["opened_at"]),
                view_model.moment(row["evidence_due_at"]),
                view_model.moment(row.get("closed_at")) or "open",
            ]
            for row in rows
        ],
    )


async def dispute(page: Page) -> Response:
    """What the books hold against a dispute. Its submission is a person's, at the command line: the words of consents
    are read there alone.
    """
    portal = page.deps.settings.portal
    policy = operations.evidence.Policy(page.deps.settings.merchant, portal.terms_url, portal.undo_hours)
    async with page.database.transaction() as tx:
        found = await operations.evidence.gather(tx, page.path("dispute_id"), policy, circumstances=False)
    facts: list[tuple[str, Cell | str]] = [
        ("Status", found.status.replace("_", " ")),
        ("Reason", (found.reason or "-").replace("_", " ")),
        ("Evidence due", view_model.moment(found.due_at) or "-"),
        ("At Stripe", view_model.at_stripe(found.dispute_id, page.deps.settings)),
        ("Customer", Cell("see", f"/customers/{found.customer_id}")),
        ("To submit", f"brimful evidence {found.dispute_id} --submit"),
    ]
    rows = [[name, text] for name, text in found.fields.items()]
    table = Table("Evidence, without the circumstances of consents", ("Stripe's field", "Text"), rows)
    return page.show(View(f"Dispute {found.dispute_id}", "top-ups", facts, [table]))


def _acts(top_up: top_ups.model.TopUp) -> list[Act]:
    path = f"/top-ups/{top_up.customer_id}/{top_up.top_up_id}"
    acts = []
    if top_up.state == "retry_wait":
        hint = "Rule, consent, card, decline budget and the month's limit are evaluated again first."
        acts.append(Act(f"{path}/retry", "Try again now", hint=hint))
    if top_up.state == "action_required":
        acts.append(Act(f"{path}/ask", "Ask the customer again"))
    if top_up.state in top_ups.model.WAITING_STATES:
        acts.append(Act(f"{path}/cancel", "Take it back"))
    if top_up.needs_review:
        acts.append(Act(f"{path}/resolve", "Mark as reviewed", [Field("note", "What you found", required=True)]))
    if top_up.state == "succeeded":
        fields = [Field("amount", f"Amount in {top_up.currency}", required=True)]
        acts.append(Act(f"{path}/refund", "Refund", fields, _REFUND_HINT, key=ids.new("ref")))
    return acts


def _place(page: Page) -> tuple[CustomerId, str]:
    return page.customer_id, page.path("top_up_id")


def _back(page: Page) -> Response:
    return page.go("/top-ups/{}/{}".format(*_place(page)))


async def retry(page: Page) -> Response:
    """Try again now."""
    async with page.database.transaction() as tx:
        await operations.actions.retry(tx, *_place(page), actor=page.session.actor)
    return _back(page)


async def ask(page: Page) -> Response:
    """Ask the customer again."""
    async with page.database.transaction() as tx:
        await operations.actions.resend_confirmation(tx, *_place(page), actor=page.session.actor)
    return _back(page)


async def cancel(page: Page) -> Response:
    """Take back what waits."""
    async with page.database.transaction() as tx:
        await operations.actions.cancel(tx, *_place(page), actor=page.session.actor, pace=page.deps.pace)
    return _back(page)


async def resolve(page: Page) -> Response:
    """Somebody has looked."""
    async with page.database.transaction() as tx:
        await operations.actions.resolve(tx, *_place(page), actor=page.session.actor, note=page.field("note"))
    return _back(page)


async def refund(page: Page) -> Response:
    """Give money back through Stripe: the first press shows what follows, the second does it."""
    customer_id, top_up_id = _place(page)
    if not _REFUND_ID.fullmatch(page.field("key")):
        raise Refused("invalid_field", "This page is out of date. Reload it and try again.")
    if not page.field("amount"):
        raise Refused("invalid_field", "Type the amount to give back.", field="amount")
    async with page.database.transaction() as tx:
        top_up = await top_ups.store.get(tx, customer_id, top_up_id)
        exact = money.parse(page.field("amount"), scale=money.currency(top_up.currency).exponent)
        minor = money.minor_exact(money.positive(exact), top_up.currency)
        if page.field("confirmed") != str(minor):
            return page.show(await _what_follows(page, tx, top_up, minor))
        await payments.reversals.request_refund(
            tx, customer_id, top_up_id, amount_minor=minor, actor=page.session.actor, refund_id=page.field("key")
        )
    return _back(page)


async def _what_follows(page: Page, tx: Tx, top_up: top_ups.model.TopUp, minor: int) -> View:
    """The refund before it is made: how much, to which card, and what it does to the wallet."""
    payment = await payments.reversals.refundable(tx, top_up, minor)
    owner = await customers.get(tx, top_up.customer_id)
    account = await ledger.accounts.get(tx, top_up.customer_id, top_up.asset)
    rule = await auto_top_up.rules.get_rule(tx, top_up.customer_id, top_up.asset)
    card = None if payment.card_id is None else await cards.store.get(tx, payment.customer_id, payment.card_id)
    asset = await assets.get(tx, top_up.asset)
    whole = payment.amount_minor
    units = top_up.units - money.units_left(top_up.units, whole - minor, whole, scale=asset.scale)
    after = (account.available if account is not None else Decimal(0)) - units
    pauses = rule is not None and rule.enabled and after < rule.in_force
    amount = money.priced(minor, top_up.currency)
    facts: list[tuple[str, Cell | str]] = [
        ("Customer", Cell(owner.name, f"/customers/{top_up.customer_id}")),
        ("Amount", amount),
        ("Card", "the card that paid" if card is None else card.label),
        ("Leaves the wallet", f"about {money.text(units)} {top_up.asset}"),
        ("Available then", f"about {money.text(after)} {top_up.asset}"),
        ("Auto top-up", Cell("pauses: the balance falls below the threshold", None, "warn") if pauses else "goes on"),
    ]
    path = f"/top-ups/{top_up.customer_id}/{top_up.top_up_id}"
    typed = [Field("amount", f"Amount in {top_up.currency}", page.field("amount"), required=True)]
    act = Act(f"{path}/refund", f"Give back {amount}", typed, key=page.field("key"), confirmed=str(minor))
    return View(f"Refund {amount}", "top-ups", facts, acts=[act])
