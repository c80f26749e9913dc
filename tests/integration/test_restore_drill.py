"""The restore drill of docs/operate/backup.md: back up a running Brimful, go on, put the old copy back, start (F26)."""

import contextlib
import os
import shutil
import subprocess
import sys

import httpx
import psycopg
import psycopg.rows
import pytest

from brimful import runtime
from support import stage


@contextlib.contextmanager
def running(home):
    settings = {"BRIMFUL_CARDS_PER_HOUR": "50", "BRIMFUL_PACE_SPACING_S": "0", "BRIMFUL_PACE_PER_HOUR": "50"}
    with runtime.local.up(home, port=0, extra=settings, quiet=True) as started:
        headers = {"Authorization": f"Bearer {started.api_key}"}
        stripe = {"Authorization": f"Bearer {started.environment['STRIPE_API_KEY']}"}
        with (
            httpx.Client(base_url=started.url, headers=headers, timeout=30) as api,
            httpx.Client(base_url=started.sandbox_url, headers=stripe, timeout=30) as sandbox,
        ):
            yield stage.Stage(started.url, started.sandbox_url, dict(started.environment), api, sandbox)


def sql(stage, query):
    with psycopg.connect(stage.environment["DATABASE_URL"], row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query).fetchall()


def back_up(stage, target):
    """A physical copy of the running server, as pg_basebackup makes it anywhere."""
    program = runtime.embedded_postgres.program("18", "pg_basebackup")
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
        heartbeat = (home / "epoch").read_text()
        for number in range(3):
            cross(stage, ada, f"after-{number}")
        cross(stage, grace, "after")
        [newest, *_] = [item for item in stage.top_ups(ada) if item["state"] == "succeeded"]
        brimful(stage, "refund", ada, newest["id"], "--amount", "5")
        stage.until(lambda: stage.sandbox.get("/sandbox/books").json()["refunded"] == {"USD": 500})
        stage.until(lambda: sql(stage, "SELECT sum(money_minor) AS n FROM entries")[0]["n"] == 5 * 2500 - 500)
        taken = stage.charged()
        stage.until(lambda: (home / "epoch").read_text() != heartbeat)  # a copy is noticed once it is five seconds old

    put_back(copy, runtime.embedded_postgres.DataDirectory(home).open(version="18").cluster)

    with running(home) as stage:

        def lifted():
            return sql(stage, "SELECT 1 FROM audit WHERE action = 'charging.resumed'")

        stage.until(lifted, 60)
        [held] = sql(stage, "SELECT after FROM audit WHERE action = 'charging.suspended'")
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
