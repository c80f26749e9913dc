"""Rows of the fault list that need a test of their own; the simulation and the crash table cover them all together."""

import dataclasses
import datetime as dt
import time
from decimal import Decimal

import psycopg
import psycopg.errors
import pytest

from brimful import cards, db, operations, payments, suspensions, top_ups, worker
from brimful.core.errors import ConfigurationError
from brimful.gateway.limits import Breaker, SharedLimits
from brimful.suspensions.restore_guard import RestoreDetector
from support.harness import LEDGER_KEYS

# --- what is written -------------------------------------------------------------------------------------------


async def test_an_entrys_key_is_unique_in_the_database_too(harness):
    """F9, I7: workers that forget to look."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 5)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await harness.sql(
            "INSERT INTO entries SELECT customer_id, seq + 1, key_digest, recorded_at, occurred_at, money_minor, "
            "asset, kind, source, amount, balance_after, key, payment_id, currency, mac FROM entries"
        )


async def test_a_zombie_that_read_an_older_fence_moves_nothing(harness):
    """F29."""
    await harness.switch(call="payment_intents.create", fault="busy", times=9)
    customer_id, _ = await harness.crossed()
    [row] = await harness.sql("SELECT top_up_id FROM top_ups")
    database = harness.engine.database
    async with database.transaction() as tx:
        zombie = await top_ups.store.get(tx, customer_id, row["top_up_id"])
        first = await top_ups.store.move(tx, zombie, "canceling", next_state="retry_wait", reason="not_sent")
        second = await top_ups.store.move(tx, first, "retry_wait", wake_in_s=0)
        await top_ups.store.move(tx, second, "requested", wake_in_s=0)  # the same state again, under another fence
    with pytest.raises(top_ups.store.Stale):
        async with database.transaction() as tx:
            await top_ups.store.move(tx, zombie, "canceled", reason="zombie")


async def test_a_zombie_that_read_an_older_payment_changes_nothing(harness):
    """F29."""
    customer_id, _ = await harness.crossed()
    await harness.work()
    [row] = await harness.sql("SELECT payment_id FROM payments")
    database = harness.engine.database
    async with database.transaction() as tx:
        payment = await top_ups.store.find_payment(tx, customer_id, row["payment_id"])
    zombie = dataclasses.replace(payment, state="confirming", closed_at=None)
    with pytest.raises(top_ups.store.Stale):
        async with database.transaction() as tx:
            await top_ups.store.save_payment(tx, zombie, state="canceled")


async def test_a_refund_read_twice_is_booked_once(harness):
    """F22: even if the row that remembers it were lost."""
    customer_id, _ = await harness.crossed()
    await harness.work()
    [intent] = (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
    await harness.switch(webhooks="off")
    made = (await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent["id"], "amount": "500"})).json()
    context = harness.engine.payments
    reading = await context.gateway.read_refund(made["id"])
    await payments.stripe_events.apply_reversal(context, reading)
    await harness.sql("DELETE FROM refunds")
    await payments.stripe_events.apply_reversal(context, reading)
    assert await harness.balance(customer_id) == Decimal(29)


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
def test_a_database_that_may_forget_is_refused(cluster, database_url, setting, request):
    """F27."""
    if request.config.getoption("--postgres") == "url":
        pytest.skip("a server that is not ours to set up")
    with pytest.raises(ConfigurationError, match="may lose acknowledged money"):
        db.migrate.check_server(database_url)  # the tests' own server is such a one
    db.migrate.check_server(database_url, allow_unsafe=True)


# --- read again before the charge --------------------------------------------------------------------------------


async def intent_created(harness, **more):
    """A top-up whose PaymentIntent is made and not yet confirmed."""
    customer_id, _ = await harness.funded(balance=12, threshold="10", **more)
    async with harness.engine.database.transaction() as tx:
        await suspensions.store.suspend(tx, "operator", "for the story", actor="test")
    await harness.use(customer_id, "3", "crossing")
    [row] = await harness.sql("SELECT top_up_id FROM top_ups")
    context = harness.engine.payments
    async with context.database.transaction() as tx:
        await suspensions.store.resume(tx, "operator", actor="test")
        top_up = await top_ups.store.get(tx, customer_id, row["top_up_id"])
        payment = await top_ups.store.add_payment(
            tx, top_up, kind="intent", presence="off_session", card_id=top_up.card_id
        )
        ready = await payments.create.prepare(tx, top_up, payment, await payments.ownership.read_key(tx))
    assert await payments.create.create(context, top_up, payment, ready)
    return customer_id, row["top_up_id"]


async def test_a_payment_whose_row_a_crash_of_the_server_took_is_made_anew_and_charged_once(harness):
    """It is committed without waiting for the disk: what came of it at Stripe is taken back, and was no charge."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    [row] = await harness.sql("SELECT top_up_id FROM top_ups")
    context = harness.engine.payments
    async with context.database.transaction() as tx:
        top_up = await top_ups.store.get(tx, customer_id, row["top_up_id"])
        payment = await top_ups.store.add_payment(
            tx, top_up, kind="intent", presence="off_session", card_id=top_up.card_id
        )
        ready = await payments.create.prepare(tx, top_up, payment, await payments.ownership.read_key(tx))
    await harness.sql("DELETE FROM payments")
    assert await payments.create.create(context, top_up, payment, ready) is payments.context.Step.WAIT
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(34)
    intents = (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
    assert sorted(intent["status"] for intent in intents) == ["canceled", "succeeded"]
    assert await harness.charged() == 2500


async def sent(harness, customer_id, top_up_id):
    """T2 is committed and the confirmation is on its way. Returns the payment."""
    async with harness.engine.database.transaction() as tx:
        top_up = await top_ups.store.get(tx, customer_id, top_up_id)
        payment = await top_ups.store.open_payment(tx, top_up)
        now = await tx.now()
        payment = await top_ups.store.save_payment(tx, payment, state="confirming", confirm_sent_at=now)
        card = await cards.store.get(tx, customer_id, payment.card_id)
        await cards.decline_budget.claim(tx, card.fingerprint, payment.payment_id)
        await top_ups.store.move(tx, top_up, "confirming", recover_in_s=60, confirmed_at=now)
    return payment


async def test_a_confirmation_on_its_way_is_left_alone_for_a_minute(harness):
    """F7: read as waiting, it may yet arrive."""
    customer_id, top_up_id = await intent_created(harness)
    payment = await sent(harness, customer_id, top_up_id)
    context = harness.engine.payments
    reading = await context.gateway.read_intent(payment.stripe_intent_id)
    assert reading.status == "requires_confirmation"
    for wait, state in ((0, "confirming"), (61, "canceling")):
        harness.clock.offset += dt.timedelta(seconds=wait)
        async with context.database.transaction() as tx:
            await payments.settle.settle(context, tx, payment, reading)
        assert (await harness.top_ups(customer_id))[0]["state"] == state
    for _ in range(2):  # taken back, then begun again
        await harness.pass_time(minutes=5)
    assert await harness.balance(customer_id) == Decimal(34)


async def test_a_decline_that_came_while_its_payment_was_taken_back_counts(harness):
    """F7, F17: found by the simulation."""
    await harness.switch(webhooks="off")
    customer_id, top_up_id = await intent_created(harness, number="4000000000009995")
    payment = await sent(harness, customer_id, top_up_id)
    harness.clock.offset += dt.timedelta(seconds=61)
    await harness.switch(call="payment_intents.cancel", fault="error_before")
    await payments.advance.advance(harness.engine.payments, customer_id, top_up_id)  # it seems never to have arrived
    assert (await harness.top_ups(customer_id))[0]["state"] == "canceling"
    late = {"payment_method": (await harness.sql("SELECT stripe_payment_method_id AS id FROM cards"))[0]["id"],
            "off_session": "true"}  # fmt: skip
    answer = await harness.sandbox.post(f"/v1/payment_intents/{payment.stripe_intent_id}/confirm", data=late)
    assert answer.status_code == 402
    await harness.pass_time(minutes=1)
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"], top_up["tries"]) == ("retry_wait", "insufficient_funds", 1)
    assert await harness.sql("SELECT state FROM card_tries") == [{"state": "declined"}]


@pytest.mark.tampers
async def test_what_changed_behind_the_engines_back_is_seen_before_the_charge(harness):
    """F20, F21, F46, I9: T2 does not trust that somebody told it."""
    customer_id, top_up_id = await intent_created(harness)
    await harness.sql("UPDATE rules SET enabled = false")
    await payments.advance.advance(harness.engine.payments, customer_id, top_up_id)
    assert await harness.charged() == 0
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("canceled", "off")


@pytest.mark.tampers
async def test_the_limit_is_checked_again_in_the_month_of_the_charge(harness):
    """F33, I8."""
    customer_id, top_up_id = await intent_created(harness)
    await harness.sql(
        "INSERT INTO top_ups (customer_id, top_up_id, asset, kind, state, currency, amount_minor, units, rate, "
        "card_id, consent_id, rule_version, limit_month, requested_at, ended_at) "
        "SELECT customer_id, 'top_other', asset, kind, "
        "'succeeded', currency, 10000, units, rate, card_id, consent_id, rule_version, limit_month, "
        "requested_at - interval '2 hours', clock_timestamp() FROM top_ups"
    )
    await payments.advance.advance(harness.engine.payments, customer_id, top_up_id)
    assert await harness.charged() == 0
    [reason] = [item["reason"] for item in await harness.top_ups(customer_id) if item["id"] == top_up_id]
    assert reason == "limit_reached"


# --- lost answers, lost jobs ---------------------------------------------------------------------------------------


async def test_a_create_whose_answer_was_lost_for_a_day_is_found_by_list(harness):
    """F3: past 24 hours the key is forgotten; a second PaymentIntent must not be made."""
    await harness.switch(call="payment_intents.create", fault="drop_after")
    customer_id, _ = await harness.crossed()
    await harness.work()
    harness.clock.offset += dt.timedelta(hours=25)
    await harness.sandbox.post("/sandbox/clock", json={"seconds": 25 * 3600})
    await harness.pass_time(minutes=1)
    assert await harness.balance(customer_id) == Decimal(34)
    assert len((await harness.sandbox.get("/v1/payment_intents")).json()["data"]) == 1


async def test_losing_every_job_costs_time_and_nothing_else(harness):
    """F11, F39."""
    customer_id, _ = await harness.crossed()
    await harness.sql("DELETE FROM procrastinate_jobs")
    await harness.pass_time(minutes=1)
    assert await harness.balance(customer_id) == Decimal(34)


async def waiting_for_a_rate(harness):
    customer_id, _ = await harness.with_credits(balance=60)
    await harness.sql("UPDATE rates SET valid_to = now()")
    await harness.use(customer_id, "20", "crossing", "CREDIT")
    assert (await harness.rule(customer_id, "CREDIT"))["reason"] == "no_rate"
    await harness.sql("UPDATE rates SET valid_to = NULL")
    return customer_id


async def test_a_wait_wakes_by_its_job(harness):
    """F51."""
    customer_id = await waiting_for_a_rate(harness)
    harness.clock.offset += dt.timedelta(minutes=6)
    await harness.sql("UPDATE procrastinate_jobs SET scheduled_at = clock_timestamp() WHERE scheduled_at IS NOT NULL")

    async def topped_up():
        await harness.work()
        return await harness.balance(customer_id, "CREDIT") == Decimal(140)

    await harness.until(topped_up)


async def test_a_wait_wakes_by_the_sweep_when_its_job_is_lost(harness):
    """F51."""
    customer_id = await waiting_for_a_rate(harness)
    await harness.sql("DELETE FROM procrastinate_jobs")
    await harness.pass_time(minutes=6)
    await harness.work()
    assert await harness.balance(customer_id, "CREDIT") == Decimal(140)


async def test_a_poison_top_up_is_set_aside_and_others_go_on(harness, monkeypatch):
    """F35."""
    poisoned, _ = await harness.funded(balance=12, threshold="10", name="Poison")
    healthy, _ = await harness.funded(balance=12, threshold="10", name="Healthy")
    context, real = harness.engine.payments, payments.advance.advance

    async def pay(context, customer_id, top_up_id, **more):
        if customer_id == poisoned:
            raise ZeroDivisionError("poison")
        await real(context, customer_id, top_up_id, **more)

    monkeypatch.setattr(payments.advance, "advance", pay)
    await harness.use(poisoned, "3", "crossing")
    await harness.use(healthy, "3", "crossing")
    await harness.work()
    for _ in range(6):
        await harness.pass_time(minutes=11)
    assert await harness.balance(healthy) == Decimal(34)
    [top_up] = await harness.sql("SELECT needs_review, state FROM top_ups WHERE customer_id = %s", (poisoned,))
    assert top_up == {"needs_review": True, "state": "requested"}
    monkeypatch.setattr(payments.advance, "advance", real)
    await payments.turns.pay(context, poisoned, (await harness.top_ups(poisoned))[0]["id"])
    await harness.pass_time(hours=2)
    assert await harness.balance(poisoned) == Decimal(34)  # never dropped: once it can be done, it is done


async def test_stripe_is_down_for_six_hours_and_the_drain_is_quick(harness):
    """F37: debits go on, one top-up each; minutes after the end everybody is served."""
    people = [(await harness.funded(balance=12, threshold="10", name=f"C{n}"))[0] for n in range(4)]
    await harness.switch(call="*", fault="drop_before", times=100_000)
    for customer_id in people:
        await harness.use(customer_id, "3", "crossing")
    for minutes in (1, 5, 30, 60, 120, 150):
        await harness.pass_time(minutes=minutes)
        for customer_id in people:
            assert (await harness.use(customer_id, "0.10", f"on-{minutes}"))["status"] == "applied"
    assert await harness.charged() == 0
    await harness.sandbox.delete("/sandbox/switches")
    await harness.engine.payments.gateway.call_policy.record_outcome(
        answered=True
    )  # its probe is by the server's own clock
    await harness.pass_time(minutes=7)
    await harness.pass_time(minutes=1)
    assert await harness.charged() == 4 * 2500
    assert [len(await harness.top_ups(customer_id)) for customer_id in people] == [1] * 4


async def test_after_a_failover_nothing_is_sent_before_a_beat_has_noted_it(harness):
    """F44: between the promotion and the next beat, five seconds at most."""
    await worker.periodic.heartbeat(harness.engine, RestoreDetector(None))
    customer_id, _ = await harness.crossed()
    await harness.sql("UPDATE restore_guard SET timeline = timeline + 1")  # what the last beat saw is not what there is
    await harness.work()
    assert await harness.charged() == 0
    assert (await harness.top_ups(customer_id))[0]["state"] == "requested"
    await worker.periodic.heartbeat(harness.engine, RestoreDetector(None))
    [held] = await harness.sql("SELECT after FROM audit WHERE action = 'charging.suspended'")
    assert "failed over" in held["after"]["reason"]
    await harness.pass_time(minutes=1)
    assert await harness.charged() == 2500


# --- manners --------------------------------------------------------------------------------------------------------


async def test_calls_of_all_processes_keep_to_the_rate_in_all_and_on_each_endpoint(harness, monkeypatch):
    """F36: floor = the larger of calls / global rate and calls on one endpoint / its rate."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("brimful.gateway.limits._wait", sleep)

    def limits(name):  # one of each process
        databases = (harness.engine.database, harness.portal_deps.database)
        return [SharedLimits(one, all_per_s=5, endpoint_per_s=2, name=name) for one in databases]

    one, two = limits("one")
    began = time.monotonic()
    for _ in range(10):
        assert await one.admit("payment_intents.create")
        assert await two.admit("payment_intents.create")
    took = time.monotonic() - began
    assert max(slept) == pytest.approx((19 - 0.5) / 2 - took, abs=0.5 + took)
    slept.clear()
    one, two = limits("two")
    began = time.monotonic()
    for number in range(20):
        assert await one.admit(f"endpoint.{number % 10}")
        assert await two.admit(f"endpoint.{number % 10}")
    took = time.monotonic() - began
    assert max(slept) == pytest.approx((39 - 1.25) / 5 - took, abs=0.5 + took)


def test_a_breaker_opens_probes_and_closes():
    """F37."""
    breaker = Breaker()
    for _ in range(Breaker.THRESHOLD):
        assert breaker.may_call(0.0)
        breaker = breaker.record_outcome(0.0, answered=False)
    assert (breaker.open, breaker.may_call(0.0)) == (True, False)
    assert breaker.may_call(5.0)  # somebody must be allowed to begin, or nobody ever calls
    breaker = breaker.probing(5.0)
    assert (breaker.may_call(5.1), breaker.may_call(10.0)) == (False, True)
    breaker = breaker.record_outcome(5.2, answered=True)
    assert (breaker.open, breaker.may_call(5.2)) == (False, True)


async def test_what_one_process_hears_of_stripe_holds_for_all(harness):
    """F37: five calls that nobody answered, of whichever process; one probe, and its answer lets all go on."""
    one, two = (
        SharedLimits(d.database, all_per_s=100, endpoint_per_s=100) for d in (harness.engine, harness.portal_deps)
    )
    for call_policy in (one, two, one, two, one):
        assert await call_policy.admit("x")
        await call_policy.record_outcome(answered=False)
    assert (await one.admit("x"), await two.admit("x")) == (False, False)
    assert (one.reachable, two.reachable) == (False, False)
    await harness.sql("UPDATE breakers SET probe_at = clock_timestamp()")
    assert sorted([await two.admit("x"), await one.admit("x")]) == [False, True]
    await two.record_outcome(answered=True)
    assert (await one.admit("x"), one.reachable) == (True, True)


async def test_a_busy_answer_is_sent_again_under_the_same_key(harness):
    """F8."""
    await harness.switch(call="payment_intents.create", fault="lock_timeout", times=1)
    await harness.switch(call="payment_intents.confirm", fault="busy", times=2)
    customer_id, _ = await harness.crossed()
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(34)
    assert len((await harness.sandbox.get("/v1/payment_intents")).json()["data"]) == 1


async def test_an_answer_that_nobody_can_read_is_an_unknown_outcome(harness):
    """F7."""
    await harness.switch(call="payment_intents.confirm", fault="garbled")
    customer_id, _ = await harness.crossed()
    await harness.work()
    await harness.pass_time(minutes=2)
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.charged() == 2500


# --- weeks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", ["dead card", "refund", "dispute", "expired confirmation", "changed rate"])
async def test_weeks_with_bad_luck_never_become_a_loop_of_charges(harness, story):
    """F18, F23, F32, F47: spending goes on for six weeks; what is charged is bounded and has a reason."""
    numbers = {"dead card": "4000000000000341", "expired confirmation": "4000002760003184"}
    if story == "changed rate":
        customer_id, _ = await harness.with_credits(balance=60, limit="30")
        asset = "CREDIT"
    else:
        customer_id, _ = await harness.funded(balance=12, number=numbers.get(story, "4242424242424242"), limit="100")
        asset = "USD"
    for day in range(42):
        await harness.use(customer_id, "3" if asset == "USD" else "9", f"day-{day}", asset)
        await harness.pass_time(hours=24)
        if day == 1 and story in {"refund", "dispute"}:
            [intent] = (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
            if story == "refund":
                await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent["id"]})
            else:
                await harness.sandbox.post(f"/sandbox/payment_intents/{intent['id']}/dispute", json={})
            await harness.events_applied()
        if day == 3 and story == "changed rate":
            await harness.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "20"})
    charged, tries = await harness.charged(), await attempts(harness)
    most = {"dead card": (0, 3), "refund": (2500, 1), "dispute": (2500, 1), "expired confirmation": (0, 1),
            "changed rate": (9000, 9)}[story]  # fmt: skip
    assert charged <= most[0]
    assert tries <= most[1]
    rule = await harness.rule(customer_id, asset)
    assert rule["reason"] in {"paused", "price_changed", "limit_reached", "armed", "in_flight"}
    assert all(finding.ok for finding in await operations.verify.run(harness.database_url, LEDGER_KEYS))


async def attempts(harness):
    """Charges that were tried at Stripe, by its own memory."""
    kinds = {"payment_intent.payment_failed", "payment_intent.succeeded"}
    return sum(item["type"] in kinds for item in harness.world.store.newest("event"))
