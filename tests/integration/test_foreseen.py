"""The button of a rule's page says what follows at once: the engine's own policy, asked with the form's numbers."""

from decimal import Decimal

import pytest

pytestmark = pytest.mark.flow

RULE = {"threshold": "10", "amount": "25", "limit": "100"}


async def shown(visitor, values):
    """The button and the sentence above it, for these numbers."""
    page = await visitor.submit(await visitor.get("/auto-top-up/USD"), "", {**values, "action": "preview"})
    terms = page.text[page.text.index('class="terms"') if 'class="terms"' in page.text else page.text.index("agreed") :]
    return terms[terms.index("</label>") if "</label>" in terms else 0 :]


async def save(visitor, values, action):
    review = await visitor.submit(await visitor.get("/auto-top-up/USD"), "", {**values, "action": action})
    if "agreed" in review.text:
        await visitor.submit(review, "", {**values, "agreed": "yes", "action": action})


async def test_a_saved_rule_that_makes_a_payment_due_says_so(harness):
    """A threshold raised above the balance charges in the same second."""
    customer_id, visitor = await harness.funded(balance=40, **RULE)
    quiet = await shown(visitor, {**RULE, "threshold": "20"})
    assert "Save changes" in quiet
    raised = {**RULE, "threshold": "50"}
    loud = await shown(visitor, raised)
    assert "Save and pay $25.00 now" in loud
    assert "one after another" not in loud  # 65 is above 50
    await save(visitor, raised, "save")
    await harness.work()
    assert await harness.charged() == 2500


async def test_a_limit_that_is_used_up_names_the_day_and_one_raised_the_sum(harness):
    await harness.stay_in_the_month(hours=3)
    customer_id, visitor = await harness.funded(balance=12, threshold="10", amount="25", limit="25")
    await harness.use(customer_id, "3", "first")
    await harness.work()
    await harness.pass_time(hours=2)
    await harness.use(customer_id, "30", "second")  # 4 are left, and nothing of the month
    visitor = await harness.visitor(customer_id)
    used_up = await shown(visitor, {"threshold": "10", "amount": "25", "limit": "25"})
    assert "$25.00 is charged at" in used_up
    assert "Save changes" in used_up
    raised = await shown(visitor, {"threshold": "10", "amount": "25", "limit": "50"})
    assert "Save and pay $25.00 now" in raised


async def test_payments_that_follow_one_another_are_counted_before(harness):
    """40, a threshold of 100 and an amount of 5: twelve payments, or as many as the limit has."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 40)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    many = await shown(visitor, {"threshold": "100", "amount": "5", "limit": "100"})
    assert "Turn on and pay $5.00 now" in many
    assert "One payment of $5.00 does not reach your threshold. Payments one after another: 12." in many
    few = await shown(visitor, {"threshold": "100", "amount": "5", "limit": "20"})
    assert "Payments one after another: 4." in few
    exact = await shown(visitor, {"threshold": "100", "amount": "60", "limit": "100"})
    assert "one after another" not in exact


async def test_while_a_payment_is_on_its_way_no_other_is_promised(harness):
    customer_id, visitor = await harness.funded(balance=12, **RULE)
    await harness.switch(call="payment_intents.confirm", fault="drop_after")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    page = await shown(visitor, RULE)
    assert "A payment is on its way. Nothing more is charged now." in page
    assert "Save changes" in page


async def test_new_numbers_while_a_retry_waits_pay_at_once(harness):
    """Saving takes the waiting top-up back and asks for another."""
    customer_id, visitor = await harness.funded(balance=12, **RULE, number="4000000000000341")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await harness.state_is(customer_id, "retry_wait")
    changed = {**RULE, "amount": "30"}
    assert "Save and pay $30.00 now" in await shown(visitor, changed)
    await save(visitor, changed, "save")
    newest, before = await harness.top_ups(customer_id)
    assert (before["state"], newest["state"], newest["amount"]) == ("canceled", "requested", "30")


async def test_while_charging_is_suspended_no_payment_is_promised_at_once(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 4)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    await harness.sql("INSERT INTO suspensions VALUES ('operator', 'a test', now(), now(), 'test')")
    page = await shown(visitor, RULE)
    assert "Payments are held for now. $25.00 is charged when they go on." in page
    assert "pay $25.00 now" not in page
    assert await harness.balance(customer_id) == Decimal(4)
