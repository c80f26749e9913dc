"""What budgets have counted, while a batch is decided. Pure: budgets and their windows in, windows as they then stand
out.

Every debit counts in the budgets that its tags name, and in the ancestors of those. An account's windows change only
under the account's lock, so that no two debits can find the same room.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from brimful.budgets import model, tags
from brimful.budgets.model import Budget
from brimful.core.ids import CustomerId
from brimful.ledger.accounts import AccountKey
from brimful.ledger.holds import Counted, Hold

_NOTHING = Decimal(0)
NEAR, REACHED, BEYOND = 1, 2, 4  # events of a window
_NEAR_PERCENT = 80
_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)
BudgetKey = tuple[CustomerId, str]


@dataclasses.dataclass(slots=True)
class Window:
    """What one window of a budget has counted; `key` has its end."""

    budget_id: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    used: Decimal = _NOTHING
    held: Decimal = _NOTHING
    beyond: Decimal = _NOTHING
    most: Decimal = _NOTHING
    announced: int = 0


@dataclasses.dataclass(slots=True)
class Running:
    """A budget with the windows that count now; the one that new debits count in is made when the first does."""

    budget: Budget
    zone: str
    windows: list[Window]
    used: Decimal
    held: Decimal
    now: dt.datetime

    @property
    def left(self) -> Decimal:
        """What more it covers; below zero where more was recorded."""
        return self.budget.amount - self.used - self.held

    @property
    def resets_at(self) -> dt.datetime | None:
        """When something of what it has counted stops counting; None where nothing ever does."""
        ends = min((window.ends_at for window in self.windows), default=None)
        return model.resets_at(self.budget, ends or model.window_at(self.budget, self.zone, self.now).ends_at)


class Exceeded(NamedTuple):
    """Why a debit is refused: the hard budget that covers least of it."""

    budget_id: str
    name: str | None
    amount: Decimal
    used: Decimal
    held: Decimal
    resets_at: dt.datetime | None


class Announcement(NamedTuple):
    """An event that is due: which of NEAR, REACHED and BEYOND, for a budget as it stands."""

    event: int
    running: Running


def running(budget: Budget, zone: str, windows: Iterable[Window], now: dt.datetime) -> Running:
    """A budget with those of its windows that count at this moment."""
    alive = sorted((one for one in windows if one.ends_at + budget.lasts > now), key=lambda one: one.ends_at)
    used, held = sum((one.used for one in alive), _NOTHING), sum((one.held for one in alive), _NOTHING)
    return Running(budget, zone, alive, used, held, now)


class Counting:
    """The budgets of a batch's accounts.

    `changed` are the windows that differ, `due` the events that follow. Budgets that have ended are there for the
    windows in which holds are still set aside, and count nothing new.
    """

    def __init__(
        self,
        budgets: Sequence[Running] = (),
        now: dt.datetime = _LONG_AGO,
        others: Iterable[tuple[CustomerId, Window]] = (),
    ) -> None:
        self._now = now
        self._by_id = {(one.budget.customer_id, one.budget.budget_id): one for one in budgets}
        self._by_tag: dict[tuple[CustomerId, str, str], list[Running]] = {}
        for one in budgets:
            if one.budget.ended_at is None:
                budget = one.budget
                self._by_tag.setdefault((budget.customer_id, budget.asset, budget.tag), []).append(one)
        self._accounts = {(one.budget.customer_id, one.budget.asset) for one in budgets}
        self._windows = {(customer_id, window.budget_id, window.ends_at): window for customer_id, window in others}
        for one in budgets:
            for window in one.windows:
                self._windows[one.budget.customer_id, one.budget.budget_id, window.ends_at] = window
        self._found: dict[tuple[AccountKey, tuple[str, ...]], list[Running]] = {}
        self.changed: dict[tuple[CustomerId, str, dt.datetime], Window] = {}
        self.due: list[Announcement] = []

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def of(self, account: AccountKey, subject: str | None, dimensions: Mapping[str, str] | None) -> list[Running]:
        """The budgets that a debit of this account counts in, by their ids."""
        if account not in self._accounts:
            return []
        wanted = account, tuple(tags.of(subject, dimensions))
        found = self._found.get(wanted)
        if found is None:
            found = self._found[wanted] = self._find(*wanted)
        return found

    def _find(self, account: AccountKey, wanted: Sequence[str]) -> list[Running]:
        customer_id, asset = account
        found: dict[str, Running] = {}
        for tag in wanted:
            for one in self._by_tag.get((customer_id, asset, tag), ()):
                found[one.budget.budget_id] = one
                for above in one.budget.ancestors:
                    found[above] = self._by_id[customer_id, above]
        return [found[budget_id] for budget_id in sorted(found)]

    def exceeded(self, budgets: Sequence[Running], amount: Decimal) -> Exceeded | None:
        """The hard budget that covers least of this, if any does not cover it. Exactly what is left is covered."""
        tightest: Running | None = None
        for one in budgets:
            if one.budget.hard and one.left < amount and (tightest is None or one.left < tightest.left):
                tightest = one
        if tightest is None:
            return None
        budget = tightest.budget
        return Exceeded(budget.budget_id, budget.name, budget.amount, tightest.used, tightest.held, tightest.resets_at)

    def exceeded_where_held(self, hold: Hold, amount: Decimal) -> Exceeded | None:
        """The same for more than a hold set aside, in the windows in which it is."""
        tightest: tuple[Decimal, Exceeded] | None = None
        for budget_id, ends_at in hold.counted:
            one, window = self._by_id[hold.customer_id, budget_id], self._windows[hold.customer_id, budget_id, ends_at]
            alive = any(window is own for own in one.windows)
            used, held = (one.used, one.held) if alive else (window.used, window.held)
            left, budget = one.budget.amount - used - held, one.budget
            if budget.hard and left < amount and (tightest is None or left < tightest[0]):
                resets_at = model.resets_at(budget, ends_at)
                tightest = left, Exceeded(budget_id, budget.name, budget.amount, used, held, resets_at)
        return None if tightest is None else tightest[1]

    def left(self, budgets: Sequence[Running]) -> tuple[Decimal, str] | None:
        """What the tightest hard budget still covers, and its id; None without any."""
        hard = [(one.left, one.budget.budget_id) for one in budgets if one.budget.hard]
        return min(hard, default=None)

    def use(self, budgets: Sequence[Running], amount: Decimal) -> None:
        """Count what was used now."""
        for one in budgets:
            self._add(one, self._current(one), used=amount)

    def set_aside(self, budgets: Sequence[Running], amount: Decimal) -> Counted:
        """Count what a hold sets aside now. Returns where it counts."""
        counted = []
        for one in budgets:
            window = self._current(one)
            self._add(one, window, held=amount)
            counted.append((one.budget.budget_id, window.ends_at))
        return tuple(counted)

    def give_back(self, hold: Hold, *, used: Decimal = _NOTHING) -> None:
        """Count what a hold set aside no longer, and what of it was used, in the windows in which it was made."""
        for budget_id, ends_at in hold.counted:
            window = self._windows[hold.customer_id, budget_id, ends_at]
            self._add(self._by_id[hold.customer_id, budget_id], window, used=used, held=-hold.amount)

    def _current(self, one: Running) -> Window:
        """The window for what counts now: the one that has begun, as it began, or the next."""
        bounds = model.window_at(one.budget, one.zone, self._now)
        for window in one.windows:
            if window.ends_at == bounds.ends_at or (not one.budget.lasts and window.ends_at > self._now):
                return window
        made = Window(one.budget.budget_id, bounds.starts_at, bounds.ends_at)
        one.windows.append(made)
        self._windows[one.budget.customer_id, one.budget.budget_id, made.ends_at] = made
        return made

    def _add(self, one: Running, window: Window, *, used: Decimal = _NOTHING, held: Decimal = _NOTHING) -> None:
        budget = one.budget
        alive = any(window is own for own in one.windows)
        before = one.used + one.held if alive else window.used + window.held
        window.used += used
        window.held += held
        if alive:
            one.used += used
            one.held += held
        total = one.used + one.held if alive else window.used + window.held
        window.most = max(window.most, budget.amount if budget.hard else total)
        self.changed[budget.customer_id, budget.budget_id, window.ends_at] = window
        if used:
            after = before + used + held
            if budget.hard and after > budget.amount:
                window.beyond = min(window.used, window.beyond + min(used, after - max(budget.amount, before + held)))
            if alive and budget.ended_at is None:
                self._announce(one, window)

    def _announce(self, one: Running, window: Window) -> None:
        """Once for each window; of a rolling one, once until what announced it no longer counts."""
        amount, announced = one.budget.amount, 0
        for other in one.windows:
            announced |= other.announced
        due = 0
        if one.used * 100 >= amount * _NEAR_PERCENT:
            due |= NEAR
        if one.used >= amount:
            due |= REACHED
        if window.beyond and one.budget.hard:
            due |= BEYOND
        for event in (NEAR, REACHED, BEYOND):
            if due & event and not announced & event:
                self.due.append(Announcement(event, one))
        window.announced |= due
