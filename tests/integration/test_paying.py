"""Through Stripe: declines, authentication, lost answers, events in any order, and processes that die."""

import asyncio
import contextlib
import signal
import sys
from decimal import Decimal

import psycopg
import pytest


@pytest.mark.flow
async def test_a_soft_decline_is_tried_three_times_hours_apart_then_paused(harness):
    """F17."""
    customer_id, _ = await harness.crossed(number="4000000000000341")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"], top_up["tries"]) == ("retry_wait", "generic_decline", 1)
    await harness.pass_time(hours=1)
    assert (await harness.top_ups(customer_id))[0]["tries"] == 1
    await harness.pass_time(hours=4)
    assert (await harness.top_ups(customer_id))[0]["tries"] == 2
    await harness.pass_time(hours=13)
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["tries"]) == ("failed", 3)
    rule = await harness.rule(customer_id)
    assert (rule["paused"], rule["reason"]) == ("declined", "paused")
    visitor = await harness.visitor(customer_id)
    assert "was declined 3 times." in (await visitor.get("/")).text
    await harness.use(customer_id, "1", "still below")
    await harness.pass_time(days=2)
    assert len(await harness.top_ups(customer_id)) == 1
    intents = (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
    assert [intent["status"] for intent in intents] == ["canceled"] * 3


@pytest.mark.flow
async def test_a_hard_decline_is_never_tried_again_and_blocks_the_card(harness):
    """F18."""
    customer_id, visitor = await harness.crossed(number="4000000000009987")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"], top_up["tries"]) == ("failed", "lost_card", 1)
    [card] = (await harness.call("GET", f"/customers/{customer_id}/cards"))["items"]
    assert card["state"] == "blocked"
    text = (await visitor.get("/")).text
    assert "lost" not in text
    await harness.pass_time(days=3)
    assert len(await harness.top_ups(customer_id)) == 1
    assert await harness.charged() == 0


@pytest.mark.flow
async def test_a_declined_card_is_left_alone_until_the_customer_turns_on_with_another(harness):
    customer_id, visitor = await harness.crossed(number="4000000000009987")
    await harness.work()
    await harness.add_card(visitor, "5555555555554444")
    await visitor.turn_on("USD", threshold="10", amount="25", limit="100")
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(34)
    assert (await harness.rule(customer_id))["paused"] is None


async def test_a_card_is_declined_at_most_eight_times_in_thirty_days_over_all_customers(harness):
    """F17: the budget is the physical card's, whatever the number of accounts."""
    customers = []
    for number in range(4):
        customer_id, _ = await harness.funded(number="4000000000000341", balance=12, threshold="10", name=f"C{number}")
        await harness.use(customer_id, "3", "crossing")
        customers.append(customer_id)
    for _ in range(6):
        await harness.work()
        await harness.pass_time(hours=13)
    declined = await harness.sql("SELECT 1 FROM payments WHERE decline_code IS NOT NULL")
    assert len(declined) == 8
    pauses = {(await harness.rule(customer_id))["paused"] for customer_id in customers}
    assert "card_budget" in pauses


@pytest.mark.flow
async def test_authentication_is_finished_by_the_customer_on_the_banks_page(harness):
    """F16."""
    customer_id, _ = await harness.crossed(number="4000002760003184")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("action_required", "authentication_required")
    assert (await harness.rule(customer_id))["paused"] is None
    assert "top_up.action_required" in await harness.events(customer_id)
    await harness.pass_time(hours=2)
    assert await harness.charged() == 0

    visitor = await harness.visitor(customer_id)
    overview = await visitor.get("/")
    assert "Your bank wants you to confirm a $25.00 top-up" in overview.text
    page = await visitor.get(f"/confirm/{top_up['id']}")
    bank = await visitor.submit(page, "", {})
    assert "authenticate" in str(bank.url)
    result = await visitor.client.post(str(bank.url), data={"answer": "complete"})
    assert "New balance $34.00" in result.text
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.charged() == 2500


async def test_an_authentication_that_fails_can_be_tried_again(harness):
    customer_id, visitor = await harness.crossed(number="4000002760003184")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    bank = await visitor.submit(await visitor.get(f"/confirm/{top_up['id']}"), "", {})
    await visitor.client.post(str(bank.url), data={"answer": "fail"})
    await harness.work()
    assert (await harness.top_ups(customer_id))[0]["state"] == "action_required"
    bank = await visitor.submit(await visitor.get(f"/confirm/{top_up['id']}"), "", {})
    await visitor.client.post(str(bank.url), data={"answer": "complete"})
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.charged() == 2500


async def test_a_card_issued_in_india_is_confirmed_each_time_and_never_blocked(harness):
    """F16. Without a mandate its bank declines; what it calls that forbids a card elsewhere."""
    customer_id, visitor = await harness.crossed(number="4000003560000008")
    assert "you confirm each automatic payment" in (await visitor.get("/cards")).text
    [card] = (await harness.call("GET", f"/customers/{customer_id}/cards"))["items"]
    assert card["country"] == "IN"
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("action_required", "authentication_required")
    [card] = (await harness.call("GET", f"/customers/{customer_id}/cards"))["items"]
    assert (card["state"], (await harness.rule(customer_id))["paused"]) == ("active", None)
    bank = await visitor.submit(await visitor.get(f"/confirm/{top_up['id']}"), "", {})
    await visitor.client.post(str(bank.url), data={"answer": "complete"})
    assert await harness.balance(customer_id) == Decimal(34)
    await harness.use(customer_id, "25", "again")
    await harness.work()
    assert (await harness.top_ups(customer_id))[0]["state"] == "action_required"


async def test_a_confirmation_that_never_comes_expires_and_pauses(harness):
    """F16, F47."""
    customer_id, _ = await harness.crossed(number="4000002760003184")
    await harness.work()
    await harness.pass_time(hours=25)
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("canceled", "confirmation_expired")
    assert (await harness.rule(customer_id))["paused"] == "confirmation_expired"
    await harness.pass_time(days=7)
    assert len(await harness.top_ups(customer_id)) == 1


async def test_the_webhook_comes_before_the_reply(harness):
    """F15: the webhook credits; the worker finds nothing to do."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.confirm", fault="slow_answer", seconds=6)
    await harness.use(customer_id, "3", "crossing")
    first = asyncio.create_task(harness.work())
    await harness.until(lambda: harness.state_is(customer_id, "confirming"))

    async def credited():
        await harness.work()
        return await harness.balance(customer_id) == Decimal(34)

    await harness.until(credited, seconds=5)
    assert not first.done()
    await first
    assert await harness.balance(customer_id) == Decimal(34)
    assert [item["state"] for item in await harness.top_ups(customer_id)] == ["succeeded"]


@pytest.mark.flow
async def test_every_webhook_lost_and_every_answer_to_confirm_lost(harness):
    """F11, F4, F7: unknown is left by reading the payment."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(webhooks="off")
    await harness.switch(call="payment_intents.confirm", fault="drop_after")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert [item["state"] for item in await harness.top_ups(customer_id)] == ["unknown"]
    await harness.pass_time(seconds=30)
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.charged() == 2500


@pytest.mark.parametrize("fault", ["drop_before", "error_before", "error_after", "busy", "forbidden"])
@pytest.mark.parametrize("call", ["payment_intents.create", "payment_intents.confirm"])
async def test_any_failing_call_ends_in_one_charge(harness, call, fault):
    """F3, F7, F8, F38, F49: whatever was carried out, one payment takes money, once."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(webhooks="off")
    await harness.switch(call=call, fault=fault, times=2)
    await harness.use(customer_id, "3", "crossing")
    for _ in range(8):
        await harness.work()
        await harness.pass_time(minutes=3)
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.charged() == 2500
    assert [item["state"] for item in await harness.top_ups(customer_id)] == ["succeeded"]


async def test_a_refused_create_ends_and_pauses_instead_of_looping(harness):
    """F49."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    [card] = await harness.sql("SELECT stripe_payment_method_id AS id FROM cards")
    await harness.switch(webhooks="off")
    await harness.sandbox.post(f"/v1/payment_methods/{card['id']}/detach")
    await harness.use(customer_id, "3", "crossing")
    for _ in range(3):
        await harness.work()
        await harness.pass_time(hours=1)
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("canceled", "paused")
    assert (await harness.rule(customer_id))["paused"] == "card_removed"


async def test_a_key_that_stripe_refuses_holds_charging_with_one_reason(harness):
    """F38."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.create", fault="forbidden", times=1)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    [hold] = await harness.sql("SELECT kind, reason FROM suspensions")
    assert hold["kind"] == "key"
    assert "refuses the platform's key" in hold["reason"]
    assert (await harness.rule(customer_id))["paused"] is None
    await harness.pass_time(minutes=2)
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.sql("SELECT kind FROM suspensions") == []


@pytest.mark.flow
async def test_the_worker_is_killed_between_the_two_steps(harness):
    """F2, F50: a real process, SIGKILL after the PaymentIntent was created and before it was confirmed."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    [card] = await harness.sql("SELECT fingerprint FROM cards")
    with psycopg.connect(harness.database_url) as blocker:
        blocker.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (card["fingerprint"],))
        await harness.use(customer_id, "3", "crossing")
        async with worker_process(harness) as process:
            await harness.until(lambda: harness.state_is(customer_id, "intent_created"))
            process.send_signal(signal.SIGKILL)
            await process.wait()
    assert await harness.charged() == 0
    async with worker_process(harness):
        # The half minute after which the sweep takes a step over has passed.
        await harness.sql("UPDATE top_ups SET wake_at = now() - interval '1 minute'")
        await harness.sweep()
        await harness.until(lambda: harness.state_is(customer_id, "succeeded"))
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.charged() == 2500
    assert len((await harness.sandbox.get("/v1/payment_intents")).json()["data"]) == 1


