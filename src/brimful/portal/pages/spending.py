"""The last thirty days of a balance: what was spent each day, and its chart."""

import dataclasses
import datetime as dt
import itertools
import zoneinfo
from collections.abc import Sequence
from decimal import Decimal

from brimful import ledger
from brimful.db.pool import Row, Tx
from brimful.portal import chart
from brimful.portal.context import Page

DAYS = 30
_SAMPLES_A_DAY = 6
_MARKED_MAX = 60


@dataclasses.dataclass(frozen=True)
class Spending:
    """Thirty days in the customer's zone, oldest first, the last one not over yet."""

    asset: str
    start: dt.datetime
    now: dt.datetime
    days: Sequence[chart.Day]
    month_spent: Decimal
    places: Sequence[ledger.statements.ChainPosition]
    added: Sequence[Row]

    @property
    def usual_day(self) -> Decimal:
        """Spent on an average day of the last week."""
        week = self.days[-7:]
        return sum((day.spent for day in week), Decimal(0)) / len(week)


async def read(page: Page, tx: Tx, asset: str) -> Spending | None:
    """Spending by day, from balances at midnight and what came in between; None without an account."""
    customer_id, zone = page.session.customer_id, zoneinfo.ZoneInfo(page.session.time_zone)
    now = await tx.now()
    today = now.astimezone(zone).date()
    days = [_midnight(today - dt.timedelta(days=back), zone) for back in range(DAYS - 1, -1, -1)]
    month = _midnight(today.replace(day=1), zone)
    start = min(days[0], month)
    moments = sorted({*days, month, now + dt.timedelta(seconds=1)})
    places = await ledger.statements.chain_positions(tx, customer_id, asset, moments)
    if not places:
        return None
    added = await ledger.statements.additions(tx, customer_id, asset, start)
    at = {place.at: place.balance for place in places}
    bounds = [*days, moments[-1]]

    def between(first: dt.datetime, last: dt.datetime) -> tuple[Decimal, Decimal]:
        """Spent and added."""
        came = sum((row["amount"] for row in added if first <= row["recorded_at"] < last), Decimal(0))
        return at[first] - at[last] + came, came

    made = []
    for first, last in itertools.pairwise(bounds):
        spent, came = between(first, last)
        made.append(chart.Day(first, max(spent, Decimal(0)), came, at[last]))
    month_spent, _ = between(month, moments[-1])
    shown = [place for place in places if place.at >= days[0]]
    recent = [row for row in added if row["recorded_at"] >= days[0]]
    return Spending(asset, days[0], moments[-1], made, max(month_spent, Decimal(0)), shown, recent)


def _midnight(day: dt.date, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(dt.UTC)


async def draw(
    page: Page, tx: Tx, past: Spending, threshold: Decimal | None, bounds: tuple[Decimal, Decimal] | None
) -> chart.Chart:
    """The chart: some entries of each day, and exactly those around each top-up."""
    seqs: set[int] = set()
    for first, last in itertools.pairwise(past.places):
        count = last.seq - first.seq
        seqs.update(first.seq + count * part // _SAMPLES_A_DAY for part in range(1, _SAMPLES_A_DAY + 1))
    marked = [row for row in past.added if row["amount"] > 0][-_MARKED_MAX:]
    for row in marked:
        seqs.update({row["seq"] - 1, row["seq"]})
    begins = past.places[0].seq == 0  # within the window: before, there was no balance, not one of zero
    if begins:
        seqs.add(1)
    rows = await ledger.statements.sample(tx, page.session.customer_id, past.asset, [seq for seq in seqs if seq > 0])
    points = [] if begins and rows else [chart.Point(past.start, past.places[0].balance)]
    points += [
        chart.Point(row["recorded_at"], row["balance_after"]) for row in rows if row["recorded_at"] >= past.start
    ]
    points.append(chart.Point(past.now, points[-1].balance))
    return chart.draw(
        points,
        [chart.Point(row["recorded_at"], row["balance_after"]) for row in marked],
        start=past.start,
        end=past.now,
        threshold=threshold,
        bounds=bounds,
        days=[day.start for day in past.days[2::7]],
    )
