"""GET /metrics: what verification found last, whether charging is held, and what waits for a person."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from brimful import charging, topups, verify
from brimful.deps import Deps

__all__ = ["Metrics"]


class _Found(Collector):
    """Families that were read just now."""

    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families


class Metrics:
    """Reads the database at each scrape; keeps nothing."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def __call__(self, _request: Request) -> Response:
        async with self._deps.database.transaction() as tx:
            found = await verify.last(tx)
            holds = await charging.holds(tx)
            waiting = await topups.count_to_review(tx)
        holds_now = {hold.kind for hold in holds}
        ok = GaugeMetricFamily("brimful_invariant_ok", "1 if it held when last verified", labels=["invariant"])
        at = GaugeMetricFamily("brimful_invariant_verified_seconds", "When, since 1970", labels=["invariant"])
        held = GaugeMetricFamily("brimful_charging_held", "1 while payments are held", labels=["kind"])
        review = GaugeMetricFamily("brimful_top_ups_to_review", "Top-ups that need a person", value=waiting)
        for row in found:
            ok.add_metric([row["invariant"]], int(row["ok"]))
            at.add_metric([row["invariant"]], row["at"].timestamp())
        for kind in ("key", "operator", "restore"):
            held.add_metric([kind], int(kind in holds_now))
        registry = CollectorRegistry()
        registry.register(_Found([ok, at, held, review]))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
