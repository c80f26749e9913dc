"""Rows of the fault list that need a test of their own; the simulation and the crash table cover them all together."""

import dataclasses
import datetime as dt
import time
from decimal import Decimal

import psycopg
import psycopg.errors
import pytest

from brimful import cards, charging, paying, stripe_inbox, topups, verify, worker
from brimful.db import migrate
from brimful.epochs import Witness
from brimful.errors import ConfigurationError
from brimful.paying import create as create_room
from brimful.payments.limits import Breaker, Limits
from support.house import LEDGER_KEYS

# --- what is written -------------------------------------------------------------------------------------------


async def test_an_entrys_key_is_unique_in_the_database_too(house):
    """F9, I7: whoever forgets to look."""
    customer_id = await house.customer()
    await house.give(customer_id, 5)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await house.sql(
            "INSERT INTO entries SELECT customer_id, asset, seq + 1, entry_id, kind, amount, balance_after, source, "
            "key, payment_id, money_minor, currency, occurred_at, recorded_at, mac FROM entries"
        )


async def test_a_zombie_that_read_an_older_fence_moves_nothing(house):
    """F29."""
    await house.switch(call="payment_intents.create", fault="busy", times=9)
    customer_id, _ = await house.crossed()
    [row] = await house.sql("SELECT top_up_id FROM top_ups")
    database = house.engine.database
    async with database.transaction() as tx:
        zombie = await topups.get(tx, customer_id, row["top_up_id"])
        first = await topups.move(tx, zombie, "canceling", next_state="retry_wait", reason="not_sent")
        second = await topups.move(tx, first, "retry_wait", wake_in_s=0)
        await topups.move(tx, second, "requested", wake_in_s=0)  # the same state again, under another fence
    with pytest.raises(topups.Stale):
        async with database.transaction() as tx:
            await topups.move(tx, zombie, "canceled", reason="zombie")


async def test_a_zombie_that_read_an_older_payment_changes_nothing(house):
    """F29."""
    customer_id, _ = await house.crossed()
    await house.work()
    [row] = await house.sql("SELECT payment_id FROM payments")
    database = house.engine.database
    async with database.transaction() as tx:
        payment = await topups.find_payment(tx, customer_id, row["payment_id"])
    zombie = dataclasses.replace(payment, state="confirming", closed_at=None)
    with pytest.raises(topups.Stale):
        async with database.transaction() as tx:
            await topups.save_payment(tx, zombie, state="canceled")


async def test_a_refund_read_twice_is_booked_once(house):
    """F22: even if the row that remembers it were lost."""
    customer_id, _ = await house.crossed()
    await house.work()
    [intent] = (await house.sandbox.get("/v1/payment_intents")).json()["data"]
    await house.switch(webhooks="off")
    made = (await house.sandbox.post("/v1/refunds", data={"payment_intent": intent["id"], "amount": "500"})).json()
    till = house.engine.till
    reading = await till.gateway.read_refund(made["id"])
    await stripe_inbox.apply_reversal(till, reading)
    await house.sql("DELETE FROM refunds")
    await stripe_inbox.apply_reversal(till, reading)
    assert await house.balance(customer_id) == Decimal(29)


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
def test_a_database_that_may_forget_is_refused(cluster, database_url, setting, request):
    """F27."""
    if request.config.getoption("--postgres") == "url":
        pytest.skip("a server that is not ours to set up")
    with pytest.raises(ConfigurationError, match="may lose acknowledged money"):
        migrate.check_server(database_url)  # the tests' own server is such a one
    migrate.check_server(database_url, allow_unsafe=True)


# --- read again before the charge --------------------------------------------------------------------------------


async def intent_created(house, **more):
    """A top-up whose PaymentIntent is made and not yet confirmed."""
    customer_id, _ = await house.funded(balance=12, threshold="10", **more)
    async with house.engine.database.transaction() as tx:
        await charging.hold(tx, "operator", "for the story", actor="test")
    await house.use(customer_id, "3", "crossing")
    [row] = await house.sql("SELECT top_up_id FROM top_ups")
    till = house.engine.till
    async with till.database.transaction() as tx:
        await charging.lift(tx, "operator", actor="test")
        top_up = await topups.get(tx, customer_id, row["top_up_id"])
        payment = await topups.add_payment(tx, top_up, kind="intent", presence="off_session", card_id=top_up.card_id)
    assert await create_room.create(till, top_up, payment)
    return customer_id, row["top_up_id"]


