"""The doctor finds what is wrong, one thing at a time, and says what to do."""

import subprocess
import sys
import time

import psycopg
import pytest

from brimful import db, operations, settings, suspensions
from support.harness import LEDGER_KEYS


@pytest.fixture
async def examine(harness, monkeypatch, tmp_path):
    """Examine the harness with everything well: a worker alive, events that came, a webhook at Stripe."""
    monkeypatch.setattr(
        db.migrate, "check_server", lambda url, allow_unsafe=False: None
    )  # the tests' server has no fsync
    await harness.sql("INSERT INTO procrastinate_workers DEFAULT VALUES")
    epoch = tmp_path / "epoch"
    epoch.write_text("1")
    await harness.crossed()
    await harness.events_applied()

    async def run(*, now=time.time, **access):
        known = {"key": harness.environment["STRIPE_API_KEY"], "url": harness.environment["STRIPE_API_URL"],
                 "public_url": harness.url, "webhook_secrets": ("whsec",), "epoch_file": str(epoch)}  # fmt: skip
        found = await operations.doctor.run(
            harness.database_url, settings.environment.StripeAccess(**known | access), LEDGER_KEYS, now=now
        )
        return {one.name: one for one in found}

    return run


def bad(found):
    return {name: one.detail for name, one in found.items() if one.ok is not True}


async def test_a_well_house_is_well(examine):
    found = await examine()
    assert bad(found) == {}
    assert set(found) == {
        "database", "migrations", "nodes", "standby", "clock", "roles", "worker", "queue", "charging", "top-ups",
        "deliveries", "stripe events", "epoch file", "webhook secret", "stripe key", "stripe clock",
        "stripe webhook", "books",
    }  # fmt: skip


async def test_a_wrong_webhook_secret(harness, examine):
    """Events come, signed with another secret than ours; a right one afterwards is the end of it."""
    [endpoint] = list(harness.world.store.newest("webhook_endpoint"))
    harness.world.store.save("webhook_endpoint", {**endpoint, "secret": "whsec_of_somebody_else"})
    customer_id, _ = await harness.crossed(name="Grace")

    async def rejected():
        return await harness.sql("SELECT 1 FROM webhook_rejections")

    await harness.work()
    await harness.until(rejected)
    found = bad(await examine())
    assert set(found) == {"stripe events"}
    assert "STRIPE_WEBHOOK_SECRET" in found["stripe events"]
    assert "signed with another secret" in found["stripe events"]
    harness.world.store.save("webhook_endpoint", endpoint)
    await harness.use(customer_id, "25", "again")
    await harness.pass_time(hours=2)

    async def well():
        await harness.work()
        return bad(await examine()) == {}

    await harness.until(well)


async def test_no_event_ever_came(harness, examine):
    await harness.sql("DELETE FROM stripe_events")
    assert "no event ever came" in bad(await examine())["stripe events"]


async def test_no_webhook_secret_is_set(harness, examine):
    assert "is not set" in bad(await examine(webhook_secrets=()))["webhook secret"]


@pytest.mark.parametrize(
    ("call", "permission"),
    [("refunds.create", "Refunds: write"), ("checkout.sessions.expire", "Checkout Sessions: write"),
     ("customers.update", "Customers: write"), ("events.list", "Events: read")],
)  # fmt: skip
async def test_a_missing_stripe_permission(harness, examine, call, permission):
    await harness.switch(call=call, fault="forbidden")
    found = bad(await examine())
    assert found == {"stripe key": f"it lacks {permission}: add them in the Dashboard"}


async def test_a_key_that_is_not_accepted_and_a_stripe_that_does_not_answer(harness, examine):
    assert "it is not accepted" in bad(await examine(key="sk_test_revoked"))["stripe key"]
    await harness.switch(call="*", fault="drop_before", times=5)
    assert "does not answer" in bad(await examine())["stripe key"]
    found = await examine(key=None)
    assert found["stripe key"].ok is None
    assert "stripe webhook" not in found


async def test_asking_for_permissions_changes_nothing_at_stripe(harness, examine):
    kinds = ("customer", "payment_intent", "setup_intent", "payment_method", "checkout_session", "refund", "event")
    before = [len(list(harness.world.store.newest(kind))) for kind in kinds]
    await examine()
    assert [len(list(harness.world.store.newest(kind))) for kind in kinds] == before


