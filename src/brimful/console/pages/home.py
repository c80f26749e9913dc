"""The overview: what an operator should know first."""

from typing import Any

from starlette.responses import Response

from brimful import charging, verify
from brimful.console.door import Page
from brimful.console.screen import Cell, Screen, Sign, Table, moment

__all__ = ["overview"]

_STATES = """
    SELECT state, count(*) AS n, min(requested_at) AS oldest FROM top_ups WHERE ended_at IS NULL GROUP BY state
    ORDER BY state
"""
_ENDED = """
    SELECT state, coalesce(reason, '') AS reason, count(*) AS n FROM top_ups
    WHERE ended_at > %s::timestamptz - interval '24 hours' GROUP BY 1, 2 ORDER BY 3 DESC
"""
_ATTENTION = """
    SELECT (SELECT count(*) FROM top_ups WHERE needs_review) AS review,
        (SELECT count(*) FROM stripe_events WHERE state = 'quarantined') AS quarantined,
        (SELECT count(*) FROM webhook_endpoints WHERE NOT enabled AND disabled_reason IS NOT NULL) AS disabled,
        (SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempts > 0) AS failing,
        (SELECT count(*) FROM procrastinate_workers
            WHERE last_heartbeat > clock_timestamp() - interval '30 s') AS workers,
        (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(greatest(e.at, j.scheduled_at))), 0)::int
            FROM procrastinate_jobs AS j JOIN procrastinate_events AS e ON e.job_id = j.id AND e.type = 'deferred'
            WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= clock_timestamp())) AS queue_s
"""


async def overview(page: Page) -> Response:
    """Holds, invariants, what waits for a person, what is live, what ended."""
    async with page.database.transaction() as tx:
        now = await tx.now()
        holds = await charging.holds(tx)
        found = await verify.last(tx)
        states = await tx.all(_STATES)
        ended = await tx.all(_ENDED, (now,))
        attention = await tx.one(_ATTENTION)
    assert attention is not None
    signs = [
        Sign("Charging", Cell("held", "/charging", "bad") if holds else "open"),
        Sign("Workers alive", str(attention["workers"]) if attention["workers"] else Cell("0", None, "bad")),
        Sign("Age of the oldest job", f"{attention['queue_s']} s"),
        Sign("Top-ups to look at", _counted(attention["review"], "/queue")),
        Sign("Events of Stripe set aside", _counted(attention["quarantined"], "/stripe?state=quarantined")),
        Sign("Webhooks disabled", _counted(attention["disabled"], "/webhooks")),
        Sign("Deliveries being retried", _counted(attention["failing"], "/webhooks?status=Failed")),
    ]
    tables = [
        Table(
            "Invariants",
            ("", "Holds", "Verified"),
            [[row["invariant"], _ok(row["ok"]), moment(row["at"])] for row in found],
            "Never verified: run `brimful verify`, or wait for the worker.",
        ),
        Table(
            "Live top-ups",
            ("State", "How many", "Oldest"),
            [[_state(row["state"]), str(row["n"]), moment(row["oldest"])] for row in states],
        ),
        Table(
            "Ended in the last 24 hours",
            ("State", "Reason", "How many"),
            [[_state(row["state"]), row["reason"], str(row["n"])] for row in ended],
        ),
    ]
    return page.show(Screen("Overview", "home", signs=signs, tables=tables))


def _counted(count: int, href: str) -> Cell | str:
    return Cell(str(count), href, "warn") if count else "0"


def _ok(holds: bool) -> Cell:
    return Cell("yes") if holds else Cell("no", None, "bad")


def _state(state: Any) -> Cell:
    return Cell(str(state), f"/top-ups?state={state}")
