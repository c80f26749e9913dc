"""What happens to each movement of a batch."""

import datetime as dt
from decimal import Decimal

from hypothesis import given, strategies as st

from brimful import ledger, posting
from brimful.posting.model import Movement

ACCOUNT = ("cus_a", "USD")
NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)


def decide(moves, balances, known):
    return posting.decide.decide(moves, balances, known, NOW, posting.holds.BatchHolds())


def use(key, amount, *, covered_only=False, kind="usage"):
    return Movement(kind, *ACCOUNT, key, Decimal(amount), covered_only=covered_only)


def test_each_sees_the_balance_that_those_before_it_left():
    verdicts = decide([use("a", -3), use("b", -3), use("c", -3, covered_only=True)], {ACCOUNT: Decimal(8)}, {})
    assert [(v.outcome, v.balance) for v in verdicts] == [("applied", 5), ("applied", 2), ("refused", 2)]


def test_the_same_id_is_one_movement_within_a_batch_and_across():
    now = dt.datetime.now(dt.UTC)
    known = {("cus_a", "usage", "old"): ledger.keys.ExistingEntry("usage", "USD", Decimal(-1), Decimal(7), now)}
    verdicts = decide(
        [use("old", -1), use("old", -2), use("new", -1), use("new", -1), use("new", -2), use("new", -1, kind="charge")],
        {ACCOUNT: Decimal(8)},
        known,
    )
    assert [v.outcome for v in verdicts] == ["duplicate", "refused", "applied", "duplicate", "refused", "applied"]
    assert {v.code for v in verdicts if v.outcome == "refused"} == {"key_reused"}


def test_a_refusal_is_not_remembered():
    verdicts = decide(
        [use("a", -9, covered_only=True), use("b", 5), use("a", -9, covered_only=True)], {ACCOUNT: Decimal(5)}, {}
    )
    assert [v.outcome for v in verdicts] == ["refused", "applied", "applied"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-5, 5).filter(bool), st.booleans()), max_size=30))
def test_the_end_is_the_start_and_all_that_was_applied(steps):
    """I1, I7."""
    moves = [use(key, amount, covered_only=covered) for key, amount, covered in steps]
    verdicts = decide(moves, {ACCOUNT: Decimal(3)}, {})
    applied = [m for m, v in zip(moves, verdicts, strict=True) if v.outcome == "applied"]
    assert len({m.key for m in applied}) == len(applied)
    balances = [v.balance for v in verdicts]
    assert not balances or balances[-1] == 3 + sum(m.amount for m in applied)
    for move, verdict in zip(moves, verdicts, strict=True):
        if move.covered_only and verdict.outcome == "applied":
            assert verdict.balance >= 0 or move.amount > 0
