"""`make soak MINUTES=n`: real processes under kill -9, database restarts and a bad network, then the books compared.

Four API and two worker processes, a sandbox of its own, PostgreSQL with fsync on, a fault proxy before the sandbox and
one before the database. A platform sends usage and remembers what was acknowledged. In the end faults stop, everything
comes to rest, and: every acknowledged event is there once, the sandbox's books are ours, every invariant holds.
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

import httpx
import psycopg
import psycopg.conninfo
import psycopg.rows

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from brimful import db, operations, runtime
from brimful.dev.demo.visitor import Visitor, VisitorError
from soak.proxy import FaultProxy
from support.harness import free_port

CUSTOMERS = 12
CARDS = ("4242424242424242",) * 8 + ("4000000000009995", "4000000000009987", "4000002760003184", "4000000000000259")
KEY = "soak_key_0123456789_0123456789"
APIS, WORKERS = 4, 2
KILL_EVERY_S, RESTART_EVERY_S = (1.5, 2.9), (14, 26)
REST_S = 420
_COUNTED = ("kills", "restarts", "respawned", "acknowledged", "refunds", "turned_on_again")
_LIVE = "('succeeded', 'failed', 'canceled')"


@dataclasses.dataclass
class Process:
    name: str
    arguments: list[str]
    child: subprocess.Popen | None = None


class Soak:
    apis, workers = APIS, WORKERS

    def __init__(self, home, minutes, seed):
        self.home, self.minutes = home, minutes
        self.dice = random.Random(seed)
        self.counts = collections.Counter()
        self.acknowledged = {}
        self.people = {}
        self.sequence = 0
        self.ending = False
        self.directory = runtime.embedded_postgres.DataDirectory(home / "data").open(version="18")
        assert self.directory.lock()
        self.server = runtime.embedded_postgres.Server(self.directory)
        self.processes = []
        self.to_database = None

    # --- the machine ---------------------------------------------------------------------------------------------

    async def start(self):
        await self.start_database()
        self.sandbox_port = free_port()
        self.to_stripe = FaultProxy(self.sandbox_port, seed=1)
        await self.to_stripe.start()
        secrets = self.directory.secrets()
        self.ports = [free_port() for _ in range(self.apis)]
        self.environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.database_url,
            "BRIMFUL_API_KEY": KEY,
            "BRIMFUL_LEDGER_KEYS": secrets["ledger_keys"],
            "BRIMFUL_PUBLIC_URL": f"http://127.0.0.1:{self.ports[0]}",
            "BRIMFUL_EPOCH_FILE": str(self.home / "epoch"),
            "BRIMFUL_LOG_LEVEL": "CRITICAL",
            "BRIMFUL_PACE_PER_HOUR": "100000",
            "BRIMFUL_PACE_SPACING_S": "1",
            "BRIMFUL_RETRY_WAITS_S": "5,10",
            "BRIMFUL_CARDS_PER_HOUR": "50",
            "BRIMFUL_POOL_MAX": "6",
            "STRIPE_API_KEY": secrets["stripe_key"],
            "STRIPE_API_URL": f"http://127.0.0.1:{self.to_stripe.port}",
            "STRIPE_CHECKOUT_URL": f"http://127.0.0.1:{self.sandbox_port}",
            "STRIPE_WEBHOOK_SECRET": secrets["stripe_webhook_secret"],
        }
        # The sandbox keeps its own state in its own process and is never killed: it is the witness.
        sandbox = ["sandbox", "--port", str(self.sandbox_port), "--state", str(self.home / "sandbox.db")]
        self.processes.append(Process("sandbox", sandbox))
        for port in self.ports:
            self.processes.append(Process("serve", ["serve", "--port", str(port), "--internal-port", str(port)]))
        for _ in range(self.workers):
            self.processes.append(Process("worker", ["worker"]))
        for process in self.processes:
            self._spawn(process)
        await self._until_up()

    async def start_database(self):
        """Start it; `database_url` is how the processes reach it."""
        self.server.start()
        db.migrate.apply(self.server.url())
        parts = psycopg.conninfo.conninfo_to_dict(self.server.url())
        self.to_database = UnixProxy(parts["host"], parts["port"], self.home, self.dice)
        await self.to_database.start()
        there = {**parts, "host": "127.0.0.1", "port": self.to_database.port}
        self.database_url = psycopg.conninfo.make_conninfo("", **there)

    def admin_url(self):
        """Past every proxy."""
        return self.server.url()

    def _spawn(self, process):
        log = (self.home / "soak.log").open("ab")
        process.child = subprocess.Popen(
            [sys.executable, "-m", "brimful", *process.arguments], env=self.environment, stdout=log, stderr=log,
            start_new_session=True, preexec_fn=lambda: runtime.embedded_postgres.die_with_parent(signal.SIGKILL),
        )  # fmt: skip
        log.close()

    async def _until_up(self):
        for port in (*self.ports, self.sandbox_port):
            path = "/healthz" if port != self.sandbox_port else "/sandbox/books"
            for _ in range(300):
                with contextlib.suppress(httpx.HTTPError):
                    async with httpx.AsyncClient(timeout=2) as client:
                        if (await client.get(f"http://127.0.0.1:{port}{path}")).status_code == 200:
                            break
                await asyncio.sleep(0.2)
            else:
                raise SystemExit(f"port {port} does not answer; see {self.home}/soak.log")

    async def kill(self):
        """kill -9 of a random process but the witness; another takes its place."""
        while not self.ending:
            await asyncio.sleep(self.dice.uniform(*KILL_EVERY_S))
            if self.ending:
                return
            process = self.dice.choice([one for one in self.processes if one.name != "sandbox"])
            process.child.kill()
            process.child.wait()
            self.counts["kills"] += 1
            self._spawn(process)

    async def restart_database(self):
        """Now and then fast, now and then by kill -9."""
        while not self.ending:
            await asyncio.sleep(self.dice.uniform(*RESTART_EVERY_S))
            if self.ending:
                return
            await asyncio.to_thread(self.server.kill if self.dice.random() < 0.5 else self.server.stop)
            await asyncio.to_thread(self.server.start)
            self.counts["restarts"] += 1

    async def keep_alive(self):
        """Processes that gave up by themselves, as a supervisor would."""
        while not self.ending:
            await asyncio.sleep(0.5)
            for process in self.processes:
                if process.child.poll() is not None:
                    self.counts["respawned"] += 1
                    self._spawn(process)

    # --- the platform and its customers ------------------------------------------------------------------------------

    async def call(self, method, path, body=None, *, tries=200):
        """To any door, again until it is answered; the same key makes that harmless."""
        headers = {"Authorization": f"Bearer {KEY}"}
        if method == "POST" and path != "/usage":  # an event's id is its key
            headers["Idempotency-Key"] = os.urandom(8).hex()
        for _ in range(tries):
            url = f"http://127.0.0.1:{self.dice.choice(self.ports)}"
            with contextlib.suppress(httpx.HTTPError):
                async with httpx.AsyncClient(base_url=url, timeout=10) as client:
                    answer = await client.request(method, f"/v1{path}", json=body, headers=headers)
                if answer.status_code < 500 and b'"request_in_progress"' not in answer.content:
                    return answer.status_code, answer.json()
                self.counts[f"http {answer.status_code}"] += 1
            await asyncio.sleep(0.1)
        raise SystemExit(f"{method} {path} was never answered")

    async def cast(self):
        for number in range(CUSTOMERS):
            _, made = await self.call("POST", "/customers", {"name": f"C{number}", "external_id": f"soak-{number}"})
            customer_id = made["id"]
            gift = {"transaction_id": "gift", "asset": "USD", "amount": "40"}
            await self.call("POST", f"/customers/{customer_id}/wallet/adjustments", gift)
            self.people[customer_id] = Decimal(40)
            home = "http://127.0.0.1/app"
            body = {"customer_id": customer_id, "return_url": home, "failure_url": home}
            _, link = await self.call("POST", "/billing-portal/sessions", body)
            visitor = Visitor(f"http://127.0.0.1:{self.ports[0]}")
            await visitor.open(link["redirect_url"])
            await visitor.add_card(CARDS[number % len(CARDS)])
            await visitor.turn_on("USD", threshold="20", amount="25", limit="50000")
            await visitor.close()

    async def spend(self):
        """Events, sent again under the same id until they are acknowledged."""
        while not self.ending:
            self.sequence += 1
            number, customer_id = self.sequence, self.dice.choice(list(self.people))
            amount = self.dice.choice(("0.50", "1", "2.25", "4"))
            event = {"id": f"u-{number}", "customer_id": customer_id, "asset": "USD", "amount": amount}
            status, answer = await self.call("POST", "/usage", event)
            assert status == 200, answer
            self.acknowledged[f"u-{number}"] = customer_id, Decimal(amount)
            self.counts["acknowledged"] += 1

    def stripe(self):
        """A client of the sandbox itself, past the bad network."""
        headers = {"Authorization": f"Bearer {self.environment['STRIPE_API_KEY']}"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.sandbox_port}", timeout=30, headers=headers)

    async def misfortune(self):
        """What happens at Stripe by itself: refunds, disputes, events lost, doubled and out of order."""
        async with self.stripe() as stripe:
            while not self.ending:
                await asyncio.sleep(self.dice.uniform(1, 3))
                mode = self.dice.choice(("on", "on", "off", "duplicated", "reordered", "late"))
                await stripe.post("/sandbox/switches", json={"webhooks": mode, "seconds": 2})
                paid = (await stripe.get("/v1/payment_intents", params={"limit": 20})).json()["data"]
                paid = [item for item in paid if item["status"] == "succeeded"]
                if paid and self.dice.random() < 0.25:
                    item = self.dice.choice(paid)
                    answer = await stripe.post("/v1/refunds", data={"payment_intent": item["id"], "amount": "300"})
                    self.counts["refunds"] += answer.status_code == 200

    async def come_back(self):
        """Customers whose rule was paused (a refund, a decline) turn it on again, as people do."""
        while not self.ending:
            await asyncio.sleep(self.dice.uniform(0.5, 1.5))
            customer_id = self.dice.choice(list(self.people))
            _, rule = await self.call("GET", f"/customers/{customer_id}/auto-top-ups/USD")
            if rule["paused"] is None or self.ending:
                continue
            home = "http://127.0.0.1/app"
            body = {"customer_id": customer_id, "return_url": home, "failure_url": home}
            _, link = await self.call("POST", "/billing-portal/sessions", body)
            visitor = Visitor(f"http://127.0.0.1:{self.ports[0]}")
            with contextlib.suppress(httpx.HTTPError, VisitorError):  # a door that was killed meanwhile: another time
                await visitor.open(link["redirect_url"])
                await visitor.turn_on("USD", threshold="20", amount="25", limit="50000")
                self.counts["turned_on_again"] += 1
            await visitor.close()

    # --- the end -----------------------------------------------------------------------------------------------

    async def run(self):
        await self.start()
        try:
            await self.cast()
            self.to_stripe.storm(cut=0.004, stall=0.01, mute=0.001)
            self.to_database.storm(cut=0.00015, stall=0.0002)
            troubles = (self.kill, self.restart_database, self.keep_alive, self.misfortune)
            tasks = [asyncio.create_task(one()) for one in (*troubles, self.come_back, *[self.spend] * 6)]
            until = time.monotonic() + self.minutes * 60
            while time.monotonic() < until:
                await asyncio.sleep(1)
                for task in tasks:
                    if task.done():
                        task.result()
            self.ending = True
            await asyncio.gather(*tasks)
            return await self.compare()
        finally:
            await self.close()

    async def compare(self):
        """Faults off; wait for rest; then the books."""
        self.to_stripe.calm()
        self.to_database.calm()
        self.server.stop()
        self.server.start()
        async with self.stripe() as stripe:
            await stripe.delete("/sandbox/switches")
        for process in self.processes:
            if process.child.poll() is not None:
                self._spawn(process)
        await self._until_up()
        await self.rest()
        reconciled = await asyncio.to_thread(self.command, "reconcile", "--json", str(self.home / "reconcile.json"))
        await self.rest()
        return await self.books(reconciled)

    async def books(self, reconciled):
        """Ours, the sandbox's, and what the platform remembers, side by side."""
        findings = await operations.verify.run(self.admin_url(), self.keys(), full=True)
        async with self.stripe() as stripe:
            books = (await stripe.get("/sandbox/books")).json()
        return self.report(books, findings, reconciled)

    def keys(self):
        import base64

        text = self.directory.secrets()["ledger_keys"]
        pairs = (part.partition(":") for part in text.split(","))
        return {int(number): base64.b64decode(key) for number, _, key in pairs}

    def command(self, *arguments):
        done = subprocess.run([sys.executable, "-m", "brimful", *arguments], env=self.environment, capture_output=True,
                              text=True, check=False, timeout=300)  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    async def rest(self):
        """Until every top-up has ended or waits for its customer, and no event waits."""
        until = time.monotonic() + REST_S
        while time.monotonic() < until:
            rows = self.sql(
                f"SELECT state FROM top_ups WHERE state NOT IN {_LIVE} AND state <> 'action_required' "
                "UNION ALL SELECT state FROM stripe_events WHERE state = 'received' "
                "UNION ALL SELECT state FROM refunds WHERE closed_at IS NULL"
            )
            if not rows:
                return
            if dead := [process.name for process in self.processes if process.child.poll() is not None]:
                raise SystemExit(f"ended by itself: {dead}")
            await asyncio.sleep(2)
        raise SystemExit(f"it never comes to rest: {collections.Counter(row['state'] for row in rows)}")

    def sql(self, query):
        with psycopg.connect(self.admin_url(), row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(query).fetchall()

    def report(self, books, findings, reconciled):
        [ours] = self.sql(
            "SELECT coalesce(sum(money_minor) FILTER (WHERE kind = 'top_up'), 0)::bigint AS charged, "
            "coalesce(-sum(money_minor) FILTER (WHERE key LIKE 're\\_%'), 0)::bigint AS refunded, "
            "coalesce(-sum(money_minor) FILTER (WHERE kind = 'dispute' OR key LIKE '%:reinstated'), 0)::bigint "
            "AS disputed FROM entries"
        )
        theirs = {name: books[name].get("USD", 0) for name in ("charged", "refunded", "disputed")}
        written = collections.Counter(row["key"] for row in self.sql("SELECT key FROM entries WHERE source = 'usage'"))
        lost = [key for key in self.acknowledged if written[key] != 1]
        doubled = [key for key, count in written.items() if count > 1]
        twice = [name for name, one in books["top_ups"].items() if len(one["succeeded_intents"]) > 1]
        drift = {name: ours[name] - theirs[name] for name in theirs}
        broken = [finding.shown() for finding in findings if not finding.ok]
        ok = not (lost or doubled or twice or broken or any(drift.values()) or reconciled[0])
        return {
            "ok": ok, "minutes": self.minutes, "seed_processes": f"{self.apis} api, {self.workers} worker",
            **{name: self.counts[name] for name in _COUNTED},
            "network_faults": self.to_stripe.faults + (self.to_database.faults if self.to_database else 0),
            "top_ups": {row["state"]: row["n"] for row in
                        self.sql("SELECT state, count(*) AS n FROM top_ups GROUP BY state")},
            "theirs": theirs, "drift": drift, "lost": len(lost), "doubled": len(doubled), "paid_twice": len(twice),
            "invariants_broken": broken, "reconcile": reconciled[1].strip().splitlines()[-3:],
        }  # fmt: skip

    async def end_processes(self):
        self.ending = True
        for process in self.processes:
            if process.child is not None and process.child.poll() is None:
                process.child.kill()
                process.child.wait()
        await self.to_stripe.stop()

    async def close(self):
        await self.end_processes()
        await self.to_database.stop()
        self.server.stop()
        self.directory.unlock()
        self.directory.remove()


class UnixProxy(FaultProxy):
    """Before the database: TCP in, its Unix socket out; cuts alone, as networks cut."""

    def __init__(self, host, port, _home, _dice):
        super().__init__(0, seed=2)
        self._path = f"{host}/.s.PGSQL.{port}"

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there_reader, there_writer = await asyncio.open_unix_connection(self._path)
            pair = (writer, there_writer)
            await asyncio.gather(self._pump(reader, there_writer, pair), self._pump(there_reader, writer, pair))
        writer.close()


def main(minutes="10", json_file="", size="whole"):
    if size == "small":  # as `make test` has it
        Soak.apis, Soak.workers = 2, 1
    home = pathlib.Path(tempfile.mkdtemp(prefix="brimful-soak-"))
    try:
        result = asyncio.run(Soak(home, float(minutes), seed=20261124).run())
    finally:
        if (home / "soak.log").exists() and "BRIMFUL_SOAK_LOG" in os.environ:
            shutil.copy(home / "soak.log", os.environ["BRIMFUL_SOAK_LOG"])
        shutil.rmtree(home, ignore_errors=True)
    return told(result, json_file)


def told(result, json_file=""):
    """Print the result of a long form, keep it if a file is named. Returns the exit status."""
    print(json.dumps(result, indent=2))
    if json_file:
        pathlib.Path(json_file).write_text(json.dumps(result, indent=2))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
