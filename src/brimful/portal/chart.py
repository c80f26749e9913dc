"""Pictures of an account's last days as SVG coordinates, and the table beside them. Pure.

Paths live in a box of 1000 x 1000 that is stretched to its place; marks and labels are given in per mille
of it, so that they keep their size on a phone.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

_BOX = 1000
_HEADROOM = Decimal("1.08")


@dataclasses.dataclass(frozen=True)
class Point:
    """A balance at a moment."""

    at: dt.datetime
    balance: Decimal


@dataclasses.dataclass(frozen=True)
class Day:
    """One day in the reader's zone: what was spent and added, and the balance at its end."""

    start: dt.datetime
    spent: Decimal
    added: Decimal
    closing: Decimal


@dataclasses.dataclass(frozen=True)
class Mark:
    """Something to label: where in per mille, and what."""

    x: str
    y: str
    value: Decimal | dt.datetime


@dataclasses.dataclass(frozen=True)
class Chart:
    """A stepped line with its area, the customer's line across it, top-ups marked, labels at both edges."""

    line: str
    area: str
    threshold_y: str | None
    band: tuple[str, str] | None  # from where down, and how high: the bounds of a threshold that follows the use
    top_ups: Sequence[Mark]
    levels: Sequence[Mark]
    days: Sequence[Mark]


def draw(
    points: Sequence[Point],
    top_ups: Sequence[Point],
    *,
    start: dt.datetime,
    end: dt.datetime,
    threshold: Decimal | None,
    days: Sequence[dt.datetime],
    bounds: tuple[Decimal, Decimal] | None = None,
) -> Chart:
    """The balance from `start` to `end`. `points` are in order and hold the balance until the next one."""
    balances = [point.balance for point in points]
    high = max([*balances, threshold or Decimal(0), *(bounds or ()), Decimal(0)])
    low = min([*balances, Decimal(0)])
    levels = ticks(low, high)
    top, bottom = max(levels[-1], high * _HEADROOM), min(levels[0], low)
    span = (top - bottom) or Decimal(1)

    def across(at: dt.datetime) -> int:
        share = (at - start) / (end - start)
        return max(0, min(_BOX, round(share * _BOX)))

    def up(balance: Decimal) -> int:
        return int((top - balance) / span * _BOX)

    steps = _steps([(across(point.at), up(point.balance)) for point in points])
    path = "M" + "L".join(f"{x} {y}" for x, y in steps) if steps else ""
    floor = up(Decimal(0))
    area = f"{path}L{steps[-1][0]} {floor}L{steps[0][0]} {floor}Z" if steps else ""
    return Chart(
        path,
        area,
        None if threshold is None else _percent(up(threshold)),
        None if bounds is None else (_percent(up(bounds[1])), _percent(up(bounds[0]) - up(bounds[1]))),
        [Mark(_percent(across(point.at)), _percent(up(point.balance)), point.balance) for point in top_ups],
        [Mark("100%", _percent(up(level)), level) for level in levels],
        [Mark(_percent(across(day)), "100%", day) for day in days],
    )


def _steps(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """A balance holds until it changes: across first, then up or down. Steps of no size are left out."""
    steps: list[tuple[int, int]] = []
    for x, y in places:
        if steps and (x, y) == steps[-1]:
            continue
        if steps and x != steps[-1][0] and y != steps[-1][1]:
            steps.append((x, steps[-1][1]))
        steps.append((x, y))
    return steps


@dataclasses.dataclass(frozen=True)
class Bar:
    """One day's spending in a box of 1000 x 1000."""

    x: int
    y: int
    width: int
    height: int


def bars(days: Sequence[Day]) -> list[Bar]:
    """Spending per day, the dearest day as high as the box."""
    high = max((day.spent for day in days), default=Decimal(0))
    width = _BOX // max(len(days), 1)
    drawn = []
    for i, day in enumerate(days):
        height = int(day.spent / high * _BOX) if high > 0 and day.spent > 0 else 0
        height = max(height, 15) if day.spent > 0 else 0
        drawn.append(Bar(i * width + width // 8, _BOX - height, width - width // 4, height))
    return drawn


def ticks(low: Decimal, high: Decimal) -> list[Decimal]:
    """Three to five round levels that hold both ends: steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [Decimal(0), Decimal(1)]
    unit = Decimal(1).scaleb((span / 3).adjusted())
    step = next(unit * factor for factor in map(Decimal, ("1", "2", "2.5", "5", "10")) if unit * factor * 3 >= span)
    first = (low / step).to_integral_value(rounding="ROUND_FLOOR")
    last = (high / step).to_integral_value(rounding="ROUND_CEILING")
    return [step * (first + i) for i in range(int(last - first) + 1)]


def _percent(per_mille: int) -> str:
    return f"{per_mille / 10:.1f}%"
