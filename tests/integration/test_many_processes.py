"""Any number of processes against one database: on one port, replaced while they serve, and behind a pooler."""

import asyncio
import collections
import contextlib
import os
import pathlib
import pwd
import signal
import subprocess
import sys
import time

import httpx
import psycopg
import psycopg.conninfo
import pytest
from prometheus_client.parser import text_string_to_metric_families

from brimful import operations
from brimful.db.pool import Database
from brimful.web.rate_limit import RateLimit
from brimful.web.rate_limit_sync import RateLimitSync
from support.harness import LEDGER_KEYS, Harness, free_port
from support.receiver import subscribe

FAR = 9e9  # seconds since 1970, at the beginning of a window that nobody forgets
POOLER = pathlib.Path(os.environ.get("BRIMFUL_TOOLS", "")) / "pgbouncer"


@contextlib.contextmanager
def running(harness, *arguments):
    """A process of ours on the harness's database."""
    child = subprocess.Popen(
        [sys.executable, "-m", "brimful", *arguments], start_new_session=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "BRIMFUL_LOG_LEVEL": "ERROR",
             **harness.environment},
    )  # fmt: skip
    try:
        yield child
    finally:
        child.terminate()
        assert child.wait(60) in {0, -signal.SIGTERM}


@contextlib.asynccontextmanager
async def serving(harness, workers):
    """`brimful serve --workers` on a port of its own. Gives its process and a client."""
    port = free_port()
    with running(
        harness, "serve", "--port", str(port), "--internal-port", str(port), "--workers", str(workers)
    ) as child:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=dict(harness.api.headers), timeout=30, limits=limits
        ) as client:

            async def up():
                with contextlib.suppress(httpx.HTTPError):
                    return (await client.get("/readyz")).status_code == 200
                return False

            await harness.until(up, seconds=40)
            yield child, client


def children(process):
    """The processes that serve: those with a port open; the library's own helper has none."""
    found = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return {int(one) for one in found if b"spawn_main" in command_of(one)}


