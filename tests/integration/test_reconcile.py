"""Our books against Stripe's lists: what was missed is found, what was lost is booked again, nothing twice."""

import asyncio
import datetime as dt
import subprocess
from decimal import Decimal

import psycopg.conninfo
import pytest

from brimful import payments, runtime, suspensions, worker
from brimful.core import errors
from support.harness import Harness


async def test_a_list_that_is_a_moment_old_is_no_difference(harness, monkeypatch):
    """F44: payments are made while it compares."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    gateway, real = harness.engine.payments.gateway, harness.engine.payments.gateway.list_intents
    await harness.switch(call="payment_intents.confirm", fault="busy", times=4)
    await harness.use(customer_id, "3", "crossing")
    working = harness.start_work()
    await harness.until(lambda: harness.sql("SELECT 1 FROM payments WHERE state <> 'new'"))
    old = [await real(customer=None, since=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)), []]
    assert old[0][0].status == "requires_confirmation"
    await working
    assert await harness.balance(customer_id) == Decimal(34)
    for listing in old:  # the payment stood as open in it, or not at all

        async def stale(listing=listing, **_):
            return listing

        monkeypatch.setattr(gateway, "list_intents", stale)
        report = await compare(harness)
        assert (report.repaired, report.differences) == ([], [])
    assert await harness.balance(customer_id) == Decimal(34)


async def compare(harness, *, dry_run=False, hours=48):
    async with harness.engine.database.transaction() as tx:
        since = await tx.now() - dt.timedelta(hours=hours)
    return await payments.reconcile.run(harness.engine.payments, since=since, dry_run=dry_run)


async def crossed_and_unheard(harness):
    """A payment that succeeded at Stripe, of which nobody here has heard."""
    await harness.switch(webhooks="off")
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.confirm", fault="drop_after")
    await harness.switch(call="payment_intents.retrieve", fault="drop_before", times=3)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(9)
    return customer_id


async def test_a_payment_that_nobody_heard_of_is_found_and_credited_once(harness):
    """F5, F11, F44: twice at once, beside the worker."""
    customer_id = await crossed_and_unheard(harness)
    before = await compare(harness, dry_run=True)
    assert len(before.repaired) == 1
    assert await harness.balance(customer_id) == Decimal(9)  # a dry run changes nothing
    await asyncio.gather(compare(harness), compare(harness), harness.work())
    assert await harness.balance(customer_id) == Decimal(34)
    again = await compare(harness)
    assert (again.repaired, again.differences, again.payments) == ([], [], 1)


async def test_a_refund_and_a_dispute_that_were_never_told_are_booked(harness):
    await harness.switch(webhooks="off")
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    [intent] = (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
    await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent["id"], "amount": "500"})
    await harness.sandbox.post(f"/sandbox/payment_intents/{intent['id']}/dispute", json={"amount": 2000})
    report = await compare(harness)
    assert (report.refunds, report.disputes, len(report.repaired)) == (1, 1, 2)
    assert await harness.balance(customer_id) == Decimal(9)
    assert (await compare(harness)).repaired == []


@pytest.mark.tampers
async def test_a_payment_booked_here_and_unknown_to_stripe_is_for_a_person(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.sql("UPDATE payments SET stripe_intent_id = 'pi_nobody', created_at = now() - interval '11 minutes'")
    report = await compare(harness, hours=2)
    assert not report.ok
    assert "Stripe does not list it" in report.differences[0]


def dumped(cluster, database, target):
    """pg_dump of one database into a new one, as a backup is restored."""
    with psycopg.connect(cluster.admin_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {target}")
    programs = [str(runtime.embedded_postgres.program("18", name)) for name in ("pg_dump", "psql")]
    dump = subprocess.run([programs[0], "--dbname", cluster.url(database)], capture_output=True, check=True)
    subprocess.run([programs[1], "-q", "-v", "ON_ERROR_STOP=1", "--dbname", cluster.url(target)], input=dump.stdout,
                   capture_output=True, check=True)  # fmt: skip


@pytest.mark.tampers
async def test_an_old_copy_is_restored_and_every_payment_is_found_again(cluster, harness, tmp_path, request):
    """F26: back up, go on, restore the old copy: charging is suspended, payments are booked again, charging goes on."""
    if request.config.getoption("--postgres") != "18":
        pytest.skip("pg_dump of the wheel's 18")
    detector = suspensions.restore_guard.RestoreDetector(str(tmp_path / "epoch"))
    ada, _ = await harness.funded(balance=12, threshold="10")
    grace, _ = await harness.funded(balance=12, threshold="10", name="Grace")
    await worker.periodic.heartbeat(harness.engine, detector)
    name = psycopg.conninfo.conninfo_to_dict(harness.database_url)["dbname"]
    dumped(cluster, name, "restored_copy")
    try:
        for turn in range(3):
            await worker.periodic.heartbeat(harness.engine, detector)
            await harness.use(ada, "20", f"lost-{turn}")
            await harness.work()
        await harness.switch(call="payment_intents.confirm", fault="drop_after")
        await harness.use(grace, "3", "lost too")
        await harness.work()
        charged = await harness.charged()
        assert charged == 4 * 2500
        extra = {"STRIPE_API_URL": harness.environment["STRIPE_API_URL"], "BRIMFUL_EPOCH_FILE": str(tmp_path / "epoch")}
        async with Harness.opened(cluster.url("restored_copy"), **extra) as restored:
            await restored.use(ada, "3", "crossing again")
            reason = await held(restored, suspensions.restore_guard.RestoreDetector(str(tmp_path / "epoch")))
            assert "went back in time" in reason
            await restored.work()
            assert await harness.charged() == charged  # held: not charged a second time for the same need
            await worker.periodic.reconcile_since_last(restored.engine, restored.engine.payments)
            assert await restored.sql("SELECT kind FROM suspensions") == []
            await restored.pass_time(minutes=10)
            assert await restored.balance(ada) == Decimal(9) + 3 * 25
            assert await restored.balance(grace) == Decimal(12) + 25
            books = await harness.charged()
            [ours] = await restored.sql("SELECT sum(money_minor) AS n FROM entries WHERE kind = 'top_up'")
            assert ours["n"] == books  # I2
    finally:
        cluster.drop("restored_copy")


async def held(harness, detector):
    async with harness.engine.database.transaction() as tx:
        reason = await detector.heartbeat(tx)
        [hold] = await suspensions.store.list_all(tx)
    detector.committed()
    assert hold.kind == "restore"
    return reason


async def test_an_operator_stops_charging_and_starts_it_again(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    async with harness.engine.database.transaction() as tx:
        await suspensions.store.suspend(tx, "operator", "a look at the numbers", actor="op")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await harness.charged() == 0
    shown = await harness.call("GET", f"/customers/{customer_id}/auto-top-ups/USD/explain", expect=200)
    assert shown["charging"]["open"] is False
    assert "a look at the numbers" in shown["explanation"]
    async with harness.engine.database.transaction() as tx:
        await suspensions.store.resume(tx, "operator", actor="op")
    await harness.pass_time(minutes=2)
    assert await harness.balance(customer_id) == Decimal(34)


async def test_workers_that_share_a_file_raise_no_false_alarm(harness, tmp_path):
    """Each beats as fast as it can; none takes another's newer file for a database that went back."""
    detectors = [suspensions.restore_guard.RestoreDetector(str(tmp_path / "epoch")) for _ in range(3)]

    async def beat(detector):
        for _ in range(100):
            async with harness.engine.database.transaction() as tx:
                assert await detector.heartbeat(tx) is None
            detector.committed()

    await asyncio.gather(*(beat(detector) for detector in detectors))
    assert await harness.sql("SELECT kind FROM suspensions") == []


