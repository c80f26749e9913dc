"""Lots: the fold, against a second model that was written from the rules alone."""

import datetime as dt
import random
from decimal import Decimal

import pytest

from brimful.ledger.lots import PURPOSES, Lots, Movement

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HISTORIES = 2_000


def at(hours):
    return START + dt.timedelta(hours=hours)


def credit(seq, amount, *, kind="adjustment", hours=0, **more):
    return Movement(seq, kind, "stripe" if kind == "top_up" else "api", Decimal(amount), at(hours), **more)


def debit(seq, amount, *, kind="usage", source="usage", hours=0, **more):
    return Movement(seq, kind, source, -Decimal(amount), at(hours), **more)


def left(lots):
    return {lot.seq: lot.left for lot in lots}


def fold(*entries):
    lots = Lots()
    for entry in entries:
        lots.apply(entry)
    return lots


# --- the rules, one by one -------------------------------------------------------------------------------------


def test_gifts_burn_before_what_was_paid():
    lots = fold(credit(1, 50, kind="top_up"), credit(2, 10, purpose="promotional", priority=20), debit(3, 15))
    assert left(lots) == {1: 45}


def test_among_equals_the_earlier_expiry_then_free_then_the_older():
    order = fold(
        credit(1, 1, purpose="paid", priority=50),
        credit(2, 1, purpose="correction", priority=50),
        credit(3, 1, purpose="correction", priority=50, effective_at=at(-5)),
        credit(4, 1, purpose="paid", priority=50, expires_at=at(90)),
        credit(5, 1, purpose="paid", priority=50, expires_at=at(80)),
    )
    assert [lot.seq for lot in order] == [5, 4, 3, 2, 1]


def test_a_debit_is_split_and_its_parts_are_the_whole():
    lots = fold(credit(1, "1.5"), credit(2, "2.25", kind="top_up"))
    burned = lots.apply(debit(3, 3))
    assert [(burn.lot_seq, burn.amount) for burn in burned] == [(1, Decimal("1.5")), (2, Decimal("1.5"))]


def test_a_credit_first_covers_what_is_owed():
    lots = fold(debit(1, 30), credit(2, 50, kind="top_up"))
    assert left(lots) == {2: 20}
    assert left(fold(debit(1, 30), credit(2, 20, kind="top_up"))) == {}


def test_a_refund_takes_its_own_credit_first_then_what_is_next():
    lots = fold(
        credit(1, 10, purpose="promotional", priority=20),
        credit(2, 50, kind="top_up", payment_id="pay_a"),
        credit(3, 50, kind="top_up", payment_id="pay_b"),
        debit(4, 30, kind="refund", source="stripe", payment_id="pay_b"),
    )
    assert left(lots) == {1: 10, 2: 50, 3: 20}
    lots.apply(debit(5, 20 + 15, kind="refund", source="stripe", payment_id="pay_b"))
    assert left(lots) == {2: 45}


def test_at_the_very_moment_of_its_expiry_a_lot_has_expired():
    lots = fold(credit(1, 10, expires_at=at(5)))
    assert lots.expiring(at(5) - dt.timedelta(microseconds=1), Decimal(0)) == []
    assert lots.expiring(at(5), Decimal(0)) == [(1, 10)]


def test_what_holds_need_stays_and_a_capture_burns_it_first():
    lots = fold(credit(1, 60, purpose="promotional", priority=20, expires_at=at(5)), credit(2, 40, kind="top_up"))
    [gone] = lots.expiring(at(5), Decimal(60))  # 100, of which 60 are held: 40 can go
    assert gone == (1, 40)
    lots.apply(Movement(3, "expiry", "system", -gone.amount, at(5), lot_seq=1))
    assert lots.expiring(at(5), Decimal(60)) == []
    lots.apply(debit(4, 30, source="hold", hours=6))
    assert left(lots) == {2: 30}


def test_other_debits_burn_what_has_expired_last():
    lots = fold(credit(1, 60, purpose="promotional", priority=20, expires_at=at(5)), credit(2, 40, kind="top_up"))
    lots.apply(debit(3, 50, hours=6))
    assert left(lots) == {1: 50}


def test_an_expiry_takes_from_its_own_lot_alone():
    lots = fold(
        credit(1, 10, expires_at=at(5)), credit(2, 10, expires_at=at(5)),
        Movement(3, "expiry", "system", Decimal(-10), at(6), lot_seq=2),
    )  # fmt: skip
    assert left(lots) == {1: 10}


# --- ten thousand histories against a second model ------------------------------------------------------------------


