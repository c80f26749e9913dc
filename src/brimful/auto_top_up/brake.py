"""The brake: use far beyond an account's own past, as a leaked key or a loop would make it. Pure.

What was used in the last hour is compared with the highest hour of the thirty days before. An account without enough of
a past is never unusual: its limits and what its customer wants to be asked about hold it.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from brimful.ledger.usage_hours import UsageHour

PAST = dt.timedelta(days=30)
FACTOR = 5
_HISTORY_MIN = dt.timedelta(days=7)
_ACTIVE_HOURS_MIN = 20
_HOUR = dt.timedelta(hours=1)


@dataclasses.dataclass(frozen=True)
class Past:
    """What an account used in the thirty days before the last hour: its highest hour, in the asset, the hours in which
    it used anything, and when it first did.
    """

    highest_hour: Decimal
    active_hours: int
    first: dt.datetime | None

    def tells(self, now: dt.datetime) -> bool:
        """Whether it is long and full enough to say what is usual."""
        old = self.first is not None and now - self.first >= _HISTORY_MIN
        return old and self.active_hours >= _ACTIVE_HOURS_MIN


NO_PAST = Past(Decimal(0), 0, None)


def begins(now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The hours that `past_of` wants began within these moments: none that the last hour reaches into."""
    return now - PAST, now - 2 * _HOUR


def past_of(hours: Sequence[UsageHour]) -> Past:
    """The past that these hours make."""
    used = [one for one in hours if one.used > 0]
    highest = max((one.used for one in used), default=Decimal(0))
    return Past(highest, len(used), used[0].hour if used else None)


def unusual(last_hour: Decimal, past: Past, now: dt.datetime) -> bool:
    """Whether the last hour's use is more than five times the highest hour before it."""
    return past.tells(now) and last_hour > FACTOR * past.highest_hour


def would_have_asked(hours: Sequence[UsageHour]) -> int:
    """In how many of these hours the use was unusual for what had been used before: how often the brake might have held
    a charge. Hours of the calendar stand for any sixty minutes.
    """
    return sum(
        unusual(one.used, past_of([before for before in hours if one.hour - PAST <= before.hour < one.hour]), one.hour)
        for one in hours
    )
