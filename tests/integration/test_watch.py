"""What can be watched: counted where it happens, once committed; alerts and dashboard against a real Prometheus."""

import contextlib
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import time

import httpx
import psycopg
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from brimful import observability, operations
from brimful.web import pages
from support import stage as stages
from support.harness import free_port

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SOFT = "4000000000009995"


def tool(name):
    path = ROOT / ".cache" / "tools" / name
    if not path.exists():
        assert "CI" not in os.environ, f"{name} is missing: sh scripts/tools.sh"
        pytest.skip(f"{name} is missing: sh scripts/tools.sh")
    return path


async def metrics(harness):
    answer = await harness.api.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


class Counted:
    """What was counted since."""

    def __init__(self):
        self.before = self._read()

    @staticmethod
    def _read():
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in REGISTRY.collect() for s in f.samples}

    def since(self, name, **labels):
        key = name, tuple(sorted(labels.items()))
        return self._read().get(key, 0) - self.before.get(key, 0)


async def test_a_top_up_is_counted_and_timed_from_its_debit_to_its_credit(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    counted = Counted()
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.events_applied()
    for name in ("trigger", "credit", "funding", "below_zero"):
        assert counted.since(f"brimful_{name}_seconds_count") == 1, name
    assert counted.since("brimful_below_zero_seconds_bucket", le="0.0") == 1
    assert counted.since("brimful_top_ups_ended_total", kind="automatic", state="succeeded", reason="") == 1
    assert counted.since("brimful_events_emitted_total", topic="top_up.succeeded") == 1
    assert counted.since("brimful_movements_total", outcome="applied") == 1
    assert (
        counted.since("brimful_stripe_call_seconds_count", endpoint="payment_intents.confirm", outcome="answered") == 1
    )
    assert counted.since("brimful_stripe_events_total", outcome="accepted") > 0
    assert counted.since("brimful_stripe_event_lag_seconds_count") > 0


async def test_a_balance_below_zero_is_seen_while_it_waits_and_timed_when_it_is_lifted(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    counted = Counted()
    await harness.use(customer_id, "15", "over")
    harness.clock.offset += type(harness.clock.offset)(seconds=90)
    assert (await metrics(harness))["brimful_accounts_below_zero", ()] == 1
    await harness.work()
    assert counted.since("brimful_below_zero_seconds_bucket", le="60.0") == 0
    assert counted.since("brimful_below_zero_seconds_bucket", le="300.0") == 1


async def test_what_was_rolled_back_is_not_counted(harness):
    counted = Counted()
    with pytest.raises(ZeroDivisionError):
        async with harness.engine.database.transaction() as tx:
            tx.once_committed(observability.metrics.TOP_UPS.labels("automatic", "failed", "test").inc)
            await tx.one("SELECT 1")
            raise ZeroDivisionError
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with harness.engine.database.transaction() as tx:
            tx.once_committed(observability.metrics.TOP_UPS.labels("automatic", "failed", "test").inc)
            await tx.one("SELECT 1 / 0")
    assert counted.since("brimful_top_ups_ended_total", kind="automatic", state="failed", reason="test") == 0
    async with harness.engine.database.transaction() as tx:
        tx.once_committed(observability.metrics.TOP_UPS.labels("automatic", "failed", "test").inc)
        await tx.one("SELECT 1")
    assert counted.since("brimful_top_ups_ended_total", kind="automatic", state="failed", reason="test") == 1


async def test_a_declined_one_tells_its_reason_and_no_label_names_anybody(harness):
    counted = Counted()
    customer_id, _ = await harness.crossed(number="4000000000009987", email="ada@example.com", name="Ada")
    await harness.work()
    assert counted.since("brimful_top_ups_ended_total", kind="automatic", state="failed", reason="lost_card") == 1
    text = (await harness.api.get("/metrics")).text
    for word in (customer_id, "ada@example.com", "Ada", "cus_", "top_0", "pi_", "pm_"):
        assert word not in text, word


@pytest.mark.tampers
async def test_books_that_are_off_show_by_how_much(harness):
    from support.harness import LEDGER_KEYS

    await harness.crossed()
    await harness.work()
    await operations.verify.run(harness.database_url, LEDGER_KEYS)
    assert (await metrics(harness))["brimful_imbalance_minor", (("currency", "USD"),)] == 0
    await harness.sql("UPDATE refunds SET state = state")
    await harness.sql("UPDATE payments SET amount_minor = amount_minor + 250")
    await operations.verify.run(harness.database_url, LEDGER_KEYS)
    time.sleep(2.1)  # what was read is kept for two seconds
    assert (await metrics(harness))["brimful_imbalance_minor", (("currency", "USD"),)] == 250


async def test_rejected_signatures_are_counted_once_in_a_while_however_many_come(harness):
    assert (await harness.api.post("/v1/stripe/webhooks", content=b"{}")).status_code == 400
    old = {"Stripe-Signature": f"t=1,v1={'0' * 64}"}
    assert (await harness.api.post("/v1/stripe/webhooks", content=b"{}", headers=old)).status_code == 400
    assert await harness.sql("SELECT count FROM webhook_rejections") == []  # nobody took it for Stripe's
    for _ in range(20):
        assert (await harness.api.post("/v1/stripe/webhooks", content=b"{}", headers=forged())).status_code == 400
    [row] = await harness.sql("SELECT count FROM webhook_rejections")
    assert row["count"] == 1
    await harness.until(lambda: _second(harness))
    [row] = await harness.sql("SELECT count FROM webhook_rejections")
    assert row["count"] > 20


def forged():
    return {"Stripe-Signature": f"t={int(time.time())},v1={'0' * 64}"}


async def _second(harness):
    await harness.api.post("/v1/stripe/webhooks", content=b"{}", headers=forged())
    return (await harness.sql("SELECT count FROM webhook_rejections"))[0]["count"] > 1


async def test_an_answer_is_counted_whatever_was_asked_for():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 418, "headers": []})

    async def send(message):
        pass

    counted = Counted()
    for path in ("*", "", "/", "/v1/usage", "/billing/", "/console"):
        await pages.CountResponses(app)({"type": "http", "path": path}, None, send)
    assert counted.since("brimful_http_responses_total", surface="api", status="418") == 4
    assert counted.since("brimful_http_responses_total", surface="billing", status="418") == 1


