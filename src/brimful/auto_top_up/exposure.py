"""Exposure: the most that a rule can charge, no matter what happens. Pure.

From its limits, the pace that the installation allows, and the largest single charge. Stated before the customer
agrees, kept with the consent, and held by verification (I14).
"""

import dataclasses

from brimful.auto_top_up.policy import Facts, Pace

_HOURS_PER_DAY = 24


@dataclasses.dataclass(frozen=True)
class Exposure:
    """Money in minor units: in any hour, in any 24 hours, and in a calendar month (UTC); and in any 24 hours without
    asking the customer first.
    """

    hour_minor: int
    day_minor: int
    month_minor: int
    unasked_day_minor: int


def exposure(
    charge_max_minor: int,
    limit_minor: int,
    day_limit_minor: int | None,
    pace: Pace,
    *,
    ask_above_minor: int | None = None,
    ask_after: int | None = None,
) -> Exposure:
    """The most that these settings allow.

    Twenty-four hours may lie in two months, each with its own limit: without a limit of the day twice the month's may
    be charged in them. The brake bounds what an unusual hour costs, which is no sum that could be stated beforehand.
    """
    hour, month = pace.per_hour * charge_max_minor, limit_minor
    spans = 2 * month  # two months
    paced = _HOURS_PER_DAY * hour + charge_max_minor  # one that was requested before may be sent in them
    hour += charge_max_minor
    day = min(day_limit_minor if day_limit_minor is not None else spans, spans, paced)
    unasked = charge_max_minor if ask_above_minor is None else min(charge_max_minor, ask_above_minor)
    unasked_day = day if ask_after is None else min(day, ask_after * unasked)
    return Exposure(min(hour, day), day, month, unasked_day)


def of(facts: Facts, pace: Pace) -> Exposure:
    """The exposure of a rule as it stands."""
    return exposure(
        facts.charge_max_minor, facts.limit_minor, facts.day_limit_minor, pace,
        ask_above_minor=facts.ask_above_minor, ask_after=facts.ask_after,
    )  # fmt: skip
