"""The preview: the engine's own policy over the past. Cases as a table, then against the rules it must keep."""

import dataclasses
import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from brimful import auto_top_up
from brimful.auto_top_up.policy import Pace

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
PACE = Pace(5, dt.timedelta(seconds=60))
SECOND = dt.timedelta(seconds=1)


def past(opening, *moves):
    """Moves are (minutes before now, amount)."""
    at = [int((NOW - dt.timedelta(minutes=back)).timestamp() * 1000) for back, _ in moves]
    return auto_top_up.preview.Past(Decimal(opening), at, [Decimal(amount) for _, amount in moves], NOW)


def rule(threshold="10", amount=2500, limit=10000, rate="1", scale=2):
    return auto_top_up.preview.Proposal(scale, "USD", Decimal(threshold), amount, limit, Fraction(rate))


@pytest.mark.parametrize(
    ("name", "opening", "moves", "proposal", "expected"),
    [
        ("never below the line", 30, [(60, -5), (30, -5)], rule(), (0, 0, "20", 0, False)),
        ("at the line is not below", 30, [(60, -20)], rule(), (0, 0, "10", 0, False)),
        ("below once", 12, [(60, -3)], rule(), (1, 2500, "9", 0, False)),
        ("two crossings", 12, [(60, -3), (30, -30)], rule(), (2, 5000, "4", 0, False)),
        ("zero for a while", 1, [(60, -3), (30, 20)], rule(threshold="0.5"), (1, 2500, "-2", 1, False)),
        ("the limit stops it", 12, [(60, -3), (30, -30), (20, -30)], rule(limit=2500), (1, 2500, "-26", 1200, True)),
        ("a small amount is bounded by the pace", 12, [(59, -80)], rule(amount=100), (5, 500, "-68", 3540, False)),
        ("own units at a rate", 12, [(60, -3)], rule(rate="0.5", scale=0), (1, 2500, "9", 0, False)),
    ],
)
def test_what_a_rule_would_have_done(name, opening, moves, proposal, expected):
    done = auto_top_up.preview.replay(past(opening, *moves), proposal, PACE, SECOND)
    seconds = int(done.below_zero.total_seconds())
    assert (done.payments, done.charged_minor, done.lowest, seconds, done.limit_reached) == (
        *expected[:2],
        Decimal(expected[2]),
        *expected[3:],
    ), name


def test_before_an_account_there_was_no_balance_of_zero():
    made = past(0, (60, 40), (30, -5))
    assert auto_top_up.preview.replay(made, rule(), PACE, SECOND).lowest == 0
    begun = dataclasses.replace(made, begins=True)
    assert auto_top_up.preview.replay(begun, rule(), PACE, SECOND).lowest == 35


@given(
    moves=st.lists(st.tuples(st.integers(1, 40_000), st.integers(-50, 30)), max_size=60),
    threshold=st.integers(1, 60),
    amount=st.integers(50, 5000),
    times=st.integers(1, 6),
)
def test_it_never_charges_more_than_the_limit_or_faster_than_the_pace(moves, threshold, amount, times):
    ordered = sorted(moves, reverse=True)
    proposal = rule(str(threshold), amount, amount * times)
    done = auto_top_up.preview.replay(past(20, *ordered), proposal, PACE, SECOND)
    months = 2  # forty thousand minutes reach into the month before
    assert done.charged_minor == done.payments * amount
    assert done.charged_minor <= amount * times * months
    lowest = min([Decimal(20), *_running(20, ordered)])
    assert done.lowest >= lowest  # top-ups only ever add


def _running(opening, moves):
    balance = Decimal(opening)
    for _, amount in moves:
        balance += amount
        yield balance


@pytest.mark.parametrize(
    ("moves", "scale", "expected"),
    [([], 2, None), ([(5, 10)], 2, None), ([(70, -3), (65, -4)], 2, "7.1"), ([(5, "-0.034")], 6, "0.04"),
     ([(5, -1234)], 0, "1300")],
)  # fmt: skip
def test_the_suggested_line_covers_the_busiest_hour_rounded_up(moves, scale, expected):
    found = auto_top_up.preview.suggest(past(0, *moves), SECOND, scale=scale)
    assert (None if found is None else Decimal(expected)) == found
