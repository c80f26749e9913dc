"""The customer's rule: turning on and off, limits, pace, rates, and what changes while a top-up waits."""

from decimal import Decimal

import pytest

pytestmark = pytest.mark.flow


async def test_turned_on_while_already_below_charges_at_once_and_says_so(house):
    """F42."""
    customer_id = await house.customer()
    await house.give(customer_id, 4)
    visitor = await house.visitor(customer_id)
    await house.add_card(visitor)
    page = await visitor.get("/auto-top-up/USD")
    values = {"threshold": "10", "amount": "25", "limit": "100", "action": "turn_on"}
    review = await visitor.submit(page, "", values)
    assert "Turn on and pay $25.00 now" in review.text
    assert await house.top_ups(customer_id) == []
    await visitor.submit(review, "", {"agreed": "yes", "action": "turn_on"})
    await house.work()
    assert await house.balance(customer_id) == Decimal(29)


async def test_nothing_is_turned_on_without_the_tick_or_for_other_numbers_than_shown(house):
    customer_id = await house.customer()
    visitor = await house.visitor(customer_id)
    await house.add_card(visitor)
    values = {"threshold": "10", "amount": "25", "limit": "100", "action": "turn_on"}
    review = await visitor.submit(await visitor.get("/auto-top-up/USD"), "", values)
    unticked = await visitor.submit(review, "", {"action": "turn_on"})
    assert unticked.status_code == 422
    other = await visitor.submit(review, "", {"agreed": "yes", "action": "turn_on", "amount": "500", "limit": "500"})
    assert "The numbers have changed" in other.text
    assert "$500.00" in other.text
    assert await house.sql("SELECT 1 FROM rules") == []
    assert await house.sql("SELECT 1 FROM consents WHERE kind = 'auto_top_up'") == []


async def test_the_consent_is_kept_word_for_word_with_its_circumstances(house):
    await house.funded(threshold="10", amount="25", limit="100")
    [kept] = await house.sql(
        "SELECT c.*, e.* FROM consents AS c JOIN consent_evidence AS e USING (customer_id, consent_id) "
        "WHERE kind = 'auto_top_up'"
    )
    assert kept["rendered"].startswith(
        "By turning on auto top-up I authorise Glitch AI to charge Visa ···· 4242 $25.00 each time my US dollars "
        "balance drops below $10.00, without asking me again, up to $100.00 per calendar month (UTC)."
    )
    assert (kept["amount_minor"], kept["limit_minor"], kept["threshold"]) == (2500, 10000, 10)
    assert (kept["address"], kept["agent"]) == ("127.0.0.1", "brimful-visitor")


async def test_turned_off_before_it_is_sent_nothing_is_charged(house):
    """F20."""
    customer_id, visitor = await house.funded(balance=12, threshold="10")
    await house.use(customer_id, "3", "crossing")
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    await house.work()
    [top_up] = await house.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("canceled", "off")
    assert await house.charged() == 0
    assert (await house.rule(customer_id))["reason"] == "off"


async def test_turned_off_after_it_was_sent_it_completes_and_is_credited(house):
    """F20: the point of no return was passed."""
    customer_id, visitor = await house.funded(balance=12, threshold="10")
    await house.switch(call="payment_intents.confirm", fault="processing")
    await house.use(customer_id, "3", "crossing")
    await house.work()
    [top_up] = await house.top_ups(customer_id)
    assert top_up["state"] == "processing"
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    [intent] = await house.sql("SELECT stripe_intent_id FROM payments")
    await house.sandbox.post(f"/sandbox/payment_intents/{intent['stripe_intent_id']}/finish")
    await house.pass_time(minutes=1)
    assert await house.balance(customer_id) == Decimal(34)
    assert len(await house.top_ups(customer_id)) == 1


async def test_the_limit_is_never_exceeded_and_the_reason_is_shown_until_next_month(house):
    """F33, F51, I8."""
    customer_id, visitor = await house.funded(balance=12, threshold="10", amount="25", limit="50")
    await house.use(customer_id, "25", "one")
    await house.work()
    await house.pass_time(minutes=2)
    assert await house.charged() == 2500
    assert await house.balance(customer_id) == Decimal(12)
    await house.use(customer_id, "25", "two")
    await house.work()
    await house.pass_time(minutes=2)
    assert await house.charged() == 5000
    await house.use(customer_id, "25", "three")
    await house.work()
    rule = await house.rule(customer_id)
    assert rule["reason"] == "limit_reached"
    assert await house.charged() == 5000
    assert "$50.00 of $50.00 used." in (await visitor.get("/")).text
    assert "auto_top_up.limit_reached" in await house.events(customer_id)

    await house.pass_time(days=32)
    assert await house.charged() == 7500


