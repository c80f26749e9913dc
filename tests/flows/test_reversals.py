"""Money that goes back: refunds, disputes, warnings. Entries once each, parts that sum exactly, rules paused."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brimful import money, paying, topups
from support.things import key_with


async def paid(house, **more):
    """A customer whose automatic top-up of $25 was paid: balance 34, line 10. Returns (customer_id, PaymentIntent)."""
    customer_id, _ = await house.funded(balance=12, threshold="10", **more)
    await house.use(customer_id, "3", "crossing")
    await house.work()
    [intent] = [item for item in (await house.sandbox.get("/v1/payment_intents")).json()["data"]
                if item["status"] == "succeeded"]  # fmt: skip
    return customer_id, intent["id"]


async def entries(house, customer_id, *kinds):
    rows = await house.sql(
        "SELECT kind, amount, money_minor FROM entries WHERE customer_id = %s AND kind = ANY(%s) ORDER BY seq",
        (customer_id, list(kinds)),
    )
    return [(row["kind"], row["amount"], row["money_minor"]) for row in rows]


@pytest.mark.flow
async def test_a_refund_made_at_stripe_takes_the_units_back_once_and_pauses(house):
    """F22, F47."""
    customer_id, intent = await paid(house)
    await house.sandbox.post("/v1/refunds", data={"payment_intent": intent, "amount": "1000"})
    await house.events_applied()
    assert await house.balance(customer_id) == Decimal(24)
    assert await entries(house, customer_id, "refund") == [("refund", Decimal(-10), -1000)]
    rule = await house.rule(customer_id)
    assert (rule["paused"], rule["reason"]) == ("refunded", "paused")
    assert "refund.recorded" in await house.events(customer_id)
    assert "A payment was refunded." in (await (await house.visitor(customer_id)).get("/")).text
    await house.use(customer_id, "20", "far below")
    await house.pass_time(days=40)
    assert await house.charged() == 2500  # what was given back is not taken again unasked


@pytest.mark.flow
async def test_a_refund_that_fails_later_is_credited_back(house):
    """F22."""
    customer_id, intent = await paid(house)
    refund = (await house.sandbox.post("/v1/refunds", data={"payment_intent": intent})).json()
    await house.events_applied()
    assert await house.balance(customer_id) == Decimal(9)
    await house.sandbox.post(f"/sandbox/refunds/{refund['id']}/finish", json={"status": "failed"})
    await house.events_applied()
    assert await house.balance(customer_id) == Decimal(34)
    assert [kind for kind, _, _ in await entries(house, customer_id, "refund", "reinstatement")] == [
        "refund",
        "reinstatement",
    ]


@pytest.mark.flow
async def test_our_own_refund_is_asked_for_once_whatever_is_lost(house):
    """F7 for refunds: the answer is lost, the key tells."""
    customer_id, _ = await paid(house)
    await house.switch(call="refunds.create", fault="drop_after")
    key = await key_with(house, ("top_ups", "refunds"))
    [top_up] = await house.top_ups(customer_id)
    path, headers = f"/top-ups/{top_up['id']}/refunds", {"Authorization": f"Bearer {key}", "Idempotency-Key": "r-1"}
    first = await house.call("POST", path, {"amount": "7.50"}, expect=201, headers=headers)
    assert await house.call("POST", path, {"amount": "7.50"}, expect=201, headers=headers) == first
    await house.work()
    await house.pass_time(minutes=5)
    await house.events_applied()
    assert await house.balance(customer_id) == Decimal("26.5")
    assert (await house.books())["refunded"] == {"USD": 750}
    [shown] = await house.sql("SELECT state FROM refunds")
    assert shown["state"] == "succeeded"
    too_much = await house.call("POST", path, {"amount": "17.51"}, headers={**headers, "Idempotency-Key": "r-2"})
    assert too_much["code"] == "not_refundable"


async def test_refunding_needs_a_scope_that_is_off_by_default(house):
    customer_id, _ = await paid(house)
    [top_up] = await house.top_ups(customer_id)
    answer = await house.call("POST", f"/top-ups/{top_up['id']}/refunds", {}, expect=403)
    assert answer["code"] == "forbidden"


@pytest.mark.parametrize("fault", ["error_before", "error_after"])
async def test_a_refund_that_stripe_answered_with_an_error_is_looked_for(house, fault):
    """F49 for refunds: found by list, or ended."""
    customer_id, _ = await paid(house)
    await house.switch(call="refunds.create", fault=fault)
    [top_up] = await house.sql("SELECT * FROM top_ups")
    async with house.engine.database.transaction() as tx:
        payment = await topups.paid_by(tx, await topups.get(tx, customer_id, top_up["top_up_id"]))
        await paying.refunds.request(tx, payment, None, actor="test", refund_id=None)
    await house.work()
    await house.events_applied()
    [refund] = await house.sql("SELECT state FROM refunds")
    executed = fault == "error_after"
    assert refund["state"] == ("succeeded" if executed else "refused")
    assert await house.balance(customer_id) == Decimal(9 if executed else 34)


@pytest.mark.flow
@pytest.mark.parametrize("won", [True, False])
async def test_a_dispute_moves_the_money_once_each_way_and_blocks_its_card(house, won):
    """F23."""
    customer_id, intent = await paid(house)
    dispute = (await house.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={})).json()
    await house.events_applied()
    assert await house.balance(customer_id) == Decimal(9)
    rule = await house.rule(customer_id)
    assert (rule["paused"], rule["reason"]) == ("disputed", "paused")
    [card] = await house.sql("SELECT state, state_reason FROM cards")
    assert card == {"state": "blocked", "state_reason": "disputed"}
    await house.sandbox.post(f"/sandbox/disputes/{dispute['id']}/close", json={"won": won})
    await house.events_applied()
    assert await house.balance(customer_id) == Decimal(34 if won else 9)
    assert (await house.rule(customer_id))["paused"] == "disputed"
    assert await house.charged() == 2500
    told = await house.events(customer_id)
    assert (told.count("dispute.opened"), told.count("dispute.closed")) == (1, 1)
    moved = [kind for kind, _, _ in await entries(house, customer_id, "dispute", "reinstatement")]
    assert moved == (["dispute", "reinstatement"] if won else ["dispute"])


async def test_an_inquiry_moves_no_money_and_still_pauses(house):
    customer_id, intent = await paid(house)
    await house.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={"inquiry": True})
    await house.events_applied()
    assert await house.balance(customer_id) == Decimal(34)
    assert (await house.rule(customer_id))["paused"] == "disputed"


async def test_a_card_that_is_disputed_after_each_success_is_charged_once(house):
    """F23: test card 0259; the balance is negative and the disputing card is left alone."""
    customer_id, _ = await house.funded(balance=12, threshold="10", number="4000000000000259")
    await house.use(customer_id, "30", "crossing")
    await house.work()
    await house.events_applied()
    await house.pass_time(days=3)
    assert await house.balance(customer_id) == Decimal(-18)
    books = await house.books()
    assert (books["charged"], books["disputed"]) == ({"USD": 2500}, {"USD": 2500})


async def test_a_warning_of_fraud_blocks_the_card_before_the_dispute_comes(house):
    customer_id, intent = await paid(house)
    await house.sandbox.post(f"/sandbox/payment_intents/{intent}/warn")
    await house.events_applied()
    assert (await house.rule(customer_id))["paused"] == "fraud_warning"
    assert await house.balance(customer_id) == Decimal(34)


@pytest.mark.flow
async def test_the_news_of_a_refund_comes_before_the_news_of_the_success(house):
    """F10: the object's state decides."""
    await house.switch(webhooks="off")
    customer_id, _ = await house.funded(balance=12, threshold="10")
    await house.switch(call="payment_intents.confirm", fault="drop_after")
    await house.switch(call="payment_intents.retrieve", fault="busy", times=99)
    await house.use(customer_id, "3", "crossing")
    working = house.start_work()
    await house.until(lambda: house.state_is(customer_id, "unknown"))
    await house.switch(webhooks="on")
    [intent] = (await house.sandbox.get("/v1/payment_intents")).json()["data"]
    await house.sandbox.delete("/sandbox/switches")
    await house.sandbox.post("/v1/refunds", data={"payment_intent": intent["id"], "amount": "500"})
    await working
    await house.events_applied()
    await house.pass_time(minutes=10)
    assert await house.balance(customer_id) == Decimal(29)


async def test_a_card_renewed_by_its_network_keeps_its_consent_and_another_brand_asks_again(house):
    """stripe.md 16."""
    customer_id, _ = await house.funded(balance=12, threshold="10")
    [card] = await house.sql("SELECT stripe_payment_method_id AS id FROM cards")
    renew = f"/sandbox/payment_methods/{card['id']}/renew"
    await house.sandbox.post(renew, json={"exp_year": 2034, "last4": "1881"})
    await house.events_applied()
    [kept] = await house.sql("SELECT last4, exp_year, state FROM cards")
    assert kept == {"last4": "1881", "exp_year": 2034, "state": "active"}
    assert (await house.rule(customer_id))["paused"] is None
    await house.sandbox.post(renew, json={"brand": "mastercard"})
    await house.events_applied()
    assert (await house.rule(customer_id))["paused"] == "card_changed"
    await house.use(customer_id, "3", "crossing")
    await house.work()
    assert await house.charged() == 0


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
