"""How much a rule charges: several amounts at once, back to a balance, and what a day's limit and exposure hold."""

import re
from decimal import Decimal

import pytest

pytestmark = pytest.mark.flow


async def turned_on(harness, balance=12, **more):
    customer_id = await harness.customer()
    await harness.give(customer_id, balance)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    values = {"threshold": "10", "amount": "25", "limit": "400", **more}
    await visitor.turn_on("USD", **values)
    return customer_id, visitor


async def test_one_charge_takes_as_many_amounts_as_are_missing(harness):
    customer_id, visitor = await turned_on(harness, most="100")
    consent = (await harness.sql("SELECT rendered FROM consent_evidence ORDER BY consent_id DESC LIMIT 1"))[0][
        "rendered"
    ]
    assert "$25.00, or several times that at once, at most $100.00, each time my US dollars balance" in consent
    await harness.use(customer_id, "60", "a-big-one")  # 48 below zero: three amounts bring 27
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(27)
    assert [item["amount"] for item in await harness.top_ups(customer_id)] == ["75"]
    await harness.use(customer_id, "400", "a-bigger-one")  # sixteen amounts are wanted, four are held
    await harness.work()
    assert await harness.charged() == 17500
    rule = await harness.rule(customer_id)
    assert (rule["charge_at_most"], rule["exposure"]["month"]) == ("100", "400")


async def test_a_charge_brings_the_balance_back_to_a_target(harness):
    customer_id, visitor = await turned_on(harness, how="target", target="60", most="100", day_on="yes", day="150")
    await harness.use(customer_id, "2.50", "crossing")
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(60)
    assert await harness.charged() == 5050
    page = await visitor.get("/auto-top-up/USD")
    assert "what brings it back to $60.00, at most $100.00," in page.text
    assert "up to $150.00 in any 24 hours and $400.00 per calendar month (UTC)" in page.text
    assert "In any case at most $150.00 in any 24 hours and $400.00 in a month." in page.text
    rule = await harness.rule(customer_id)
    assert (rule["bring_back_to"], rule["day_limit"]) == ("60", "150")
    assert rule["exposure"] == {"hour": "150", "day": "150", "month": "400"}


async def test_a_days_limit_holds_and_ends_with_its_oldest_charge(harness):
    """I14."""
    customer_id, _ = await turned_on(harness, day_on="yes", day="50")
    for number in range(3):
        await harness.use(customer_id, "26", f"crossing-{number}")
        await harness.work()
        await harness.pass_time(hours=2)
    assert await harness.charged() == 5000
    rule = await harness.rule(customer_id)
    assert rule["reason"] == "day_limit_reached"
    assert rule["until"] is not None
    assert "auto_top_up.limit_reached" in await harness.events(customer_id)
    await harness.pass_time(hours=17)
    assert await harness.charged() == 5000
    await harness.pass_time(hours=2)
    assert await harness.charged() == 7500


async def test_the_days_limit_is_proposed_and_preselected(harness):
    customer_id, visitor = await turned_on(harness, day_on="yes")
    assert (await harness.rule(customer_id))["day_limit"] == "75"
    other = await harness.customer("Grace")
    page = await (await harness.visitor(other)).get("/auto-top-up/USD")
    assert "Auto top-up needs a card." in page.text
    await harness.use(customer_id, "1", "calm")
    assert re.search(r'name="day_on" value="yes" checked', (await visitor.get("/auto-top-up/USD")).text)


@pytest.mark.parametrize(
    ("values", "field", "text"),
    [
        ({"most": "24"}, "most", "Charge at most one top-up, or more."),
        ({"most": "500"}, "limit", "The monthly limit must be at least one top-up."),
        ({"day_on": "yes", "day": "24"}, "day", "The limit of a day must be at least one top-up."),
        ({"how": "target", "target": "10"}, "target", "Bring it back to more than the balance below which we charge."),
        ({"how": "target", "target": ""}, "target", "Enter an amount such as"),
        ({"most": "12.345"}, "most", "Enter an amount such as"),
        ({"day_on": "yes", "day": "x"}, "day", "Enter an amount such as"),
    ],
)
async def test_settings_that_contradict_one_another_are_refused_by_field(harness, values, field, text):
    customer_id, visitor = await turned_on(harness)
    before = await harness.rule(customer_id)
    page = await visitor.get("/auto-top-up/USD")
    sent = {"threshold": "10", "amount": "25", "limit": "400", "agreed": "yes", "action": "save", **values}
    refused = await visitor.submit(page, "", sent)
    assert refused.status_code == 422
    assert text in refused.text
    assert f'id="{field}-error"' in refused.text
    assert await harness.rule(customer_id) == before


@pytest.mark.parametrize(
    ("values", "asks"),
    [
        ({"most": "50"}, True),
        ({"how": "target", "target": "60", "most": "25"}, True),
        ({"day_on": "yes", "day": "100"}, False),  # tighter
        ({"amount": "20", "limit": "300"}, False),
    ],
)
async def test_consent_is_asked_again_when_more_may_be_charged(harness, values, asks):
    customer_id, visitor = await turned_on(harness)
    page = await visitor.get("/auto-top-up/USD")
    sent = {"threshold": "10", "amount": "25", "limit": "400", "action": "save", **values}
    answer = await visitor.submit(page, "", sent)
    assert ("Please read what you agree to, and tick the box." in answer.text) == asks
    assert (await harness.rule(customer_id))["version"] == (1 if asks else 2)


async def test_a_rule_of_before_means_what_it_meant(harness):
    customer_id, _ = await turned_on(harness)
    await harness.sql("UPDATE consents SET exposure_day_minor = NULL WHERE asset = 'USD'")  # none was stated then
    await harness.use(customer_id, "60", "a-big-one")
    await harness.work()
    await harness.pass_time(minutes=5)
    assert [item["amount"] for item in await harness.top_ups(customer_id)] == ["25"] * 3
    rule = await harness.rule(customer_id)
    assert (rule["charge_at_most"], rule["bring_back_to"], rule["day_limit"]) == ("25", None, None)
