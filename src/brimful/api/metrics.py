"""GET /metrics: what this process counts, and what stands in the database at this moment. No label names a customer."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import psycopg_pool
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from brimful import observability, operations, payments, suspensions, top_ups
from brimful.db.pool import Tx
from brimful.wiring import Deps

_WAIT_S = 3.0
_KEPT_S = 2.0  # however often somebody asks, the database is read once in this while


class _Found(Collector):
    """Families that were read just now."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


class Metrics:
    """Reads the database at a scrape; keeps what it read for a moment."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._read: list[Metric] = []
        self._read_s = 0.0

    async def __call__(self, _request: Request) -> Response:
        found, up = await self._found()
        registry = CollectorRegistry()
        registry.register(_Found([*found, _gauge("brimful_database_up", "1 if the database answers", int(up))]))
        return Response(observability.metrics.expose() + generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def _found(self) -> tuple[list[Metric], bool]:
        """What stands, and whether the database said so: a scrape must not wait for one that is away."""
        if self._read and time.monotonic() - self._read_s <= _KEPT_S:
            return self._read, True
        try:
            async with asyncio.timeout(_WAIT_S), self._deps.database.transaction() as tx:
                read = (_verified, _held, _top_ups, _disputed, _around)
                self._read = [metric for one in read for metric in await one(tx)]
        except (TimeoutError, psycopg.OperationalError, psycopg_pool.PoolTimeout):
            return [], False
        self._read_s = time.monotonic()
        return self._read, True


async def _verified(tx: Tx) -> list[Metric]:
    ok = GaugeMetricFamily("brimful_invariant_ok", "1 if it held when last verified", labels=["invariant"])
    at = GaugeMetricFamily("brimful_invariant_verified_seconds", "When, since 1970", labels=["invariant"])
    off = GaugeMetricFamily(
        "brimful_imbalance_minor", "Money taken less what went back less what is booked, when last verified",
        labels=["currency"],
    )  # fmt: skip
    for row in await operations.verify.last(tx):
        ok.add_metric([row["invariant"]], int(row["ok"]))
        at.add_metric([row["invariant"]], row["at"].timestamp())
        for currency, minor in row["figures"].items():
            off.add_metric([currency], minor)
    return [ok, at, off]


async def _held(tx: Tx) -> list[Metric]:
    held = GaugeMetricFamily("brimful_charging_suspended", "1 while charging is suspended", labels=["kind"])
    now = {hold.kind for hold in await suspensions.store.list_all(tx)}
    for kind in ("key", "operator", "restore"):
        held.add_metric([kind], int(kind in now))
    return [held]


_LIVE = """
    SELECT t.state, count(*) AS n, extract(epoch FROM %(now)s - min(t.requested_at))::float AS oldest_s,
        count(*) FILTER (WHERE t.kind = 'automatic' AND a.balance - a.held < 0) AS below_zero
    FROM top_ups AS t JOIN accounts AS a ON a.customer_id = t.customer_id AND a.asset = t.asset
    WHERE t.ended_at IS NULL GROUP BY t.state
"""


async def _top_ups(tx: Tx) -> list[Metric]:
    live = GaugeMetricFamily("brimful_top_ups_live", "Top-ups that have not ended", labels=["state"])
    oldest = GaugeMetricFamily("brimful_top_ups_oldest_seconds", "Since the oldest of them", labels=["state"])
    rows = {row["state"]: row for row in await tx.all(_LIVE, {"now": await tx.now()})}
    for state in sorted(top_ups.model.LIVE_STATES):
        row = rows.get(state)
        live.add_metric([state], 0 if row is None else row["n"])
        oldest.add_metric([state], 0 if row is None else row["oldest_s"])
    return [
        live,
        oldest,
        _gauge(
            "brimful_accounts_below_zero", "Balances below zero while their automatic top-up is on its way",
            sum(row["below_zero"] for row in rows.values()),
        ),
    ]  # fmt: skip


async def _disputed(tx: Tx) -> list[Metric]:
    count, due_s = await payments.reversals.count_open(tx)
    return [
        _gauge("brimful_disputes_open", "Disputes and inquiries that have not ended", count),
        _gauge("brimful_disputes_evidence_due_seconds", "Until evidence for the first of them is due", due_s),
    ]


async def _around(tx: Tx) -> list[Metric]:
    now = await operations.health.read(tx)
    event_s = 0.0 if now.event_at is None else now.event_at.timestamp()
    rejected = CounterMetricFamily(
        "brimful_stripe_events_rejected", "Events with a wrong signature, of all processes", value=now.rejected
    )
    return [
        _gauge("brimful_top_ups_stuck", "That nobody has looked at in time", now.stuck),
        _gauge("brimful_top_ups_to_review", "That need a person", now.review),
        _gauge("brimful_queue_jobs", "Jobs that are due and wait", now.jobs),
        _gauge("brimful_queue_age_seconds", "Since the oldest of them was made", now.queue_age_s),
        _gauge("brimful_workers_alive", "Workers with a heartbeat in the last 30 s", now.workers),
        _gauge("brimful_deliveries_waiting", "Deliveries to the platform that have not ended", now.deliveries),
        _gauge("brimful_deliveries_late_seconds", "By which the oldest of them is late", now.deliveries_late_s),
        _gauge("brimful_webhooks_disabled", "The platform's webhooks that failed for days", now.webhooks_disabled),
        _gauge("brimful_stripe_events_waiting", "Events of Stripe that are not applied yet", now.events_waiting),
        _gauge("brimful_stripe_events_quarantined", "Events of Stripe that were set aside", now.events_aside),
        _gauge("brimful_stripe_event_last_seconds", "When the last one came, since 1970", event_s),
        rejected,
    ]


def _gauge(name: str, text: str, value: Any) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
