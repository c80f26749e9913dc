"""What is unusual for an account, by its own past."""

import datetime as dt
from decimal import Decimal

import pytest

from brimful.auto_top_up import brake
from brimful.ledger.usage_hours import UsageHour

NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


def hours(count, used="2", since=8 * DAY):
    return [UsageHour(NOW - since + n * 3 * HOUR, Decimal(used)) for n in range(count)]


@pytest.mark.parametrize(
    ("past", "last_hour", "asks"),
    [
        (hours(30), "10", False),  # five times
        (hours(30), "10.01", True),
        (hours(19), "1000", False),  # too few hours with use
        (hours(20), "1000", True),
        (hours(30, since=6 * DAY), "1000", False),  # too young
        (hours(30, since=7 * DAY), "1000", True),
        ([*hours(15), *hours(30, used="0")], "1000", False),  # hours without use say nothing
        ([], "1000", False),
    ],
)
def test_more_than_five_times_the_highest_hour(past, last_hour, asks):
    assert brake.unusual(Decimal(last_hour), brake.past_of(past), NOW) is asks


def test_hours_that_the_last_one_reaches_into_are_left_out():
    """A burst under way must not become its own measure."""
    since, until = brake.begins(NOW + dt.timedelta(minutes=1))
    assert until <= NOW - HOUR
    assert since == NOW + dt.timedelta(minutes=1) - 30 * DAY


def test_how_often_it_would_have_asked():
    calm = hours(60, since=10 * DAY)
    assert brake.would_have_asked(calm) == 0
    burst = UsageHour(NOW - HOUR, Decimal(11))
    assert brake.would_have_asked([*calm, burst]) == 1
    again = UsageHour(NOW, Decimal(50))  # usual by then
    assert brake.would_have_asked([*calm, burst, again]) == 1