@contextlib.asynccontextmanager
async def worker_process(harness):
    """A real `brimful worker`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "brimful", "worker", env={"PATH": "/usr/bin:/bin", **harness.environment}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def test_duplicated_webhooks_have_one_effect(harness):
    """F9, F13."""
    await harness.switch(webhooks="duplicated")
    customer_id, _ = await harness.crossed()
    await harness.work()
    await harness.until(lambda: _events_done(harness))
    assert await harness.balance(customer_id) == Decimal(34)


async def _events_done(harness):
    await harness.work()
    rows = await harness.sql("SELECT state FROM stripe_events WHERE type = 'payment_intent.succeeded'")
    return [row["state"] for row in rows] == ["done"]


@pytest.mark.flow
@pytest.mark.tampers
async def test_a_payment_that_succeeds_after_its_top_up_ended_is_credited_and_flagged(harness):
    """F14."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.confirm", fault="processing")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.sql("UPDATE payments SET state = 'canceled', closed_at = now()")
    await harness.sql("UPDATE top_ups SET state = 'canceled', wake_at = NULL, ended_at = now()")
    [payment] = await harness.sql("SELECT stripe_intent_id FROM payments")
    await harness.sandbox.post(f"/sandbox/payment_intents/{payment['stripe_intent_id']}/finish")
    await harness.until(lambda: _events_done(harness))
    assert await harness.balance(customer_id) == Decimal(34)
    [top_up] = await harness.sql("SELECT state, needs_review FROM top_ups")
    assert top_up == {"state": "canceled", "needs_review": True}


async def test_a_foreign_payment_is_ignored_and_credits_nobody(harness):
    """F14: on a customer and a card of ours, by another program of the platform's."""
    customer_id, _ = await harness.funded()
    [customer] = await harness.sql("SELECT stripe_customer_id AS id FROM customers")
    [card] = await harness.sql("SELECT stripe_payment_method_id AS id FROM cards")
    body = {"amount": "5000", "currency": "usd", "customer": customer["id"], "payment_method": card["id"]}
    intent = (await harness.sandbox.post("/v1/payment_intents", data=body)).json()
    await harness.sandbox.post(f"/v1/payment_intents/{intent['id']}/confirm", data={"off_session": "true"})

    async def ignored():
        await harness.work()
        rows = await harness.sql("SELECT state FROM stripe_events WHERE object_id = %s", (intent["id"],))
        return {row["state"] for row in rows} == {"ignored"} and len(rows) >= 1

    await harness.until(ignored)
    assert await harness.balance(customer_id) == Decimal(30)