async def test_at_most_five_automatic_top_ups_in_an_hour(house):
    """F32: an amount smaller than the deficit leads to bounded charges."""
    customer_id, _ = await house.funded(balance=12, threshold="10", amount="1", limit="100")
    await house.use(customer_id, "80", "a-big-one")
    for _ in range(12):
        await house.work()
        await house.pass_time(minutes=1)
    assert len(await house.top_ups(customer_id)) == 5
    assert (await house.rule(customer_id))["reason"] == "pace"
    await house.pass_time(minutes=50)
    assert len(await house.top_ups(customer_id)) == 6


async def test_a_rate_changed_under_a_rule_changes_the_units_and_never_the_charge(house):
    customer_id, visitor = await house.with_credits(balance=60, amount="10")
    await house.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "0.30"}, expect=204)
    await house.use(customer_id, "20", "work", "CREDIT")
    await house.work()
    assert await house.charged() == 1000
    assert await house.balance(customer_id, "CREDIT") == Decimal(40 + 33)  # 10 / 0.30, rounded down


async def test_a_missing_rate_is_a_wait_that_ends_when_there_is_one(house):
    """F51."""
    customer_id, visitor = await house.with_credits(balance=60, amount="10")
    await house.sql("UPDATE rates SET valid_to = now()")
    await house.use(customer_id, "20", "work", "CREDIT")
    assert (await house.rule(customer_id, "CREDIT"))["reason"] == "no_rate"
    await house.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "0.10"}, expect=204)
    await house.pass_time(minutes=6)
    assert await house.balance(customer_id, "CREDIT") == Decimal(140)


async def test_a_balance_back_above_the_line_before_the_charge_is_not_charged(house):
    """F46."""
    customer_id, _ = await house.funded(balance=12, threshold="10")
    await house.use(customer_id, "3", "crossing")
    await house.give(customer_id, 20, key="an adjustment in time")
    await house.work()
    [top_up] = await house.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("canceled", "no_longer_needed")
    assert await house.charged() == 0
    assert (await house.rule(customer_id))["reason"] == "armed"


async def test_other_settings_replace_a_top_up_that_waits(house):
    """F21, F45."""
    customer_id, visitor = await house.funded(balance=12, threshold="10", amount="25")
    await house.use(customer_id, "3", "crossing")
    page = await visitor.get("/auto-top-up/USD")
    review = await visitor.submit(page, "", {"amount": "30", "limit": "100", "action": "save"})
    await visitor.submit(review, "", {"agreed": "yes", "action": "save"})
    await house.work()
    states = {item["amount"]: item["state"] for item in await house.top_ups(customer_id)}
    assert states == {"25": "canceled", "30": "succeeded"}
    assert await house.charged() == 3000


async def test_two_windows_cannot_overwrite_each_other(house):
    _, visitor = await house.funded(threshold="10", amount="25", limit="100")
    page = await visitor.get("/auto-top-up/USD")
    first = await visitor.submit(page, "", {"limit": "90", "action": "save"})
    assert first.status_code == 200
    second = await visitor.submit(page, "", {"limit": "80", "action": "save"})
    assert second.status_code == 409
    assert "changed in another window" in second.text
    [rule] = await house.sql("SELECT limit_minor FROM rules")
    assert rule["limit_minor"] == 9000


async def test_removing_a_card_turns_off_the_rules_that_use_it(house):
    """F19."""
    customer_id, visitor = await house.funded(balance=12, threshold="10")
    [card] = await house.sql("SELECT card_id FROM cards")
    away = f"/billing/cards/{card['card_id']}/remove"
    named = await visitor.get(away.removeprefix("/billing"))
    assert "Auto top-up charges this card for: US dollars." in named.text
    await visitor.submit(named, away, {})
    await house.use(customer_id, "5", "crossing")
    await house.work()
    assert await house.top_ups(customer_id) == []
    assert (await house.rule(customer_id))["enabled"] is False
    assert (await house.sandbox.get("/v1/payment_methods")).json()["data"][0]["customer"] is None


async def test_a_card_detached_at_stripe_pauses_the_rules_that_use_it(house):
    """F19."""
    customer_id, _ = await house.funded(balance=12, threshold="10")
    [card] = await house.sql("SELECT stripe_payment_method_id AS id FROM cards")
    await house.sandbox.post(f"/v1/payment_methods/{card['id']}/detach")
    await house.until(lambda: _done(house, "payment_method.detached"))
    await house.use(customer_id, "5", "crossing")
    rule = await house.rule(customer_id)
    assert (rule["paused"], rule["reason"]) == ("card_removed", "paused")
    assert await house.top_ups(customer_id) == []


async def _done(house, event_type):
    await house.work()
    query = "SELECT 1 FROM stripe_events WHERE type = %s AND state = 'done'"
    return bool(await house.sql(query, (event_type,)))