@pytest.mark.parametrize(
    ("change", "told"),
    [({"url": "https://elsewhere.example"}, "no endpoint sends to"), ({"status": "disabled"}, "is disabled"),
     ({"enabled_events": ["payment_intent.succeeded"]}, "lacks"), ({"api_version": "2020-08-27"}, "2020-08-27")],
)  # fmt: skip
async def test_the_webhook_endpoint_at_stripe(harness, examine, change, told):
    [endpoint] = list(harness.world.store.newest("webhook_endpoint"))
    harness.world.store.save("webhook_endpoint", {**endpoint, **change})
    found = bad(await examine())
    assert set(found) == {"stripe webhook"}
    assert told in found["stripe webhook"]


async def test_a_key_that_may_not_list_endpoints_is_no_illness(harness, examine):
    await harness.switch(call="webhook_endpoints.list", fault="forbidden")
    assert (await examine())["stripe webhook"].ok is None


async def test_a_witness_that_is_missing(examine, tmp_path):
    assert "customers would be charged again" in bad(await examine(epoch_file=None))["epoch file"]
    assert "cannot be read" in bad(await examine(epoch_file=str(tmp_path / "none")))["epoch file"]


async def test_a_key_that_is_missing_is_no_tampering(harness, examine):
    found = await operations.doctor.run(
        harness.database_url, settings.environment.StripeAccess(None, None, harness.url, ()), {2: bytes(32)}
    )
    assert "signed with key 1, which BRIMFUL_LEDGER_KEYS lacks" in bad({one.name: one for one in found})["books"]
    assert "books" not in bad(await examine())


@pytest.mark.parametrize(
    ("seen", "ok", "word"),
    [
        ({}, True, "none: losing this machine loses"),
        ({"streaming": 1}, True, "none of them synchronously"),
        ({"names": "*", "streaming": 1, "synchronous": 1}, True, "has flushed it"),
        ({"names": "*", "streaming": 1, "synchronous": 1, "waits": "remote_write"}, True, "has received it"),
        ({"names": "*", "streaming": 1, "synchronous": 1, "waits": "local"}, False, "no commit waits"),
        ({"names": "b"}, False, "every debit waits"),
        ({"hidden": 1}, None, "pg_read_all_stats"),
    ],
)
def test_what_a_commit_promises_when_its_machine_is_lost(seen, ok, word):
    whole = {"waits": "on", "names": "", "hidden": 0, "streaming": 0, "synchronous": 0, **seen}
    found = operations.doctor._standby(whole)
    assert (found.ok, word in found.detail) == (ok, True), found.detail


async def test_a_stale_worker(harness, examine):
    await harness.sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '31 s'")
    found = bad(await examine())
    assert set(found) == {"worker"}
    assert "the last one reported 31 s ago" in found["worker"]
    await harness.sql("DELETE FROM procrastinate_workers")
    assert "none is registered" in bad(await examine())["worker"]


async def test_a_queue_that_nobody_works_on(harness, examine):
    await harness.crossed(name="Grace")
    await harness.sql("UPDATE procrastinate_events SET at = at - interval '2 min' WHERE type = 'deferred'")
    assert "start more workers" in bad(await examine())["queue"]


@pytest.mark.parametrize("off", [60, -60])
async def test_a_clock_off_by_a_minute(examine, off):
    found = bad(await examine(now=lambda: time.time() + off))
    assert set(found) == {"clock", "stripe clock"}
    assert f"off by {off} s" in found["clock"]


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
async def test_an_unsafe_database_setting(harness, setting):
    """The real check, on the tests' server, which has all of them off."""
    async with await psycopg.AsyncConnection.connect(harness.database_url, autocommit=True) as connection:
        name = (await (await connection.execute("SELECT current_database()")).fetchone())[0]
        if setting == "synchronous_commit":  # the others are the server's, and off already
            await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    found = await operations.doctor.run(
        harness.database_url, settings.environment.StripeAccess(None, None, harness.url, ()), LEDGER_KEYS
    )
    [database] = [one for one in found if one.name == "database"]
    assert database.ok is False
    assert "may lose acknowledged money" in database.detail