async def sent(house, customer_id, top_up_id):
    """T2 is committed and the confirmation is on its way. Returns the payment."""
    async with house.engine.database.transaction() as tx:
        top_up = await topups.get(tx, customer_id, top_up_id)
        payment = await topups.open_payment(tx, top_up)
        now = await tx.now()
        payment = await topups.save_payment(tx, payment, state="confirming", confirm_sent_at=now)
        card = await cards.get(tx, customer_id, payment.card_id)
        await cards.tries.claim(tx, card.fingerprint, payment.payment_id)
        await topups.move(tx, top_up, "confirming", recover_in_s=60, confirmed_at=now)
    return payment


async def test_a_confirmation_on_its_way_is_left_alone_for_a_minute(house):
    """F7: read as waiting, it may yet arrive."""
    customer_id, top_up_id = await intent_created(house)
    payment = await sent(house, customer_id, top_up_id)
    till = house.engine.till
    reading = await till.gateway.read_intent(payment.stripe_intent_id)
    assert reading.status == "requires_confirmation"
    for wait, state in ((0, "confirming"), (61, "canceling")):
        house.clock.offset += dt.timedelta(seconds=wait)
        async with till.database.transaction() as tx:
            await paying.settle(till, tx, payment, reading)
        assert (await house.top_ups(customer_id))[0]["state"] == state
    for _ in range(2):  # taken back, then begun again
        await house.pass_time(minutes=5)
    assert await house.balance(customer_id) == Decimal(34)


async def test_a_decline_that_came_while_its_payment_was_taken_back_counts(house):
    """F7, F17: found by the simulation."""
    await house.switch(webhooks="off")
    customer_id, top_up_id = await intent_created(house, number="4000000000009995")
    payment = await sent(house, customer_id, top_up_id)
    house.clock.offset += dt.timedelta(seconds=61)
    await house.switch(call="payment_intents.cancel", fault="error_before")
    await paying.pay(house.engine.till, customer_id, top_up_id)  # it seems never to have arrived
    assert (await house.top_ups(customer_id))[0]["state"] == "canceling"
    late = {"payment_method": (await house.sql("SELECT stripe_payment_method_id AS id FROM cards"))[0]["id"],
            "off_session": "true"}  # fmt: skip
    answer = await house.sandbox.post(f"/v1/payment_intents/{payment.stripe_intent_id}/confirm", data=late)
    assert answer.status_code == 402
    await house.pass_time(minutes=1)
    [top_up] = await house.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"], top_up["tries"]) == ("retry_wait", "insufficient_funds", 1)
    assert await house.sql("SELECT state FROM card_tries") == [{"state": "declined"}]


@pytest.mark.tampers
async def test_what_changed_behind_the_engines_back_is_seen_before_the_charge(house):
    """F20, F21, F46, I9: T2 does not trust that somebody told it."""
    customer_id, top_up_id = await intent_created(house)
    await house.sql("UPDATE rules SET enabled = false")
    await paying.pay(house.engine.till, customer_id, top_up_id)
    assert await house.charged() == 0
    [top_up] = await house.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("canceled", "off")


@pytest.mark.tampers
async def test_the_limit_is_checked_again_in_the_month_of_the_charge(house):
    """F33, I8."""
    customer_id, top_up_id = await intent_created(house)
    await house.sql(
        "INSERT INTO top_ups (customer_id, top_up_id, asset, kind, state, currency, amount_minor, units, rate, "
        "card_id, consent_id, rule_version, limit_month, requested_at, ended_at) "
        "SELECT customer_id, 'top_other', asset, kind, "
        "'succeeded', currency, 10000, units, rate, card_id, consent_id, rule_version, limit_month, "
        "requested_at - interval '2 hours', clock_timestamp() FROM top_ups"
    )
    await paying.pay(house.engine.till, customer_id, top_up_id)
    assert await house.charged() == 0
    [reason] = [item["reason"] for item in await house.top_ups(customer_id) if item["id"] == top_up_id]
    assert reason == "limit_reached"


# --- lost answers, lost jobs ---------------------------------------------------------------------------------------


async def test_a_create_whose_answer_was_lost_for_a_day_is_found_by_list(house):
    """F3: past 24 hours the key is forgotten; a second PaymentIntent must not be made."""
    await house.switch(call="payment_intents.create", fault="drop_after")
    customer_id, _ = await house.crossed()
    await house.work()
    house.clock.offset += dt.timedelta(hours=25)
    await house.sandbox.post("/sandbox/clock", json={"seconds": 25 * 3600})
    await house.pass_time(minutes=1)
    assert await house.balance(customer_id) == Decimal(34)
    assert len((await house.sandbox.get("/v1/payment_intents")).json()["data"]) == 1


