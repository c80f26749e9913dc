"""What one automatic charge comes to: how much, within which limits, and when it fits again. Pure.

Three ways to say how much: **add** whole amounts until available is at the threshold again; **bring back to** a target;
**last about** some days of the account's own use. All are bounded by "charge at most" and by what the month's and the
day's limits leave.
"""

import dataclasses
import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from brimful.core import clock, money

if TYPE_CHECKING:
    from brimful.auto_top_up.policy import Facts

DAY = dt.timedelta(hours=24)  # a rolling one, for the day's limit


@dataclasses.dataclass(frozen=True)
class Charge:
    """`amount_minor` buys `units`. `cut`: less than the rule would have taken, so that available may stay below the
    threshold.
    """

    amount_minor: int
    units: Decimal
    cut: bool


@dataclasses.dataclass(frozen=True)
class NoRoom:
    """The limits leave too little for the smallest charge; `until` is when they leave enough. `of_day` names which."""

    until: dt.datetime
    of_day: bool


def smallest_minor(facts: "Facts") -> int:
    """The least that the rule would charge."""
    return facts.amount_minor if facts.adds else facts.least_minor


def wanted(facts: "Facts", rate: Fraction) -> Charge:
    """The charge as the rule wants it, before the limits. The account need not be below its threshold."""
    missing = max(facts.threshold - facts.available, Decimal(0))
    if facts.adds:
        count = _amounts(facts, rate, missing)
        kept = max(1, min(count, facts.charge_max_minor // facts.amount_minor))
        return _charge(facts, rate, kept * facts.amount_minor, cut=kept < count)
    if facts.target is not None:
        units = max(facts.target - facts.available, Decimal(0))
    else:
        units = facts.used_per_day * Decimal(facts.lasts_days or 0) + missing
    needed = max(money.worth_minor(units, facts.currency, rate=rate), facts.least_minor)
    return _charge(facts, rate, min(needed, facts.charge_max_minor), cut=needed > facts.charge_max_minor)


def within_limits(facts: "Facts", rate: Fraction, now: dt.datetime) -> Charge | NoRoom:
    """The charge cut to what the limits leave, or since when they leave too little."""
    full, room = wanted(facts, rate), room_minor(facts, now)
    least = smallest_minor(facts)
    if room < least:
        return _no_room(facts, least, now)
    if full.amount_minor <= room:
        return full
    step = facts.amount_minor if facts.adds else money.currency(facts.currency).step_minor
    return _charge(facts, rate, room - room % step, cut=True)


def room_minor(facts: "Facts", now: dt.datetime) -> int:
    """What the month's and the day's limits leave for one more charge; may be negative."""
    room = facts.limit_minor - facts.spent_minor
    if facts.day_limit_minor is not None:
        room = min(room, facts.day_limit_minor - sum(minor for at, minor in facts.day if at > now - DAY))
    return room


def _no_room(facts: "Facts", least: int, now: dt.datetime) -> NoRoom:
    """When the smallest charge fits again: at the start of the next month, or when enough of the last 24 hours' charges
    have left them, whichever is later.
    """
    until, of_day = now, False
    if facts.spent_minor + least > facts.limit_minor:
        until = clock.next_month(now)
    if facts.day_limit_minor is not None:
        still = [(at, minor) for at, minor in facts.day if at > now - DAY]
        charged = sum(minor for _, minor in still)
        frees = [(at + DAY, minor) for at, minor in still]
        if least > facts.day_limit_minor:  # never, as things stand: the provider's minimum has risen
            frees.append((now + DAY, 0))
        for at, minor in frees:
            if charged + least <= facts.day_limit_minor:
                break
            charged -= minor
            if at > until:
                until, of_day = at, True
    return NoRoom(until, of_day)


def _amounts(facts: "Facts", rate: Fraction, missing: Decimal) -> int:
    """The least number of whole amounts whose units bring available to the threshold or above; one at least."""
    if not missing:
        return 1
    # From the money that the missing units are worth; rounding may make it one short.
    count = max(1, math.ceil(Fraction(money.worth_minor(missing, facts.currency, rate=rate), facts.amount_minor)))
    while _units(facts, rate, count * facts.amount_minor) < missing:
        count += 1
    while count > 1 and _units(facts, rate, (count - 1) * facts.amount_minor) >= missing:
        count -= 1
    return count


def _charge(facts: "Facts", rate: Fraction, amount_minor: int, *, cut: bool) -> Charge:
    return Charge(amount_minor, _units(facts, rate, amount_minor), cut)


def _units(facts: "Facts", rate: Fraction, amount_minor: int) -> Decimal:
    return money.units_bought(amount_minor, facts.currency, rate=rate, scale=facts.scale)
