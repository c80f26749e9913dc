"""The doctor finds what is wrong, one thing at a time, and says what to do."""

import subprocess
import sys
import time

import psycopg
import pytest

from brimful import doctor, settings
from brimful.db import migrate
from support.house import LEDGER_KEYS


@pytest.fixture
async def examine(house, monkeypatch, tmp_path):
    """Examine the house with everything well: a worker alive, events that came, a webhook at Stripe."""
    monkeypatch.setattr(migrate, "check_server", lambda url, allow_unsafe=False: None)  # the tests' server has no fsync
    await house.sql("INSERT INTO procrastinate_workers DEFAULT VALUES")
    epoch = tmp_path / "epoch"
    epoch.write_text("1")
    await house.crossed()
    await house.events_applied()

    async def run(*, now=time.time, **access):
        known = {"key": house.environment["STRIPE_API_KEY"], "url": house.environment["STRIPE_API_URL"],
                 "public_url": house.url, "webhook_secrets": ("whsec",), "epoch_file": str(epoch)}  # fmt: skip
        found = await doctor.run(house.database_url, settings.StripeAccess(**known | access), LEDGER_KEYS, now=now)
        return {one.name: one for one in found}

    return run


def bad(found):
    return {name: one.detail for name, one in found.items() if one.ok is not True}


async def test_a_well_house_is_well(examine):
    found = await examine()
    assert bad(found) == {}
    assert set(found) == {
        "database", "migrations", "nodes", "standby", "clock", "roles", "worker", "queue", "charging", "top-ups",
        "deliveries", "stripe events", "epoch file", "stripe key", "stripe clock", "stripe webhook", "books",
    }  # fmt: skip


async def test_a_wrong_webhook_secret(house, examine):
    """Events come, signed with another secret than ours; a right one afterwards is the end of it."""
    [endpoint] = list(house.world.store.newest("webhook_endpoint"))
    house.world.store.save("webhook_endpoint", {**endpoint, "secret": "whsec_of_somebody_else"})
    customer_id, _ = await house.crossed(name="Grace")

    async def rejected():
        return await house.sql("SELECT 1 FROM webhook_rejections")

    await house.work()
    await house.until(rejected)
    found = bad(await examine())
    assert set(found) == {"stripe events"}
    assert "STRIPE_WEBHOOK_SECRET" in found["stripe events"]
    assert "signed with another secret" in found["stripe events"]
    house.world.store.save("webhook_endpoint", endpoint)
    await house.use(customer_id, "25", "again")
    await house.pass_time(hours=2)

    async def well():
        await house.work()
        return bad(await examine()) == {}

    await house.until(well)


async def test_no_event_ever_came(house, examine):
    await house.sql("DELETE FROM stripe_events")
    assert "no event ever came" in bad(await examine())["stripe events"]


async def test_no_webhook_secret_is_set(house, examine):
    assert "is not set" in bad(await examine(webhook_secrets=()))["stripe events"]


@pytest.mark.parametrize(
    ("call", "permission"),
    [("refunds.create", "Refunds: write"), ("checkout.sessions.expire", "Checkout Sessions: write"),
     ("customers.update", "Customers: write"), ("events.list", "Events: read")],
)  # fmt: skip
async def test_a_missing_stripe_permission(house, examine, call, permission):
    await house.switch(call=call, fault="forbidden")
    found = bad(await examine())
    assert found == {"stripe key": f"it lacks {permission}: add them in the Dashboard"}


async def test_a_key_that_is_not_accepted_and_a_stripe_that_does_not_answer(house, examine):
    assert "it is not accepted" in bad(await examine(key="sk_test_revoked"))["stripe key"]
    await house.switch(call="*", fault="drop_before", times=5)
    assert "does not answer" in bad(await examine())["stripe key"]
    found = await examine(key=None)
    assert found["stripe key"].ok is None
    assert "stripe webhook" not in found


async def test_asking_for_permissions_changes_nothing_at_stripe(house, examine):
    kinds = ("customer", "payment_intent", "setup_intent", "payment_method", "checkout_session", "refund", "event")
    before = [len(list(house.world.store.newest(kind))) for kind in kinds]
    await examine()
    assert [len(list(house.world.store.newest(kind))) for kind in kinds] == before


@pytest.mark.parametrize(
    ("change", "told"),
    [({"url": "https://elsewhere.example"}, "no endpoint sends to"), ({"status": "disabled"}, "is disabled"),
     ({"enabled_events": ["payment_intent.succeeded"]}, "lacks"), ({"api_version": "2020-08-27"}, "2020-08-27")],
)  # fmt: skip
async def test_the_webhook_endpoint_at_stripe(house, examine, change, told):
    [endpoint] = list(house.world.store.newest("webhook_endpoint"))
    house.world.store.save("webhook_endpoint", {**endpoint, **change})
    found = bad(await examine())
    assert set(found) == {"stripe webhook"}
    assert told in found["stripe webhook"]


async def test_a_key_that_may_not_list_endpoints_is_no_illness(house, examine):
    await house.switch(call="webhook_endpoints.list", fault="forbidden")
    assert (await examine())["stripe webhook"].ok is None


async def test_a_witness_that_is_missing(examine, tmp_path):
    assert "customers would be charged again" in bad(await examine(epoch_file=None))["epoch file"]
    assert "cannot be read" in bad(await examine(epoch_file=str(tmp_path / "none")))["epoch file"]