@pytest.mark.tampers
async def test_a_pending_migration(harness, examine):
    await harness.sql("DELETE FROM _yoyo_migration WHERE migration_id LIKE '0005%%'")
    found = bad(await examine())
    assert set(found) == {"migrations", "the rest"}
    assert "1 pending (0005.grants): run `brimful migrate`" in found["migrations"]


@pytest.mark.tampers
async def test_unbalanced_books(harness, examine):
    await harness.sql("UPDATE entries SET money_minor = money_minor - 1 WHERE kind = 'top_up'")
    found = bad(await examine())
    assert set(found) == {"books"}
    assert "brimful verify --full" in found["books"]


async def test_what_waits_for_a_person_and_what_is_stuck(harness, examine):
    await harness.sql("UPDATE top_ups SET needs_review = true")
    assert "1 need a person, 0 are stuck" in bad(await examine())["top-ups"]
    await harness.sql("UPDATE top_ups SET needs_review = false")


async def test_charging_that_is_held(harness, examine):
    async with harness.engine.database.transaction() as tx:
        await suspensions.store.suspend(tx, "operator", "a look", actor="test")
    assert "a look" in bad(await examine())["charging"]


async def test_webhooks_of_the_platform_that_were_disabled(harness, examine):
    await harness.call("POST", "/webhooks", {"url": "https://hooks.example/x", "topics": ["*"]}, expect=201)
    await harness.sql("UPDATE webhook_endpoints SET enabled = false, disabled_reason = 'failing'")
    assert "disabled after failures" in bad(await examine())["deliveries"]


async def test_the_command_says_it_and_its_status_tells(harness, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", **harness.environment}
    done = subprocess.run(
        [sys.executable, "-m", "brimful", "doctor", "--json", str(tmp_path / "found.json")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "BAD  worker" in done.stdout
    assert "ok   roles" in done.stdout
    assert '"ok": false' in (tmp_path / "found.json").read_text()


@pytest.mark.tampers
async def test_a_role_that_may_too_much(harness, examine):
    for grant in (
        "DELETE ON consents TO brimful_engine", "UPDATE (amount, balance_after) ON entries TO brimful_api",
        "TRUNCATE ON entries TO brimful_portal", "DELETE ON rules TO brimful_api",
        "INSERT ON consents TO brimful_engine", "INSERT ON cards TO brimful_portal",
        "UPDATE (enabled) ON rules TO brimful_engine",
    ):  # fmt: skip
        await harness.sql(f"GRANT {grant}")
        found = bad(await examine())
        assert set(found) == {"roles"}
        assert f"{grant.split()[-1]} may {grant.split()[0]} {grant.split(' ON ')[1].split()[0]}" in found["roles"]
        await harness.sql(f"REVOKE {grant.replace(' TO ', ' FROM ')}")


async def test_a_worker_that_was_killed_before_a_restart_is_no_worry_and_one_that_reports_since_is(harness, examine):
    await harness.sql(
        'UPDATE installation SET settings = \'{"STRIPE_API_URL": "new"}\', published_at = clock_timestamp()'
    )
    await harness.sql(
        "INSERT INTO workers (worker_id, host, pid, settings, started_at, seen_at) SELECT 'wrk_old', 'here', 4711, "
        "'{\"STRIPE_API_URL\": \"old\"}', published_at - interval '9 s', published_at - interval '1 s' "
        "FROM installation"
    )
    assert "4711" not in str(bad(await examine()))
    await harness.sql("UPDATE workers SET seen_at = clock_timestamp() WHERE worker_id = 'wrk_old'")
    assert "process 4711 on here has another STRIPE_API_URL" in bad(await examine())["worker"]


async def test_a_job_made_long_ago_for_now_is_not_late(harness, examine):
    await harness.crossed(name="Grace")
    await harness.sql("UPDATE procrastinate_events SET at = at - interval '1 day' WHERE type = 'deferred'")
    await harness.sql("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'")
    assert "queue" not in bad(await examine())


async def test_two_endpoints_of_our_address_and_an_old_disabled_one(harness, examine):
    [endpoint] = list(harness.world.store.newest("webhook_endpoint"))
    harness.world.store.save("webhook_endpoint", {**endpoint, "id": "we_old", "status": "disabled"})
    assert bad(await examine()) == {}
    harness.world.store.save("webhook_endpoint", {**endpoint, "id": "we_second"})
    assert "all send to" in bad(await examine())["stripe webhook"]
