"""The state of everything at this moment, in one query each: for the metrics, the doctor and the console."""

import dataclasses
import datetime as dt
from typing import Any, LiteralString

from brimful import suspensions
from brimful.db.pool import Tx
from brimful.operations import installation

_QUEUE_AGE_MAX_S = 60  # a healthy queue is empty within a second
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


_PAID: LiteralString = (
    "SELECT count(*) > 0 AS paid FROM (SELECT 1 FROM payments WHERE state = 'succeeded' LIMIT 1) AS any_one"
)


async def examine(tx: Tx) -> list[Examination]:
    """The state now, for a person, with what to do about what is wrong: for `status`, and part of `doctor`."""
    report = await read(tx)
    paid = await tx.one(_PAID)
    assert paid is not None
    return [
        _charging(await suspensions.store.list_all(tx)),
        _workers(report, await installation.outdated(tx)),
        _queue(report),
        _top_ups(report),
        _deliveries(report),
        _events(report, paid=paid["paid"]),
    ]


def _charging(held: list[suspensions.store.Suspension]) -> Examination:
    if held:
        reasons = "; ".join(f"{one.kind} since {one.since:%Y-%m-%d %H:%M}: {one.reason}" for one in held)
        return Examination("charging", ok=False, detail=f"suspended ({reasons}): `brimful charging show`")
    return Examination("charging", ok=True, detail="on")


def _workers(report: HealthReport, outdated: list[str]) -> Examination:
    if outdated:
        detail = f"{'; '.join(outdated)}: it takes no part. End it, or start it again with the settings of the others"
        return Examination("worker", ok=False, detail=detail)
    if not report.workers:
        silent_s = report.worker_silent_s
        last = "none is registered" if silent_s is None else f"the last one reported {silent_s} s ago"
        return Examination("worker", ok=False, detail=f"no worker is alive ({last}): start `brimful worker`")
    return Examination("worker", ok=True, detail=f"{report.workers} at work")


def _queue(report: HealthReport) -> Examination:
    detail = f"{report.jobs} jobs wait, the oldest for {report.queue_age_s:.0f} s"
    if report.queue_age_s > _QUEUE_AGE_MAX_S:
        return Examination("queue", ok=False, detail=f"{detail}: start more workers, or see what theirs do")
    return Examination("queue", ok=True, detail=detail)


def _top_ups(report: HealthReport) -> Examination:
    detail = f"{report.review} need a person, {report.stuck} are stuck"
    if report.review or report.stuck:
        return Examination(
            "top-ups", ok=False, detail=f"{detail}: `brimful top-ups list --review`, or the console's queue"
        )
    return Examination("top-ups", ok=True, detail=detail)


def _deliveries(report: HealthReport) -> Examination:
    if report.webhooks_disabled:
        what = "of the platform's webhooks are disabled after failures: see the console's webhooks"
        return Examination("deliveries", ok=False, detail=f"{report.webhooks_disabled} {what}")
    late_s = report.deliveries_late_s
    detail = f"{report.deliveries} wait, {report.deliveries_retried} of them after a failure"
    if late_s > OVERDUE.total_seconds():
        return Examination("deliveries", ok=False, detail=f"{detail}, the oldest {late_s:.0f} s late")
    return Examination("deliveries", ok=True, detail=detail)


def _events(report: HealthReport, *, paid: bool) -> Examination:
    seen, rejected = report.event_at, report.rejected_at
    last = "none yet" if seen is None else f"the last one at {seen:%Y-%m-%d %H:%M:%S}"
    if rejected is not None and (seen is None or rejected > seen):
        detail = (
            f"signed with another secret, last at {rejected:%Y-%m-%d %H:%M:%S}; right ones: {last}. "
            "Set STRIPE_WEBHOOK_SECRET to the endpoint's (several, comma-separated, while you rotate it) and restart "
            "the API; this is well again with the next event"
        )
        return Examination("stripe events", ok=False, detail=detail)
    if seen is None and paid:
        detail = "payments have succeeded and no event ever came: run `brimful stripe setup`"
        return Examination("stripe events", ok=False, detail=detail)
    if report.events_aside:
        detail = f"{last}; {report.events_aside} are set aside: see the console's page of Stripe"
        return Examination("stripe events", ok=False, detail=detail)
    return Examination("stripe events", ok=True, detail=f"{last}; {report.events_waiting} wait")
