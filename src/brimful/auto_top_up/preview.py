"""A proposed rule, run over the account's own past: what it would have done in the last days. Pure.

It evaluates with the engine's own `policy.evaluate`; what happened by itself (usage, manual top-ups,
adjustments) is replayed, what automatic top-ups did is left out.
"""

import collections
import dataclasses
import datetime as dt
import decimal
import itertools
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from brimful.auto_top_up import adaptive, charges, policy, retries
from brimful.auto_top_up.policy import Facts, Pace
from brimful.core import clock

_HOUR = dt.timedelta(hours=1)
_HOUR_MS = 3_600_000
_LIMITS = {policy.Reason.LIMIT_REACHED, policy.Reason.DAY_LIMIT_REACHED}
_EVALUATIONS_MAX = 20_000  # a rule that is always below its threshold is evaluated at each end of a wait


@dataclasses.dataclass(frozen=True)
class Past:
    """An account's movements in order, without automatic top-ups: when (ms since 1970, UTC) and how much. With
    `begins`, there was no account before the first of them, and so no balance of zero.
    """

    opening: Decimal
    at_ms: Sequence[int]
    amounts: Sequence[Decimal]
    until: dt.datetime
    begins: bool = False


@dataclasses.dataclass(frozen=True)
class Proposal:
    """The rule as the form has it. Threshold in the asset, money in minor units, `rate` as of now."""

    scale: int
    currency: str
    threshold: Decimal
    amount_minor: int
    limit_minor: int
    rate: Fraction
    charge_max_minor: int = 0  # 0: one amount
    target: Decimal | None = None
    day_limit_minor: int | None = None
    least_minor: int = 1
    lasts_days: int | None = None
    used_per_day: Decimal = Decimal(0)  # as of now
    ask_above_minor: int | None = None
    ask_after: int | None = None
    threshold_low: Decimal | None = None  # the threshold follows the use, between this and `threshold`
    slowest: dt.timedelta = dt.timedelta(0)  # how long a payment takes, for that


@dataclasses.dataclass(frozen=True)
class Preview:
    """What the rule would have done. `charged_minor` is money, `lowest` a balance of the asset. `asked` counts charges
    that would have waited for an approval, which is assumed to come at once.
    """

    payments: int
    charged_minor: int
    lowest: Decimal
    below_zero: dt.timedelta
    limit_reached: bool
    asked: int


def replay(past: Past, proposal: Proposal, pace: Pace, time_to_credit: dt.timedelta) -> Preview:
    """Run the rule over the past. Each payment succeeds and is credited after `time_to_credit`."""
    run = _Run(past, proposal, pace, time_to_credit)
    place = 0
    while place < len(past.at_ms):
        if run.idle and run.balance >= run.threshold:
            place = run.glide(past, place)
            if place == len(past.at_ms):
                break
        at_ms = past.at_ms[place]
        if run.next_ms is not None and run.next_ms <= at_ms:
            run.advance(at_ms)
        run.follow(at_ms)
        run.move(at_ms, past.amounts[place])
        if run.idle and run.balance < run.threshold:
            run.evaluate(at_ms)
        place += 1
    run.advance(_ms(past.until))
    return run.result(_ms(past.until))


