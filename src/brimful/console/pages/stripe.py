"""Stripe's side: the events that came in, and our books against its lists."""

from starlette.responses import Response

from brimful import payments
from brimful.auth import audit
from brimful.console import view_model
from brimful.console.context import Page
from brimful.console.view_model import Act, Cell, Field, Table, View
from brimful.core.errors import Refused
from brimful.db.pool import Row

_PAGE = 100
_EVENTS = """
    SELECT event_id, type, object_id, state, outcome, failures, created_at, received_at, processed_at FROM stripe_events
    WHERE %(state)s::text IS NULL OR state = %(state)s
    ORDER BY received_at DESC LIMIT %(limit)s
"""


async def events(page: Page) -> Response:
    """Newest first, by state."""
    state = page.query("state")
    async with page.database.transaction() as tx:
        rows = await tx.all(_EVENTS, {"state": state, "limit": _PAGE})
    table = Table(
        "Events from Stripe",
        ("Event", "Type", "Object", "State", "Outcome", "Failures", "Made", "Received", "Applied", "", ""),
        [
            [
                row["event_id"],
                row["type"],
                row["object_id"] or "",
                Cell(row["state"], None, "warn") if row["state"] == "quarantined" else row["state"],
                row["outcome"] or "",
                str(row["failures"]),
                view_model.moment(row["created_at"]),
                view_model.moment(row["received_at"]),
                view_model.moment(row["processed_at"]),
                *_acts(row),
            ]
            for row in rows
        ],
    )
    options = ("", "received", "done", "ignored", "quarantined")
    filters = [Field("state", "State", state or "", options)]
    return page.show(View("Stripe", "stripe", tables=[table], filters=filters))


def _acts(row: Row) -> tuple[Act | str, Act | str]:
    if row["state"] != "quarantined":
        return "", ""
    path = f"/stripe/{row['event_id']}"
    return Act(f"{path}/again", "Apply again"), Act(f"{path}/leave", "Leave it")


async def again(page: Page) -> Response:
    """Apply an event that was set aside."""
    event_id = page.path("event_id")
    async with page.database.transaction() as tx:
        await payments.stripe_events.retry(tx, event_id)
        await audit.record(
            tx, actor=page.session.actor, action="stripe_event.applied_again",
            before={"event_id": event_id, "state": "quarantined"}, after={"event_id": event_id, "state": "received"},
        )  # fmt: skip
    return page.go("/stripe")


async def leave(page: Page) -> Response:
    """An event that was set aside is nobody's: leave it."""
    event_id = page.path("event_id")
    async with page.database.transaction() as tx:
        await payments.stripe_events.dismiss(tx, event_id)
        await audit.record(
            tx, actor=page.session.actor, action="stripe_event.dismissed",
            before={"event_id": event_id, "state": "quarantined"}, after={"event_id": event_id, "state": "ignored"},
        )  # fmt: skip
    return page.go("/stripe")


_EPOCH = "SELECT reconciled_at, restored_to FROM restore_guard"


async def reconciliation(page: Page) -> Response:
    """When our books were compared last."""
    async with page.database.transaction() as tx:
        row = await tx.one(_EPOCH)
    assert row is not None
    facts: list[tuple[str, Cell | str]] = [
        ("Compared last", view_model.moment(row["reconciled_at"]) or "never"),
        ("Went back from", view_model.moment(row["restored_to"]) or "-"),
    ]
    hint = "Reads Stripe's lists and says what would be repaired; changes nothing. The worker repairs each hour."
    act = Act("/reconciliation/compare", "Compare now", hint=hint)
    return page.show(View("Reconciliation", "reconciliation", facts, acts=[act]))


async def compare(page: Page) -> Response:
    """A comparison that changes nothing."""
    context = page.deps.payments
    if context is None:
        raise Refused("payments_unavailable", "No payment provider is configured here.")
    async with page.database.transaction() as tx:
        since = await payments.reconcile.since_last(tx)
        await audit.record(
            tx, actor=page.session.actor, action="books.compared", after={"since": view_model.moment(since)}
        )
    try:
        report = await payments.reconcile.run(context, since=since, dry_run=True)
    except ConnectionError as error:
        raise Refused("payments_unavailable", str(error)) from error
    facts: list[tuple[str, Cell | str]] = [
        ("Since", view_model.moment(report.since)),
        ("Payments", str(report.payments)),
        ("Refunds", str(report.refunds)),
        ("Disputes", str(report.disputes)),
        ("Not ours", str(report.foreign)),
    ]
    tables = [
        Table("For a person", ("What",), [[Cell(what, None, "bad")] for what in report.differences], "Nothing."),
        Table("Would be repaired", ("What",), [[what] for what in report.repaired], "Nothing."),
    ]
    return page.show(View("Reconciliation", "reconciliation", facts, tables))
