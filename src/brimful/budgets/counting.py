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
_ANY = (tags.ALL,)
_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)
BudgetKey = tuple[CustomerId, str]
BundleKey = tuple[CustomerId, str, int]  # customer_id, asset, number


@dataclasses.dataclass(slots=True, eq=False)
class Window:
    """What one window of a budget has counted. It counts for `lasts_s` after its end. `beyond` is the part of what was
    used that a hard budget did not cover, `most` the highest amount that was allowed, and `announced` which events were
    sent.
    """

    budget_id: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    lasts_s: int
    used: Decimal = _NOTHING
    held: Decimal = _NOTHING
    beyond: Decimal = _NOTHING
    most: Decimal = _NOTHING
    announced: int = 0

    def counts(self, now: dt.datetime) -> bool:
        """Whether it does at this moment."""
        if self.lasts_s:
            return self.ends_at + dt.timedelta(seconds=self.lasts_s) > now
        return self.ends_at > now


@dataclasses.dataclass(slots=True, eq=False)
class Bundle:
    """The windows of some budgets of an account that are kept together."""

    customer_id: CustomerId
    asset: str
    number: int
    windows: list[Window]

    @property
    def key(self) -> BundleKey:
        return self.customer_id, self.asset, self.number


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
    """A budget with those of these windows that are its own and count at this moment."""
    alive, used, held = list[Window](), _NOTHING, _NOTHING
    for window in windows:
        if window.budget_id == budget.budget_id and window.counts(now):
            alive.append(window)
            used += window.used
            held += window.held
    if len(alive) > 1:
        alive.sort(key=lambda one: one.ends_at)
    return Running(budget, zone, alive, used, held, now)


class Counting:
    """The budgets of a batch's accounts.

    `changed` are the bundles with a window that differs, `closed` the windows that have ended long ago and differ, and
    `due` the events that follow. Budgets that have ended are there for the windows in which holds are still set aside,
    and count nothing new.

    Args:
        budgets: each with its customer's zone.
        bundles: those of the budgets, as far as there are any.
        closed: windows that are in no bundle any more, and in which holds of the batch are set aside.
        now: the moment of the batch.
    """

    def __init__(
        self,
        budgets: Iterable[tuple[Budget, str]] = (),
        bundles: Iterable[Bundle] = (),
        closed: Iterable[tuple[CustomerId, Window]] = (),
        now: dt.datetime = _LONG_AGO,
    ) -> None:
        self._now = now
        self._bundles = {bundle.key: bundle for bundle in bundles}
        self._by_id: dict[BudgetKey, Running] = {}
        self._by_tag: dict[tuple[CustomerId, str, str], list[Running]] = {}
        self._accounts: set[AccountKey] = set()
        for budget, zone in budgets:
            bundle = self._bundles.get((budget.customer_id, budget.asset, budget.bundle))
            one = running(budget, zone, () if bundle is None else bundle.windows, now)
            self._by_id[budget.customer_id, budget.budget_id] = one
            self._accounts.add((budget.customer_id, budget.asset))
            if budget.ended_at is None:
                self._by_tag.setdefault((budget.customer_id, budget.asset, budget.tag), []).append(one)
        self._closed = {(customer_id, window.budget_id, window.ends_at): window for customer_id, window in closed}
        self._found: dict[tuple[AccountKey, tuple[str, ...]], list[Running]] = {}
        self.changed: dict[BundleKey, Bundle] = {}
        self.closed: dict[tuple[CustomerId, str, dt.datetime], Window] = {}
        self.due: list[Announcement] = []

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def of(self, account: AccountKey, subject: str | None, dimensions: Mapping[str, str] | None) -> list[Running]:
        """The budgets that a debit of this account counts in, by their ids."""
        if account not in self._accounts:
            return []
        wanted = account, _ANY if subject is None and not dimensions else tuple(tags.of(subject, dimensions))
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
            one = self._by_id[hold.customer_id, budget_id]
            window = self._window(one, ends_at)
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
            one = self._by_id[hold.customer_id, budget_id]
            self._add(one, self._window(one, ends_at), used=used, held=-hold.amount)

    def _window(self, one: Running, ends_at: dt.datetime) -> Window:
        """A window in which a hold is set aside: in its bundle, or closed."""
        budget = one.budget
        bundle = self._bundles.get((budget.customer_id, budget.asset, budget.bundle))
        for window in bundle.windows if bundle is not None else ():
            if window.budget_id == budget.budget_id and window.ends_at == ends_at:
                return window
        return self._closed[budget.customer_id, budget.budget_id, ends_at]

    def _current(self, one: Running) -> Window:
        """The window for what counts now: the one that has begun, as it began, or the next."""
        rolling = bool(one.budget.lasts)
        if not rolling and one.windows:
            return one.windows[0]
        bounds = model.window_at(one.budget, one.zone, self._now)
        for window in one.windows:
            if window.ends_at == bounds.ends_at:
                return window
        made = Window(one.budget.budget_id, *bounds, int(one.budget.lasts.total_seconds()))
        one.windows.append(made)
        key = one.budget.customer_id, one.budget.asset, one.budget.bundle
        self._bundles.setdefault(key, Bundle(*key, [])).windows.append(made)
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
        key = budget.customer_id, budget.asset, budget.bundle
        if (budget.customer_id, budget.budget_id, window.ends_at) in self._closed:
            self.closed[budget.customer_id, budget.budget_id, window.ends_at] = window
        else:
            self.changed[key] = self._bundles[key]
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