async def test_losing_every_job_costs_time_and_nothing_else(house):
    """F11, F39."""
    customer_id, _ = await house.crossed()
    await house.sql("DELETE FROM procrastinate_jobs")
    await house.pass_time(minutes=1)
    assert await house.balance(customer_id) == Decimal(34)


async def waiting_for_a_rate(house):
    customer_id, _ = await house.with_credits(balance=60)
    await house.sql("UPDATE rates SET valid_to = now()")
    await house.use(customer_id, "20", "crossing", "CREDIT")
    assert (await house.rule(customer_id, "CREDIT"))["reason"] == "no_rate"
    await house.sql("UPDATE rates SET valid_to = NULL")
    return customer_id


async def test_a_wait_wakes_by_its_job(house):
    """F51."""
    customer_id = await waiting_for_a_rate(house)
    house.clock.offset += dt.timedelta(minutes=6)
    await house.sql("UPDATE procrastinate_jobs SET scheduled_at = clock_timestamp() WHERE scheduled_at IS NOT NULL")

    async def topped_up():
        await house.work()
        return await house.balance(customer_id, "CREDIT") == Decimal(140)

    await house.until(topped_up)


async def test_a_wait_wakes_by_the_sweep_when_its_job_is_lost(house):
    """F51."""
    customer_id = await waiting_for_a_rate(house)
    await house.sql("DELETE FROM procrastinate_jobs")
    await house.pass_time(minutes=6)
    await house.work()
    assert await house.balance(customer_id, "CREDIT") == Decimal(140)


async def test_a_poison_top_up_is_set_aside_and_others_go_on(house, monkeypatch):
    """F35."""
    poisoned, _ = await house.funded(balance=12, threshold="10", name="Poison")
    healthy, _ = await house.funded(balance=12, threshold="10", name="Healthy")
    till, real = house.engine.till, paying.pay

    async def pay(till, customer_id, top_up_id, **more):
        if customer_id == poisoned:
            raise ZeroDivisionError("poison")
        await real(till, customer_id, top_up_id, **more)

    monkeypatch.setattr(paying, "pay", pay)
    await house.use(poisoned, "3", "crossing")
    await house.use(healthy, "3", "crossing")
    await house.work()
    for _ in range(6):
        await house.pass_time(minutes=11)
    assert await house.balance(healthy) == Decimal(34)
    [top_up] = await house.sql("SELECT needs_review, state FROM top_ups WHERE customer_id = %s", (poisoned,))
    assert top_up == {"needs_review": True, "state": "requested"}
    monkeypatch.setattr(paying, "pay", real)
    await worker.pay_or_set_aside(till, poisoned, (await house.top_ups(poisoned))[0]["id"])
    await house.pass_time(hours=2)
    assert await house.balance(poisoned) == Decimal(34)  # never dropped: once it can be done, it is done


async def test_stripe_is_down_for_six_hours_and_the_drain_is_quick(house):
    """F37: debits go on, one top-up each; minutes after the end everybody is served."""
    people = [(await house.funded(balance=12, threshold="10", name=f"C{n}"))[0] for n in range(4)]
    await house.switch(call="*", fault="drop_before", times=100_000)
    for customer_id in people:
        await house.use(customer_id, "3", "crossing")
    for minutes in (1, 5, 30, 60, 120, 150):
        await house.pass_time(minutes=minutes)
        for customer_id in people:
            assert (await house.use(customer_id, "0.10", f"on-{minutes}"))["status"] == "applied"
    assert await house.charged() == 0
    await house.sandbox.delete("/sandbox/switches")
    await house.engine.till.gateway.manners.heard(answered=True)  # its probe is by the server's own clock
    await house.pass_time(minutes=7)
    await house.pass_time(minutes=1)
    assert await house.charged() == 4 * 2500
    assert [len(await house.top_ups(customer_id)) for customer_id in people] == [1] * 4


async def test_after_a_failover_nothing_is_sent_before_a_beat_has_noted_it(house):
    """F44: between the promotion and the next beat, five seconds at most."""
    await worker.beat(house.engine, Witness(None))
    customer_id, _ = await house.crossed()
    await house.sql("UPDATE epochs SET timeline = timeline + 1")  # what the last beat saw is not what there is
    await house.work()
    assert await house.charged() == 0
    assert (await house.top_ups(customer_id))[0]["state"] == "requested"
    await worker.beat(house.engine, Witness(None))
    [held] = await house.sql("SELECT after FROM audit WHERE action = 'charging.held'")
    assert "failed over" in held["after"]["reason"]
    await house.pass_time(minutes=1)
    assert await house.charged() == 2500


# --- manners --------------------------------------------------------------------------------------------------------


