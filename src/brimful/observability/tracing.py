"""Traces by OpenTelemetry, where an exporter is configured; else nothing is done and nothing imported.

A top-up's id is its trace: both are 128 bits. So every process, and the reader of a webhook, finds the whole way of a
debit to its credit without passing anything along. The root of the trace is the top-up's request, with the debits that
crossed the threshold; what is done about it later are spans below that root.
"""

import contextlib
import contextvars
import datetime as dt
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brimful.core.errors import ConfigurationError
from brimful.core.ids import CustomerId

_DEBITS_MAX = 20
_tracer: Any = None
_chosen: contextvars.ContextVar[tuple[int, int] | None] = contextvars.ContextVar("chosen", default=None)


# Debits that are being posted, by account: what they lead to can name them. Only while traces are on.
_debits: contextvars.ContextVar[Mapping[tuple[CustomerId, str], Sequence[str]] | None] = contextvars.ContextVar(
    "debits", default=None
)


def on() -> bool:
    """Whether this process is traced."""
    return _tracer is not None


def start(service: str) -> None:
    """Send spans to where OTEL_EXPORTER_OTLP_ENDPOINT says. The other OTEL_* variables are OpenTelemetry's own.

    Raises:
        ConfigurationError: the libraries are not there.
    """
    if importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None:
        raise ConfigurationError("OTEL_EXPORTER_OTLP_ENDPOINT is set: install brimful[traces] as well.")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        """Random ids, but for the root of a top-up's trace."""

        def generate_trace_id(self) -> int:
            chosen = _chosen.get()
            return super().generate_trace_id() if chosen is None else chosen[0]

        def generate_span_id(self) -> int:
            chosen = _chosen.get()
            return super().generate_span_id() if chosen is None else chosen[1]

    provider = TracerProvider(resource=Resource.create({"service.name": service}), id_generator=Ids())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    global _tracer  # noqa: PLW0603 - one process is traced or is not
    _tracer = provider.get_tracer("brimful")


_TOP_UP = re.compile(r"top_[0-9a-f]{32}", re.ASCII)


def _ids(top_up_id: str) -> tuple[int, int]:
    """Trace and root span of a top-up: its 128 bits, and the last 64 of them."""
    number = int(top_up_id.rpartition("_")[2], 16)
    return number, number & 0xFFFF_FFFF_FFFF_FFFF


def posting(debits: Mapping[tuple[CustomerId, str], Sequence[str]]) -> None:
    """These debits are being posted by this task, by (customer_id, asset)."""
    _debits.set(debits)


def requested(top_up_id: str, key: tuple[CustomerId, str], began: dt.datetime, *, kind: str) -> None:
    """The root of a top-up's trace: it was requested, and that is committed now."""
    if _tracer is None:
        return
    from opentelemetry.context import Context

    debits = (_debits.get() or {}).get(key, ())
    attributes = {"brimful.top_up_id": top_up_id, "brimful.asset": key[1], "brimful.kind": kind,
                  "brimful.debits": list(debits)[:_DEBITS_MAX]}  # fmt: skip
    token = _chosen.set(_ids(top_up_id))
    try:
        root = _tracer.start_span("top-up", context=Context(), start_time=_ns(began), attributes=attributes)
    finally:
        _chosen.reset(token)
    root.end()


@contextlib.contextmanager
def span(name: str, top_up_id: str | None = None, **attributes: str | int | bool) -> Iterator[None]:
    """What is done within; below the root of a top-up's trace if it is named, else below what is being done."""
    if _tracer is None:
        yield
        return
    from opentelemetry import trace

    context = None
    if (
        top_up_id is not None
        and _TOP_UP.fullmatch(top_up_id)
        and not trace.get_current_span().get_span_context().is_valid
    ):
        trace_id, span_id = _ids(top_up_id)
        sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        parent = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=sampled)
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    with _tracer.start_as_current_span(name, context=context, attributes=attributes):
        yield


def headers() -> dict[str, str]:
    """W3C trace context of what is being done, for a request to somebody else."""
    if _tracer is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carried: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carried)
    return carried


def _ns(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1_000_000_000)
