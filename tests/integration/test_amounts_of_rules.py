"""How much a rule charges: several amounts at once, back to a balance, and what a day's limit and exposure hold."""

import dataclasses
import re
from decimal import Decimal
from fractions import Fraction

import pytest

from brimful import assets, auto_top_up
from brimful.auto_top_up.rules import RuleForm
from brimful.core.errors import Refused
from brimful.dev.simulation.world import session_of
from support.forms import refused_by_field


async def turned_on(harness, balance=12, **more):
    customer_id = await harness.customer()
    await harness.give(customer_id, balance)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    values = {"threshold": "10", "amount": "25", "limit": "400", **more}
    await visitor.turn_on("USD", **values)
    return customer_id, visitor


@pytest.mark.flow
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


@pytest.mark.flow
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
    assert rule["exposure"] == {"hour": "150", "day": "150", "month": "400", "day_unasked": "150"}


@pytest.mark.flow
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
        ({"how": "target", "target": ""}, "target", "Enter an amount with up to 2 decimals, such as 12.5"),
        ({"most": "12.345"}, "most", "Enter an amount with up to"),
        ({"day_on": "yes", "day": "x"}, "day", "Enter an amount with up to"),
    ],
)
async def test_settings_that_contradict_one_another_are_refused_by_field(harness, values, field, text):
    customer_id, visitor = await turned_on(harness)
    await refused_by_field(harness, customer_id, visitor, values, field, text)


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


async def planned_price(harness, body):
    """How many rules wait at that price."""
    answer = await harness.api.post("/v1/assets/CREDIT/rates", json=body)
    assert answer.status_code == 204, answer.text
    return answer.headers["Brimful-Rules-Held"]


@pytest.mark.flow
async def test_units_that_cost_more_than_was_agreed_wait_for_the_customer(harness):
    customer_id, visitor = await harness.with_credits(balance=60)
    [consent] = await harness.sql("SELECT rendered FROM consent_evidence WHERE rendered LIKE 'By turning on%'")
    assert "$10.00 for at least 100" in consent["rendered"]
    dearer = {"source": "USD", "rate": "0.12"}
    assert await planned_price(harness, dearer) == "1"
    await harness.use(customer_id, "20", "crossing", "CREDIT")
    await harness.work()
    assert await harness.charged() == 0
    assert (await harness.rule(customer_id, "CREDIT"))["reason"] == "price_changed"
    assert "cost more than you agreed to" in (await visitor.get("/")).text
    assert "auto_top_up.skipped" in await harness.events(customer_id)
    page = await visitor.get("/auto-top-up/CREDIT")
    assert re.search(r"\$10\.00 buys 83(\.33)? \S+ now; you agreed to 100", page.text)
    assert "$10.00 for at least 83" in page.text
    await visitor.submit(page, "", {"action": "save"})  # one press, below the words that it agrees to
    await harness.work()
    assert await harness.charged() == 1000
    assert await harness.balance(customer_id, "CREDIT") == Decimal(123)


async def test_a_price_that_is_planned_says_whom_it_holds_and_can_be_taken_back(harness):
    customer_id, _ = await harness.with_credits(balance=60)
    planned = {"source": "USD", "rate": "0.12", "valid_from": "2030-01-01T00:00:00Z"}
    assert await planned_price(harness, planned) == "1"
    cheaper = {**planned, "rate": "0.09", "valid_from": "2031-01-01T00:00:00Z"}
    assert await planned_price(harness, cheaper) == "0"
    params = {"source": "USD", "valid_from": "2030-01-01T00:00:00Z"}
    await harness.call("DELETE", "/assets/CREDIT/rates", params=params, expect=204)
    await harness.use(customer_id, "20", "crossing", "CREDIT")
    await harness.work()
    assert await harness.charged() == 1000


async def test_cheaper_units_and_a_price_that_falls_again_need_nothing(harness):
    customer_id, _ = await harness.with_credits(balance=60)
    await harness.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "0.12"}, expect=204)
    await harness.use(customer_id, "20", "crossing", "CREDIT")
    await harness.work()
    await harness.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "0.05"}, expect=204)
    await harness.pass_time(hours=1, minutes=1)
    assert await harness.balance(customer_id, "CREDIT") == Decimal(240)


async def test_no_more_is_charged_in_a_day_than_was_stated(harness):
    """I14: although the installation's pace was widened since, say."""
    customer_id, _ = await turned_on(harness)
    await harness.sql("UPDATE consents SET exposure_day_minor = 3000 WHERE asset = 'USD'")
    for number in range(2):
        await harness.use(customer_id, "26", f"crossing-{number}")
        await harness.work()
    assert await harness.charged() == 2500
    assert (await harness.rule(customer_id))["reason"] == "day_limit_reached"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"charge_max_minor": 2400}, "most"),
        ({"charge_max_minor": 50_000}, "limit"),
        ({"limit_minor": 2400}, "limit"),
        ({"target": Decimal(10)}, "target"),
        ({"day_limit_minor": 2400}, "day"),
    ],
)
async def test_the_room_itself_refuses_what_its_form_would(harness, changes, field):
    customer_id, _ = await turned_on(harness)
    [card] = await harness.sql("SELECT card_id FROM cards")
    form = RuleForm("USD", card["card_id"], "USD", Decimal(10), 2500, 40_000, 1, turn_on=True, agreed=True)
    database = harness.portal_deps.database
    with pytest.raises(Refused) as refused:
        async with database.transaction() as tx:
            asset = await assets.get(tx, "USD")
            await auto_top_up.rules.save(
                tx, session_of(customer_id), asset, dataclasses.replace(form, **changes), rendered="I agree",
                pace=harness.portal_deps.pace,
            )  # fmt: skip
    assert refused.value.field == field
    assert (await harness.rule(customer_id))["version"] == 1


async def test_a_price_that_nobody_saw_is_not_agreed_to(harness):
    """For a rule that brings back to a balance too: its consent says what the money buys at least."""
    customer_id, visitor = await harness.with_credits(balance=60)
    page = await visitor.get("/auto-top-up/CREDIT")
    back = {"how": "target", "target": "200", "most": "30", "action": "save"}
    review = await visitor.submit(page, "", back)
    assert "at most $30.00 for at least 300" in review.text
    await visitor.submit(review, "", {"agreed": "yes", "action": "save"})
    shown = await visitor.get("/auto-top-up/CREDIT")
    await planned_price(harness, {"source": "USD", "rate": "0.12"})
    answer = await visitor.submit(shown, "", {"limit": "90", "agreed": "yes", "action": "save"})
    assert "Please read what you agree to, and tick the box." in answer.text
    [rule] = await harness.sql("SELECT rate, limit_minor FROM rules")
    assert (rule["rate"], rule["limit_minor"]) == (Decimal("0.10"), 10000)


async def test_a_price_that_rises_between_the_page_and_the_commit_is_refused(harness):
    customer_id, _ = await harness.with_credits(balance=60)
    [card] = await harness.sql("SELECT card_id FROM cards")
    form = RuleForm("CREDIT", card["card_id"], "USD", Decimal(50), 1000, 10_000, 1, turn_on=True, agreed=True,
                    seen_rate=Fraction(9, 100))  # fmt: skip
    with pytest.raises(Refused) as refused:
        async with harness.portal_deps.database.transaction() as tx:
            asset = await assets.get(tx, "CREDIT")
            await auto_top_up.rules.save(
                tx, session_of(customer_id), asset, form, rendered="I agree", pace=harness.portal_deps.pace
            )
    assert refused.value.code == "rule_changed"
    assert (await harness.rule(customer_id, "CREDIT"))["version"] == 1
