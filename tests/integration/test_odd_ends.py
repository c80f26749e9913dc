"""Sequences that an attack on the design came up with: each once went wrong."""

import asyncio
from decimal import Decimal

import psycopg
import pytest

from brimful import cards, payments
from brimful.db.pool import Tx, role_conninfo
from support.harness import HOME


async def state_of(harness, customer_id):
    [top_up] = await harness.top_ups(customer_id)
    return top_up["state"], top_up["reason"]


async def test_a_lost_create_while_the_customer_confirms_does_not_hold_the_top_up_for_ever(harness):
    customer_id, _ = await harness.crossed(number="4000002760003184")
    await harness.work()
    visitor = await harness.visitor(customer_id)
    [top_up] = await harness.top_ups(customer_id)
    await harness.switch(call="payment_intents.create", fault="drop_before", times=1)
    await visitor.submit(await visitor.get(f"/confirm/{top_up['id']}"), "", {})
    for _ in range(3):
        await harness.pass_time(minutes=5)
    assert await state_of(harness, customer_id) == ("action_required", "not_sent")
    visitor = await harness.visitor(customer_id)
    bank = await visitor.submit(await visitor.get(f"/confirm/{top_up['id']}"), "", {})
    await visitor.client.post(str(bank.url), data={"answer": "complete"})
    assert await harness.balance(customer_id) == Decimal(34)


async def test_it_expires_even_if_the_customer_was_lost_on_the_way(harness):
    customer_id, _ = await harness.crossed(number="4000002760003184")
    await harness.work()
    visitor = await harness.visitor(customer_id)
    [top_up] = await harness.top_ups(customer_id)
    await harness.switch(call="payment_intents.create", fault="drop_before", times=50)
    await visitor.submit(await visitor.get(f"/confirm/{top_up['id']}"), "", {})
    await harness.pass_time(hours=25)
    await harness.pass_time(minutes=5)
    assert await state_of(harness, customer_id) == ("canceled", "confirmation_expired")
    assert (await harness.rule(customer_id))["paused"] == "confirmation_expired"


async def test_the_card_charged_is_the_one_chosen_last(harness):
    """I10."""
    customer_id, visitor = await harness.funded(balance=20)
    await harness.add_card(visitor, "5555555555554444")
    rows = await harness.sql("SELECT card_id, last4 FROM cards")
    first, second = (next(r["card_id"] for r in rows if r["last4"] == last4) for last4 in ("4242", "4444"))
    page = await visitor.get("/top-up?asset=USD")
    await harness.switch(call="payment_intents.create", fault="drop_before", times=1)
    await visitor.submit(page, "/billing/top-up", {"amount": "25", "card": first})
    await visitor.submit(page, "/billing/top-up", {"amount": "25", "card": second})
    await harness.pass_time(minutes=5)
    paid = await harness.sql("SELECT card_id FROM payments WHERE state = 'succeeded'")
    assert [row["card_id"] for row in paid] in ([], [second])
    assert await harness.charged() == 2500 * len(paid)


async def test_another_currency_needs_another_tick(harness):
    customer_id, visitor = await harness.with_credits(balance=600, amount="25")
    await harness.call("POST", "/assets/CREDIT/rates", {"source": "EUR", "rate": "0.09"}, expect=204)
    page = await visitor.get("/auto-top-up/CREDIT")
    await visitor.submit(page, "", {"limit": "90", "action": "save"})
    [rule] = await harness.sql("SELECT currency, limit_minor FROM rules")
    assert rule == {"currency": "USD", "limit_minor": 9000}