class Naive:
    """A row for each lot, burned one unit at a time, in the order of the rules."""

    def __init__(self):
        self.rows, self.debt = [], 0

    def credit(self, entry):
        default = {"top_up": ("paid", 50), "adjustment": ("correction", 50), "bonus": ("bonus", 30)}[entry.kind]
        row = {
            "seq": entry.seq, "left": 0, "payment": entry.payment_id, "expires": entry.expires_at,
            "purpose": entry.purpose or default[0],
            "priority": default[1] if entry.priority is None else entry.priority,
            "effective": entry.effective_at or entry.recorded_at,
        }  # fmt: skip
        self.rows.append(row)
        for _ in range(int(entry.amount)):
            if self.debt:
                self.debt -= 1
            else:
                row["left"] += 1

    def debit(self, entry):
        for _ in range(int(-entry.amount)):
            row = self.next(entry)
            if row is None:
                self.debt += 1
            else:
                row["left"] -= 1

    def next(self, entry):
        there = [row for row in self.rows if row["left"]]
        own = [row for row in there if (entry.lot_seq is not None and row["seq"] == entry.lot_seq)
               or (entry.payment_id is not None and row["payment"] == entry.payment_id)]  # fmt: skip
        gone = [row for row in there if row["expires"] is not None and row["expires"] <= entry.recorded_at]
        standing = [row for row in there if row not in gone]
        groups = [own, gone, standing] if entry.source == "hold" else [own, standing, gone]
        for group in groups:
            for row in sorted(group, key=self.order):
                return row
        return None

    @staticmethod
    def order(row):
        never = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
        free_first = 1 if row["purpose"] == "paid" else 0
        return [row["priority"], row["expires"] or never, free_first, row["effective"], row["seq"]]


def history(dice):
    """Some entries of one account: of few units, so that lots run out and balances fall below zero."""
    entries, hours, payments, bonuses = [], 0, [], []
    for seq in range(1, dice.randrange(5, 60)):
        hours += dice.choice((0, 0, 1, 5))
        what = dice.random()
        if what < 0.2:
            payment = f"pay_{seq}"
            payments.append(payment)
            until = at(hours + dice.randrange(1, 40)) if dice.random() < 0.3 else None
            entries.append(credit(seq, dice.randrange(1, 30), kind="top_up", hours=hours, payment_id=payment,
                                  purpose="paid", priority=50, expires_at=until))  # fmt: skip
        elif what < 0.45:
            terms = {}
            if dice.random() < 0.7:
                terms = {"purpose": dice.choice(PURPOSES), "priority": dice.choice((0, 20, 30, 50, 100))}
                terms["expires_at"] = at(hours + dice.randrange(1, 40)) if dice.random() < 0.6 else None
                terms["effective_at"] = at(hours - dice.randrange(5)) if dice.random() < 0.3 else None
            kind = "bonus" if dice.random() < 0.3 else "adjustment"
            bonuses.append(seq) if kind == "bonus" else None
            entries.append(credit(seq, dice.randrange(1, 20), kind=kind, hours=hours, **terms))
        elif what < 0.85 or not payments:
            source = "hold" if dice.random() < 0.3 else "usage"
            entries.append(debit(seq, dice.randrange(1, 15), source=source, hours=hours))
        elif what < 0.95 or not bonuses:
            entries.append(debit(seq, dice.randrange(1, 20), kind=dice.choice(("refund", "dispute")), source="stripe",
                                 hours=hours, payment_id=dice.choice(payments)))  # fmt: skip
        else:
            entries.append(debit(seq, dice.randrange(1, 10), kind="bonus", source="system", hours=hours,
                                 lot_seq=dice.choice(bonuses)))  # fmt: skip
    return entries


def compare(seed):
    """One history, by both; expiries are posted before each debit, as the ledger does."""
    dice = random.Random(seed)
    lots, naive, seq = Lots(), Naive(), 0
    for entry in history(dice):
        held = Decimal(dice.choice((0, 0, 3, 12)))
        for gone in lots.expiring(entry.recorded_at, held):
            seq += 1
            expiry = Movement(seq, "expiry", "system", -gone.amount, entry.recorded_at, lot_seq=gone.lot_seq)
            lots.apply(expiry)
            naive.debit(expiry)
        seq += 1
        moved = entry._replace(seq=seq)
        if entry.lot_seq is not None:
            moved = moved._replace(lot_seq=next((r["seq"] for r in naive.rows if r["purpose"] == "bonus"), 1))
        burned = lots.apply(moved)
        naive.credit(moved) if moved.amount > 0 else naive.debit(moved)
        assert {lot.seq: lot.left for lot in lots} == {row["seq"]: row["left"] for row in naive.rows if row["left"]}, (
            seed
        )
        assert lots.balance == sum(row["left"] for row in naive.rows) - naive.debt, seed
        assert sum(burn.amount for burn in burned) <= -min(moved.amount, 0)
        if dice.random() < 0.2:  # a checkpoint is the same again
            lots = Lots.from_state(lots.seq, lots.balance, lots.state())


@pytest.mark.parametrize("part", range(4))
def test_the_fold_and_a_model_of_single_units_agree(part):
    for seed in range(part * HISTORIES // 4, (part + 1) * HISTORIES // 4):
        compare(seed)


def test_thousands_that_expire_at_one_moment_are_gone_at_once():
    """Each without a look at the others: the ledger's lock is held meanwhile."""
    lots = fold(*(credit(seq, 1, expires_at=at(5), priority=seq % 7, purpose="promotional") for seq in range(1, 8001)))
    for place, burn in enumerate(lots.expiring(at(5), Decimal(0))):
        lots.apply(Movement(8001 + place, "expiry", "system", -burn.amount, at(5), lot_seq=burn.lot_seq))
    assert (len(lots), lots.balance) == (0, 0)