async def test_a_key_that_is_missing_is_no_tampering(house, examine):
    found = await doctor.run(house.database_url, settings.StripeAccess(None, None, house.url, ()), {2: bytes(32)})
    assert "signed with key 1, which BRIMFUL_LEDGER_KEYS lacks" in bad({one.name: one for one in found})["books"]
    assert "books" not in bad(await examine())


@pytest.mark.parametrize(
    ("seen", "ok", "word"),
    [
        ({}, True, "none: whoever loses this machine loses"),
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
    found = doctor._standby(whole)
    assert (found.ok, word in found.detail) == (ok, True), found.detail


async def test_a_stale_worker(house, examine):
    await house.sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '31 s'")
    found = bad(await examine())
    assert set(found) == {"worker"}
    assert "the last was heard 31 s ago" in found["worker"]
    await house.sql("DELETE FROM procrastinate_workers")
    assert "none is registered" in bad(await examine())["worker"]


async def test_a_queue_that_nobody_works_on(house, examine):
    await house.crossed(name="Grace")
    await house.sql("UPDATE procrastinate_events SET at = at - interval '2 min' WHERE type = 'deferred'")
    assert "start more workers" in bad(await examine())["queue"]


@pytest.mark.parametrize("off", [60, -60])
async def test_a_clock_off_by_a_minute(examine, off):
    found = bad(await examine(now=lambda: time.time() + off))
    assert set(found) == {"clock", "stripe clock"}
    assert f"off by {off} s" in found["clock"]


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
async def test_an_unsafe_database_setting(house, setting):
    """The real check, on the tests' server, which has all of them off."""
    async with await psycopg.AsyncConnection.connect(house.database_url, autocommit=True) as connection:
        name = (await (await connection.execute("SELECT current_database()")).fetchone())[0]
        if setting == "synchronous_commit":  # the others are the server's, and off already
            await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    found = await doctor.run(house.database_url, settings.StripeAccess(None, None, house.url, ()), LEDGER_KEYS)
    [database] = [one for one in found if one.name == "database"]
    assert database.ok is False
    assert "may lose acknowledged money" in database.detail


@pytest.mark.tampers
async def test_a_pending_migration(house, examine):
    await house.sql("DELETE FROM _yoyo_migration WHERE migration_id LIKE '0010%%'")
    found = bad(await examine())
    assert set(found) == {"migrations", "the rest"}
    assert "1 pending (0010.operators): run `brimful migrate`" in found["migrations"]


@pytest.mark.tampers
async def test_unbalanced_books(house, examine):
    await house.sql("UPDATE entries SET money_minor = money_minor - 1 WHERE kind = 'top_up'")
    found = bad(await examine())
    assert set(found) == {"books"}
    assert "brimful verify --full" in found["books"]


async def test_what_waits_for_a_person_and_what_is_stuck(house, examine):
    await house.sql("UPDATE top_ups SET needs_review = true")
    assert "1 need a person, 0 are stuck" in bad(await examine())["top-ups"]
    await house.sql("UPDATE top_ups SET needs_review = false")


async def test_charging_that_is_held(house, examine):
    async with house.engine.database.transaction() as tx:
        from brimful import charging

        await charging.hold(tx, "operator", "a look", actor="test")
    assert "a look" in bad(await examine())["charging"]


async def test_webhooks_of_the_platform_that_were_disabled(house, examine):
    await house.call("POST", "/webhooks", {"url": "https://hooks.example/x", "topics": ["*"]}, expect=201)
    await house.sql("UPDATE webhook_endpoints SET enabled = false, disabled_reason = 'failing'")
    assert "disabled after failures" in bad(await examine())["deliveries"]


async def test_the_command_says_it_and_its_status_tells(house, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", **house.environment}
    done = subprocess.run(
        [sys.executable, "-m", "brimful", "doctor", "--json", str(tmp_path / "found.json")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "BAD  worker" in done.stdout
    assert "ok   roles" in done.stdout
    assert '"ok": false' in (tmp_path / "found.json").read_text()


@pytest.mark.tampers
@pytest.mark.parametrize(
    "grant",
    ["DELETE ON consents TO brimful_engine", "UPDATE (amount, balance_after) ON entries TO brimful_api",
     "TRUNCATE ON entries TO brimful_portal", "DELETE ON rules TO brimful_api", "INSERT ON consents TO brimful_engine",
     "INSERT ON cards TO brimful_portal", "UPDATE (enabled) ON rules TO brimful_engine"],
)  # fmt: skip
async def test_a_role_that_may_too_much(house, examine, grant):
    await house.sql(f"GRANT {grant}")
    found = bad(await examine())
    assert set(found) == {"roles"}
    assert f"{grant.split()[-1]} may {grant.split()[0]} {grant.split(' ON ')[1].split()[0]}" in found["roles"]


async def test_a_job_made_long_ago_for_now_is_not_late(house, examine):
    await house.crossed(name="Grace")
    await house.sql("UPDATE procrastinate_events SET at = at - interval '1 day' WHERE type = 'deferred'")
    await house.sql("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'")
    assert "queue" not in bad(await examine())


async def test_two_endpoints_of_our_address_and_an_old_disabled_one(house, examine):
    [endpoint] = list(house.world.store.newest("webhook_endpoint"))
    house.world.store.save("webhook_endpoint", {**endpoint, "id": "we_old", "status": "disabled"})
    assert bad(await examine()) == {}
    house.world.store.save("webhook_endpoint", {**endpoint, "id": "we_second"})
    assert "all send to" in bad(await examine())["stripe webhook"]