# --- alerts and dashboard ---------------------------------------------------------------------------------------------


def test_promtool_finds_nothing_to_complain_of_and_every_alert_does_what_it_should():
    promtool = tool("promtool")
    for arguments in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"],
                      ["test", "rules", "alerts.test.yml"]):  # fmt: skip
        done = subprocess.run(
            [promtool, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_committed_as_its_table_makes_it():
    spec = importlib.util.spec_from_file_location("dashboard", ROOT / "scripts" / "dashboard.py")
    dashboard = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dashboard)
    assert dashboard.FILE.read_text() == dashboard.text(), "run scripts/dashboard.py and commit"


def test_every_alert_leads_to_a_page_that_is_there():
    pages = {}
    for path, anchor in re.findall(r"runbook: (\S+\.md)#(\S+)", (DEPLOY / "prometheus" / "alerts.yml").read_text()):
        headings = pages.setdefault(path, re.findall(r"^## (.+)$", (ROOT / path).read_text(), re.MULTILINE))
        anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, (path, anchor)


def queries():
    """Every query of dashboard and alerts, and whether it must find something."""
    dashboard = json.loads((DEPLOY / "grafana" / "brimful.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    text = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    alerts = [folded or plain for folded, plain in re.findall(r"expr: (?:>\n((?:          .*\n)+)|(.*)\n)", text)]
    assert len(alerts) == text.count("- alert:")
    return [(query.replace("$__rate_interval", "1m"), True) for query in shown] + [(query, False) for query in alerts]


def names(query):
    return set(re.findall(r"\b(?:brimful|process)_[a-z_]+\b", query))


@contextlib.contextmanager
def watching(stage, worker_port, path):
    """A real Prometheus with our own configuration, asked once a second; a client to it."""
    port = free_port()
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text().replace("15s", "1s")
    config = config.replace("127.0.0.1:8081", stage.url.removeprefix("http://"))
    (path / "prometheus.yml").write_text(config.replace("127.0.0.1:9464", f"127.0.0.1:{worker_port}"))
    (path / "alerts.yml").write_text((DEPLOY / "prometheus" / "alerts.yml").read_text())
    server = subprocess.Popen(
        [tool("prometheus"), f"--config.file={path}/prometheus.yml", f"--storage.tsdb.path={path}/data",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10) as client:
            yield client
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.timeout(120)
def test_every_query_runs_against_a_live_brimful(tmp_path):
    """A real Prometheus scrapes a real API and a real worker; no query asks for what nobody shows."""
    worker_port = free_port()
    with (
        stages.opened(BRIMFUL_WORKER_METRICS=f"127.0.0.1:{worker_port}") as stage,
        watching(stage, worker_port, tmp_path) as prometheus,
    ):

        def found(query):
            answer = prometheus.get("/query", params={"query": query}).json()
            assert answer["status"] == "success", (query, answer)
            return answer["data"]["result"]

        def seen_twice():
            with contextlib.suppress(httpx.HTTPError):
                ended = found('rate(brimful_top_ups_ended_total{state="failed"}[1m]) and on() (sum(up) == 2)')
                return bool(ended and found("rate(brimful_deliveries_total[1m])"))

        stage.call("POST", "/webhooks", {"url": "https://hooks.example.invalid/x", "topics": ["*"]})
        for name, number, state in (("Ada", stages.VISA, "succeeded"), ("Alan", stages.LOST, "failed")):
            customer_id = stage.funded(name, balance="12", number=number)
            stage.use(customer_id, "3", "crossing")
            stage.state(customer_id, state)
        httpx.post(f"{stage.url}/v1/stripe/webhooks", content=b"{}", headers=forged())
        keys = stages._keys(stage.environment["BRIMFUL_LEDGER_KEYS"])
        stages._apart(operations.verify.run(stage.environment["DATABASE_URL"], keys))
        stage.until(seen_twice, 60)
        time.sleep(3)  # for what was read from the database meanwhile
        assert httpx.get(f"http://127.0.0.1:{worker_port}/healthz").text == "ok"
        shown = set(prometheus.get("/label/__name__/values").json()["data"])
        for query, something in queries():
            assert names(query) <= shown, names(query) - shown
            assert found(query) or not something, query
        assert found('ALERTS{alertstate="firing"}') == []


async def test_whoever_is_refused_is_written_down(harness, caplog):
    """Door, method, path, address and code; ten lines a second, however many come."""
    caplog.set_level("WARNING", "brimful.web")
    customer_id, visitor = await harness.funded()
    await harness.call("PUT", f"/customers/{customer_id}/auto-top-ups/USD", {}, expect=403)
    await harness.call("GET", "/assets", expect=401, headers={"Authorization": "Bearer x"})
    await harness.call("POST", "/usage", {}, expect=401, headers={"Authorization": "Bearer x"})
    await visitor.client.post(
        f"{harness.url}/billing/cards/add", data={"csrf": "x"}, headers={"X-Forwarded-For": "203.0.113.7"}
    )
    await harness.api.post("/console/charging/stop", headers={"Authorization": ""})
    told = [message for message in caplog.messages if " refused " in message]
    assert told == [
        f"api refused PUT /v1/customers/{customer_id}/auto-top-ups/USD from 127.0.0.1: customer_only",
        "api refused GET /v1/assets from 127.0.0.1: unauthorized",
        "api refused POST /v1/usage from 127.0.0.1: unauthorized",
        "portal refused POST /billing/cards/add from 203.0.113.7: forbidden",
        "console refused POST /console/charging/stop from 127.0.0.1: unauthorized",
    ]
    caplog.clear()
    for _ in range(150):
        await harness.api.get("/v1/assets", headers={"Authorization": "Bearer x"})
    assert 90 <= len(caplog.messages) <= 200
