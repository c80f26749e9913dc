"""What a charge comes to, and when it fits the limits again."""

import dataclasses
import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from brimful.auto_top_up import adaptive, charges, retries
from brimful.auto_top_up.charges import Charge, NoRoom
from brimful.auto_top_up.policy import Pace, Reason, evaluate
from brimful.core import money
from brimful.gateway.declines import DeclineKind
from unit.test_policy import LOW, NOW, facts_of_all_kinds

HOUR = dt.timedelta(hours=1)
PACE = Pace(12, dt.timedelta(minutes=1))
ADD = dataclasses.replace(LOW, amount_minor=2500, charge_max_minor=20000, limit_minor=100_000)
TARGET = dataclasses.replace(ADD, target=Decimal(60), least_minor=500)


def with_(facts=ADD, **changes):
    return dataclasses.replace(facts, **changes)


@pytest.mark.parametrize(
    ("facts", "minor", "cut"),
    [
        (ADD, 2500, False),  # 9.99 of 10: one amount
        (with_(available=Decimal(-15)), 2500, False),  # 25 short: exactly one
        (with_(available=Decimal("-15.01")), 5000, False),
        (with_(available=Decimal(-490)), 20000, True),  # twenty wanted, "charge at most" holds eight
        (with_(available=Decimal(-490), charge_max_minor=2500), 2500, True),
        (with_(available=Decimal(-490), spent_minor=90_000), 10_000, True),  # four fit the month
        (with_(available=Decimal(-490), day_limit_minor=7_600), 7_500, True),
        (TARGET, 5001, False),
        (with_(TARGET, available=Decimal("9.999999")), 5001, False),  # rounded up to a cent
        (with_(TARGET, target=Decimal("10.01")), 500, False),  # the provider's minimum
        (with_(TARGET, available=Decimal(-500)), 20000, True),
        (with_(TARGET, spent_minor=98_000), 2_000, True),
        (with_(lasts_days=1, used_per_day=Decimal(40), least_minor=500), 4001, False),
        (with_(lasts_days=7, used_per_day=Decimal(40), least_minor=500), 20000, True),
        (with_(lasts_days=3, used_per_day=Decimal(0), least_minor=500), 500, False),
    ],
)
def test_amounts(facts, minor, cut):
    verdict = evaluate(facts, PACE, NOW)
    assert verdict.reason is Reason.TRIGGERED
    assert (verdict.charge.amount_minor, verdict.charge.cut) == (minor, cut)
    assert verdict.charge.units == money.units_bought(minor, "USD", rate=facts.rate, scale=facts.scale)


def test_a_days_limit_waits_until_the_oldest_charge_leaves_it():
    day = ((NOW - 20 * HOUR, 2500), (NOW - 5 * HOUR, 2500), (NOW - HOUR, 5000))
    facts = with_(day_limit_minor=10_000, day=day)
    verdict = evaluate(facts, PACE, NOW)
    assert (verdict.reason, verdict.wake_at) == (Reason.DAY_LIMIT_REACHED, NOW + 4 * HOUR)
    assert evaluate(facts, PACE, NOW + 4 * HOUR).reason is Reason.TRIGGERED
    both = with_(facts, spent_minor=100_000)
    assert evaluate(both, PACE, NOW).reason is Reason.LIMIT_REACHED  # the later one counts


@given(facts_of_all_kinds, st.integers(50, 10**6), st.none() | st.integers(50, 10**6),
       st.lists(st.tuples(st.timedeltas(dt.timedelta(0), dt.timedelta(hours=40)), st.integers(50, 10**5)), max_size=9),
       st.sampled_from(("add", "target", "last")))  # fmt: skip
def test_no_charge_exceeds_a_limit_and_each_wait_ends_in_one(facts, most, day_limit, day, mode):
    """I8: and what "charge at most" says."""
    rows = tuple(sorted((NOW - age, minor) for age, minor in day))
    facts = with_(
        facts, charge_max_minor=max(most, facts.amount_minor), day_limit_minor=day_limit, day=rows,
        rate=facts.rate or Fraction(1), least_minor=50,
        target=facts.threshold + 5 if mode == "target" else None, lasts_days=3 if mode == "last" else None,
        used_per_day=Decimal("1.5"),
    )  # fmt: skip
    found = charges.within_limits(facts, facts.rate, NOW)
    if isinstance(found, NoRoom):
        assert found.until > NOW
        if found.of_day and day_limit >= charges.smallest_minor(facts):
            later = charges.within_limits(with_(facts, spent_minor=0), facts.rate, found.until)
            assert isinstance(later, Charge) or facts.limit_minor < charges.smallest_minor(facts)
        return
    assert found.amount_minor <= facts.charge_max_minor
    assert found.amount_minor + facts.spent_minor <= facts.limit_minor
    if day_limit is not None:
        assert found.amount_minor + sum(minor for at, minor in rows if at > NOW - charges.DAY) <= day_limit
    if facts.adds:
        assert found.amount_minor % facts.amount_minor == 0
        fewer = found.amount_minor - facts.amount_minor
        if fewer:
            bought = money.units_bought(fewer, "USD", rate=facts.rate, scale=facts.scale)
            assert facts.available + bought < facts.threshold
    if facts.adds and not found.cut and facts.below:
        assert facts.available + found.units >= facts.threshold


