"""`make rolling MINUTES=n`: every process is replaced, again and again, under a steady load of debits.

One port with four API processes, two workers, 2,000 debits a second in batches. On SIGHUP the API's processes give way
one by one; the workers are stopped and started in turn. No answer may be a 5xx but 503 with Retry-After, and in the end
every acknowledged event is there once.
"""

import asyncio
import collections
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import httpx
import psycopg

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from brimful import operations, runtime
from brimful.settings.environment import ledger_keyring
from soak.run import told
from support.harness import free_port

RATE, BATCH, SENDERS, CUSTOMERS = 2_000, 50, 12, 100
APIS, WORKERS = 4, 2
EVERY_S = 12


class Load:
    """A platform that sends so many events a second, each batch again until it is answered."""

    def __init__(self, client, people):
        self.client, self.people = client, people
        self.acknowledged, self.statuses, self.longest_s = set(), collections.Counter(), 0.0
        self.sent, self.ending = 0, False

    async def send(self):
        while not self.ending:
            due_s = time.monotonic() + SENDERS * BATCH / RATE
            self.sent += 1
            events = [
                {"id": f"{self.sent}-{n}", "customer_id": self.people[(self.sent + n) % CUSTOMERS], "asset": "USD",
                 "amount": "0.01"} for n in range(BATCH)
            ]  # fmt: skip
            await self._until_answered(events)
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _until_answered(self, events):
        began = time.monotonic()
        while True:
            try:
                answer = await self.client.post("/v1/usage", json={"events": events})
            except httpx.HTTPError:  # its process closed the connection before it read the request
                self.statuses["closed"] += 1
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                assert {result["status"] for result in answer.json()["results"]} <= {"applied", "duplicate"}
                break
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(int(answer.headers["retry-after"]))
        self.acknowledged.update(event["id"] for event in events)
        self.longest_s = max(self.longest_s, time.monotonic() - began)


def started(environment, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "brimful", *arguments], env=environment, start_new_session=True,
        preexec_fn=lambda: runtime.embedded_postgres.die_with_parent(signal.SIGTERM),
    )  # fmt: skip


async def run(home, minutes):
    directory = runtime.embedded_postgres.DataDirectory(home / "data").open(version="18")
    with runtime.local.up(directory.path, port=0, quiet=True) as whole:
        environment = {**whole.environment, "BRIMFUL_LOG_LEVEL": "ERROR"}
        port = free_port()
        api = started(environment, "serve", "--port", str(port), "--internal-port", str(port), "--workers", str(APIS))
        workers = [started(environment, "worker") for _ in range(WORKERS)]
        try:
            return await _roll(whole, f"http://127.0.0.1:{port}", api, workers, environment, minutes)
        finally:
            for child in (api, *workers):
                child.terminate()
                child.wait(60)


async def _roll(whole, url, api, workers, environment, minutes):
    headers = {"Authorization": f"Bearer {whole.api_key}"}
    limits = httpx.Limits(max_connections=SENDERS, max_keepalive_connections=SENDERS)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits) as client:
        await _until_ready(client)
        people = [(await whole_customer(whole, headers, n)) for n in range(CUSTOMERS)]
        load, began, rolled = Load(client, people), time.monotonic(), 0
        tasks = [asyncio.create_task(load.send()) for _ in range(SENDERS)]
        while time.monotonic() < began + minutes * 60:
            await asyncio.sleep(EVERY_S)
            api.send_signal(signal.SIGHUP)
            number = rolled % WORKERS
            workers[number].terminate()
            await asyncio.to_thread(workers[number].wait, 60)
            workers[number] = started(environment, "worker")
            rolled += 1
            for task in tasks:
                if task.done():
                    task.result()
        await asyncio.sleep(EVERY_S)
        load.ending = True
        await asyncio.gather(*tasks)
        took = time.monotonic() - began
    with psycopg.connect(whole.database_url) as connection:
        keys = collections.Counter(
            row[0] for row in connection.execute("SELECT key FROM entries WHERE source = 'usage'")
        )
    ledger_keys = ledger_keyring({"BRIMFUL_LEDGER_KEYS": environment["BRIMFUL_LEDGER_KEYS"]})
    findings = await operations.verify.run(whole.database_url, ledger_keys, full=True)
    result = {
        "restarts": rolled, "debits_per_s": round(len(load.acknowledged) / took),
        "acknowledged": len(load.acknowledged),
        "lost": sum(keys[key] == 0 for key in load.acknowledged), "doubled": sum(count > 1 for count in keys.values()),
        "answers": dict(load.statuses), "longest_s": round(load.longest_s, 2),
        "invariants_broken": [finding.shown() for finding in findings if not finding.ok],
    }  # fmt: skip
    result["ok"] = not (result["lost"] or result["doubled"] or result["invariants_broken"])
    return result


async def _until_ready(client):
    deadline = time.monotonic() + 60
    while True:
        try:
            assert (await client.get("/readyz")).status_code == 200
        except httpx.HTTPError:
            assert time.monotonic() < deadline, "nobody serves"
            await asyncio.sleep(0.2)
        else:
            return


async def whole_customer(whole, headers, number):
    async with httpx.AsyncClient(base_url=whole.url, headers=headers, timeout=60) as api:
        return (await api.post("/v1/customers", json={"name": f"C{number}"})).json()["id"]


def main(minutes="2"):
    with tempfile.TemporaryDirectory(prefix="brimful-rolling-") as home:
        directory = runtime.embedded_postgres.DataDirectory(pathlib.Path(home) / "data")
        try:
            result = asyncio.run(run(pathlib.Path(home), float(minutes)))
        finally:
            if (pathlib.Path(home) / "data").exists():
                directory.open(version="18", create=False).remove()
    return told(result)


if __name__ == "__main__":
    assert "DATABASE_URL" not in os.environ, "this runs on a database of its own"
    sys.exit(main(*sys.argv[1:2]))
