"""The customer's rule: turning on and off, limits, pace, rates, and what changes while a top-up waits."""

import datetime as dt
from decimal import Decimal

import pytest

pytestmark = pytest.mark.flow


async def test_turned_on_while_already_below_charges_at_once_and_says_so(harness):
    """F42."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 4)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    page = await visitor.get("/auto-top-up/USD")
    values = {"threshold": "10", "amount": "25", "limit": "100", "action": "turn_on"}
    review = await visitor.submit(page, "", values)
    assert "Turn on and pay $25.00 now" in review.text
    assert await harness.top_ups(customer_id) == []
    await visitor.submit(review, "", {"agreed": "yes", "action": "turn_on"})
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(29)


async def test_nothing_is_turned_on_without_the_tick_or_for_other_numbers_than_shown(harness):
    customer_id = await harness.customer()
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    values = {"threshold": "10", "amount": "25", "limit": "100", "action": "turn_on"}
    review = await visitor.submit(await visitor.get("/auto-top-up/USD"), "", values)
    unticked = await visitor.submit(review, "", {"action": "turn_on"})
    assert unticked.status_code == 422
    other = await visitor.submit(review, "", {"agreed": "yes", "action": "turn_on", "amount": "500", "limit": "500"})
    assert "The numbers have changed" in other.text
    assert "$500.00" in other.text
    assert await harness.sql("SELECT 1 FROM rules") == []
    assert await harness.sql("SELECT 1 FROM consents WHERE kind = 'auto_top_up'") == []


async def test_the_consent_is_kept_word_for_word_with_its_circumstances(harness):
    await harness.funded(threshold="10", amount="25", limit="100")
    [kept] = await harness.sql(
        "SELECT c.*, e.* FROM consents AS c JOIN consent_evidence AS e USING (customer_id, consent_id) "
        "WHERE kind = 'auto_top_up'"
    )
    assert kept["rendered"].startswith(
        "By turning on auto top-up I authorise Glitch AI to charge Visa ···· 4242 $25.00 each time my US dollars "
        "balance drops below $10.00, without asking me again, up to $100.00 per calendar month (UTC)."
    )
    assert (kept["amount_minor"], kept["limit_minor"], kept["threshold"]) == (2500, 10000, 10)
    assert (kept["address"], kept["agent"]) == ("127.0.0.1", "brimful-visitor")


async def test_turned_off_before_it_is_sent_nothing_is_charged(harness):
    """F20."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("canceled", "off")
    assert await harness.charged() == 0
    assert (await harness.rule(customer_id))["reason"] == "off"


async def test_turned_off_after_it_was_sent_it_completes_and_is_credited(harness):
    """F20: the point of no return was passed."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.confirm", fault="processing")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert top_up["state"] == "processing"
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    [intent] = await harness.sql("SELECT stripe_intent_id FROM payments")
    await harness.sandbox.post(f"/sandbox/payment_intents/{intent['stripe_intent_id']}/finish")
    await harness.pass_time(minutes=1)
    assert await harness.balance(customer_id) == Decimal(34)
    assert len(await harness.top_ups(customer_id)) == 1


async def test_the_limit_is_never_exceeded_and_the_reason_is_shown_until_next_month(harness):
    """F33, F51, I8."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10", amount="25", limit="50")
    await harness.use(customer_id, "25", "one")
    await harness.work()
    await harness.pass_time(minutes=2)
    assert await harness.charged() == 2500
    assert await harness.balance(customer_id) == Decimal(12)
    await harness.use(customer_id, "25", "two")
    await harness.work()
    await harness.pass_time(minutes=2)
    assert await harness.charged() == 5000
    await harness.use(customer_id, "25", "three")
    await harness.work()
    rule = await harness.rule(customer_id)
    assert rule["reason"] == "limit_reached"
    assert await harness.charged() == 5000
    page = await visitor.get("/")
    assert "Another $25.00 would pass your monthly limit of $50.00: $50.00 used so far." in page.text
    assert "auto_top_up.limit_reached" in await harness.events(customer_id)

    await harness.pass_time(days=32)
    assert await harness.charged() == 7500


async def test_at_most_twelve_automatic_top_ups_in_an_hour(harness):
    """F32: an amount smaller than the deficit leads to bounded charges."""
    customer_id, _ = await harness.funded(balance=12, threshold="10", amount="1", limit="100")
    await harness.use(customer_id, "80", "a-big-one")
    for _ in range(15):
        await harness.work()
        await harness.pass_time(minutes=1)
    assert len(await harness.top_ups(customer_id)) == 12
    assert (await harness.rule(customer_id))["reason"] == "pace"
    await harness.pass_time(minutes=46)
    assert 12 < len(await harness.top_ups(customer_id)) < 15


