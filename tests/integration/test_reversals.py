"""Money that goes back: refunds, disputes, warnings. Entries once each, parts that sum exactly, rules paused."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from brimful import payments, top_ups
from brimful.core import money
from support.credits import paid
from support.seed import key_with


async def entries(harness, customer_id, *kinds):
    rows = await harness.sql(
        "SELECT kind, amount, money_minor FROM entries WHERE customer_id = %s AND kind = ANY(%s) ORDER BY seq",
        (customer_id, list(kinds)),
    )
    return [(row["kind"], row["amount"], row["money_minor"]) for row in rows]


@pytest.mark.flow
async def test_a_refund_made_at_stripe_takes_the_units_back_once(harness):
    """F22: a goodwill refund interrupts nobody; only one that takes the balance below the threshold pauses the rule."""
    customer_id, intent = await paid(harness)
    await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent, "amount": "1000"})
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal(24)
    assert await entries(harness, customer_id, "refund") == [("refund", Decimal(-10), -1000)]
    assert (await harness.rule(customer_id))["paused"] is None
    await harness.use(customer_id, "20", "far below")
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(29)


async def test_a_refund_that_takes_the_balance_below_the_threshold_pauses(harness):
    """F22, F47: what was given back is not charged again."""
    customer_id, intent = await paid(harness)
    await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent, "amount": "2500"})
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal(9)
    assert await entries(harness, customer_id, "refund") == [("refund", Decimal(-25), -2500)]
    rule = await harness.rule(customer_id)
    assert (rule["paused"], rule["reason"]) == ("refunded", "paused")
    assert "refund.recorded" in await harness.events(customer_id)
    assert "A payment was refunded." in (await (await harness.visitor(customer_id)).get("/")).text
    await harness.use(customer_id, "20", "far below")
    await harness.pass_time(days=40)
    assert await harness.charged() == 2500  # what was given back is not taken again unasked


@pytest.mark.flow
async def test_a_refund_that_fails_later_is_credited_back(harness):
    """F22."""
    customer_id, intent = await paid(harness)
    refund = (await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent})).json()
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal(9)
    await harness.sandbox.post(f"/sandbox/refunds/{refund['id']}/finish", json={"status": "failed"})
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal(34)
    assert [kind for kind, _, _ in await entries(harness, customer_id, "refund", "reinstatement")] == [
        "refund",
        "reinstatement",
    ]


@pytest.mark.flow
async def test_our_own_refund_is_asked_for_once_whatever_is_lost(harness):
    """F7 for refunds: the answer is lost, the key tells."""
    customer_id, _ = await paid(harness)
    await harness.switch(call="refunds.create", fault="drop_after")
    key = await key_with(harness, ("top_ups", "refunds"))
    [top_up] = await harness.top_ups(customer_id)
    path, headers = f"/top-ups/{top_up['id']}/refunds", {"Authorization": f"Bearer {key}", "Idempotency-Key": "r-1"}
    first = await harness.call("POST", path, {"amount": "7.50"}, expect=201, headers=headers)
    assert await harness.call("POST", path, {"amount": "7.50"}, expect=201, headers=headers) == first
    await harness.work()
    await harness.pass_time(minutes=5)
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal("26.5")
    assert (await harness.books())["refunded"] == {"USD": 750}
    [shown] = await harness.sql("SELECT state FROM refunds")
    assert shown["state"] == "succeeded"
    too_much = await harness.call("POST", path, {"amount": "17.51"}, headers={**headers, "Idempotency-Key": "r-2"})
    assert too_much["code"] == "not_refundable"


async def test_refunding_needs_a_scope_that_is_off_by_default(harness):
    customer_id, _ = await paid(harness)
    [top_up] = await harness.top_ups(customer_id)
    answer = await harness.call("POST", f"/top-ups/{top_up['id']}/refunds", {}, expect=403)
    assert answer["code"] == "forbidden"


@pytest.mark.parametrize("fault", ["error_before", "error_after"])
async def test_a_refund_that_stripe_answered_with_an_error_is_looked_for(harness, fault):
    """F49 for refunds: found by list, or ended."""
    customer_id, _ = await paid(harness)
    await harness.switch(call="refunds.create", fault=fault)
    [top_up] = await harness.sql("SELECT * FROM top_ups")
    async with harness.engine.database.transaction() as tx:
        payment = await top_ups.store.paid_by(tx, await top_ups.store.get(tx, customer_id, top_up["top_up_id"]))
        await payments.refunds.request(tx, payment, None, actor="test", refund_id=None)
    await harness.work()
    await harness.events_applied()
    [refund] = await harness.sql("SELECT state FROM refunds")
    executed = fault == "error_after"
    assert refund["state"] == ("succeeded" if executed else "refused")
    assert await harness.balance(customer_id) == Decimal(9 if executed else 34)


@pytest.mark.flow
@pytest.mark.parametrize("won", [True, False])
async def test_a_dispute_moves_the_money_once_each_way_and_blocks_its_card(harness, won):
    """F23."""
    customer_id, intent = await paid(harness)
    dispute = (await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={})).json()
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal(9)
    rule = await harness.rule(customer_id)
    assert (rule["paused"], rule["reason"]) == ("disputed", "paused")
    [card] = await harness.sql("SELECT state, state_reason FROM cards")
    assert card == {"state": "blocked", "state_reason": "disputed"}
    await harness.sandbox.post(f"/sandbox/disputes/{dispute['id']}/close", json={"won": won})
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal(34 if won else 9)
    assert (await harness.rule(customer_id))["paused"] == "disputed"
    assert await harness.charged() == 2500
    told = await harness.events(customer_id)
    assert (told.count("dispute.opened"), told.count("dispute.closed")) == (1, 1)
    moved = [kind for kind, _, _ in await entries(harness, customer_id, "dispute", "reinstatement")]
    assert moved == (["dispute", "reinstatement"] if won else ["dispute"])


async def test_an_inquiry_moves_no_money_and_still_pauses(harness):
    customer_id, intent = await paid(harness)
    await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={"inquiry": True})
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal(34)
    assert (await harness.rule(customer_id))["paused"] == "disputed"


async def test_a_card_that_is_disputed_after_each_success_is_charged_once(harness):
    """F23: test card 0259; the balance is negative and the disputing card is left alone."""
    customer_id, _ = await harness.funded(balance=12, threshold="10", number="4000000000000259")
    await harness.use(customer_id, "15", "crossing")  # one charge is enough, until the dispute takes it back
    await harness.work()
    await harness.events_applied()
    await harness.pass_time(days=3)
    assert await harness.balance(customer_id) == Decimal(-3)
    books = await harness.books()
    assert (books["charged"], books["disputed"]) == ({"USD": 2500}, {"USD": 2500})


async def test_a_warning_of_fraud_blocks_the_card_before_the_dispute_comes(harness):
    customer_id, intent = await paid(harness)
    await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/warn")
    await harness.events_applied()
    assert (await harness.rule(customer_id))["paused"] == "fraud_warning"
    assert await harness.balance(customer_id) == Decimal(34)


@pytest.mark.flow
async def test_the_news_of_a_refund_comes_before_the_news_of_the_success(harness):
    """F10: the object's state decides."""
    await harness.switch(webhooks="off")
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.confirm", fault="drop_after")
    await harness.switch(call="payment_intents.retrieve", fault="busy", times=99)
    await harness.use(customer_id, "3", "crossing")
    working = harness.start_work()
    await harness.until(lambda: harness.state_is(customer_id, "unknown"))
    await harness.switch(webhooks="on")
    [intent] = (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
    await harness.sandbox.delete("/sandbox/switches")
    await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent["id"], "amount": "500"})
    await working
    await harness.events_applied()
    await harness.pass_time(minutes=10)
    assert await harness.balance(customer_id) == Decimal(29)