async def lost_customer(harness):
    """A payment at Stripe of a customer that our books do not know, as after a restore."""
    customer_id, _ = await harness.crossed(name="Grace")
    await harness.work()
    await harness.events_applied()
    [payment] = await harness.sql("SELECT payment_id, stripe_intent_id FROM payments")
    for intent in list(harness.world.store.newest("payment_intent")):
        names = {**intent["metadata"], "customer_id": "cus_" + "0" * 32, "payment_id": "pay_" + "0" * 32}
        harness.world.store.save("payment_intent", {**intent, "id": "pi_lost", "metadata": names})
    return customer_id, payment


async def test_a_payment_of_an_unknown_customer_holds_up_nothing_once_somebody_takes_it_as_it_is(harness):
    await lost_customer(harness)
    async with harness.engine.database.transaction() as tx:
        await suspensions.store.suspend(tx, "restore", "test", actor="test")
        since = await payments.reconcile.since_last(tx)
    for dry_run in (True, False):
        report = await payments.reconcile.run(harness.engine.payments, since=since, dry_run=dry_run)
        assert "is unknown here" in report.differences[0]
        assert "--accept pay_0000" in report.differences[0]
    assert [row["kind"] for row in await harness.sql("SELECT kind FROM suspensions")] == ["restore"]
    async with harness.engine.database.transaction() as tx:
        with pytest.raises(errors.Refused):
            await payments.reconcile.accept(tx, "pay_" + "0" * 32, reason=" ", actor="test")
        await payments.reconcile.accept(
            tx, "pay_" + "0" * 32, reason="customer of a test, refunded by hand", actor="test"
        )
    report = await payments.reconcile.run(harness.engine.payments, since=since)
    assert (report.differences, report.accepted) == ([], 1)
    assert await harness.sql("SELECT kind FROM suspensions") == []
    assert len(await harness.sql("SELECT 1 FROM audit WHERE action = 'difference.accepted'")) == 1


async def test_a_payment_of_an_unknown_customer_that_was_given_back_whole_is_no_difference(harness):
    await lost_customer(harness)
    refund = {
        "id": "re_lost",
        "object": "refund",
        "payment_intent": "pi_lost",
        "amount": 2500,
        "currency": "usd",
        "status": "succeeded",
        "created": harness.world.now(),
        "metadata": {},
        "failure_reason": None,
    }
    harness.world.store.save("refund", refund)
    async with harness.engine.database.transaction() as tx:
        since = await payments.reconcile.since_last(tx)
    assert (await payments.reconcile.run(harness.engine.payments, since=since, dry_run=True)).differences == []