async def test_a_rate_changed_under_a_rule_changes_the_units_and_never_the_charge(harness):
    customer_id, visitor = await harness.with_credits(balance=60, amount="10")
    await harness.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "0.03"}, expect=204)
    await harness.use(customer_id, "20", "work", "CREDIT")
    await harness.work()
    assert await harness.charged() == 1000
    assert await harness.balance(customer_id, "CREDIT") == Decimal(40 + 333)  # 10 / 0.03, rounded down


async def test_a_missing_rate_is_a_wait_that_ends_when_there_is_one(harness):
    """F51."""
    customer_id, visitor = await harness.with_credits(balance=60, amount="10")
    await harness.sql("UPDATE rates SET valid_to = now()")
    await harness.use(customer_id, "20", "work", "CREDIT")
    assert (await harness.rule(customer_id, "CREDIT"))["reason"] == "no_rate"
    await harness.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "0.10"}, expect=204)
    await harness.pass_time(minutes=6)
    assert await harness.balance(customer_id, "CREDIT") == Decimal(140)


async def test_a_balance_back_above_the_line_before_the_charge_is_not_charged(harness):
    """F46."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    await harness.give(customer_id, 20, key="an adjustment in time")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("canceled", "no_longer_needed")
    assert await harness.charged() == 0
    assert (await harness.rule(customer_id))["reason"] == "armed"


async def test_other_settings_replace_a_top_up_that_waits(harness):
    """F21, F45."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10", amount="25")
    await harness.use(customer_id, "3", "crossing")
    page = await visitor.get("/auto-top-up/USD")
    review = await visitor.submit(page, "", {"amount": "30", "limit": "100", "action": "save"})
    await visitor.submit(review, "", {"agreed": "yes", "action": "save"})
    await harness.work()
    states = {item["amount"]: item["state"] for item in await harness.top_ups(customer_id)}
    assert states == {"25": "canceled", "30": "succeeded"}
    assert await harness.charged() == 3000


async def test_two_windows_cannot_overwrite_each_other(harness):
    _, visitor = await harness.funded(threshold="10", amount="25", limit="100")
    page = await visitor.get("/auto-top-up/USD")
    first = await visitor.submit(page, "", {"limit": "90", "action": "save"})
    assert first.status_code == 200
    second = await visitor.submit(page, "", {"limit": "80", "action": "save"})
    assert second.status_code == 409
    assert "changed in another window" in second.text
    [rule] = await harness.sql("SELECT limit_minor FROM rules")
    assert rule["limit_minor"] == 9000


async def test_removing_a_card_turns_off_the_rules_that_use_it(harness):
    """F19."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10")
    [card] = await harness.sql("SELECT card_id FROM cards")
    away = f"/billing/cards/{card['card_id']}/remove"
    named = await visitor.get(away.removeprefix("/billing"))
    assert "Auto top-up charges this card for: US dollars." in named.text
    await visitor.submit(named, away, {})
    await harness.use(customer_id, "5", "crossing")
    await harness.work()
    assert await harness.top_ups(customer_id) == []
    assert (await harness.rule(customer_id))["enabled"] is False
    assert (await harness.sandbox.get("/v1/payment_methods")).json()["data"][0]["customer"] is None


async def test_a_card_detached_at_stripe_pauses_the_rules_that_use_it(harness):
    """F19."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    [card] = await harness.sql("SELECT stripe_payment_method_id AS id FROM cards")
    await harness.sandbox.post(f"/v1/payment_methods/{card['id']}/detach")
    await harness.until(lambda: _done(harness, "payment_method.detached"))
    await harness.use(customer_id, "5", "crossing")
    rule = await harness.rule(customer_id)
    assert (rule["paused"], rule["reason"]) == ("card_removed", "paused")
    assert await harness.top_ups(customer_id) == []


async def _done(harness, event_type):
    await harness.work()
    query = "SELECT 1 FROM stripe_events WHERE type = %s AND state = 'done'"
    return bool(await harness.sql(query, (event_type,)))


async def test_a_clock_that_steps_back_leaves_every_charge_after_its_consent(harness):
    """F30. The harness verifies at the end: a charge before its consent, or a withdrawal before the charge, stays."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10")
    harness.clock.offset = -dt.timedelta(hours=1)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert [item["state"] for item in await harness.top_ups(customer_id)] == ["succeeded"]
    harness.clock.offset = -dt.timedelta(hours=2)
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    rows = await harness.sql("SELECT recorded_at FROM consents WHERE asset = 'USD' ORDER BY action")
    [paid] = await harness.sql("SELECT confirm_sent_at FROM payments")
    assert [row["recorded_at"] for row in rows] == [paid["confirm_sent_at"]] * 2
