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
from brimful.budgets.model import Budget, Family, Zoned
from brimful.core.ids import CustomerId
from brimful.ledger.accounts import AccountKey
from brimful.ledger.holds import Counted, Hold

_NOTHING = Decimal(0)
NEAR, REACHED, BEYOND = 1, 2, 4  # events of a window
_NEAR_PERCENT = 80
_ANY = (tags.ALL,)
_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)
_NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)
BudgetKey = tuple[CustomerId, str]
BundleKey = tuple[CustomerId, str, int]  # customer_id, asset, number


@dataclasses.dataclass(slots=True, eq=False)
class Window:
    """What one window of a budget has counted. It counts until `counts_until`. `beyond` is the part of what was used
    that a hard budget did not cover, `most` the highest amount that was allowed, and `announced` which events were
    sent.
    """

    budget_id: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    counts_until: dt.datetime
    used: Decimal = _NOTHING
    held: Decimal = _NOTHING
    beyond: Decimal = _NOTHING
    most: Decimal = _NOTHING
    announced: int = 0
    name: str = ""  # what its text begins with, before `used`
    rest: str = ""  # and ends with, until it changes


@dataclasses.dataclass(slots=True, eq=False)
class Running:
    """A budget with the windows that count now; the one that new debits count in is made when the first does. All of
    them count until `until`.
    """

    budget: Budget
    zone: str
    bundle: "Bundle"
    windows: list[Window]
    used: Decimal
    held: Decimal
    now: dt.datetime
    near: Decimal
    until: dt.datetime
    rolling: bool

    @property
    def left(self) -> Decimal:
        """What more it covers; below zero where more was recorded."""
        return self.budget.amount - self.used - self.held

    @property
    def resets_at(self) -> dt.datetime | None:
        """When something of what it has counted stops counting; None where nothing ever does."""
        ends = min((window.ends_at for window in self.windows), default=None)
        return model.resets_at(self.budget, ends or model.window_at(self.budget, self.zone, self.now).ends_at)


@dataclasses.dataclass(slots=True, eq=False)
class Bundle:
    """The windows of some budgets of an account that are kept together, as `text`; and what is running of them: single
    budgets, and families that lie here whole.
    """

    customer_id: CustomerId
    asset: str
    number: int
    windows: list[Window]
    text: str = ""
    running: dict[str, Running] = dataclasses.field(default_factory=dict)
    families: dict[int, tuple[Family, list[Running]]] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> BundleKey:
        return self.customer_id, self.asset, self.number

    def run_all(self, family: Family, now: dt.datetime) -> list[Running]:
        """A whole family; the one of before where nothing of it is over."""
        known = self.families.get(id(family))
        if known is not None and known[0] is family:
            for one in known[1]:
                if one.until <= now:
                    break
                one.now = now
            else:
                return known[1]
        runs = [self.run(budget, zone, now) for budget, zone in family.budgets]
        self.families[id(family)] = family, runs
        return runs

    def run(self, budget: Budget, zone: str, now: dt.datetime) -> Running:
        """One of its budgets at this moment; the one of before where nothing of it is over."""
        one = self.running.get(budget.budget_id)
        # Equal is enough: each family has its own copy of a budget above it, and all must find the same sums.
        same = one is not None and (one.budget is budget or one.budget == budget) and one.zone == zone
        if one is not None and same and one.until > now:
            one.now = now
            return one
        self.families.clear()
        own = (one for one in self.windows if one.budget_id == budget.budget_id and one.counts_until > now)
        alive = sorted(own, key=lambda one: one.ends_at)
        if not budget.lasts:  # a clock that stepped back finds the window of then, and the next one beside it
            alive = alive[:1]
        used, held = sum((one.used for one in alive), _NOTHING), sum((one.held for one in alive), _NOTHING)
        until = min((one.counts_until for one in alive), default=_NEVER)
        near = budget.amount * _NEAR_PERCENT / 100
        one = Running(budget, zone, self, alive, used, held, now, near, until, bool(budget.lasts))
        self.running[budget.budget_id] = one
        return one


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


