"""Thresholds that follow an account's use between the customer's two bounds."""

import datetime as dt
from decimal import Decimal

import pytest

from brimful import top_ups, worker
from support.forms import refused_by_field


async def turned_on(harness, balance=200, **more):
    customer_id = await harness.customer()
    await harness.give(customer_id, balance)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    values = {"threshold": "50", "low": "5", "amount": "25", "limit": "1000", "brake": "", **more}
    await visitor.turn_on("USD", **values)
    return customer_id, visitor


async def burn(harness, customer_id, amount, hours, name):
    """The same amount in every five minutes."""
    for number in range(hours * 12):
        harness.clock.offset += dt.timedelta(minutes=5)
        await harness.use(customer_id, amount, f"{name}-{number}")


@pytest.mark.flow
async def test_it_rises_with_the_use_and_falls_when_that_is_over(harness):
    customer_id, visitor = await turned_on(harness)
    rule = await harness.rule(customer_id)
    assert (rule["threshold"], rule["threshold_between"]) == ("5", {"low": "5", "high": "50"})
    consent = (await visitor.get("/auto-top-up/USD")).text
    assert "balance drops below a threshold that follows my use, between $5.00 and $50.00, without" in consent
    await burn(harness, customer_id, "6", 2, "busy")  # 56 are left
    await worker.periodic.roll_up(harness.engine)
    rule = await harness.rule(customer_id)
    # What is used in the time of a payment, 30 s before any was measured, and of the first retry; the window that is
    # open counts by its rate.
    assert Decimal("6.6") <= Decimal(rule["threshold"]) <= Decimal("16.5")
    [account] = await harness.sql("SELECT trigger_below FROM accounts WHERE customer_id = %s", (customer_id,))
    assert account["trigger_below"] == Decimal(rule["threshold"])
    await harness.use(customer_id, "50", "much at once")  # 6 are left: below the threshold that has risen
    await harness.work()
    assert await harness.charged() >= 2500
    assert Decimal((await harness.rule(customer_id))["threshold"]) == 50  # after the credit, as the burst asks for
    changes = await harness.sql("SELECT cause, burn, time_s FROM threshold_changes ORDER BY changed_at")
    assert [row["cause"] for row in changes] == ["hour", "credit"]
    assert changes[0]["time_s"] == 330
    harness.clock.offset += dt.timedelta(days=32)
    await worker.periodic.roll_up(harness.engine)
    assert (await harness.rule(customer_id))["threshold"] == "5"


async def test_the_chart_shows_its_band(harness):
    customer_id, visitor = await turned_on(harness)
    await burn(harness, customer_id, "6", 1, "busy")
    await worker.periodic.roll_up(harness.engine)
    page = (await (await harness.visitor(customer_id)).get("/")).text
    assert 'class="band"' in page
    assert "It follows your use within this band." in page
    fixed, _ = await harness.funded()
    await harness.use(fixed, "1", "a")
    assert 'class="band"' not in (await (await harness.visitor(fixed)).get("/")).text


async def test_a_fixed_threshold_stays_and_one_that_follows_can_be_fixed_again(harness):
    customer_id, _ = await turned_on(harness, threshold="20", low="")
    await burn(harness, customer_id, "0.4", 1, "busy")
    await worker.periodic.roll_up(harness.engine)
    visitor = await harness.visitor(customer_id)
    assert (await harness.rule(customer_id))["threshold"] == "20"
    page = await visitor.get("/auto-top-up/USD")
    await visitor.submit(page, "", {"low": "5", "action": "save"})  # charges come later: no consent is needed
    rule = await harness.rule(customer_id)
    assert rule["threshold"] == "5"  # derived at once
    page = await visitor.get("/auto-top-up/USD")
    answer = await visitor.submit(page, "", {"low": "", "action": "save"})
    assert "Please read what you agree to, and tick the box." in answer.text
    await visitor.submit(answer, "", {"agreed": "yes", "action": "save"})
    rule = await harness.rule(customer_id)
    assert (rule["threshold"], rule["threshold_between"]) == ("20", None)


@pytest.mark.parametrize(
    ("values", "field", "text"),
    [
        ({"low": "50"}, "low", "Enter less than the balance below which we charge at the latest."),
        ({"low": "60"}, "low", "Enter less than the balance below which we charge at the latest."),
        ({"low": "0"}, "low", "Enter an amount greater than zero"),
        ({"low": "x"}, "low", "Enter an amount with up to"),
        ({"how": "target", "target": "40", "most": "100"}, "target", "Bring it back to more than"),
    ],
)
async def test_bounds_that_make_no_sense_are_refused_by_field(harness, values, field, text):
    customer_id, visitor = await turned_on(harness)
    await refused_by_field(harness, customer_id, visitor, values, field, text)


@pytest.mark.tampers
async def test_how_long_payments_take_is_measured_here(harness):
    customer_id, _ = await turned_on(harness, low="", threshold="10", balance=20)
    for number in range(3):
        await harness.use(customer_id, "25", f"crossing-{number}")
        await harness.work()
        harness.clock.offset += dt.timedelta(minutes=10)
    async with harness.engine.database.transaction() as tx:
        await top_ups.timing.measure(tx)
        assert await top_ups.timing.slowest(tx) == top_ups.timing.UNMEASURED  # three say nothing
    await harness.sql(
        "INSERT INTO top_ups SELECT (jsonb_populate_record(NULL::top_ups, to_jsonb(t) || jsonb_build_object("
        "'top_up_id', 'top_x' || n, 'ended_at', t.requested_at + n * interval '1 second'))).* "
        "FROM (SELECT * FROM top_ups LIMIT 1) AS t, generate_series(1, 99) AS n"
    )
    async with harness.engine.database.transaction() as tx:
        await top_ups.timing.measure(tx)
        assert dt.timedelta(seconds=96) <= await top_ups.timing.slowest(tx) <= dt.timedelta(seconds=99)