@pytest.mark.parametrize(("fault", "most"), [("forbidden", 4), ("error_before", 5)])
async def test_a_confirm_that_never_arrives_is_tried_ever_more_rarely(harness, fault, most):
    """F37: no storm of payments while Stripe is down."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.confirm", fault=fault, times=1000)
    await harness.use(customer_id, "3", "crossing")
    for _ in range(20):
        await harness.work()
        await harness.pass_time(seconds=30)
    assert len((await harness.sandbox.get("/v1/payment_intents", params={"limit": 100})).json()["data"]) <= most
    await harness.sandbox.delete("/sandbox/switches")
    await harness.pass_time(hours=2)
    await harness.pass_time(hours=2)
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.charged() == 2500


async def test_a_claim_is_not_left_behind_by_the_loser_of_a_race(harness):
    """Worker A stands before its claim when B ends the top-up: A must not claim for a payment that has ended."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    [card] = await harness.sql("SELECT fingerprint FROM cards")
    with psycopg.connect(role_conninfo(harness.database_url, "brimful_engine")) as blocker:
        blocker.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (card["fingerprint"],))
        await harness.use(customer_id, "3", "crossing")
        [top_up] = await harness.top_ups(customer_id)
        slow = asyncio.create_task(payments.advance.advance(harness.engine.payments, customer_id, top_up["id"]))

        async def created():
            return (await state_of(harness, customer_id))[0] == "intent_created"

        await harness.until(created)
        await harness.give(customer_id, 20, key="in time")
        other = asyncio.create_task(payments.advance.advance(harness.engine.payments, customer_id, top_up["id"]))
        await asyncio.sleep(0.5)
    await asyncio.gather(slow, other)
    await harness.pass_time(minutes=2)
    assert await state_of(harness, customer_id) == ("canceled", "no_longer_needed")
    assert await harness.sql("SELECT * FROM card_tries") == []


async def test_a_failed_checkout_page_can_be_opened_again(harness):
    customer_id = await harness.customer()
    visitor = await harness.visitor(customer_id)
    await harness.switch(call="checkout.sessions.create", fault="error_before", times=1)
    page = await visitor.get("/top-up?asset=USD")
    failed = await visitor.submit(page, "/billing/top-up", {"amount": "25", "card": "new"})
    assert failed.status_code == 503
    stripe = await visitor.submit(page, "/billing/top-up", {"amount": "25", "card": "new"})
    await visitor.choose_card(stripe, "4242424242424242")
    assert await harness.balance(customer_id) == Decimal(25)


async def test_a_payment_link_outlives_a_page_that_was_left(harness):
    customer_id = await harness.customer()
    body = {"customer_id": customer_id, "amount": "40", "currency": "USD", "return_url": HOME, "failure_url": HOME}
    made = await harness.call("POST", "/top-ups", body, expect=201)
    stranger = await harness.stranger()
    await stranger.submit(await stranger.open(made["redirect_url"]), "", {})
    for session in harness.world.store.newest("checkout_session"):
        session["expires_at"] = 1
    await harness.pass_time(hours=2)
    again = await harness.stranger()
    stripe = await again.submit(await again.open(made["redirect_url"]), "", {})
    await again.choose_card(stripe, "4242424242424242")
    assert await harness.balance(customer_id) == Decimal(40)


