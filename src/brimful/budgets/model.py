"""A budget, and the windows in which it counts. Pure."""

import datetime as dt
import functools
import logging
import zoneinfo
from decimal import Decimal
from typing import Literal, NamedTuple

from brimful.core.ids import CustomerId

Span = Literal["day", "week", "month", "rolling_24h", "total"]
SetBy = Literal["platform", "customer"]
DEPTH_MAX = 4  # a budget and its ancestors
ALIKE_MAX = 10  # budgets of one account with the same tag, of either side
TOTAL_MAX = {"platform": 10_000, "customer": 100}  # of one account
_DAY = dt.timedelta(hours=24)
_log = logging.getLogger(__name__)
# What was used in a quarter of an hour leaves a rolling window 24 hours after that quarter ended: never too early, so
# that no 24 hours see more than the amount.
_BUCKET = dt.timedelta(minutes=15)
_NEVER = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)


class Budget(NamedTuple):
    """At most `amount` of an asset in each window, for what `tag` says. `ancestors` stand above it, nearest first; its
    windows are kept with those of the others in its `bundle`.
    """

    customer_id: CustomerId
    budget_id: str
    asset: str
    tag: str
    name: str | None
    span: Span
    amount: Decimal
    hard: bool
    ancestors: tuple[str, ...]
    set_by: SetBy
    created_at: dt.datetime
    ended_at: dt.datetime | None
    bundle: int

    @property
    def parent_id(self) -> str | None:
        return self.ancestors[0] if self.ancestors else None

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name or self.budget_id

    @property
    def lasts(self) -> dt.timedelta:
        """For how long a window counts after it has ended."""
        return _DAY if self.span == "rolling_24h" else dt.timedelta(0)


Zoned = tuple[Budget, str]  # a budget, and its customer's zone


class Family(NamedTuple):
    """The budgets that a tag of an account names, and those above them, by their ids; and which bundles have them."""

    budgets: tuple[Zoned, ...]
    bundles: tuple[int, ...]


class Bounds(NamedTuple):
    """The two ends of a window; the first belongs to it."""

    starts_at: dt.datetime
    ends_at: dt.datetime


def window_at(budget: Budget, zone: str, now: dt.datetime) -> Bounds:
    """The window of a budget that `now` lies in: of days, weeks (from Monday) and months in the customer's zone."""
    if budget.span == "total":
        return Bounds(budget.created_at, _NEVER)
    return _bounds(budget.span, zone, now)


def resets_at(budget: Budget, ends_at: dt.datetime) -> dt.datetime | None:
    """When what a window has counted stops counting; None where it never does."""
    return None if ends_at == _NEVER else ends_at + budget.lasts


@functools.lru_cache(maxsize=1024)
def _calendar(span: Span, zone: str, day: dt.date) -> Bounds:
    if span == "day":
        first, last = day, day + dt.timedelta(days=1)
    elif span == "week":
        first = day - dt.timedelta(days=day.weekday())
        last = first + dt.timedelta(days=7)
    else:
        first = day.replace(day=1)
        last = (first + dt.timedelta(days=32)).replace(day=1)
    return Bounds(midnight(first, zone), midnight(last, zone))


def _bounds(span: Span, zone: str, now: dt.datetime) -> Bounds:
    if span == "rolling_24h":
        begun = now - (now - dt.datetime.min.replace(tzinfo=dt.UTC)) % _BUCKET
        return Bounds(begun, begun + _BUCKET)
    day = now.astimezone(_zone(zone)).date()
    bounds = _calendar(span, zone, day)
    if now >= bounds.ends_at:  # clocks went back over midnight: the hour that comes twice is the new day's
        return _calendar(span, zone, day + dt.timedelta(days=1))
    return bounds


def midnight(day: dt.date, zone: str) -> dt.datetime:
    """When a day begins in a zone; the first time of two, where clocks go back over it."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=_zone(zone)).astimezone(dt.UTC)


@functools.lru_cache(maxsize=256)
def _zone(name: str) -> dt.tzinfo:
    """UTC for a zone that is no zone any more: names are checked when they are set, and may go with an update of the
    machine's time zones. A debit must not fail of it.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        _log.warning("There is no time zone %r any more: its budgets begin by UTC.", name)
        return dt.UTC
