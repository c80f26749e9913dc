"""Stripe's side: the events that came in, and our books against its lists."""

from starlette.responses import Response

from brimful import audit, jobs, reconcile
from brimful.console.door import Page
from brimful.console.screen import Act, Cell, Field, Screen, Table, moment
from brimful.db import Row
from brimful.errors import Refused

__all__ = ["again", "compare", "events", "leave", "reconciliation"]

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
            [row["event_id"], row["type"], row["object_id"] or "",
             Cell(row["state"], None, "warn") if row["state"] == "quarantined" else row["state"], row["outcome"] or "",
             str(row["failures"]), moment(row["created_at"]), moment(row["received_at"]), moment(row["processed_at"]),
             *_acts(row)]
            for row in rows
        ],
    )  # fmt: skip
    options = ("", "received", "done", "ignored", "quarantined")
    filters = [Field("state", "State", state or "", options)]
    return page.show(Screen("Stripe", "stripe", tables=[table], filters=filters))


def _acts(row: Row) -> tuple[Act | str, Act | str]:
    if row["state"] != "quarantined":
        return "", ""
    path = f"/stripe/{row['event_id']}"
    return Act(f"{path}/again", "Apply again"), Act(f"{path}/leave", "Leave it")


_AGAIN = """
    UPDATE stripe_events SET state = 'received', failures = 0, outcome = NULL, processed_at = NULL
    WHERE event_id = %s AND state = 'quarantined'
"""


async def again(page: Page) -> Response:
    """Apply an event that was set aside."""
    event_id = page.path("event_id")
    async with page.database.transaction() as tx:
        if not await tx.execute(_AGAIN, (event_id,)):
            raise Refused("event_not_found", "This event is not set aside.")
        await jobs.defer(tx, jobs.Name.STRIPE_EVENT, [{"event_id": event_id}])
        await audit.record(
            tx, actor=page.session.actor, action="stripe_event.applied_again",
            before={"event_id": event_id, "state": "quarantined"}, after={"event_id": event_id, "state": "received"},
        )  # fmt: skip
    return page.go("/stripe")


_LEAVE = """
    UPDATE stripe_events SET state = 'ignored', outcome = 'left by an operator', processed_at = %s
    WHERE event_id = %s AND state = 'quarantined'
"""


async def leave(page: Page) -> Response:
    """An event that was set aside is nobody's: leave it."""
    event_id = page.path("event_id")
    async with page.database.transaction() as tx:
        if not await tx.execute(_LEAVE, (await tx.now(), event_id)):
            raise Refused("event_not_found", "This event is not set aside.")
        await audit.record(
            tx, actor=page.session.actor, action="stripe_event.left",
            before={"event_id": event_id, "state": "quarantined"}, after={"event_id": event_id, "state": "ignored"},
        )  # fmt: skip
    return page.go("/stripe")


_EPOCH = "SELECT reconciled_at, went_back_from FROM epochs"


async def reconciliation(page: Page) -> Response:
    """When our books were compared last."""
    async with page.database.transaction() as tx:
        row = await tx.one(_EPOCH)
    assert row is not None
    facts: list[tuple[str, Cell | str]] = [
        ("Compared last", moment(row["reconciled_at"]) or "never"),
        ("Went back from", moment(row["went_back_from"]) or "-"),
    ]
    hint = "Reads Stripe's lists and says what would be repaired; changes nothing. The worker repairs each hour."
    act = Act("/reconciliation/compare", "Compare now", hint=hint)
    return page.show(Screen("Reconciliation", "reconciliation", facts, acts=[act]))


async def compare(page: Page) -> Response:
    """A comparison that changes nothing."""
    till = page.deps.till
    if till is None:
        raise Refused("payments_unavailable", "No payment provider is configured here.")
    async with page.database.transaction() as tx:
        since = await reconcile.since_last(tx)
        await audit.record(tx, actor=page.session.actor, action="books.compared", after={"since": moment(since)})
    try:
        report = await reconcile.run(till, since=since, dry_run=True)
    except ConnectionError as error:
        raise Refused("payments_unavailable", str(error)) from error
    facts: list[tuple[str, Cell | str]] = [
        ("Since", moment(report.since)), ("Payments", str(report.payments)), ("Refunds", str(report.refunds)),
        ("Disputes", str(report.disputes)), ("Not ours", str(report.foreign)),
    ]  # fmt: skip
    tables = [
        Table("For a person", ("What",), [[Cell(what, None, "bad")] for what in report.differences], "Nothing."),
        Table("Would be repaired", ("What",), [[what] for what in report.repaired], "Nothing."),
    ]
    return page.show(Screen("Reconciliation", "reconciliation", facts, tables))
