"""The overview: what an operator should know first."""

from typing import Any

from starlette.responses import Response

from brimful import operations, payments
from brimful.console import view_model
from brimful.console.context import Page
from brimful.console.view_model import Cell, Sign, Table, View

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
        suspended = await payments.suspensions.list_all(tx)
        found = await operations.verify.last(tx)
        states = await tx.all(_STATES)
        ended = await tx.all(_ENDED, (now,))
        report = await operations.health.read(tx)
    signs = [
        Sign("Charging", Cell("suspended", "/charging", "bad") if suspended else "open"),
        Sign("Workers alive", str(report.workers) if report.workers else Cell("0", None, "bad")),
        Sign("Age of the oldest job", f"{report.queue_age_s:.0f} s"),
        Sign("Top-ups to look at", _counted(report.review, "/queue")),
        Sign("Events of Stripe set aside", _counted(report.events_aside, "/stripe?state=quarantined")),
        Sign("Webhooks disabled", _counted(report.webhooks_disabled, "/webhooks")),
        Sign("Deliveries being retried", _counted(report.deliveries_retried, "/webhooks?status=Failed")),
    ]
    tables = [
        Table(
            "Invariants",
            ("", "Holds", "Verified"),
            [[row["invariant"], _ok(row["ok"]), view_model.moment(row["at"])] for row in found],
            "Never verified: run `brimful verify`, or wait for the worker.",
        ),
        Table(
            "Live top-ups",
            ("State", "How many", "Oldest"),
            [[_state(row["state"]), str(row["n"]), view_model.moment(row["oldest"])] for row in states],
        ),
        Table(
            "Ended in the last 24 hours",
            ("State", "Reason", "How many"),
            [[_state(row["state"]), row["reason"], str(row["n"])] for row in ended],
        ),
    ]
    return page.show(View("Overview", "home", signs=signs, tables=tables))


def _counted(count: int, href: str) -> Cell | str:
    return Cell(str(count), href, "warn") if count else "0"


def _ok(holds: bool) -> Cell:
    return Cell("yes") if holds else Cell("no", None, "bad")


def _state(state: Any) -> Cell:
    return Cell(str(state), f"/top-ups?state={state}")
