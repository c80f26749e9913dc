"""The policy of auto top-up: facts in, one judgement out. Pure: nothing here reads or writes.

The debit's own transaction, the worker and the sweep use this one function.
"""

import dataclasses
import datetime as dt
import enum
from decimal import Decimal
from fractions import Fraction

from brimful.auto_top_up import brake, charges
from brimful.auto_top_up.brake import NO_PAST, Past
from brimful.auto_top_up.charges import Charge, NoRoom

_HOUR = dt.timedelta(hours=1)
_NO_RATE_RECHECK = dt.timedelta(minutes=5)
_PRICE_RECHECK = dt.timedelta(hours=1)  # it may fall again


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
    DAY_LIMIT_REACHED = "day_limit_reached"
    PRICE_CHANGED = "price_changed"  # units cost more than was agreed to: the customer is asked
    PACE = "pace"
    # Why a top-up that was requested is not sent after all:
    NO_LONGER_NEEDED = "no_longer_needed"
    RULE_CHANGED = "rule_changed"


class Ask(enum.StrEnum):
    """Why a charge waits until its customer approves it."""

    LARGE_CHARGE = "large_charge"
    MANY_CHARGES = "many_charges"
    UNUSUAL_USE = "unusual_use"


@dataclasses.dataclass(frozen=True)
class Pace:
    """How often one account may be topped up automatically."""

    per_hour: int
    spacing: dt.timedelta  # while a whole charge still leaves available below the threshold


@dataclasses.dataclass(frozen=True)
class Facts:
    """All that decides about one account's rule, read under the account's lock.

    `available` is the balance less what is held and, for a rule that does not count it, less `promotional` credit.
    Amounts of the asset are Decimal, money is minor units of `currency`. `spent_minor` counts this month's automatic
    top-ups but those that failed or were canceled, without the one under evaluation; `day` has when they were requested
    in the last 24 hours and how much each was, oldest first.

    How much is charged: whole amounts of `amount_minor`, or up to `target`, or `lasts_days` of `used_per_day` (the
    account's own use); never more than `charge_max_minor`, nor, for the latter two, less than `least_minor`.

    When the customer is asked first: above `ask_above_minor`; after `ask_after` charges in 24 hours, of which
    `day_unasked` were made; with `brake`, when `last_hour` is unusual for the account's `past`, unless its customer has
    approved such a charge in these 24 hours.
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
    left_below_at: dt.datetime | None  # the latest one, if whole, whose credit left available below
    live: bool
    charge_max_minor: int = 0  # 0: one amount
    target: Decimal | None = None
    lasts_days: int | None = None
    used_per_day: Decimal = Decimal(0)
    least_minor: int = 1
    day_limit_minor: int | None = None
    day: tuple[tuple[dt.datetime, int], ...] = ()
    agreed_rate: Fraction | None = None
    ask_above_minor: int | None = None
    ask_after: int | None = None
    day_unasked: int = 0
    brake: bool = False
    approved_unusual: bool = False
    last_hour: Decimal = Decimal(0)
    past: Past = NO_PAST
    promotional: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if not self.charge_max_minor:
            object.__setattr__(self, "charge_max_minor", self.amount_minor)

    @property
    def adds(self) -> bool:
        """Whether whole amounts are charged."""
        return self.target is None and self.lasts_days is None

    @property
    def below(self) -> bool:
        """Strictly below the threshold."""
        return self.available < self.threshold


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What follows from the facts.

    `trigger_below` is what the hot path compares with while a debit alone may start a top-up: the threshold, and what
    does not count on top. `charge` is set when a top-up is due now,
    and `ask` with it when its customer must approve it first. `wake_at` is when a wait runs out.
    """

    reason: Reason
    trigger_below: Decimal | None = None
    charge: Charge | None = None
    ask: Ask | None = None
    wake_at: dt.datetime | None = None


def evaluate(facts: Facts, pace: Pace, now: dt.datetime) -> Judgement:
    """What the rule asks for at this moment."""
    unmet = Reason.IN_FLIGHT if facts.live else _unmet(facts)
    if unmet is not None:
        return Judgement(unmet)
    if facts.rate is None:
        return Judgement(Reason.NO_RATE, wake_at=now + _NO_RATE_RECHECK)
    if facts.agreed_rate is not None and facts.rate > facts.agreed_rate:
        return Judgement(Reason.PRICE_CHANGED, wake_at=now + _PRICE_RECHECK)
    found = charges.within_limits(facts, facts.rate, now)
    if isinstance(found, Charge) and not found.units:
        return Judgement(Reason.AMOUNT_BELOW_ONE_UNIT, wake_at=now + _NO_RATE_RECHECK)
    wait = _wait(facts, pace, now, found)
    if wait is not None:
        return wait
    assert isinstance(found, Charge)
    if facts.below:
        return Judgement(Reason.TRIGGERED, charge=found, ask=asks(facts, found.amount_minor, now))
    # Promotional credit that is used up later brings an evaluation too early, never too late.
    return Judgement(Reason.ARMED, trigger_below=facts.threshold + facts.promotional)


def asks(facts: Facts, amount_minor: int, now: dt.datetime) -> Ask | None:
    """Why this charge must be approved first; None where it need not."""
    if facts.brake and not facts.approved_unusual and brake.unusual(facts.last_hour, facts.past, now):
        return Ask.UNUSUAL_USE
    if facts.ask_above_minor is not None and amount_minor > facts.ask_above_minor:
        return Ask.LARGE_CHARGE
    if facts.ask_after is not None and facts.day_unasked >= facts.ask_after:
        return Ask.MANY_CHARGES
    return None


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


def limit_exceeded(facts: Facts, amount_minor: int, now: dt.datetime) -> Reason | None:
    """Which limit one more payment of this amount would exceed; None where it keeps within both."""
    if amount_minor <= charges.room_minor(facts, now):
        return None
    beyond_month = facts.spent_minor + amount_minor > facts.limit_minor
    return Reason.LIMIT_REACHED if beyond_month else Reason.DAY_LIMIT_REACHED


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


def _wait(facts: Facts, pace: Pace, now: dt.datetime, found: Charge | NoRoom) -> Judgement | None:
    """What only time ends. The latest moment counts; the rule is evaluated again then."""
    waits: list[tuple[dt.datetime, Reason]] = []
    if facts.not_before is not None and facts.not_before > now:
        waits.append((facts.not_before, Reason.NOT_BEFORE))
    if isinstance(found, NoRoom):
        waits.append((found.until, Reason.DAY_LIMIT_REACHED if found.of_day else Reason.LIMIT_REACHED))
    if len(facts.recent) >= pace.per_hour:
        waits.append((facts.recent[-pace.per_hour] + _HOUR, Reason.PACE))
    if facts.left_below_at is not None and facts.left_below_at + pace.spacing > now:
        waits.append((facts.left_below_at + pace.spacing, Reason.PACE))
    if not waits:
        return None
    wake_at, reason = max(waits)
    return Judgement(reason, wake_at=wake_at)
