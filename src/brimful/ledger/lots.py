"""Lots: what is left of each credit. A pure fold over an account's entries.

A lot is a credit: a top-up, an adjustment, a bonus or a reinstatement. Debits burn lots in an order; nothing is written
for it, because the order of the entries decides everything: the API, the portal, expiry, refunds, verification and the
simulation all fold the same chain. What is left of all lots is the balance, or nothing where that is negative.

The order in which lots burn: priority, then the earlier expiry, then free before paid, then the older, then `seq`. A
lot has expired at the very moment of `expires_at`. What open holds need of it stays until they end, as `lapsing`: a
capture burns that first, other debits last.
"""

import bisect
import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

Purpose = Literal["paid", "promotional", "bonus", "correction"]
PURPOSES: tuple[Purpose, ...] = ("paid", "promotional", "bonus", "correction")
PRIORITY: Mapping[str, int] = {"paid": 50, "promotional": 20, "bonus": 30, "correction": 50}
PRIORITY_MAX = 100
_BY_KIND: Mapping[str, Purpose] = {
    "top_up": "paid", "reinstatement": "paid", "adjustment": "correction", "bonus": "bonus",
}  # fmt: skip
_NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)
_NOTHING = Decimal(0)


class Terms(NamedTuple):
    """What a credit is for, and when. `priority` is 0 to 100, the lower burns first; without `effective_at` it takes
    effect as it is recorded, without `expires_at` it never expires.
    """

    purpose: Purpose
    priority: int
    effective_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None

    @classmethod
    def of(cls, purpose: Purpose, *, expires_at: dt.datetime | None = None) -> "Terms":
        """The usual ones of a purpose."""
        return cls(purpose, PRIORITY[purpose], None, expires_at)


def terms_of(kind: str, purpose: Purpose | None, priority: int | None) -> Terms:
    """Those of an entry that adds, without its times: the usual ones of its kind where it names none."""
    chosen = purpose or _BY_KIND[kind]
    return Terms(chosen, PRIORITY[chosen] if priority is None else priority)


class Movement(NamedTuple):
    """What the fold needs of an entry. `amount` is signed, in the asset."""

    seq: int
    kind: str
    source: str
    amount: Decimal
    recorded_at: dt.datetime
    payment_id: str | None = None
    lot_seq: int | None = None
    purpose: Purpose | None = None
    priority: int | None = None
    effective_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None


@dataclasses.dataclass(slots=True)
class Lot:
    """One credit of which something is left. Amounts in the asset."""

    seq: int
    kind: str
    amount: Decimal
    left: Decimal
    purpose: Purpose
    priority: int
    effective_at: dt.datetime
    expires_at: dt.datetime | None
    payment_id: str | None

    @property
    def order(self) -> tuple[int, dt.datetime, bool, dt.datetime, int]:
        """Lots burn from the least of these on."""
        return self.priority, self.expires_at or _NEVER, self.purpose == "paid", self.effective_at, self.seq

    def expired(self, at: dt.datetime) -> bool:
        """Whether it has expired by then."""
        return self.expires_at is not None and self.expires_at <= at


class Burn(NamedTuple):
    """How much of a lot an entry took; positive, in the asset."""

    lot_seq: int
    amount: Decimal