async def test_off_means_off_even_while_a_payment_is_taken_back(harness):
    """I9, F20."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10", number="4000002760003184")
    await harness.switch(call="payment_intents.cancel", fault="error_before", times=1)
    await harness.switch(call="payment_intents.retrieve", fault="error_before", times=1)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert (await state_of(harness, customer_id))[0] == "canceling"
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    await harness.pass_time(minutes=2)
    assert await state_of(harness, customer_id) == ("canceled", "off")
    assert await harness.charged() == 0


async def test_a_decline_of_the_old_card_does_not_pause_a_rule_with_a_new_one(harness):
    customer_id, visitor = await harness.funded(balance=12, threshold="10", number="4000000000009987")
    await harness.switch(webhooks="off")
    await harness.switch(call="payment_intents.confirm", fault="drop_after", times=1)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert (await state_of(harness, customer_id))[0] == "unknown"
    await harness.add_card(visitor, "5555555555554444")
    [new] = await harness.sql("SELECT card_id FROM cards WHERE last4 = '4444'")
    await visitor.turn_on("USD", threshold="10", amount="25", limit="100", card=new["card_id"])
    await harness.pass_time(minutes=2)
    await harness.pass_time(minutes=2)
    assert (await harness.rule(customer_id))["paused"] is None
    assert await harness.balance(customer_id) == Decimal(34)


async def test_one_account_that_always_fails_does_not_stop_the_sweep(harness):
    """F35."""
    bad, _ = await harness.funded(balance=12, threshold="10", name="Bad")
    good, _ = await harness.funded(balance=12, threshold="10", name="Good")
    await harness.switch(webhooks="off")
    await harness.switch(call="payment_intents.confirm", fault="drop_after", times=1)
    await harness.use(good, "3", "crossing")
    await harness.work()
    await harness.sql("UPDATE rule_states SET wake_at = now() - interval '1 hour' WHERE customer_id = %s", (bad,))
    await harness.sql(
        f"ALTER TABLE rule_states ADD CHECK (customer_id <> '{bad.number.hex()}' OR wake_at IS NOT NULL) NOT VALID"
    )
    await harness.pass_time(minutes=1)
    assert await harness.balance(good) == Decimal(34)


async def test_a_wait_that_stands_starts_no_second_job(harness):
    customer_id, visitor = await harness.with_credits(balance=60, amount="10")
    await harness.sql("UPDATE rates SET valid_to = now()")
    for number in range(10):
        await harness.give(customer_id, 1, "CREDIT", key=f"again-{number}")
    jobs = await harness.sql("SELECT 1 FROM procrastinate_jobs WHERE task_name = 'evaluate' AND status = 'todo'")
    assert len(jobs) == 1


async def test_the_budget_counts_open_claims_and_gives_them_back(database_url):
    """F17: eight at most, whatever is in flight."""
    from brimful.db.pool import Database

    database = Database(database_url, "brimful_engine")
    await database.open()
    answers = []
    for number in range(9):
        async with database.transaction() as tx:
            answers.append(await cards.decline_budget.claim(tx, "plastic", f"pay_{number}"))
    async with database.transaction() as tx:
        await cards.decline_budget.release(tx, "pay_0")
    async with database.transaction() as tx:
        answers.append(await cards.decline_budget.claim(tx, "plastic", "pay_9"))
    await database.close()
    granted, busy = cards.decline_budget.Claim.GRANTED, cards.decline_budget.Claim.BUSY
    assert answers == [*[granted] * 8, busy, granted]


async def test_an_event_read_while_the_confirmation_is_on_its_way_takes_nothing_back(harness):
    """The creation's own event is often processed before the confirmation arrives: the payment still waits then."""
    await harness.switch(call="payment_intents.confirm", fault="slow", seconds=1.5)
    customer_id, _ = await harness.crossed(number="4000002760003184")
    working = asyncio.create_task(harness.work())
    query = "SELECT stripe_intent_id FROM payments WHERE state = 'confirming'"
    await harness.until(lambda: harness.sql(query))
    await harness.until(lambda: harness.sql("SELECT 1 FROM stripe_events WHERE type = 'payment_intent.created'"))
    await harness.work()
    await working
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("action_required", "authentication_required")
    assert len(await harness.sql("SELECT 1 FROM payments")) == 1


async def test_live_balances_end_in_order_when_the_database_goes_away(harness, monkeypatch):
    """An exception would cut the stream in the middle: the browser would report an error of ours."""
    visitor = await harness.visitor(await harness.customer())

    async def fails(*_):
        raise psycopg.OperationalError("the connection is closed")

    monkeypatch.setattr("brimful.auth.portal_sessions.still_open", fails)
    async with visitor.client.stream("GET", f"{harness.url}/billing/live") as stream:
        lines = [line async for line in stream.aiter_lines()]
    assert lines[0] == "retry: 3000"


async def test_a_commit_that_fails_is_no_success(harness, monkeypatch):
    """The transaction of a route ends before its answer is sent."""

    async def lost(_tx):
        raise psycopg.OperationalError("the connection was lost")

    monkeypatch.setattr(Tx, "commit", lost)
    answer = await harness.api.post("/v1/assets", json={"code": "CREDIT", "name": "Credits"})
    monkeypatch.undo()
    assert answer.status_code == 503, answer.text
    await harness.call("GET", "/assets/CREDIT", expect=404)