def command_of(pid):
    """How a process was started; nothing for one that is gone by now."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Platform:
    """Sends events until it is told to stop, each again under its id until it is answered."""

    def __init__(self, client, customer_id):
        self.client = client
        self.customer_id = customer_id
        self.sent = 0
        self.statuses = collections.Counter()
        self.applied = set()
        self.ending = False

    async def send(self):
        while not self.ending:
            self.sent += 1
            event = {"id": f"e-{self.sent}", "customer_id": self.customer_id, "asset": "USD", "amount": "0.01"}
            while event["id"] not in self.applied:
                try:
                    answer = await self.client.post("/v1/usage", json=event)
                except httpx.HTTPError:  # a connection that its process has closed meanwhile
                    self.statuses["closed"] += 1
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    assert answer.json()["status"] in {"applied", "duplicate"}
                    self.applied.add(event["id"])
                else:
                    assert answer.status_code == 503, answer.text
                    await asyncio.sleep(int(answer.headers["retry-after"]))


@pytest.mark.flow
@pytest.mark.timeout(180)
async def test_processes_on_one_port_are_replaced_while_they_serve_and_nothing_is_lost_or_doubled(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 1000)
    async with serving(harness, 3) as (parent, client):
        platform = Platform(client, customer_id)
        tasks = [asyncio.create_task(platform.send()) for _ in range(16)]
        await asyncio.sleep(1)
        before = children(parent)
        assert len(before) == 3
        parent.send_signal(signal.SIGHUP)

        async def replaced():
            now = children(parent)
            return len(now) == 3 and not now & before

        await harness.until(replaced, seconds=60)
        os.kill(min(children(parent)), signal.SIGKILL)
        await asyncio.sleep(3)
        platform.ending = True
        await asyncio.gather(*tasks)
        assert set(platform.statuses) <= {200, 503, "closed"}, platform.statuses
    rows = await harness.sql("SELECT key FROM entries WHERE customer_id = %s AND kind = 'usage'", (customer_id,))
    assert len(rows) == platform.sent
    assert {row["key"] for row in rows} == platform.applied


async def test_a_scrape_of_any_process_tells_what_all_have_counted(harness):
    customer_id = await harness.customer()
    async with serving(harness, 2) as (_, client):
        for number in range(30):
            event = {"id": f"e-{number}", "customer_id": customer_id, "asset": "USD", "amount": "1"}
            async with httpx.AsyncClient(base_url=client.base_url, headers=client.headers) as alone:  # to either
                await alone.post("/v1/usage", json=event)
        for _ in range(5):
            async with httpx.AsyncClient(base_url=client.base_url) as alone:
                text = (await alone.get("/metrics")).text
            samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
            applied = [
                s.value for s in samples if s.name == "brimful_movements_total" and s.labels["outcome"] == "applied"
            ]
            assert applied == [30]


async def test_quotas_of_two_processes_count_together(database_url):
    database = Database(database_url, "brimful_api")
    await database.open()
    one, two = (RateLimit(1, "key", lambda: 0.0) for _ in range(2))  # ten in ten seconds
    exchanges = [RateLimitSync(database, [limit]) for limit in (one, two)]
    for exchange in exchanges:
        await exchange.once()  # both go by the server's clock now
    for limit in (one, two):
        limit.set_clock(FAR)
    for _ in range(6):
        one.take("ada")
    assert [two.take("ada")[0] for _ in range(2)] == [9, 8]  # it has not asked yet
    await _tell(exchanges, one, two)
    assert two.take("ada") == (1, 10)  # six there, two before, and this one
    assert two.take("grace") == (9, 10)
    async with database.transaction() as tx:
        assert [row["used"] for row in await tx.all("SELECT used FROM rate_limit_uses ORDER BY used")] == [8]
        assert await tx.all("SELECT 1 FROM rate_limit_uses WHERE name = convert_to('ada', 'UTF8')") == []
    await database.close()


async def _tell(exchanges, *rate_limits):
    for exchange in exchanges * 2:
        await exchange.once()
        for limit in rate_limits:
            limit.set_clock(FAR)


async def test_a_worker_that_is_replaced_loses_and_doubles_no_event(harness, receiver):
    await subscribe(harness, receiver.url, "*")
    customers = []
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running(harness, "worker"))
        stack.enter_context(running(harness, "worker"))
        for number in range(40):
            customer_id, _ = await harness.funded(name=f"C{number}") if number < 2 else (await harness.customer(), None)
            customers.append(customer_id)
            if number == 10:
                first.terminate()
                assert await asyncio.to_thread(first.wait, 40) == 0
                first = stack.enter_context(running(harness, "worker"))
            if number < 2:
                await harness.use(customer_id, "25", f"crossing-{number}")

        async def delivered():
            rows = await harness.sql("SELECT state FROM deliveries WHERE state <> 'succeeded'")
            return not rows

        async def credited():
            return len(await harness.sql("SELECT 1 FROM top_ups WHERE state = 'succeeded'")) == 2

        await harness.until(credited, seconds=40)
        await harness.until(delivered, seconds=40)
    events = await harness.sql("SELECT event_id FROM outgoing_events ORDER BY event_id")
    seen = collections.Counter(headers["webhook-id"] for headers, _ in receiver.requests)
    assert seen == {row["event_id"]: 1 for row in events}


# --- behind a pooler -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def pooler(url, directory):
    """PgBouncer in transaction mode before that database, with fewer connections than its clients have. Its address."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    port = free_port()
    password = parts.get("password") or ""
    (directory / "users.txt").write_text(f'"{parts["user"]}" "{password}"\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n{parts['dbname']} = host={parts['host']} port={parts.get('port') or 5432}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {directory}/users.txt\npool_mode = transaction\ndefault_pool_size = 4\n"
        f"max_client_conn = 200\nlogfile = {directory}/log\n"
    )
    command = [str(POOLER), "-q", str(directory / "pgbouncer.ini")]
    account = {}
    if os.geteuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for path in (directory, *directory.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        for path in directory.parents:
            with contextlib.suppress(PermissionError):
                path.chmod(path.stat().st_mode | 0o011)
    child = subprocess.Popen(command, cwd="/", **account)
    try:
        address = psycopg.conninfo.make_conninfo(
            "", host="127.0.0.1", port=str(port), user=parts["user"], password=password, dbname=parts["dbname"]
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                psycopg.connect(address).close()
                break
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield address
    finally:
        child.terminate()
        child.wait()


@pytest.mark.flow
@pytest.mark.timeout(120)
async def test_everything_works_through_a_pooler_in_transaction_mode(database_url, tmp_path):
    if not POOLER.is_file():
        assert "CI" not in os.environ, "pgbouncer is missing"
        pytest.skip("pgbouncer is not installed")
    with pooler(database_url, tmp_path) as address:
        async with Harness.opened(address, DATABASE_URL_DIRECT=database_url) as harness:
            harness.database_url = database_url  # what the story looks into
            customer_id, visitor = await harness.funded(balance=40, threshold="10")
            answers = await asyncio.gather(*(harness.use(customer_id, "1", f"e-{n}") for n in range(35)))
            assert all(answer["status"] == "applied" for answer in answers)
            await harness.work()
            assert await harness.balance(customer_id) == 30
            assert "$30.00" in (await visitor.get("/")).text
            assert await harness.charged() == 2500
            # Nothing is left behind in a session that somebody else gets: neither a role nor a limit of time.
            with psycopg.connect(address, autocommit=True) as other:
                for _ in range(8):
                    row = other.execute(
                        "SELECT current_user, current_setting('role'), current_setting('enable_seqscan')"
                    ).fetchone()
                    assert row[1:] == ("none", "on")
            # And each door keeps its own rights.
            for deps, may in ((harness.engine, False), (harness.portal_deps, True)):
                async with deps.database.transaction() as tx:
                    row = await tx.one("SELECT has_table_privilege(current_user, 'rules', 'UPDATE') AS may")
                    assert row == {"may": may}
        assert [finding for finding in await operations.verify.run(database_url, LEDGER_KEYS) if not finding.ok] == []


async def test_console_and_metrics_are_on_a_listener_of_their_own(harness):
    """The one that customers reach has no such pages, whatever a request says of itself."""
    port, internal = free_port(), free_port()
    with running(harness, "serve", "--port", str(port), "--internal-port", str(internal), "--workers", "2"):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as outside, httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{internal}", timeout=30
        ) as inside:  # fmt: skip

            async def up():
                with contextlib.suppress(httpx.HTTPError):
                    return (await outside.get("/readyz")).status_code == 200
                return False

            await harness.until(up, seconds=40)
            for path in ("/console", "/console/", "/console/sign-in", "/console/static/console.css", "/metrics"):
                for headers in ({}, {"Host": f"127.0.0.1:{internal}"}, {"X-Forwarded-Port": str(internal)}):
                    answer = await outside.get(path, headers=headers)
                    assert (answer.status_code, "sign" in answer.text.lower()) == (404, False), (path, headers)
                assert (await inside.get(path)).status_code in {200, 303, 307}, path
            assert "brimful_http_responses" in (await inside.get("/metrics")).text
            assert (await outside.get("/%63onsole/sign-in")).status_code == 404
            assert (await outside.get("/billing/")).status_code == 401


BUDGET_ROUNDS = int(os.environ.get("BRIMFUL_BUDGET_ROUNDS", "2"))


@pytest.mark.timeout(60 + 30 * BUDGET_ROUNDS)
async def test_of_a_thousand_debits_at_once_on_four_processes_exactly_a_hundred_pass(harness):
    """I17: against one hard budget, and against a parent that fifty others stand below."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 10**6)
    async with serving(harness, 4) as (_, client):
        for number in range(BUDGET_ROUNDS):
            alone = await _passes(client, customer_id, f"alone-{number}", [f"alone-{number}"])
            children = [f"child-{number}-{place}" for place in range(50)]
            together = await _passes(client, customer_id, f"parent-{number}", children)
            assert (alone, together) == (100, 100), number
        shown = await harness.call("GET", f"/customers/{customer_id}/budgets/parent-0", expect=200)
        assert (shown["used"], shown["beyond"]) == ("100", "0")


async def _passes(client, customer_id, budget_id, subjects):
    """How many of a thousand debits of 1 pass, spread over these subjects."""

    async def put(name, subject, amount, **more):
        body = {"asset": "USD", "amount": amount, "window": "total", "subject": subject, **more}
        answer = await client.put(f"/v1/customers/{customer_id}/budgets/{name}", json=body)
        assert answer.status_code == 200, answer.text

    await put(budget_id, subjects[0] if len(subjects) == 1 else f"{budget_id} alone", "100")
    for subject in subjects if len(subjects) > 1 else ():
        await put(subject, subject, "15", parent_id=budget_id)

    async def debit(number):
        event = {"id": f"{budget_id}-{number}", "customer_id": customer_id, "asset": "USD", "amount": "1",
                 "subject": subjects[number % len(subjects)], "if_insufficient": "refuse"}  # fmt: skip
        answer = await client.post("/v1/usage", json=event, timeout=httpx.Timeout(60, pool=600))
        assert answer.status_code in {200, 402}, answer.text
        return answer.status_code == 200

    return sum(await asyncio.gather(*(debit(number) for number in range(1000))))
