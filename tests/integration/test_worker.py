"""A worker process: it waits for a database that is away, and ends when it should."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from brimful import db, operations, runtime, settings
from support import stage

ENDS_WITHIN_S = 10
ROOT = pathlib.Path(__file__).parents[2]


def environment_of(directory, server, **extra):
    return {
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": server.url(),
        "BRIMFUL_LOG_FORM": "json",
        "PYTHONPATH": str(ROOT / "src"),
        "BRIMFUL_LEDGER_KEYS": directory.secrets()["ledger_keys"],
        **extra,
    }


@contextlib.contextmanager
def a_worker(tmp_path, **extra):
    """A database of its own and a worker process on it. Yields (server, process, lines of its log)."""
    directory = runtime.embedded_postgres.DataDirectory(tmp_path / "data").open(version="18")
    directory.lock()
    server = runtime.embedded_postgres.Server(directory)
    server.start()
    log = tmp_path / "log"
    try:
        db.migrate.apply(server.url())
        environment = environment_of(directory, server, **extra)
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
        assert worker.wait(ENDS_WITHIN_S) == 0
        assert said()[0].startswith("worker starts")
        assert any("looking again" in line for line in said()), said()
        assert "worker stopped" in said()


@pytest.mark.timeout(120)
def test_a_worker_goes_on_after_a_failover_too_short_to_be_seen(tmp_path):
    """F24, F44: the queue's listener gives up when it is refused once, and the queue ends; the worker does not."""
    with a_worker(tmp_path) as (server, worker, said):
        elsewhere = psycopg.conninfo.make_conninfo(server.url(), dbname="postgres")
        with psycopg.connect(elsewhere, autocommit=True) as connection:
            connection.execute("ALTER DATABASE brimful ALLOW_CONNECTIONS false")

            def refused():
                """Its last words are LISTEN, or after half a minute the SELECT by which it sees that it is there."""
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'brimful' "
                    "AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')"
                )
                return any(line.startswith("Side task listener failed") for line in said())

            stage.until(refused)
            connection.execute("ALTER DATABASE brimful ALLOW_CONNECTIONS true")
            [since] = connection.execute("SELECT clock_timestamp()").fetchone()
        heard(server, f"WHERE last_heartbeat > '{since}'")
        assert worker.poll() is None
        worker.terminate()
        assert worker.wait(ENDS_WITHIN_S) == 0
        assert said()[-1] == "worker stopped"


@pytest.mark.timeout(120)
def test_a_worker_that_waits_for_its_database_stops_when_it_is_told_to(tmp_path):
    with a_worker(tmp_path) as (server, worker, said):
        server.stop()
        stage.until(lambda: any("looking again" in line for line in said()), 40)
        worker.terminate()
        assert worker.wait(ENDS_WITHIN_S) == 0
        assert "worker stopped" in said()


def heard(server, where):
    def anybody():
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.url()) as connection:
            return connection.execute(f"SELECT 1 FROM procrastinate_workers {where} LIMIT 1").fetchone()

    stage.until(anybody, 40)


def test_a_worker_ends_when_its_database_hangs(tmp_path):
    """Nothing answers, and nothing is refused either."""
    with a_worker(tmp_path) as (server, worker, said):
        pids = processes_of(server)
        try:
            every(pids, signal.SIGSTOP)
            worker.terminate()
            assert worker.wait(ENDS_WITHIN_S) == 0
        finally:
            every(pids, signal.SIGCONT)


@pytest.mark.timeout(120)
def test_a_worker_ends_with_its_supervisor_and_database(tmp_path):
    """`kill -9` of the whole group of `brimful up`: what is left must not join the next one on the same data."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "brimful", "up", "--data", str(tmp_path / "data"), "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as up:
        try:
            for line in up.stdout:
                if "API key" in line:
                    break
            [worker] = [pid for pid in children_of(up.pid) if b"\0worker\0" in command_of(pid)]
        finally:
            os.killpg(up.pid, signal.SIGKILL)
            up.stdout.close()
    try:
        stage.until(lambda: b"\0worker\0" not in command_of(worker), ENDS_WITHIN_S)
    finally:
        runtime.embedded_postgres.DataDirectory(tmp_path / "data").open(version="18", create=False).remove()


def test_a_worker_with_the_settings_of_another_time_takes_no_part_and_the_doctor_names_it(tmp_path):
    older = {"STRIPE_API_URL": "http://127.0.0.1:1", "STRIPE_API_KEY": "sk_test_a"}
    with a_worker(tmp_path, **older) as (server, worker, said):
        newer = environment_of(server.directory, server, **older | {"STRIPE_API_URL": "http://127.0.0.1:2"})
        with subprocess.Popen([sys.executable, "-m", "brimful", "worker"], env=newer, stderr=subprocess.DEVNULL) as new:
            try:
                stage.until(lambda: any("the installation has other settings" in line for line in said()), 30)
                [since] = asked(server, "SELECT clock_timestamp()")
                stage.until(lambda: worker_finding(server).ok is False, 30)
                found = worker_finding(server).detail
                assert f"process {worker.pid} on" in found
                assert "has another STRIPE_API_URL: it takes no part" in found
                # The newer one works; the older one is no worker of the queue any more.
                stage.until(lambda: asked(server, BEATING, (since,)) == (1,), 30)
            finally:
                new.terminate()
                new.wait(ENDS_WITHIN_S)


BEATING = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > %s"


def asked(server, query, values=None):
    with psycopg.connect(server.url()) as connection:
        return connection.execute(query, values).fetchone()


def worker_finding(server):
    [finding] = [one for one in asyncio.run(examined(server)) if one.name == "worker"]
    return finding


async def examined(server):
    return await operations.doctor.run(server.url(), settings.environment.stripe_access(), None)


def children_of(pid):
    return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for child in
            (task / "children").read_text().split()]  # fmt: skip


def command_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return b""


def processes_of(server):
    """The postmaster and every process it started."""
    everybody = (int(path.name) for path in pathlib.Path("/proc").glob("[0-9]*"))
    [postmaster] = [pid for pid in everybody if str(server.directory.cluster).encode() in command_of(pid)]
    return [postmaster, *children_of(postmaster)]


def every(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
