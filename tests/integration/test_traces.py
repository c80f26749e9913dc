"""One debit is followed to its webhook: API and worker send spans to a real OTLP receiver, all of one trace."""

import http.server
import json
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from brimful import observability
from support import stage as stages


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans at /v1/traces and webhooks at /hook, as a collector and a platform would."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            for part in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = next(
                    item.value.string_value for item in part.resource.attributes if item.key == "service.name"
                )
                self.server.spans += [(service, span) for scope in part.scope_spans for span in scope.spans]
        else:
            self.server.hooks.append((json.loads(body), self.headers.get("traceparent")))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.spans, server.hooks = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.timeout(120)
def test_a_debit_is_followed_to_its_webhook(collector):
    url = f"http://127.0.0.1:{collector.server_port}"
    with stages.opened(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="200") as stage:
        stage.call("POST", "/webhooks", {"url": f"{url}/hook", "topics": ["top_up.succeeded"]})
        customer_id = stage.funded("Ada", balance="12")
        stage.use(customer_id, "3", "the-debit-that-crossed")
        stage.state(customer_id, "succeeded")
        stage.until(lambda: collector.hooks)
        stage.until(lambda: any(span.name == "deliver top_up.succeeded" for _, span in collector.spans))
        [top_up] = stage.top_ups(customer_id)
    trace_id = top_up["id"].removeprefix("top_")
    ours = [(service, span) for service, span in collector.spans if span.trace_id.hex() == trace_id]
    names = {(service, span.name) for service, span in ours}
    assert {
        ("brimful-api", "top-up"), ("brimful-worker", "step requested"), ("brimful-worker", "step intent_created"),
        ("brimful-worker", "stripe payment_intents.create"), ("brimful-worker", "stripe payment_intents.confirm"),
        ("brimful-worker", "settle succeeded"), ("brimful-worker", "deliver top_up.succeeded"),
    } <= names  # fmt: skip
    [root] = [span for _, span in ours if span.name == "top-up"]
    assert root.parent_span_id == b""
    debits = next(item.value.array_value.values for item in root.attributes if item.key == "brimful.debits")
    assert [value.string_value for value in debits] == ["the-debit-that-crossed"]
    known = {span.span_id for _, span in ours}
    assert all(span.parent_span_id in known for _, span in ours if span is not root)
    assert all(span.start_time_unix_nano >= root.start_time_unix_nano for _, span in ours)
    # The platform's receiver can go on with the same trace.
    [(told, traceparent)] = collector.hooks
    assert told["data"]["id"] == top_up["id"]
    version, trace, parent, flags = traceparent.split("-")
    assert (version, trace, flags) == ("00", trace_id, "01")
    assert bytes.fromhex(parent) in known


def test_without_an_exporter_nothing_is_done():
    assert not observability.tracing.on()
    with observability.tracing.span("x", "not an id at all"):
        assert observability.tracing.headers() == {}
