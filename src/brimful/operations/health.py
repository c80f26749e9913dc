"""The state of everything at this moment, in one query each: for the metrics, the doctor and the console."""

import dataclasses
import datetime as dt
from typing import Any, LiteralString

from brimful import payments
from brimful.db.pool import Tx

_LATE_S = 60  # a healthy queue is empty within a second
OVERDUE = dt.timedelta(minutes=15)  # since a live top-up should have been looked at, as I12 has it


@dataclasses.dataclass(frozen=True)
class Examination:
    """One examination and its result."""

    name: str
    ok: bool | None
    detail: str

    def shown(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class HealthReport:
    """What waits, for how long, and how many workers there are."""

    workers: int  # with a heartbeat in the last 30 s
    worker_silent_s: int | None  # since the last heartbeat; None if none is registered
    jobs: int  # that are due
    queue_age_s: float  # since the oldest of them could have begun
    review: int  # top-ups that need a review
    stuck: int  # live ones that are overdue
    deliveries: int  # to the platform, that have not ended
    deliveries_late_s: float
    deliveries_retried: int
    webhooks_disabled: int  # after failures
    events_waiting: int  # of Stripe, not applied yet
    events_aside: int
    event_at: dt.datetime | None  # when the last one came
    rejected: int  # with a wrong signature
    rejected_at: dt.datetime | None


# Workers and jobs go by the database's own clock, top-ups by the product's, which a test may move. Top-ups are asked
# alone: where customer data is distributed, all the others lie on the coordinator.
AROUND: LiteralString = """
    SELECT w.*, q.*, d.*, r.*,
        (SELECT count(*) FROM webhook_endpoints WHERE NOT enabled AND disabled_reason IS NOT NULL) AS webhooks_disabled,
        (SELECT count(*) FROM stripe_events WHERE state = 'received') AS events_waiting,
        (SELECT count(*) FROM stripe_events WHERE state = 'quarantined') AS events_aside,
        (SELECT max(received_at) FROM stripe_events) AS event_at
    FROM (
        SELECT count(*) FILTER (WHERE last_heartbeat > clock_timestamp() - interval '30 s') AS workers,
            extract(epoch FROM clock_timestamp() - max(last_heartbeat))::int AS worker_silent_s
        FROM procrastinate_workers
    ) AS w, (
        SELECT count(*) AS jobs, coalesce(extract(
            epoch FROM clock_timestamp() - min(greatest(e.at, j.scheduled_at)))::float, 0) AS queue_age_s
        FROM procrastinate_jobs AS j JOIN procrastinate_events AS e ON e.job_id = j.id AND e.type = 'deferred'
        WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= clock_timestamp())
    ) AS q, (
        SELECT count(*) AS deliveries, count(*) FILTER (WHERE attempts > 0) AS deliveries_retried,
            greatest(coalesce(extract(epoch FROM clock_timestamp() - min(next_at))::float, 0), 0) AS deliveries_late_s
        FROM deliveries WHERE state = 'pending'
    ) AS d, (
        SELECT coalesce(sum(count), 0)::bigint AS rejected, max(last_at) AS rejected_at FROM webhook_rejections
    ) AS r
"""
TOP_UPS: LiteralString = """
    SELECT count(*) FILTER (WHERE needs_review) AS review,
        count(*) FILTER (WHERE ended_at IS NULL AND coalesce(wake_at, requested_at) < %(overdue)s) AS stuck
    FROM top_ups WHERE needs_review OR ended_at IS NULL
"""


async def read(tx: Tx) -> HealthReport:
    """The state now."""
    around, top_ups = await tx.one(AROUND), await tx.one(TOP_UPS, {"overdue": await tx.now() - OVERDUE})
    assert around is not None
    assert top_ups is not None
    return HealthReport(**around, **top_ups)


async def examine(tx: Tx) -> list[Examination]:
    """The state now, for a person."""
    now, here = await tx.now(), await read(tx)
    held = await payments.suspensions.list_all(tx)
    charging = "on" if not held else "; ".join(f"suspended since {s.since:%Y-%m-%d %H:%M}: {s.reason}" for s in held)
    silent = "none has ever run" if here.worker_silent_s is None else f"the last was heard {here.worker_silent_s} s ago"
    last = "none yet" if here.event_at is None else f"the last {int((now - here.event_at).total_seconds())} s ago"
    return [
        Examination("charging", not held, charging),
        Examination("workers", here.workers > 0, f"{here.workers} running" if here.workers else silent),
        Examination(
            "queue", here.queue_age_s < _LATE_S, f"{here.jobs} jobs due, the oldest for {here.queue_age_s:.0f} s"
        ),
        Examination(
            "top-ups",
            not here.stuck and not here.review,
            f"{here.stuck} overdue, {here.review} for somebody to review",
        ),
        Examination(
            "webhooks",
            not here.webhooks_disabled and here.deliveries_late_s < _LATE_S,
            f"{here.deliveries} deliveries wait, {here.deliveries_retried} of them again; "
            f"{here.webhooks_disabled} endpoints disabled after failures",
        ),
        Examination(
            "stripe", not here.events_aside, f"{here.events_waiting} events wait, {here.events_aside} set aside; {last}"
        ),
    ]
