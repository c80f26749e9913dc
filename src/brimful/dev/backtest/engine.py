"""One rule over one account's past: the engine's own policy, with payments that take time and fail.

Between two charges nothing happens but debits, whose sums are known: the next crossing is found by bisection, and dry
time and idle money by sums kept beside them. So a rule over a month of bursts takes milliseconds.
"""

import bisect
import dataclasses
import datetime as dt
import random
import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from brimful.auto_top_up import adaptive, policy, retries
from brimful.auto_top_up.policy import Facts, Judgement, Pace
from brimful.core import money
from brimful.dev.backtest.sources import MICRO, Usage
from brimful.gateway.declines import DeclineKind

_EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_UNLIMITED = 10**11
_PACE = Pace(10**9, dt.timedelta(0))  # the rules are compared, not the platform's ceiling
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_SOFT_WAITS = (dt.timedelta(hours=4), dt.timedelta(hours=12))
_MOMENT_MS = 30_000  # a hiccup of an issuer lasts about so long
_JITTER = 0.25  # of a wait, either way: as `ids.spread` has it


@dataclasses.dataclass(frozen=True)
class Payments:
    """How payments go: log-normal with a median of two seconds; which share of tries fails, and how."""

    median_s: float = 2.0
    spread: float = 0.7
    technical: float = 0.02
    soft: float = 0.0
    hard: float = 0.0

    @property
    def slowest(self) -> dt.timedelta:
        """The 99th percentile of how long one takes, as an installation would have measured it."""
        return dt.timedelta(seconds=self.median_s * 2.718281828 ** (2.326 * self.spread))


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule to test. Money in dollars; `high` is set for an adaptive threshold between `threshold` and that.

    `every` evaluates only at its multiples, `waits` are other retries than the product's: references.
    """

    name: str
    threshold: int
    amount: int
    charge_max: int = 0
    target: int | None = None
    lasts_days: int | None = None
    high: int | None = None
    backup: bool = False
    every: dt.timedelta | None = None
    waits: tuple[dt.timedelta, ...] | None = None

    @property
    def opening(self) -> int:
        """An account begins as if just credited: full, as the rule understands it."""
        return self.threshold + self.amount if self.target is None else self.target


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one account. Milliseconds at or below zero, money in millionths of a dollar."""

    dry_ms: int
    idle: int  # money times milliseconds
    charges: int
    largest_day: int
    ended: bool  # its card was lost, or declined too often


def run(rule: Rule, usage: Usage, until_ms: int, payments: Payments, seed: str) -> Outcome:
    """One account under one rule. The same seed gives the same luck to every rule: what fails in a moment fails in it,
    no matter which rule asks.
    """
    return _Account(rule, usage, until_ms, payments, seed).run()


