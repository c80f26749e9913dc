"""The policy, as a table and as properties."""

import dataclasses
import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from brimful.auto_top_up.policy import Facts, Pace, Reason, evaluate, superseded
from brimful.core import money

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
PACE = Pace(5, MINUTE)
CALM = Facts(
    available=Decimal(20), scale=6, enabled=True, version=1, threshold=Decimal(10), currency="USD", amount_minor=2500,
    limit_minor=10000, paused=None, not_before=None, consent_stands=True, card_usable=True, rate=money.ONE,
    spent_minor=0, recent=(), left_below_at=None, live=False,
)  # fmt: skip
LOW = dataclasses.replace(CALM, available=Decimal("9.99"))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (CALM, Reason.ARMED),
        (dataclasses.replace(CALM, available=Decimal(10)), Reason.ARMED),
        (LOW, Reason.TRIGGERED),
        (dataclasses.replace(LOW, available=Decimal(-500)), Reason.TRIGGERED),
        (dataclasses.replace(LOW, enabled=False), Reason.OFF),
        (dataclasses.replace(LOW, live=True), Reason.IN_FLIGHT),
        (dataclasses.replace(LOW, paused="declined"), Reason.PAUSED),
        (dataclasses.replace(LOW, consent_stands=False), Reason.NO_CONSENT),
        (dataclasses.replace(LOW, card_usable=False), Reason.CARD_UNAVAILABLE),
        (dataclasses.replace(LOW, rate=None), Reason.NO_RATE),
        (dataclasses.replace(LOW, rate=Fraction(26), scale=0), Reason.AMOUNT_BELOW_ONE_UNIT),
        (dataclasses.replace(LOW, spent_minor=7501), Reason.LIMIT_REACHED),
        (dataclasses.replace(LOW, spent_minor=7500), Reason.TRIGGERED),
        (dataclasses.replace(LOW, not_before=NOW + MINUTE), Reason.NOT_BEFORE),
        (dataclasses.replace(LOW, not_before=NOW), Reason.TRIGGERED),
        (dataclasses.replace(LOW, recent=(NOW - 5 * MINUTE,) * 5), Reason.PACE),
        (dataclasses.replace(LOW, recent=(NOW - 5 * MINUTE,) * 4), Reason.TRIGGERED),
        (dataclasses.replace(LOW, left_below_at=NOW - MINUTE / 2), Reason.PACE),
        (dataclasses.replace(LOW, left_below_at=NOW - MINUTE), Reason.TRIGGERED),
    ],
)
def test_the_table(facts, reason):
    assert evaluate(facts, PACE, NOW).reason is reason


def test_a_reached_limit_waits_for_the_first_of_the_next_utc_month():
    verdict = evaluate(dataclasses.replace(LOW, spent_minor=9000), PACE, NOW)
    assert verdict.wake_at == dt.datetime(2026, 12, 1, tzinfo=dt.UTC)


moments = st.none() | st.datetimes(dt.datetime(2026, 11, 1), dt.datetime(2026, 12, 31), timezones=st.just(dt.UTC))
facts_of_all_kinds = st.builds(
    Facts,
    available=st.decimals(-1000, 1000, places=3), scale=st.integers(0, 6), enabled=st.booleans(), version=st.just(1),
    threshold=st.decimals("0.001", 500, places=3), currency=st.just("USD"), amount_minor=st.integers(50, 50000),
    limit_minor=st.integers(50, 100000), paused=st.none() | st.just("declined"), not_before=moments,
    consent_stands=st.booleans(), card_usable=st.booleans(),
    rate=st.none() | st.fractions("0.000001", 1000), spent_minor=st.integers(0, 100000),
    recent=st.lists(st.timedeltas(dt.timedelta(0), dt.timedelta(minutes=59)), max_size=8).map(
        lambda ages: tuple(sorted(NOW - age for age in ages))
    ),
    left_below_at=moments, live=st.booleans(),
)  # fmt: skip


@given(facts_of_all_kinds)
def test_it_charges_only_when_everything_allows_it(facts):
    """F32, F33, I8: whatever the facts, a charge needs all of these; anything else has a reason and, where time alone
    lifts it, a moment.
    """
    verdict = evaluate(facts, PACE, NOW)
    if verdict.reason is Reason.TRIGGERED:
        assert facts.enabled
        assert facts.below
        assert not facts.live
        assert facts.paused is None
        assert facts.consent_stands
        assert facts.card_usable
        assert len(facts.recent) < PACE.per_hour
        assert verdict.charge is not None
        assert verdict.charge.units > 0
        assert facts.spent_minor + verdict.charge.amount_minor <= facts.limit_minor
        assert superseded(facts, 1) is None
    else:
        assert verdict.charge is None
    waits = {Reason.NO_RATE, Reason.AMOUNT_BELOW_ONE_UNIT, Reason.NOT_BEFORE, Reason.LIMIT_REACHED, Reason.PACE}
    assert (verdict.wake_at is not None) == (verdict.reason in waits)
    assert verdict.wake_at is None or verdict.wake_at > NOW
    assert (verdict.trigger_below is not None) == (verdict.reason is Reason.ARMED)
