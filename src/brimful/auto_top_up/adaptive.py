"""The adaptive threshold: enough for the time that a payment takes, and no more idle than needed. Pure.

The threshold is how fast an account has burned, at its 99th percentile, times how long its money may take to come: this
installation's time from the crossing to the credit and the first retry after a technical failure. It stays within the
customer's own two bounds.
"""

import bisect
import dataclasses
import datetime as dt
import decimal
import math
from collections.abc import Sequence
from decimal import Decimal

WINDOW = dt.timedelta(minutes=5)
RECENT = dt.timedelta(hours=24)  # seen in windows; the 30 days before by the hour
_PER_HOUR = 12
_BEGUN_MIN = dt.timedelta(minutes=2)  # a window that has just begun says little about its rate
_PERCENTILE = 99
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_WINDOW_MS = int(WINDOW.total_seconds() * 1000)
_MONTH_DAYS = 30


@dataclasses.dataclass(frozen=True)
class Burn:
    """What an account has used, in the asset: windows of the last 24 hours and hours of the days before, those in which
    anything was used. `begun` is how much of the newest window has passed, where that one is still open.
    """

    windows: Sequence[Decimal]
    hours: Sequence[Decimal]
    begun: dt.timedelta | None = None


def threshold(burn: Burn, time: dt.timedelta, *, low: Decimal, high: Decimal, scale: int) -> Decimal:
    """The threshold within `low` and `high`, rounded up to the asset's scale.

    Args:
        burn: of the account.
        time: until a payment is credited, at its slowest.
        low: the customer's lower bound; also where nothing was used yet.
        high: the customer's upper bound.
        scale: decimals of the asset.
    """
    used = at_percentile(burn)
    if used is None:
        return low
    wanted = used * Decimal(math.ceil(time.total_seconds())) / Decimal(int(WINDOW.total_seconds()))
    step = Decimal(1).scaleb(-min(scale, 2))
    return min(max(wanted.quantize(step, rounding=decimal.ROUND_CEILING), low), high)


def at_percentile(burn: Burn) -> Decimal | None:
    """Use in one window at the 99th percentile of those with any; None without one."""
    weighed = [(used, 1) for used in burn.windows]
    if weighed and burn.begun is not None and burn.begun < WINDOW:
        seconds = max(burn.begun, _BEGUN_MIN).total_seconds()
        weighed[-1] = (burn.windows[-1] * Decimal(int(WINDOW.total_seconds())) / Decimal(math.ceil(seconds)), 1)
    weighed += [(used / _PER_HOUR, _PER_HOUR) for used in burn.hours]
    if not weighed:
        return None
    weighed.sort()
    rest = sum(weight for _, weight in weighed) * (100 - _PERCENTILE) // 100  # windows that may be above it
    for used, weight in reversed(weighed):
        if weight > rest:
            return used
        rest -= weight
    return weighed[0][0]


class PastUse:
    """What an account had used at any moment of a past that is known whole, as the hourly roll-up and the last day's
    windows would have shown it then: for the preview and the backtest.

    Args:
        at_ms: when something was used, in milliseconds since an epoch that begins an hour, rising.
        total: the sum used up to and with each, in units of ten to the minus `scale` of the asset.
        scale: of `total`.
    """

    def __init__(self, at_ms: Sequence[int], total: Sequence[int | Decimal], *, scale: int) -> None:
        self._at_ms, self._totals, self._scale = at_ms, total, scale
        self._windows = self._sums(_WINDOW_MS)
        self._hours = self._sums(_HOUR_MS)

    def at(self, now: int) -> Burn:
        """As it showed at that moment."""
        day_ago, month_ago = now - _DAY_MS, now - (_MONTH_DAYS + 1) * _DAY_MS
        windows = [used for _, used in self._within(self._windows, day_ago, now, _WINDOW_MS)]
        hours = [used for _, used in self._within(self._hours, month_ago, day_ago, _HOUR_MS)]
        begun = None
        if windows and self._open(now):
            begun = dt.timedelta(milliseconds=now % _WINDOW_MS)
        return Burn(windows, hours, begun)

    def per_day(self, now: int) -> Decimal:
        """Used on an average day of the last 30, of which there has been at least one."""
        begins = max(0, now - _MONTH_DAYS * _DAY_MS)
        used = self.total(now) - self.total(begins)
        return Decimal(used * _DAY_MS // max(now - begins, _DAY_MS)).scaleb(-self._scale)

    def total(self, at: int) -> int | Decimal:
        """The sum used up to that moment."""
        place = bisect.bisect_right(self._at_ms, at)
        return self._totals[place - 1] if place else 0

    def _open(self, now: int) -> bool:
        starts, _ = self._windows
        place = bisect.bisect_right(starts, now // _WINDOW_MS) - 1
        return place >= 0 and starts[place] == now // _WINDOW_MS

    def _within(
        self, sums: tuple[list[int], list[int | Decimal]], begins: int, now: int, length: int
    ) -> list[tuple[int, Decimal]]:
        """Whole spans that begin in that time, and of the one that is open what was used so far."""
        starts, ends_at = sums
        first, last = bisect.bisect_left(starts, begins // length + 1), bisect.bisect_right(starts, now // length)
        found = []
        for place in range(first, last):
            before = ends_at[place - 1] if place else 0
            until = min(ends_at[place], self.total(now))
            if until > before:
                found.append((starts[place], Decimal(until - before).scaleb(-self._scale)))
        return found

    def _sums(self, length: int) -> tuple[list[int], list[int | Decimal]]:
        """Spans with any use, by number, and the sum used up to the end of each."""
        starts: list[int] = []
        sums: list[int | Decimal] = []
        for at_ms, total in zip(self._at_ms, self._totals, strict=True):
            if starts and starts[-1] == at_ms // length:
                sums[-1] = total
            else:
                starts.append(at_ms // length)
                sums.append(total)
        return starts, sums
