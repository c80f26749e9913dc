"""The adaptive threshold: enough for the time that a payment takes, and no more idle than needed. Pure.

The threshold is how fast an account has burned, at its 99th percentile, times how long its money may take to come: this
installation's time from the crossing to the credit and the first retry after a technical failure. It stays within the
customer's own two bounds.
"""

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