class Counting:
    """The budgets of a batch's accounts.

    `changed` are the bundles with a window that differs, `closed` the windows that have ended long ago and differ, and
    `due` the events that follow. Budgets that have ended are there for the windows in which holds are still set aside,
    and count nothing new.

    Args:
        families: the budgets of each account and tag.
        bundles: those of the budgets, as far as there are any.
        now: the moment of the batch.
        held_in: budgets in which holds of the batch are set aside.
        closed: windows that are in no bundle any more, and in which holds of the batch are set aside.
    """

    def __init__(
        self,
        families: Mapping[tuple[AccountKey, str], Family] | None = None,
        bundles: Mapping[BundleKey, Bundle] | None = None,
        now: dt.datetime = _LONG_AGO,
        held_in: Mapping[BudgetKey, Zoned] | None = None,
        closed: Iterable[tuple[CustomerId, Window]] = (),
    ) -> None:
        self._now = now
        self._families = families or {}
        self._bundles = dict(bundles or {})
        self._held_in = held_in or {}
        self._running: dict[BudgetKey, Running] = {}
        self._closed = {(customer_id, window.budget_id, window.ends_at): window for customer_id, window in closed}
        self._found: dict[tuple[AccountKey, tuple[str, ...]], list[Running]] = {}
        self.changed: dict[BundleKey, Bundle] = {}
        self.closed: dict[tuple[CustomerId, str, dt.datetime], Window] = {}
        self.due: list[Announcement] = []

    def __bool__(self) -> bool:
        return bool(self._families)

    def of(self, account: AccountKey, subject: str | None, dimensions: Mapping[str, str] | None) -> list[Running]:
        """The budgets that a debit of this account counts in, by their ids."""
        wanted = account, _ANY if subject is None and not dimensions else tuple(tags.of(subject, dimensions))
        found = self._found.get(wanted)
        if found is None:
            found = self._found[wanted] = self._find(*wanted)
        return found

    def _find(self, account: AccountKey, wanted: Sequence[str]) -> list[Running]:
        families = [family for tag in wanted if (family := self._families.get((account, tag))) is not None]
        if len(families) == 1 and len(families[0].bundles) == 1 and not self._held_in:
            return self._bundle((*account, families[0].bundles[0])).run_all(families[0], self._now)
        found = {one.budget_id: (one, zone) for family in families for one, zone in family.budgets}
        return [self._run(*found[budget_id]) for budget_id in sorted(found)]

    def _run(self, budget: Budget, zone: str) -> Running:
        name = budget.customer_id, budget.budget_id
        one = self._running.get(name)
        if one is None:
            bundle = self._bundle((budget.customer_id, budget.asset, budget.bundle))
            one = self._running[name] = bundle.run(budget, zone, self._now)
        return one

    def _bundle(self, key: BundleKey) -> Bundle:
        bundle = self._bundles.get(key)
        if bundle is None:
            bundle = self._bundles[key] = Bundle(*key, [])
        return bundle

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

    def left(self, budgets: Sequence[Running]) -> tuple[Decimal, str] | None:
        """What the tightest hard budget still covers, and its id; None without any."""
        hard = [(one.left, one.budget.budget_id) for one in budgets if one.budget.hard]
        return min(hard, default=None)

    def use(self, budgets: Sequence[Running], amount: Decimal) -> None:
        """Count what was used now."""
        changed: Bundle | None = None
        for one in budgets:
            # As `_add` does it: most debits are within their budgets, and near the end of none.
            used = one.used + amount
            if used < one.near and not one.held and one.windows and not one.rolling:
                window = one.windows[0]
                window.used += amount
                one.used = used
                if window.most < one.near:
                    self._add(one, window)
                elif changed is not one.bundle:
                    changed = one.bundle
                    self.changed[changed.key] = changed
            else:
                self._add(one, self._current(one), used=amount)

    def set_aside(self, budgets: Sequence[Running], amount: Decimal) -> Counted:
        """Count what a hold sets aside now. Returns where it counts."""
        counted = []
        for one in budgets:
            window = self._current(one)
            self._add(one, window, held=amount)
            self._running[one.budget.customer_id, one.budget.budget_id] = one  # it may end in this very batch
            counted.append((one.budget.budget_id, window.ends_at))
        return tuple(counted)

    def give_back(self, hold: Hold, *, used: Decimal = _NOTHING) -> None:
        """Count what a hold set aside no longer, and what of it was used, in the windows in which it was made."""
        for budget_id, ends_at in hold.counted:
            one, window = self._where_held(hold.customer_id, budget_id, ends_at)
            self._add(one, window, used=used, held=-hold.amount)

    def _where_held(self, customer_id: CustomerId, budget_id: str, ends_at: dt.datetime) -> tuple[Running, Window]:
        """A budget and a window of it in which a hold is set aside: in its bundle, or closed."""
        one = self._running.get((customer_id, budget_id)) or self._run(*self._held_in[customer_id, budget_id])
        for window in one.bundle.windows:
            if window.budget_id == budget_id and window.ends_at == ends_at:
                return one, window
        return one, self._closed[customer_id, budget_id, ends_at]

    def _current(self, one: Running) -> Window:
        """The window for what counts now: the one that has begun, as it began, or the next."""
        if not one.rolling and one.windows:
            return one.windows[0]
        bounds = model.window_at(one.budget, one.zone, self._now)
        for window in one.windows:
            if window.ends_at == bounds.ends_at:
                return window
        made = Window(one.budget.budget_id, *bounds, bounds.ends_at + one.budget.lasts)
        one.windows.append(made)
        one.until = min(one.until, made.counts_until)
        one.bundle.windows.append(made)
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
        after = before + used + held
        window.rest = ""
        window.most = max(window.most, budget.amount if budget.hard else after)
        name = budget.customer_id, budget.budget_id, window.ends_at
        if name in self._closed:
            self.closed[name] = window
        else:
            self.changed[one.bundle.key] = one.bundle
        if budget.hard:
            self._list_beyond(one, window, before, after, alive=alive)
        if used and alive and budget.ended_at is None:
            self._announce(one, window)

    @staticmethod
    def _list_beyond(one: Running, window: Window, before: Decimal, after: Decimal, *, alive: bool) -> None:
        """How much was recorded that the budget did not cover: more with what exceeds it, less once that is gone. What
        was set aside had room when it was; to use it changes nothing.
        """
        excess = max(after - one.budget.amount, _NOTHING)
        if after > before:
            window.beyond = min(window.used, window.beyond + min(after - before, excess))
        elif alive or not one.rolling:
            window.beyond = min(window.beyond, excess)

    def _announce(self, one: Running, window: Window) -> None:
        """Once for each window; of a rolling one, once until what announced it no longer counts."""
        amount, announced = one.budget.amount, 0
        for other in one.windows:
            announced |= other.announced
        due = 0
        if one.used >= one.near:
            due |= NEAR
        if one.used >= amount:
            due |= REACHED
        if window.beyond and one.budget.hard:
            due |= BEYOND
        for event in (NEAR, REACHED, BEYOND):
            if due & event and not announced & event:
                self.due.append(Announcement(event, one))
        window.announced |= due
