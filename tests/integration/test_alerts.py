"""Alerts: told that a balance is low or used up, whether or not anything tops it up."""

import asyncio
from decimal import Decimal

import pytest


async def alert(harness, customer_id, threshold, *, expect=200, asset="USD"):
    return await harness.call(
        "PUT", f"/customers/{customer_id}/alerts/{asset}", {"threshold": threshold}, expect=expect
    )


@pytest.mark.flow
async def test_low_and_depleted_are_told_once_each_until_the_balance_recovers(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    assert (await alert(harness, customer_id, "5"))["level"] == "ok"
    for number, amount in enumerate(("4", "2", "1", "3", "2")):
        await harness.use(customer_id, amount, f"e{number}")
    assert await harness.events(customer_id) == ["balance.low", "balance.depleted"]
    await harness.give(customer_id, 20, key="again")
    await harness.use(customer_id, "14", "last")
    assert await harness.events(customer_id) == ["balance.low", "balance.depleted", "balance.low"]
    payloads = await harness.sql("SELECT payload FROM outgoing_events ORDER BY event_id")
    assert payloads[0]["payload"]["data"] == {
        "customer_id": customer_id, "asset": "USD", "available": "4", "threshold": "5",
    }  # fmt: skip


async def test_one_debit_that_takes_everything_tells_depleted_alone(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    await alert(harness, customer_id, "5")
    await harness.use(customer_id, "10", "all")
    assert await harness.events(customer_id) == ["balance.depleted"]


async def test_a_credit_that_leaves_a_balance_low_tells_nothing_again(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    await alert(harness, customer_id, "5")
    await harness.use(customer_id, "7", "first")
    await harness.give(customer_id, 1, key="still low")
    assert await harness.events(customer_id) == ["balance.low"]
    await harness.use(customer_id, "4", "second")
    await harness.give(customer_id, 1, key="low, which is better")
    assert await harness.events(customer_id) == ["balance.low", "balance.depleted"]
    assert (await harness.call("GET", f"/customers/{customer_id}/alerts/USD"))["level"] == "low"
    await harness.use(customer_id, "1", "third")
    assert await harness.events(customer_id) == ["balance.low", "balance.depleted", "balance.depleted"]


async def test_an_alert_below_its_line_is_told_at_once_and_setting_it_again_tells_nothing(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 3)
    for _ in range(2):
        assert (await alert(harness, customer_id, "5"))["level"] == "low"
    assert await harness.events(customer_id) == ["balance.low"]
    await alert(harness, customer_id, "2")
    assert (await harness.call("GET", f"/customers/{customer_id}/alerts"))["items"][0]["level"] == "ok"
    await harness.call("DELETE", f"/customers/{customer_id}/alerts/USD", expect=204)
    await harness.call("DELETE", f"/customers/{customer_id}/alerts/USD", expect=404)
    await harness.use(customer_id, "3", "all")
    assert await harness.events(customer_id) == ["balance.low"]


async def test_holds_lower_what_is_available_and_releases_raise_it(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    await alert(harness, customer_id, "5")
    path = f"/customers/{customer_id}/wallet/holds"
    await harness.call("POST", path, {"id": "job", "asset": "USD", "amount": "6"}, expect=201)
    await harness.call("POST", f"{path}/job/release", expect=200)
    assert (await harness.call("GET", f"/customers/{customer_id}/alerts/USD"))["level"] == "ok"
    assert await harness.events(customer_id) == ["balance.low"]


async def test_an_alert_and_a_rule_are_told_in_one_debit_and_a_credit_lifts_the_alert(harness):
    customer_id, _ = await harness.funded(balance=30, threshold="10", amount="25")
    before = len(await harness.events(customer_id))
    await alert(harness, customer_id, "12")
    await harness.use(customer_id, "21", "crossing")
    assert (await harness.events(customer_id))[before:] == ["balance.low", "auto_top_up.triggered"]
    await harness.work()
    assert (await harness.call("GET", f"/customers/{customer_id}/alerts/USD"))["level"] == "ok"


async def test_bad_thresholds_are_refused(harness):
    """I11."""
    customer_id = await harness.customer()
    for wrong in ("0", "-1", "1e3", "0.0000000001"):
        await alert(harness, customer_id, wrong, expect=422)
    await alert(harness, customer_id, "5", expect=404, asset="NONE")
    assert (await harness.call("GET", f"/customers/{customer_id}/alerts"))["items"] == []


async def test_the_customer_sets_it_in_the_portal(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    visitor = await harness.visitor(customer_id)
    page = await visitor.get("/alerts/USD")
    assert "is notified when your balance drops below this amount" in page.text  # no mail server here
    page = await visitor.submit(page, "/billing/alerts/USD", {"threshold": "$4.50"})
    assert "drops below $4.50" in page.text
    assert "Your alert is saved." in page.text
    assert "saved" not in (await visitor.get("/alerts/USD?done=never")).text
    shown = await harness.call("GET", f"/customers/{customer_id}/alerts/USD", expect=200)
    assert Decimal(shown["threshold"]) == Decimal("4.5")
    page = await visitor.submit(page, "/billing/alerts/USD", {"threshold": "nothing"})
    assert page.status_code == 422
    assert "Enter an amount with up to" in page.text
    assert "Your alert is saved." not in page.text
    page = await visitor.submit(await visitor.get("/alerts/USD"), "/billing/alerts/USD/off", {})
    await harness.call("GET", f"/customers/{customer_id}/alerts/USD", expect=404)


async def test_a_refund_tells_of_a_balance_whose_rule_is_off(harness):
    customer_id, visitor = await harness.crossed()
    await harness.work()
    page = await visitor.get("/auto-top-up/USD")
    await visitor.submit(page, "/billing/auto-top-up/USD/off", {})
    await harness.call("PUT", f"/customers/{customer_id}/alerts/USD", {"threshold": "20"}, expect=200)
    await harness.sql("UPDATE api_keys SET scopes = array_append(scopes, 'refunds')")
    [top_up] = await harness.top_ups(customer_id)
    path = f"/v1/top-ups/{top_up['id']}/refunds"
    answers = [await harness.api.post(path, json={"amount": "20"}, headers={"Idempotency-Key": "r"}) for _ in range(2)]
    if answers[0].status_code == 403:  # the key was remembered without the scope for a few seconds
        await asyncio.sleep(5.1)
        answers = [await harness.api.post(path, json={"amount": "20"}, headers={"Idempotency-Key": "r"})]
    assert answers[-1].status_code == 201, answers[-1].text
    await harness.events_applied()
    assert "balance.low" in await harness.events(customer_id)