def test_units_that_got_dearer_wait_for_the_customer():
    facts = with_(rate=Fraction(11, 100), agreed_rate=Fraction(10, 100))
    assert evaluate(facts, PACE, NOW).reason is Reason.PRICE_CHANGED
    assert evaluate(with_(facts, rate=Fraction(10, 100)), PACE, NOW).reason is Reason.TRIGGERED
    assert evaluate(with_(facts, rate=Fraction(9, 100)), PACE, NOW).reason is Reason.TRIGGERED


SOFT_WAITS = (dt.timedelta(hours=4), dt.timedelta(hours=12))


@pytest.mark.parametrize(
    ("kind", "technical", "soft", "wait"),
    [
        (DeclineKind.TECHNICAL, 1, 0, dt.timedelta(minutes=1)),
        (DeclineKind.TECHNICAL, 2, 0, dt.timedelta(minutes=5)),
        (DeclineKind.TECHNICAL, 3, 0, dt.timedelta(minutes=30)),
        (DeclineKind.TECHNICAL, 4, 0, dt.timedelta(hours=4)),
        (DeclineKind.TECHNICAL, 5, 0, dt.timedelta(hours=12)),
        (DeclineKind.TECHNICAL, 6, 0, None),
        (DeclineKind.SOFT, 0, 1, dt.timedelta(hours=4)),
        (DeclineKind.SOFT, 1, 1, dt.timedelta(hours=4)),
        (DeclineKind.SOFT, 0, 2, dt.timedelta(hours=12)),
        (DeclineKind.SOFT, 0, 3, None),
        (DeclineKind.TECHNICAL, 1, 2, dt.timedelta(minutes=1)),
    ],
)
def test_the_ladders(kind, technical, soft, wait):
    assert retries.wait_after(kind, technical, soft, SOFT_WAITS) == wait


FIVE = dt.timedelta(minutes=5)


@pytest.mark.parametrize(
    ("windows", "hours", "time", "expected"),
    [
        ([], [], FIVE, "5"),
        ([3], [], FIVE, "5"),
        ([20], [], FIVE, "20"),
        ([20], [], 2 * FIVE, "40"),
        ([20, 1, 1], [], FIVE, "20"),
        ([6] * 199 + [150], [], FIVE, "6"),  # one of two hundred is beyond the percentile
        ([1] * 200, [], FIVE, "5"),  # the lower bound
        ([500], [], FIVE, "100"),
        ([], [120], FIVE, "10"),
    ],
)
def test_the_adaptive_threshold(windows, hours, time, expected):
    burn = adaptive.Burn([Decimal(one) for one in windows], [Decimal(one) for one in hours])
    found = adaptive.threshold(burn, time, low=Decimal(5), high=Decimal(100), scale=2)
    assert found == Decimal(expected)


def test_a_window_that_has_just_begun_counts_at_its_rate():
    burn = adaptive.Burn([Decimal(10)], [], begun=dt.timedelta(minutes=2, seconds=30))
    assert adaptive.threshold(burn, FIVE, low=Decimal(1), high=Decimal(100), scale=2) == 20
    just = dataclasses.replace(burn, begun=dt.timedelta(seconds=1))
    assert adaptive.threshold(just, FIVE, low=Decimal(1), high=Decimal(100), scale=2) == 25


@given(st.lists(st.decimals("0.01", 1000, places=2), max_size=60), st.decimals("0.01", 1000, places=2),
       st.integers(1, 4000))  # fmt: skip
def test_it_stays_within_its_bounds_and_grows_with_use(windows, more, seconds):
    time = dt.timedelta(seconds=seconds)
    bounds = {"low": Decimal(2), "high": Decimal(500), "scale": 2}
    before = adaptive.threshold(adaptive.Burn(sorted(windows), []), time, **bounds)
    assert 2 <= before <= 500
    double = adaptive.threshold(adaptive.Burn([2 * one for one in sorted(windows)], []), time, **bounds)
    assert double >= before
