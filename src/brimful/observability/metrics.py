"""What a process counts and times while it works, for Prometheus. No label names a customer.

Gauges of what stands in the database are read at each scrape instead (api/metrics.py). What belongs to a transaction
is counted once it has committed (`Tx.once_committed`).
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from brimful.core.errors import ConfigurationError

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)

TRIGGER = Histogram(
    "brimful_trigger_seconds", "From the request of an automatic top-up to its first call at Stripe", buckets=_FAST_S
)
CREDIT = Histogram(
    "brimful_credit_seconds", "From hearing that a payment succeeded to the commit of its credit", buckets=_FAST_S
)
FUNDING = Histogram(
    "brimful_funding_seconds", "From the request of an automatic top-up to its credit: what a customer waits",
    buckets=_SLOW_S,
)  # fmt: skip
BELOW_ZERO = Histogram(
    "brimful_below_zero_seconds", "How long a balance had been below zero when a top-up came; 0 if it was not",
    buckets=(0, *_SLOW_S),
)  # fmt: skip
TOP_UPS = Counter("brimful_top_ups_ended", "Top-ups that ended, and how", ["kind", "state", "reason"])
EMITTED = Counter("brimful_events_emitted", "Events for the platform", ["topic"])
USAGE = Counter("brimful_movements", "Movements that were sent to be posted, and what became of them", ["outcome"])
POSTING = Histogram("brimful_posting_seconds", "One batch of movements, from its locks to its commit", buckets=_FAST_S)
STRIPE = Histogram("brimful_stripe_call_seconds", "Calls at Stripe", ["endpoint", "outcome"], buckets=_SLOW_S)
STRIPE_EVENTS = Counter("brimful_stripe_events", "Events that came in from Stripe", ["outcome"])
EVENT_LAG = Histogram(
    "brimful_stripe_event_lag_seconds", "From the making of an event at Stripe to its arrival here", buckets=_SLOW_S
)
DELIVERIES = Counter("brimful_deliveries", "Attempts to deliver an event to the platform", ["outcome"])
HTTP = Counter("brimful_http_responses", "Answers given", ["surface", "status"])


# Names the directory in which the processes of one `serve` count; the library looks for it when it is imported.
TOGETHER = "PROMETHEUS_MULTIPROC_DIR"
_registry = REGISTRY


def share_between_processes() -> None:
    """This process is one of several that share a port, and so a scrape: from now on `exposed` shows them all."""
    global _registry  # noqa: PLW0603 - one process is one of several or is not
    _registry = CollectorRegistry()
    MultiProcessCollector(_registry)  # type: ignore[no-untyped-call]


def expose() -> bytes:
    """What was counted, in Prometheus' text form."""
    return generate_latest(_registry)


def serve(address: str, healthy: Callable[[], bool]) -> None:
    """Show them at `host:port`, for a process that serves nothing else; `/healthz` there answers 200 or 503.

    Raises:
        ConfigurationError: nobody can listen there.
    """
    host, _, port = address.rpartition(":")
    try:
        server = make_server(host.strip("[]"), int(port), _application(healthy), ThreadingWSGIServer, _Silent)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"BRIMFUL_WORKER_METRICS={address} cannot be listened on: {error}") from error
    threading.Thread(target=server.serve_forever, daemon=True).start()


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """A scrape is no news."""


def _application(healthy: Callable[[], bool]) -> WSGIApplication:
    counted = make_wsgi_app(_registry)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            shown: Iterable[bytes] = counted(environ, start)
            return shown
        well = healthy()
        start("200 OK" if well else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"ok" if well else b"no heartbeat"]

    return answer