class _Run:
    """One rule on its way through the past. Either a credit or the end of a wait may be outstanding."""

    def __init__(self, past: Past, proposal: Proposal, pace: Pace, time_to_credit: dt.timedelta) -> None:
        self.balance = past.opening
        self.threshold = proposal.threshold if proposal.threshold_low is None else proposal.threshold_low
        self._use = None if proposal.threshold_low is None else _use_of(past)
        self._hour = 0  # in which the threshold was derived last
        self.lowest = past.opening + past.amounts[0] if past.begins and past.amounts else past.opening
        self.next_ms: int | None = None
        self._credit = Decimal(0)
        self._asked_ms = 0
        self._proposal, self._pace = proposal, pace
        self._delay_ms = max(1, int(time_to_credit.total_seconds() * 1000))
        self._recent: collections.deque[dt.datetime] = collections.deque()
        self._day: collections.deque[tuple[dt.datetime, int]] = collections.deque()
        self._spent: collections.Counter[dt.date] = collections.Counter()
        self._left_below_at: dt.datetime | None = None
        self._payments = 0
        self._cut = False
        self._asked: collections.deque[bool] = collections.deque()  # beside `_day`
        self._asked_count = 0
        self._evaluations = 0
        self._limit_reached = False
        self._negative_since: int | None = None
        self._negative_ms = 0

    @property
    def idle(self) -> bool:
        return self.next_ms is None

    def glide(self, past: Past, place: int) -> int:
        """Move while the balance stays above the threshold, as it nearly always does, and the threshold where it is.
        Returns where it does not.
        """
        balance, lowest, line = self.balance, self.lowest, self.threshold
        until_ms = None if self._use is None else (self._hour + 1) * _HOUR_MS
        for at_ms, amount in zip(
            itertools.islice(past.at_ms, place, None), itertools.islice(past.amounts, place, None), strict=True
        ):
            moved = balance + amount
            if moved < line or (until_ms is not None and at_ms >= until_ms):
                break
            balance = moved
            lowest = min(lowest, moved)
            place += 1
        self.balance, self.lowest = balance, lowest
        return place

    def follow(self, at_ms: int, *, credited: bool = False) -> None:
        """Derive the threshold anew, each hour and after a credit, where it follows the use."""
        low, hour = self._proposal.threshold_low, at_ms // _HOUR_MS
        if self._use is None or low is None or (hour == self._hour and not credited):
            return
        self._hour = hour
        time = self._proposal.slowest + retries.TECHNICAL_WAITS[1]
        self.threshold = adaptive.threshold(
            self._use.at(at_ms), time, low=low, high=self._proposal.threshold, scale=self._proposal.scale
        )

    def move(self, at_ms: int, amount: Decimal) -> None:
        self.balance += amount
        self.lowest = min(self.lowest, self.balance)
        if self.balance < 0:
            if self._negative_since is None:
                self._negative_since = at_ms
        elif self._negative_since is not None:
            self._negative_ms += at_ms - self._negative_since
            self._negative_since = None

    def advance(self, until_ms: int) -> None:
        """Let credits arrive and waits run out."""
        while self.next_ms is not None and self.next_ms <= until_ms:
            at_ms, self.next_ms = self.next_ms, None
            if self._credit:
                credit, self._credit = self._credit, Decimal(0)
                self.move(at_ms, credit)
                self.follow(at_ms, credited=True)
                below = self.balance < self.threshold and not self._cut
                self._left_below_at = _moment(self._asked_ms) if below else None
            if self.balance < self.threshold:
                self.evaluate(at_ms)

    def evaluate(self, at_ms: int) -> None:
        self._evaluations += 1
        if self._evaluations > _EVALUATIONS_MAX:
            return
        now, month = _moment(at_ms), clock.month_start(_moment(at_ms))
        while self._recent and self._recent[0] <= now - _HOUR:
            self._recent.popleft()
        while self._day and self._day[0][0] <= now - charges.DAY:
            self._day.popleft()
            self._asked.popleft()
        verdict = policy.evaluate(self._facts(month), self._pace, now)
        if verdict.charge is not None:
            self._credit, self._asked_ms, self.next_ms = verdict.charge.units, at_ms, at_ms + self._delay_ms
            self._payments += 1
            self._spent[month] += verdict.charge.amount_minor
            self._recent.append(now)
            self._day.append((now, verdict.charge.amount_minor))
            self._cut = verdict.charge.cut
            self._asked.append(verdict.ask is not None)
            self._asked_count += verdict.ask is not None
        elif verdict.wake_at is not None:
            self.next_ms = max(_ms(verdict.wake_at), at_ms + 1)
            self._limit_reached |= verdict.reason in _LIMITS

    def _facts(self, month: dt.date) -> Facts:
        proposal = self._proposal
        return Facts(
            available=self.balance,
            scale=proposal.scale,
            enabled=True,
            version=0,
            threshold=self.threshold,
            currency=proposal.currency,
            amount_minor=proposal.amount_minor,
            limit_minor=proposal.limit_minor,
            paused=None,
            not_before=None,
            consent_stands=True,
            card_usable=True,
            rate=proposal.rate,
            spent_minor=self._spent[month],
            recent=tuple(self._recent),
            left_below_at=self._left_below_at,
            live=False,
            charge_max_minor=proposal.charge_max_minor,
            target=proposal.target,
            least_minor=proposal.least_minor,
            day_limit_minor=proposal.day_limit_minor,
            lasts_days=proposal.lasts_days,
            used_per_day=proposal.used_per_day,
            ask_above_minor=proposal.ask_above_minor,
            ask_after=proposal.ask_after,
            day_unasked=self._asked.count(False),
            day=tuple(self._day),
        )

    def result(self, until_ms: int) -> Preview:
        negative_ms = self._negative_ms
        if self._negative_since is not None:
            negative_ms += until_ms - self._negative_since
        return Preview(
            self._payments,
            sum(self._spent.values()),
            self.lowest,
            dt.timedelta(milliseconds=negative_ms),
            self._limit_reached,
            self._asked_count,
        )


def _use_of(past: Past) -> adaptive.PastUse:
    at_ms, totals, total = [], [], Decimal(0)
    for moment, amount in zip(past.at_ms, past.amounts, strict=True):
        if amount < 0:
            total -= amount
            at_ms.append(moment)
            totals.append(total)
    return adaptive.PastUse(at_ms, totals, scale=0)


def suggest(past: Past, time_to_credit: dt.timedelta, *, scale: int) -> Decimal | None:
    """A threshold that covers the busiest hour of the past and the time a credit takes, rounded up to two digits;
    None where nothing was used.
    """
    hours: collections.defaultdict[int, Decimal] = collections.defaultdict(Decimal)
    for at_ms, amount in zip(past.at_ms, past.amounts, strict=True):
        if amount < 0:
            hours[at_ms // _HOUR_MS] -= amount
    if not hours:
        return None
    share = Decimal(int(time_to_credit.total_seconds())) / 3600
    wanted = max(hours.values()) * (1 + share)
    step = Decimal(1).scaleb(max(wanted.adjusted() - 1, -min(scale, 2)))
    return max(wanted.quantize(step, rounding=decimal.ROUND_CEILING), step)


def _moment(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC) + dt.timedelta(milliseconds=at_ms % 1000)


def _ms(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000
