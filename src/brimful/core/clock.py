"""Time. Money decisions use the database's clock (`tx.now`), so that no two machines are compared.

What is here serves everything else: log lines, time-outs (monotonic), and the offset by which tests and
the simulation move the database's clock.
"""

import dataclasses
import datetime as dt


@dataclasses.dataclass
class Clock:
    """Added to every reading of the database's clock. Zero outside tests."""

    offset: dt.timedelta = dt.timedelta(0)


def month_start(moment: dt.datetime) -> dt.date:
    """First day of the UTC calendar month in which `moment` lies."""
    return moment.astimezone(dt.UTC).date().replace(day=1)


def next_month(moment: dt.datetime) -> dt.datetime:
    """Midnight UTC at which the month after `moment` begins."""
    first = month_start(moment)
    year, month = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
    return dt.datetime(year, month, 1, tzinfo=dt.UTC)


def rfc3339(moment: dt.datetime) -> str:
    """RFC 3339 in UTC with microseconds, as every answer shows times."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
