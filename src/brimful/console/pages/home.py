"""The overview: what an operator should know first."""

from collections.abc import Sequence

from starlette.responses import Response

from brimful import operations, payments, suspensions
from brimful.console import view_model, words
from brimful.console.context import Page
from brimful.console.view_model import Cell, Sign, Table, View
from brimful.db.pool import Row

_STATES = """
    SELECT state, count(*) AS n, min(requested_at) AS oldest FROM top_ups WHERE ended_at IS NULL GROUP BY state
    ORDER BY state
"""
_ENDED = """
    SELECT state, coalesce(reason, '') AS reason, count(*) AS n FROM top_ups
    WHERE ended_at > %s::timestamptz - interval '24 hours' GROUP BY 1, 2 ORDER BY 3 DESC
"""


async def overview(page: Page) -> Response:
    """Holds, invariants, what waits for a person, what is live, what ended."""
    async with page.database.transaction() as tx:
        now = await tx.now()
        suspended = await suspensions.store.list_all(tx)
        found = await operations.verify.last(tx)
        disputed, _ = await payments.reversals.count_open(tx)
        states = await tx.all(_STATES)
        ended = await tx.all(_ENDED, (now,))
        report = await operations.health.read(tx)
    signs = [
        Sign("Charging", Cell("suspended", "/charging", "bad") if suspended else Cell("open", "/charging")),
        Sign("Workers alive", str(report.workers) if report.workers else Cell("0", None, "bad")),
        Sign("Oldest job waits", f"{report.queue_age_s:.0f} s"),
        Sign("Top-ups to look at", _counted(report.review, "/queue")),
        Sign("Disputes open", _counted(disputed, "/queue")),
        Sign("Events of Stripe set aside", _counted(report.events_aside, "/stripe?state=quarantined")),
        Sign("Webhooks disabled", _counted(report.webhooks_disabled, "/webhooks")),
        Sign("Deliveries being retried", _counted(report.deliveries_retried, "/webhooks?status=Failed")),
    ]
    tables = [
        *_invariants(found),
        Table(
            "Live top-ups",
            ("State", "How many", "Oldest"),
            [[_state(row["state"]), str(row["n"]), view_model.moment(row["oldest"])] for row in states],
        ),
        Table(
            "Ended in the last 24 hours",
            ("State", "Reason", "How many"),
            [[_state(row["state"]), words.reason(row["reason"] or None), str(row["n"])] for row in ended],
        ),
    ]
    return page.show(View("Overview", "home", signs=signs, tables=tables))


def _invariants(found: Sequence[Row]) -> list[Table]:
    """What does not hold first, by itself; what holds is one table, and does not ask to be read."""
    broken: list[list[Cell | str]] = [
        [Cell(words.invariant(row["invariant"]), None, "bad"), view_model.moment(row["at"])]
        for row in found
        if not row["ok"]
    ]
    well = [[words.invariant(row["invariant"]), view_model.moment(row["at"])] for row in found if row["ok"]]
    columns, unread = ("Invariant", "Verified"), "Never verified: run `brimful verify`, or wait for the worker."
    first = [Table("The books do not hold", columns, broken)] if broken else []
    return [*first, Table("The books hold", columns, well, unread if not broken else "Nothing else.")]


def _counted(count: int, href: str) -> Cell:
    return Cell(str(count), href, "warn" if count else None)


def _state(state: str) -> Cell:
    return Cell(words.state(state), f"/top-ups?state={state}")
