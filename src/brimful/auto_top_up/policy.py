"""The policy of auto top-up: facts in, one judgement out. Pure: nothing here reads or writes.

The debit's own transaction, the worker and the sweep use this one function.
"""

import dataclasses
import datetime as dt
import enum
from decimal import Decimal
from fractions import Fraction

from brimful.core import clock, money

_HOUR = dt.timedelta(hours=1)
_NO_RATE_RECHECK = dt.timedelta(minutes=5)


class Reason(enum.StrEnum):
    """Why a rule charges, or does not. Shown by the portal, the API and events."""

    OFF = "off"
    ARMED = "armed"  # on, and available is not below the threshold
    TRIGGERED = "triggered"  # below the threshold: a top-up is requested
    IN_FLIGHT = "in_flight"  # a top-up is live
    PAUSED = "paused"
    NO_CONSENT = "no_consent"
    CARD_UNAVAILABLE = "card_unavailable"
    NO_RATE = "no_rate"
    AMOUNT_BELOW_ONE_UNIT = "amount_below_one_unit"
    NOT_BEFORE = "not_before"
    LIMIT_REACHED = "limit_reached"
    PACE = "pace"
    # Why a top-up that was requested is not sent after all:
    NO_LONGER_NEEDED = "no_longer_needed"
    RULE_CHANGED = "rule_changed"


@dataclasses.dataclass(frozen=True)
class Pace:
    """How often one account may be topped up automatically."""

    per_hour: int
    spacing: dt.timedelta  # while a credit still leaves available below the threshold


@dataclasses.dataclass(frozen=True)
class Facts:
    """All that decides about one account's rule, read under the account's lock.

    `available` is the balance less what is held. Amounts of the asset are Decimal, money is minor units of `currency`.
    `spent_minor` counts this month's automatic top-ups but those that failed or were canceled, without the one under
    evaluation.
    """

    available: Decimal
    scale: int
    enabled: bool
    version: int
    threshold: Decimal
    currency: str
    amount_minor: int
    limit_minor: int
    paused: str | None
    not_before: dt.datetime | None
    consent_stands: bool
    card_usable: bool
    rate: Fraction | None
    spent_minor: int
    recent: tuple[dt.datetime, ...]  # when automatic top-ups were requested in the last hour, oldest first
    left_below_at: dt.datetime | None  # the latest one's request, if its credit left available below the threshold
    live: bool

    @property
    def below(self) -> bool:
        """Strictly below the threshold."""
        return self.available < self.threshold


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What follows from the facts.

    `trigger_below` is the threshold while a debit alone may start a top-up. `units` is set when a top-up is due
    now. `wake_at` is when a wait runs out.
    """

    reason: Reason
    trigger_below: Decimal | None = None
    units: Decimal | None = None
    wake_at: dt.datetime | None = None


def evaluate(facts: Facts, pace: Pace, now: dt.datetime) -> Judgement:
    """What the rule asks for at this moment."""
    unmet = Reason.IN_FLIGHT if facts.live else _unmet(facts)
    if unmet is not None:
        return Judgement(unmet)
    if facts.rate is None:
        return Judgement(Reason.NO_RATE, wake_at=now + _NO_RATE_RECHECK)
    units = money.units_bought(facts.amount_minor, facts.currency, rate=facts.rate, scale=facts.scale)
    if not units:
        return Judgement(Reason.AMOUNT_BELOW_ONE_UNIT, wake_at=now + _NO_RATE_RECHECK)
    wait = _wait(facts, pace, now)
    if wait is not None:
        return wait
    if facts.below:
        return Judgement(Reason.TRIGGERED, units=units)
    return Judgement(Reason.ARMED, trigger_below=facts.threshold)


def superseded(facts: Facts, rule_version: int) -> Reason | None:
    """Why a top-up that copied `rule_version` is no longer wanted; None while it is.

    Asked whenever something changes while the top-up waits, and once more before it is sent.
    """
    unmet = _unmet(facts)
    if unmet is not Reason.OFF and facts.version != rule_version:
        return Reason.RULE_CHANGED
    if unmet is None and not facts.below:
        return Reason.NO_LONGER_NEEDED
    return unmet


def fits_limit(facts: Facts, amount_minor: int) -> bool:
    """Whether one more payment of this amount keeps within the month's limit."""
    return facts.spent_minor + amount_minor <= facts.limit_minor


def _unmet(facts: Facts) -> Reason | None:
    """The first condition of the rule that is not met: only an action of the customer's can change that."""
    if not facts.enabled:
        return Reason.OFF
    if facts.paused is not None:
        return Reason.PAUSED
    if not facts.consent_stands:
        return Reason.NO_CONSENT
    if not facts.card_usable:
        return Reason.CARD_UNAVAILABLE
    return None


def _wait(facts: Facts, pace: Pace, now: dt.datetime) -> Judgement | None:
    """What only time ends. The latest moment counts; the rule is evaluated again then."""
    waits: list[tuple[dt.datetime, Reason]] = []
    if facts.not_before is not None and facts.not_before > now:
        waits.append((facts.not_before, Reason.NOT_BEFORE))
    if not fits_limit(facts, facts.amount_minor):
        waits.append((clock.next_month(now), Reason.LIMIT_REACHED))
    if len(facts.recent) >= pace.per_hour:
        waits.append((facts.recent[-pace.per_hour] + _HOUR, Reason.PACE))
    if facts.left_below_at is not None and facts.left_below_at + pace.spacing > now:
        waits.append((facts.left_below_at + pace.spacing, Reason.PACE))
    if not waits:
        return None
    wake_at, reason = max(waits)
    return Judgement(reason, wake_at=wake_at)