class _Account:
    def __init__(self, rule: Rule, usage: Usage, until_ms: int, payments: Payments, seed: str) -> None:
        self._rule, self._usage, self._until, self._payments = rule, usage, until_ms, payments
        self._seed, self._dice = seed, random.Random(seed)
        self._funded = rule.opening * MICRO
        self._threshold = rule.threshold * MICRO
        self._steps = [(0, self._funded)]  # from when on so much had been paid in
        self._charged: list[tuple[int, int]] = []
        self._lost = False
        self._backup_used = False
        self._burn = (
            adaptive.PastUse(usage.at_ms, usage.total, scale=6)
            if rule.high is not None or rule.lasts_days is not None
            else None
        )

    def run(self) -> Outcome:
        now: int | None = 0
        while now is not None and not self._lost:
            now = self._next(now)
            if now is not None:
                now = self._evaluate(now)
        dry, idle = self._measured()
        days: dict[int, int] = {}
        for at_ms, micro in self._charged:
            days[at_ms // _DAY_MS] = days.get(at_ms // _DAY_MS, 0) + micro
        return Outcome(dry, idle, len(self._charged), max(days.values(), default=0), self._lost)

    def _next(self, now: int) -> int | None:
        """When the account is evaluated next: as it crosses its threshold, or is below it already."""
        usage = self._usage
        while True:
            place = bisect.bisect_right(usage.total, self._funded - self._threshold)
            if place == len(usage.total):
                return None
            at = max(now, usage.at_ms[place])
            derived = self._derive_due(now, at)
            if derived is None:
                break
            now = derived
            self._derive(now)
        if self._rule.every is not None:
            step = int(self._rule.every.total_seconds() * 1000)
            at = -(-at // step) * step
        return at if at < self._until else None

    def _derive_due(self, now: int, crossing: int) -> int | None:
        """The next full hour before the crossing, if the account has used anything since the last."""
        if self._rule.high is None:
            return None
        hour = (now // _HOUR_MS + 1) * _HOUR_MS
        place = bisect.bisect_left(self._usage.at_ms, now)
        if place < len(self._usage.at_ms):  # nothing is used until then: the threshold stays
            hour = max(hour, self._usage.at_ms[place] // _HOUR_MS * _HOUR_MS)
        return hour if hour < min(crossing, self._until) else None

    def _derive(self, now: int) -> None:
        rule = self._rule
        if rule.high is None or self._burn is None:
            return
        time = self._payments.slowest + retries.TECHNICAL_WAITS[1]
        derived = adaptive.threshold(
            self._burn.at(now), time, low=Decimal(rule.threshold), high=Decimal(rule.high), scale=6
        )
        self._threshold = int(derived * MICRO)

    def _used(self, now: int) -> int:
        place = bisect.bisect_right(self._usage.at_ms, now)
        return self._usage.total[place - 1] if place else 0

    def _evaluate(self, now: int) -> int | None:
        """Ask the policy, and pay. Returns the moment from which the account can be evaluated again."""
        verdict = self._ask(now)
        if verdict.charge is None:
            return None
        credited = self._pay(now)
        if credited is None:
            self._lost = True
            return None
        micro = verdict.charge.amount_minor * (MICRO // 100)
        self._charged.append((now, micro))
        if credited < self._until:
            self._funded += micro
            self._steps.append((credited, self._funded))
            self._derive(credited)
        return credited

    def _ask(self, now: int) -> Judgement:
        rule, at = self._rule, _EPOCH + dt.timedelta(milliseconds=now)
        per_day = Decimal(0) if self._burn is None else self._burn.per_day(now)
        facts = Facts(
            available=Decimal(self._funded - self._used(now)).scaleb(-6), scale=6, enabled=True, version=1,
            threshold=Decimal(self._threshold).scaleb(-6), currency="USD", amount_minor=rule.amount * 100,
            limit_minor=_UNLIMITED, paused=None, not_before=None, consent_stands=True, card_usable=True,
            rate=money.ONE, spent_minor=0, recent=(), left_below_at=None, live=False,
            charge_max_minor=(rule.charge_max or rule.amount) * 100, lasts_days=rule.lasts_days,
            target=None if rule.target is None else Decimal(rule.target), used_per_day=per_day,
            least_minor=rule.amount * 100,
        )  # fmt: skip
        return policy.evaluate(facts, _PACE, at)

    def _pay(self, now: int) -> int | None:
        """When a top-up that is asked for now is credited; None where its card fails for good."""
        technical = soft = 0
        backup = False
        while True:
            now += int(self._dice.lognormvariate(0, self._payments.spread) * self._payments.median_s * 1000) + 1
            kind = self._try(now, backup=backup)
            if kind is None:
                return now
            if kind in {"soft", "hard"} and self._rule.backup and not backup:
                backup = True  # at once, in the same top-up
                continue
            if kind == "hard":
                return None
            technical, soft = technical + (kind == "technical"), soft + (kind == "soft")
            wait = self._wait(kind, technical, soft)
            if wait is None:
                return None
            now += int(wait.total_seconds() * 1000 * (1 - _JITTER + 2 * _JITTER * self._dice.random()))

    def _try(self, now: int, *, backup: bool) -> Literal["technical", "soft", "hard"] | None:
        moment = f"{self._seed}/{now // _MOMENT_MS}/{backup}".encode()
        chance, payments = zlib.crc32(moment) / 2**32, self._payments
        if chance < payments.technical:
            return "technical"
        if chance < payments.technical + payments.soft:
            return "soft"
        return "hard" if chance < payments.technical + payments.soft + payments.hard else None

    def _wait(self, kind: str, technical: int, soft: int) -> dt.timedelta | None:
        if self._rule.waits is not None:
            tried = technical + soft
            return self._rule.waits[tried - 1] if tried <= len(self._rule.waits) else None
        wanted = DeclineKind.TECHNICAL if kind == "technical" else DeclineKind.SOFT
        return retries.wait_after(wanted, technical, soft, _SOFT_WAITS)

    def _measured(self) -> tuple[int, int]:
        """Milliseconds at or below zero, and money above zero times milliseconds."""
        dry = idle = 0
        ends = [at for at, _ in self._steps[1:]] + [self._until]
        for (begins, funded), end in zip(self._steps, ends, strict=True):
            place = bisect.bisect_left(self._usage.total, funded)
            empty = self._usage.at_ms[place] if place < len(self._usage.total) else end
            empty = min(max(begins, empty), end)
            dry += end - empty
            idle += funded * (empty - begins) - self._area(begins, empty)
        return dry, idle

    def _area(self, begins: int, end: int) -> int:
        """The sum used, over that time."""
        usage = self._usage
        first, last = bisect.bisect_right(usage.at_ms, begins), bisect.bisect_right(usage.at_ms, end)
        if first == last:
            return self._used(begins) * (end - begins)
        area = self._used(begins) * (usage.at_ms[first] - begins)
        area += usage.area(first, last - 1)
        return area + usage.total[last - 1] * (end - usage.at_ms[last - 1])


def total(outcomes: Sequence[Outcome], until_ms: int) -> dict[str, float | int]:
    """Sums over all accounts: minutes dry, mean idle money, charges, and the largest day of any account."""
    return {
        "minutes_dry": round(sum(one.dry_ms for one in outcomes) / 60_000, 3),
        "idle_mean": round(sum(one.idle for one in outcomes) / until_ms / MICRO, 2),
        "charges": sum(one.charges for one in outcomes),
        "largest_day": round(max((one.largest_day for one in outcomes), default=0) / MICRO, 2),
        "cards_lost": sum(one.ended for one in outcomes),
    }
