"""What the platform proposes to a customer or a segment, and within which bounds they choose."""

import re

import pytest

FULL = {
    "threshold": "20", "amount": "50", "monthly_limit": "600", "charge_at_most": "100", "day_limit": "200",
    "threshold_min": "5", "threshold_max": "80", "amount_min": "30", "amount_max": "200",
}  # fmt: skip


def value(page, field):
    return re.search(rf'id="{field}" name="{field}" value="([^"]*)"', page.text)[1]


async def with_card(harness, **more):
    customer_id = await harness.customer(**more)
    await harness.give(customer_id, 30)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    return customer_id, visitor


async def test_a_preset_fills_in_the_form_and_turns_nothing_on(harness):
    customer_id, visitor = await with_card(harness)
    kept = await harness.call("PUT", f"/customers/{customer_id}/presets/USD", FULL, expect=200)
    assert {name: kept[name] for name in FULL} == FULL
    page = await visitor.get("/auto-top-up/USD")
    shown = {name: value(page, name) for name in ("threshold", "amount", "limit", "most", "day")}
    assert shown == {"threshold": "20", "amount": "50", "limit": "600", "most": "100", "day": "200"}
    assert "Between $30.00 and $200.00." in page.text
    assert "Between $5.00 and $80.00." in page.text
    await harness.call("GET", f"/customers/{customer_id}/auto-top-ups/USD", expect=404)
    refused = await visitor.submit(page, "", {"amount": "25", "most": "", "action": "turn_on"})
    assert 'id="amount-error"' in refused.text
    assert 'id="threshold-error"' in (await visitor.submit(page, "", {"threshold": "90", "action": "turn_on"})).text


async def test_a_rule_that_stands_is_not_changed(harness):
    customer_id, visitor = await harness.funded()
    before = await harness.rule(customer_id)
    await harness.call("PUT", f"/customers/{customer_id}/presets/USD", FULL, expect=200)
    assert await harness.rule(customer_id) == before
    assert value(await visitor.get("/auto-top-up/USD"), "amount") == "25"


async def test_a_segment_is_that_of_the_metadata_and_a_customers_own_comes_first(harness):
    await harness.call("PUT", "/segments/enterprise/presets/USD", {"amount": "500", "amount_max": "900"}, expect=200)
    customer_id, visitor = await with_card(harness, metadata={"segment": "enterprise"})
    page = await visitor.get("/auto-top-up/USD")
    assert value(page, "amount") == "500"
    assert "$900.00." in page.text
    _, other = await with_card(harness, name="Grace")
    assert value(await other.get("/auto-top-up/USD"), "amount") == "25"
    await harness.call("PUT", f"/customers/{customer_id}/presets/USD", {"amount": "75"}, expect=200)
    assert value(await visitor.get("/auto-top-up/USD"), "amount") == "75"
    await harness.call("DELETE", f"/customers/{customer_id}/presets/USD", expect=204)
    assert value(await visitor.get("/auto-top-up/USD"), "amount") == "500"
    items = (await harness.call("GET", "/segments/enterprise/presets", expect=200))["items"]
    assert [(item["asset"], item["amount"]) for item in items] == [("USD", "500")]
    await harness.call("DELETE", "/segments/enterprise/presets/USD", expect=204)
    await harness.call("DELETE", "/segments/enterprise/presets/USD", expect=404)


async def test_units_need_the_currency_that_pays_for_them(harness):
    customer_id, visitor = await harness.with_credits(balance=60)
    path = f"/customers/{customer_id}/presets/CREDIT"
    refused = await harness.call("PUT", path, {"amount": "20"}, expect=422)
    assert refused["errors"][0]["field"] == "currency"
    await harness.call("PUT", path, {"amount": "20", "currency": "USD", "threshold": "200"}, expect=200)
    assert (await harness.call("GET", f"/customers/{customer_id}/presets", expect=200))["items"][0][
        "threshold"
    ] == "200"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"threshold": "4", "threshold_min": "5"}, "threshold"),
        ({"threshold": "40", "threshold_max": "30"}, "threshold"),
        ({"threshold_min": "40", "threshold_max": "30"}, "threshold"),
        ({"amount": "50", "amount_max": "40"}, "amount"),
        ({"amount": "50", "charge_at_most": "40"}, "amount"),
        ({"amount": "50", "monthly_limit": "40"}, "monthly_limit"),
        ({"charge_at_most": "50", "day_limit": "40"}, "day_limit"),
        ({"amount": "0.10"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"threshold": "x"}, "threshold"),
    ],
)
async def test_what_contradicts_itself_is_refused(harness, body, field):
    customer_id = await harness.customer()
    refused = await harness.call("PUT", f"/customers/{customer_id}/presets/USD", body, expect=422)
    assert refused["errors"][0]["field"] == field
    assert (await harness.call("GET", f"/customers/{customer_id}/presets", expect=200))["items"] == []


async def test_a_preset_does_not_make_the_charges_of_a_rule_larger(harness):
    customer_id, visitor = await with_card(harness)
    await visitor.turn_on("USD", threshold="10", amount="25", limit="400", how="target", target="40", most="200")
    await harness.call("PUT", f"/customers/{customer_id}/presets/USD", {"amount_min": "150"}, expect=200)
    page = await visitor.get("/auto-top-up/USD")
    await visitor.submit(page, "", {"limit": "300", "action": "save"})
    await harness.use(customer_id, "21", "crossing")
    await harness.work()
    assert await harness.charged() == 3100
