"""Prices of the platform's own units: planned, replaced, taken back, for a day; and what has none is not for sale."""

import datetime as dt
from decimal import Decimal

import pytest


def at(days):
    moment = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=days)
    return moment.isoformat().replace("+00:00", "Z")


@pytest.fixture
async def credits_sold(harness):
    """Credits at 0.10 dollars from now on."""
    rates = [{"source": "USD", "rate": "0.10"}]
    await harness.call("POST", "/assets", {"code": "CREDIT", "name": "Credits", "rates": rates}, expect=201)
    return harness


async def price(harness, rate, begins=None, ends=None, *, expect=204):
    body = {"source": "USD", "rate": rate, "valid_from": begins, "valid_to": ends}
    sent = {name: value for name, value in body.items() if value is not None}
    return await harness.call("POST", "/assets/CREDIT/rates", sent, expect=expect)


async def bought(harness, moment=None):
    body = {"source": "USD", "amount": "10", **({} if moment is None else {"exchange_at": moment})}
    return (await harness.call("POST", "/assets/CREDIT/quote", body, expect=200))["destination_amount"]


async def test_a_price_for_one_day_does_not_end_the_standing_one(credits_sold):
    await price(credits_sold, "0.05", at(1), at(2))
    assert [await bought(credits_sold, at(days)) for days in (0.5, 1.5, 2.5, 400)] == ["100", "200", "100", "100"]


async def test_a_planned_price_can_be_replaced_and_taken_back(credits_sold):
    begins = at(10)
    await price(credits_sold, "0.20", begins)
    await price(credits_sold, "0.25", begins)  # a correction
    assert [await bought(credits_sold, at(days)) for days in (9, 11)] == ["100", "40"]
    params = {"source": "USD", "valid_from": begins}
    await credits_sold.call("DELETE", "/assets/CREDIT/rates", params=params, expect=204)
    assert [await bought(credits_sold, at(days)) for days in (9, 11)] == ["100", "100"]
    gone = await credits_sold.call("DELETE", "/assets/CREDIT/rates", params=params)
    assert gone["code"] == "rate_missing"


async def test_what_is_in_force_is_not_taken_back(credits_sold):
    [row] = await credits_sold.sql("SELECT valid_from FROM rates")
    params = {"source": "USD", "valid_from": row["valid_from"].isoformat()}
    refused = await credits_sold.call("DELETE", "/assets/CREDIT/rates", params=params)
    assert refused["code"] == "rate_missing"
    assert await bought(credits_sold) == "100"


async def test_a_new_price_now_leaves_the_planned_one(credits_sold):
    await price(credits_sold, "0.20", at(10))
    await price(credits_sold, "0.05")
    assert [await bought(credits_sold, moment) for moment in (None, at(9), at(11))] == ["200", "200", "50"]


async def test_a_period_that_cuts_off_another_is_refused_and_changes_nothing(credits_sold):
    await price(credits_sold, "0.20", at(10), at(12))
    before = await credits_sold.sql("SELECT * FROM rates ORDER BY valid_from")
    refused = await price(credits_sold, "0.30", at(5), at(11), expect=409)
    assert refused["code"] == "rate_overlaps"
    assert await credits_sold.sql("SELECT * FROM rates ORDER BY valid_from") == before


async def test_a_unit_without_a_price_is_not_for_sale(harness):
    """It stood in every customer's list and led to an error."""
    await harness.call("POST", "/assets", {"code": "TOKEN", "name": "Tokens"}, expect=201)
    customer_id = await harness.customer()
    await harness.give(customer_id, 5)
    visitor = await harness.visitor(customer_id)
    for path in ("/", "/auto-top-up", "/top-up"):
        page = await visitor.get(path)
        assert page.status_code == 200
        assert "Tokens" not in page.text
    await harness.give(customer_id, 7, "TOKEN")  # what somebody holds is shown
    assert "Tokens" in (await visitor.get("/")).text
    assert await harness.balance(customer_id, "TOKEN") == Decimal(7)


async def quoted(harness, code, amount):
    body = {"source": "USD", "amount": amount}
    return await harness.call("POST", f"/assets/{code}/quote", body, expect=200)


@pytest.mark.parametrize(("per_dollar", "one", "many"), [("6", "6", "150"), ("999999", "999999", "24999975")])
async def test_units_for_a_dollar_are_sold_as_given(harness, per_dollar, one, many):
    given = {"source": "USD", "inverse_rate": per_dollar}
    await harness.call("POST", "/assets", {"code": "SIX", "name": "Units", "rates": [given]}, expect=201)
    assert [(await quoted(harness, "SIX", amount))["destination_amount"] for amount in ("1", "25")] == [one, many]
    answer = await quoted(harness, "SIX", "1")
    assert answer["inverse_rate"] == per_dollar
    shown = (await harness.call("GET", "/assets/SIX", expect=200))["rates"][0]["schedule"][0]
    assert shown["inverse_rate"] == per_dollar
    assert shown["rate"] == answer["rate"]
    await harness.call("POST", "/assets/SIX/rates", {"source": "USD", "inverse_rate": "7"}, expect=204)
    assert (await quoted(harness, "SIX", "10"))["destination_amount"] == "70"
    await harness.call("POST", "/assets/SIX/rates", {"source": "USD", "rate": "0.25"}, expect=204)
    assert (await quoted(harness, "SIX", "10"))["inverse_rate"] is None


@pytest.mark.parametrize(
    "given", [{}, {"rate": "1", "inverse_rate": "1"}, {"inverse_rate": "0"}, {"rate": "0"}, {"rate": "-1"},
              {"inverse_rate": "1000000000001"}],
)  # fmt: skip
async def test_a_price_that_is_none_is_refused(credits_sold, given):
    before = await credits_sold.sql("SELECT * FROM rates ORDER BY valid_from")
    refused = await credits_sold.call("POST", "/assets/CREDIT/rates", {"source": "USD", **given})
    assert refused["status"] == 422
    assert refused["errors"][0]["field"] in {"rate", "inverse_rate"}
    assert await credits_sold.sql("SELECT * FROM rates ORDER BY valid_from") == before
