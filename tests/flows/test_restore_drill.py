"""The restore drill of docs/operate/backup.md: back up a running Brimful, go on, put the old copy back, start (F26)."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import httpx
import psycopg
import psycopg.rows
import pytest

from brimful import processes
from brimful.db import embedded, migrate
from support import stage as stages


@contextlib.contextmanager
def running(home):
    settings = {"BRIMFUL_CARDS_PER_HOUR": "50", "BRIMFUL_PACE_SPACING_S": "0", "BRIMFUL_PACE_PER_HOUR": "50"}
    with processes.up(home, port=0, extra=settings, quiet=True) as started:
        headers = {"Authorization": f"Bearer {started.api_key}"}
        stripe = {"Authorization": f"Bearer {started.environment['STRIPE_API_KEY']}"}
        with (
            httpx.Client(base_url=started.url, headers=headers, timeout=30) as api,
            httpx.Client(base_url=started.sandbox_url, headers=stripe, timeout=30) as sandbox,
        ):
            yield stages.Stage(started.url, started.sandbox_url, dict(started.environment), api, sandbox)


def sql(stage, query):
    with psycopg.connect(stage.environment["DATABASE_URL"], row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query).fetchall()


def back_up(stage, target):
    """A physical copy of the running server, as pg_basebackup makes it anywhere."""
    program = embedded.program("18", "pg_basebackup")
    done = subprocess.run(
        [program, "-d", stage.environment["DATABASE_URL"], "-D", target, "-X", "stream", "-c", "fast"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def put_back(copy, cluster):
    """The copy in place of the data directory, with its owner and mode."""
    before = cluster.stat()
    shutil.rmtree(cluster)
    shutil.copytree(copy, cluster)
    for path in (cluster, *cluster.rglob("*")):
        os.chown(path, before.st_uid, before.st_gid)
    cluster.chmod(0o700)


def cross(stage, customer_id, event_id):
    """A debit that crosses the line, and the top-up that follows it."""
    count = len([item for item in stage.top_ups(customer_id) if item["state"] == "succeeded"])
    stage.use(customer_id, stage.balance(customer_id) - 9, event_id)
    stage.until(
        lambda: len([item for item in stage.top_ups(customer_id) if item["state"] == "succeeded"]) == count + 1, 60
    )


@pytest.mark.timeout(240)
def test_an_old_copy_is_put_back_and_every_payment_is_found_before_anything_is_charged(tmp_path):
    home, copy = tmp_path / "data", tmp_path / "copy"
    with running(home) as stage:
        ada, grace = stage.funded("Ada", balance="12", limit="400"), stage.funded("Grace", balance="12", limit="400")
        cross(stage, ada, "before")
        back_up(stage, copy)
        beat = (home / "epoch").read_text()
        for number in range(3):
            cross(stage, ada, f"after-{number}")
        cross(stage, grace, "after")
        [newest, *_] = [item for item in stage.top_ups(ada) if item["state"] == "succeeded"]
        brimful(stage, "refund", ada, newest["id"], "--amount", "5")
        stage.until(lambda: stage.sandbox.get("/sandbox/books").json()["refunded"] == {"USD": 500})
        stage.until(lambda: sql(stage, "SELECT sum(money_minor) AS n FROM entries")[0]["n"] == 5 * 2500 - 500)
        taken = stage.charged()
        stage.until(lambda: (home / "epoch").read_text() != beat)  # a copy is noticed once it is five seconds old

    put_back(copy, embedded.DataDirectory(home).open(version="18").cluster)

    with running(home) as stage:

        def lifted():
            return sql(stage, "SELECT 1 FROM audit WHERE action = 'charging.lifted'")

        stage.until(lifted, 60)
        [held] = sql(stage, "SELECT after FROM audit WHERE action = 'charging.held'")
        assert held["after"]["kind"] == "restore"
        assert "went back in time" in held["after"]["reason"]
        # Every payment is in the books again, nothing was taken meanwhile, and I2 holds.
        assert stage.charged() == taken
        [booked] = sql(stage, "SELECT sum(money_minor) AS n FROM entries WHERE payment_id IS NOT NULL")
        assert booked["n"] == taken["USD"] - 500
        assert "BAD" not in brimful(stage, "verify", "--full")
        # The platform sends again what it is not sure of; then charging goes on as ever.
        assert stage.use(ada, "16", "after-0")["status"] == "applied"
        cross(stage, grace, "later")
        assert stage.charged()["USD"] > taken["USD"]
        assert "BAD" not in brimful(stage, "verify", "--full")


def brimful(stage, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "brimful", *arguments], env={"PATH": "/usr/bin:/bin", **stage.environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def a_worker(tmp_path):
    """A database of its own and a worker process on it. Yields (server, process, lines of its log)."""
    directory = embedded.DataDirectory(tmp_path / "data").open(version="18")
    directory.lock()
    server = embedded.Server(directory)
    server.start()
    log = tmp_path / "log"
    try:
        migrate.apply(server.url())
        environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": server.url(), "BRIMFUL_LOG_FORM": "json",
                       "BRIMFUL_LEDGER_KEYS": directory.secrets()["ledger_keys"],
                       "PYTHONPATH": str(pathlib.Path(__file__).parents[2] / "src")}  # fmt: skip
        with log.open("wb") as output:
            worker = subprocess.Popen([sys.executable, "-m", "brimful", "worker"], env=environment, stderr=output)
        try:
            heard(server, "")
            yield server, worker, lambda: [json.loads(line)["message"] for line in log.read_text().splitlines()]
        finally:
            worker.kill()
            worker.wait()
    finally:
        server.stop()
        directory.unlock()
        directory.remove()


@pytest.mark.timeout(120)
def test_a_worker_waits_for_a_database_that_went_away(tmp_path):
    """F24: stopped for longer than any retry, and started again; the process is the same one."""
    with a_worker(tmp_path) as (server, worker, said):
        server.stop()
        time.sleep(15)
        server.start()
        with psycopg.connect(server.url()) as connection:
            since = connection.execute("SELECT clock_timestamp()").fetchone()[0]
        heard(server, f"WHERE last_heartbeat > '{since}'")
        assert worker.poll() is None
        worker.terminate()
        assert worker.wait(40) == 0
        assert said()[0].startswith("worker starts")
        assert any("looking again" in line for line in said()), said()
        assert "worker stopped, as it was told to" in said()


@pytest.mark.timeout(120)
def test_a_worker_goes_on_after_a_failover_too_short_to_be_seen(tmp_path):
    """F24, F44: the queue's listener gives up when it is refused once, and the queue ends; the worker does not."""
    with a_worker(tmp_path) as (server, worker, said):
        elsewhere = psycopg.conninfo.make_conninfo(server.url(), dbname="postgres")
        with psycopg.connect(elsewhere, autocommit=True) as connection:
            connection.execute("ALTER DATABASE brimful ALLOW_CONNECTIONS false")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            stages.until(lambda: any(line.startswith("Side task listener failed") for line in said()))
            connection.execute("ALTER DATABASE brimful ALLOW_CONNECTIONS true")
            [since] = connection.execute("SELECT clock_timestamp()").fetchone()
        heard(server, f"WHERE last_heartbeat > '{since}'")
        assert worker.poll() is None
        worker.terminate()
        assert worker.wait(40) == 0
        assert said()[-1] == "worker stopped, as it was told to"


@pytest.mark.timeout(120)
def test_a_worker_that_waits_for_its_database_stops_when_it_is_told_to(tmp_path):
    with a_worker(tmp_path) as (server, worker, said):
        server.stop()
        stages.until(lambda: any("looking again" in line for line in said()), 40)
        worker.terminate()
        assert worker.wait(40) == 0
        assert "worker stopped, as it was told to" in said()


def heard(server, where):
    def anybody():
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.url()) as connection:
            return connection.execute(f"SELECT 1 FROM procrastinate_workers {where} LIMIT 1").fetchone()

    stages.until(anybody, 40)