async def test_calls_of_all_processes_keep_to_the_rate_in_all_and_on_each_endpoint(house, monkeypatch):
    """F36: floor = the larger of calls / global rate and calls on one endpoint / its rate."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("brimful.payments.limits._wait", sleep)

    def limits(name):  # one of each process
        databases = (house.engine.database, house.portal_deps.database)
        return [Limits(one, all_per_s=5, endpoint_per_s=2, name=name) for one in databases]

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
        breaker = breaker.heard(0.0, answered=False)
    assert (breaker.open, breaker.may_call(0.0)) == (True, False)
    assert breaker.may_call(5.0)  # somebody must be allowed to begin, or nobody ever calls
    breaker = breaker.probing(5.0)
    assert (breaker.may_call(5.1), breaker.may_call(10.0)) == (False, True)
    breaker = breaker.heard(5.2, answered=True)
    assert (breaker.open, breaker.may_call(5.2)) == (False, True)


async def test_what_one_process_hears_of_stripe_holds_for_all(house):
    """F37: five calls that nobody answered, of whichever process; one probe, and its answer lets all go on."""
    one, two = (Limits(d.database, all_per_s=100, endpoint_per_s=100) for d in (house.engine, house.portal_deps))
    for manners in (one, two, one, two, one):
        assert await manners.admit("x")
        await manners.heard(answered=False)
    assert (await one.admit("x"), await two.admit("x")) == (False, False)
    assert (one.reachable, two.reachable) == (False, False)
    await house.sql("UPDATE breakers SET probe_at = clock_timestamp()")
    assert sorted([await two.admit("x"), await one.admit("x")]) == [False, True]
    await two.heard(answered=True)
    assert (await one.admit("x"), one.reachable) == (True, True)


async def test_a_busy_answer_is_sent_again_under_the_same_key(house):
    """F8."""
    await house.switch(call="payment_intents.create", fault="lock_timeout", times=1)
    await house.switch(call="payment_intents.confirm", fault="busy", times=2)
    customer_id, _ = await house.crossed()
    await house.work()
    assert await house.balance(customer_id) == Decimal(34)
    assert len((await house.sandbox.get("/v1/payment_intents")).json()["data"]) == 1


async def test_an_answer_that_nobody_can_read_is_an_unknown_outcome(house):
    """F7."""
    await house.switch(call="payment_intents.confirm", fault="garbled")
    customer_id, _ = await house.crossed()
    await house.work()
    await house.pass_time(minutes=2)
    assert await house.balance(customer_id) == Decimal(34)
    assert await house.charged() == 2500


# --- weeks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", ["dead card", "refund", "dispute", "expired confirmation", "changed rate"])
async def test_weeks_with_bad_luck_never_become_a_loop_of_charges(house, story):
    """F18, F23, F32, F47: spending goes on for six weeks; what is charged is bounded and has a reason."""
    numbers = {"dead card": "4000000000000341", "expired confirmation": "4000002760003184"}
    if story == "changed rate":
        customer_id, _ = await house.with_credits(balance=60, limit="30")
        asset = "CREDIT"
    else:
        customer_id, _ = await house.funded(balance=12, number=numbers.get(story, "4242424242424242"), limit="100")
        asset = "USD"
    for day in range(42):
        await house.use(customer_id, "3" if asset == "USD" else "9", f"day-{day}", asset)
        await house.pass_time(hours=24)
        if day == 1 and story in {"refund", "dispute"}:
            [intent] = (await house.sandbox.get("/v1/payment_intents")).json()["data"]
            if story == "refund":
                await house.sandbox.post("/v1/refunds", data={"payment_intent": intent["id"]})
            else:
                await house.sandbox.post(f"/sandbox/payment_intents/{intent['id']}/dispute", json={})
            await house.events_applied()
        if day == 3 and story == "changed rate":
            await house.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "20"})
    charged, tries = await house.charged(), await attempts(house)
    most = {"dead card": (0, 3), "refund": (2500, 1), "dispute": (2500, 1), "expired confirmation": (0, 1),
            "changed rate": (9000, 9)}[story]  # fmt: skip
    assert charged <= most[0]
    assert tries <= most[1]
    rule = await house.rule(customer_id, asset)
    assert rule["reason"] in {"paused", "amount_below_one_unit", "limit_reached", "armed", "in_flight"}
    assert all(finding.ok for finding in await verify.run(house.database_url, LEDGER_KEYS))


async def attempts(house):
    """Charges that were tried at Stripe, by its own memory."""
    kinds = {"payment_intent.payment_failed", "payment_intent.succeeded"}
    return sum(item["type"] in kinds for item in house.world.store.newest("event"))
