"""When a balance runs dry at the present burn."""

import datetime as dt
from decimal import Decimal

import pytest

from brimful.ledger.runway import HourlyUse, runs_dry_at

NOW = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("available", "last", "usual", "at"),
    [
        ("10", "5", "1", NOW + 2 * HOUR),
        ("10", "0", "5", NOW + 2 * HOUR),
        ("1", "3", "0", NOW + HOUR / 3),
        ("0", "5", "5", NOW),
        ("-3", "0", "0", NOW),
        ("10", "0", "0", None),
        ("1000000", "0.001", "0", None),
    ],
)
def test_the_moment(available, last, usual, at):
    assert runs_dry_at(Decimal(available), HourlyUse(Decimal(last), Decimal(usual)), NOW) == at


async def dry_in_hours(harness, customer_id):
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD", expect=200)
    if shown["runs_dry_at"] is None:
        return None
    now = dt.datetime.now(dt.UTC) + harness.clock.offset
    return round((dt.datetime.fromisoformat(shown["runs_dry_at"]) - now) / HOUR, 1)


async def test_it_follows_the_last_hour_and_does_not_forget_the_day(harness):
    customer_id, _ = await harness.funded(balance=100, threshold="10", amount="25")
    assert await dry_in_hours(harness, customer_id) is None
    await harness.use(customer_id, "20", "a job")  # 80 are left, 20 an hour
    assert await dry_in_hours(harness, customer_id) == 4
    await harness.give(customer_id, 40)  # what comes in is no spending
    assert await dry_in_hours(harness, customer_id) == 6
    await harness.pass_time(hours=2)
    assert await dry_in_hours(harness, customer_id) == 144  # 120 at 20 in 24 hours
    await harness.pass_time(hours=23)
    assert await dry_in_hours(harness, customer_id) is None


async def test_explain_says_whether_it_is_dry_before_the_next_try(harness):
    customer_id, visitor = await harness.funded(balance=40, threshold="30", number="4000000000000341")
    await harness.use(customer_id, "20", "a job")  # 20 are left, 20 an hour; a decline waits for four
    await harness.work()
    found = await harness.call("GET", f"/customers/{customer_id}/auto-top-ups/USD/explain", expect=200)
    assert found["runs_dry_before_next"] is True
    assert found["runs_dry_at"] < found["next_at"]
    assert "Lasts until about" in (await visitor.get("/auto-top-up/USD")).text