class Lots:
    """An account's lots after the entry `seq`. `apply` takes the next one."""

    def __init__(self, seq: int = 0, balance: Decimal = _NOTHING, lots: Iterable[Lot] = ()) -> None:
        self.seq = seq
        self.balance = balance
        self._lots = sorted(lots, key=_order)
        self._by_seq = {lot.seq: lot for lot in self._lots}
        self._first_expiry = min((lot.expires_at or _NEVER for lot in self._lots), default=_NEVER)

    def __iter__(self) -> Iterator[Lot]:
        """Those of which something is left, in the order in which they burn."""
        return iter(self._lots)

    def __len__(self) -> int:
        return len(self._lots)

    @property
    def first_expiry(self) -> dt.datetime | None:
        """When the next of them expires; in the past while holds keep what has expired."""
        return min((lot.expires_at for lot in self._lots if lot.expires_at is not None), default=None)

    def left_of(self, seq: int) -> Decimal:
        """What is left of one lot."""
        return self._by_seq[seq].left if seq in self._by_seq else _NOTHING

    def left_for(self, purpose: Purpose) -> Decimal:
        """What is left of all of one purpose."""
        return sum((lot.left for lot in self._lots if lot.purpose == purpose), _NOTHING)

    def apply(self, entry: Movement) -> list[Burn]:
        """Take the next entry of the chain. Returns what it burned, in that order; nothing for a credit."""
        self.seq = entry.seq
        burned: list[Burn] = []
        if entry.amount > 0:
            self._add(entry)
        elif self.balance > 0 > entry.amount:
            burned = self._burn(entry, min(-entry.amount, self.balance))
        self.balance += entry.amount
        return burned

    def _add(self, entry: Movement) -> None:
        left = min(entry.amount, self.balance + entry.amount)  # a negative balance is covered first
        if left <= 0:
            return
        terms = terms_of(entry.kind, entry.purpose, entry.priority)
        lot = Lot(
            entry.seq, entry.kind, entry.amount, left, terms.purpose, terms.priority,
            entry.effective_at or entry.recorded_at, entry.expires_at, entry.payment_id,
        )  # fmt: skip
        bisect.insort(self._lots, lot, key=_order)
        self._by_seq[lot.seq] = lot
        self._first_expiry = min(self._first_expiry, lot.expires_at or _NEVER)

    def _burn(self, entry: Movement, amount: Decimal) -> list[Burn]:
        if entry.kind == "expiry" and entry.lot_seq in self._by_seq:
            return [self._expire(self._by_seq[entry.lot_seq], amount)]
        burned: list[Burn] = []
        in_turn = self._in_turn(entry)
        for lot in in_turn:
            taken = min(lot.left, amount)
            lot.left -= taken
            amount -= taken
            burned.append(Burn(lot.seq, taken))
            if not amount:
                break
        assert not amount, f"entry {entry.seq} burns {amount} more than is left"
        if in_turn is self._lots:
            del self._lots[: len(burned) - bool(lot.left)]
        else:
            self._lots = [lot for lot in self._lots if lot.left]
        for burn in burned:
            if not self._by_seq[burn.lot_seq].left:
                del self._by_seq[burn.lot_seq]
        return burned

    def _expire(self, lot: Lot, amount: Decimal) -> Burn:
        """Many may expire at one moment: each is found without looking at the others."""
        assert amount <= lot.left, f"{amount} expire of {lot.left}"
        lot.left -= amount
        if not lot.left:
            del self._lots[bisect.bisect_left(self._lots, lot.order, key=_order)]
            del self._by_seq[lot.seq]
        return Burn(lot.seq, amount)

    def _in_turn(self, entry: Movement) -> list[Lot]:
        """The lots in the order in which this entry burns them: its own first."""
        if entry.lot_seq is None and entry.payment_id is None:
            if entry.recorded_at < self._first_expiry:
                return self._lots  # nearly always
            self._first_expiry = self.first_expiry or _NEVER  # what expired may have gone since
            if entry.recorded_at < self._first_expiry:
                return self._lots
        captured = entry.source == "hold"

        def turn(lot: Lot) -> tuple[bool, bool]:
            own = lot.seq == entry.lot_seq or (entry.payment_id is not None and lot.payment_id == entry.payment_id)
            return not own, lot.expired(entry.recorded_at) != captured

        return sorted(self._lots, key=turn)  # stable: among equals the order stays

    def expiring(self, by: dt.datetime, held: Decimal) -> list[Burn]:
        """What has expired by then, oldest first: at most what is available, so that holds keep what they need."""
        free, found = self.balance - held, list[Burn]()
        if by < self._first_expiry:
            return found
        for lot in sorted((lot for lot in self._lots if lot.expired(by)), key=lambda lot: (lot.expires_at, lot.seq)):
            if free <= 0:
                break
            found.append(Burn(lot.seq, min(lot.left, free)))
            free -= found[-1].amount
        return found

    def expired(self, at: dt.datetime) -> Decimal:
        """What is left of lots that have expired by then: what holds need."""
        if at < self._first_expiry:
            return _NOTHING
        return sum((lot.left for lot in self._lots if lot.expired(at)), _NOTHING)

    def get(self, seq: int) -> Lot:
        """One of which something is left."""
        return self._by_seq[seq]

    # --- as text, for checkpoints ------------------------------------------------------------------------------

    def state(self) -> list[list[Any]]:
        """What `from_state` needs besides `seq` and balance: a row for each lot, in the order of the chain."""
        return [
            [lot.seq, lot.kind, str(lot.amount), str(lot.left), lot.purpose, lot.priority, lot.effective_at.isoformat(),
             None if lot.expires_at is None else lot.expires_at.isoformat(), lot.payment_id]
            for lot in sorted(self._lots, key=lambda lot: lot.seq)
        ]  # fmt: skip

    @classmethod
    def from_state(cls, seq: int, balance: Decimal, state: Sequence[Sequence[Any]]) -> "Lots":
        """The same again."""
        return cls(seq, balance, [
            Lot(number, kind, Decimal(amount), Decimal(left), purpose, priority, dt.datetime.fromisoformat(effective),
                None if expires is None else dt.datetime.fromisoformat(expires), payment_id)
            for number, kind, amount, left, purpose, priority, effective, expires, payment_id in state
        ])  # fmt: skip


def _order(lot: Lot) -> tuple[int, dt.datetime, bool, dt.datetime, int]:
    return lot.order