async def test_a_card_renewed_by_its_network_keeps_its_consent_and_another_brand_asks_again(harness):
    """stripe.md 16."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    [card] = await harness.sql("SELECT stripe_payment_method_id AS id FROM cards")
    renew = f"/sandbox/payment_methods/{card['id']}/renew"
    await harness.sandbox.post(renew, json={"exp_year": 2034, "last4": "1881"})
    await harness.events_applied()
    [kept] = await harness.sql("SELECT last4, exp_year, state FROM cards")
    assert kept == {"last4": "1881", "exp_year": 2034, "state": "active"}
    assert (await harness.rule(customer_id))["paused"] is None
    await harness.sandbox.post(renew, json={"brand": "mastercard"})
    await harness.events_applied()
    assert (await harness.rule(customer_id))["paused"] == "card_changed"
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await harness.charged() == 0


@given(parts=st.lists(st.integers(1, 400), min_size=1, max_size=12), scale=st.integers(0, 6),
       units=st.decimals("0.000001", "99999", places=6))  # fmt: skip
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_parts_of_a_refund_sum_to_the_whole_in_any_order(parts, scale, units):
    """F22: what is left in units follows from what is left in money."""
    whole, units = sum(parts), max(units.quantize(Decimal(1).scaleb(-scale)), Decimal(1).scaleb(-scale))
    left_money, left, taken = whole, units, Decimal(0)
    for part in parts:
        left_money -= part
        after = money.units_left(units, left_money, whole, scale=scale)
        assert Decimal(0) <= after <= left
        assert after == after.quantize(Decimal(1).scaleb(-scale))
        taken, left = taken + left - after, after
    assert (left, taken) == (0, units)
