"""Usage to test rules with: traces at several speeds, and generated bursts, spread over accounts with a skew."""

import array
import dataclasses
import itertools
import random
from collections.abc import Iterable, Iterator

from brimful.dev.demo.cast import Price
from brimful.dev.traces import Request

ACCOUNTS = 200
_SKEW = 1.1  # Zipf
MICRO = 1_000_000  # money is counted in millionths of a dollar
_DAY_S = 86_400


@dataclasses.dataclass
class Usage:
    """What one account used: moments in milliseconds and, up to and with each, the sum in millionths of a dollar."""

    at_ms: "array.array[int]" = dataclasses.field(default_factory=lambda: array.array("q"))
    total: "array.array[int]" = dataclasses.field(default_factory=lambda: array.array("q"))
    # The sum over time, up to each moment, in millionths of a dollar times seconds: by milliseconds a week overflows.
    _area: "array.array[int]" = dataclasses.field(default_factory=lambda: array.array("q"))

    def add(self, at_ms: int, micro: int) -> None:
        before = self.total[-1] if self.total else 0
        area = self._area[-1] + before * (at_ms - self.at_ms[-1]) // 1000 if self.at_ms else 0
        self.at_ms.append(at_ms)
        self.total.append(micro + before)
        self._area.append(area)

    def area(self, first: int, last: int) -> int:
        """The sum used, times milliseconds, from one movement to another."""
        return (self._area[last] - self._area[first]) * 1000


@dataclasses.dataclass(frozen=True)
class Source:
    """One body of usage over a span of time."""

    name: str
    until_ms: int
    accounts: list[Usage]

    @property
    def days(self) -> float:
        return self.until_ms / 1000 / _DAY_S


def from_trace(name: str, requests: Iterable[Request], *, slower: float, seed: int) -> Source:
    """The requests at their own speed, or so many times slower, spread over the accounts. Read as a stream."""
    dice, bounds = random.Random(f"{seed}/{name}"), list(itertools.accumulate(weights()))
    accounts, last = [Usage() for _ in range(ACCOUNTS)], 0
    prompt, answer = (int(each * MICRO / 1000) for each in (Price().prompt, Price().answer))  # of one token
    for request in requests:
        [owner] = dice.choices(accounts, cum_weights=bounds)
        last = int(request.at_s * slower * 1000)
        owner.add(last, request.context * prompt + request.generated * answer)
    return Source(name, max(last, 1), accounts)


def weights() -> list[float]:
    """Each account's share: the second has less than half of the first, and so on."""
    return [1 / place**_SKEW for place in range(1, ACCOUNTS + 1)]


_BURST_DAYS = 30
_SESSION_MIN_S, _SESSION_SHAPE = 240, 1.3  # Pareto: most are short, some last for hours
_SESSION_MAX_S = 6 * 3600
_SESSIONS_PER_DAY = 1.2
_EVENTS_PER_S = 1 / 15
_MEDIAN_USD = 0.5  # of an event of an account of middle weight
_SPREAD = 1.0
_LEAN, _HEAVIEST = 1.2, 30.0  # how much larger the events of heavy accounts are


def bursts(*, seed: int) -> Source:
    """Sessions of Pareto length at a rate of each account's own, with log-normal events: most hours nothing, then a
    hundred times the mean.
    """
    until_ms = _BURST_DAYS * _DAY_S * 1000
    shares = weights()
    middle = shares[ACCOUNTS // 10]
    accounts = []
    for place, share in enumerate(shares):
        dice, usage = random.Random(f"{seed}/bursts/{place}"), Usage()
        median = _MEDIAN_USD * min((share / middle) ** _LEAN, _HEAVIEST)
        for at_s in _events(dice):
            usage.add(int(at_s * 1000), max(1, int(dice.lognormvariate(0, _SPREAD) * median * MICRO)))
        accounts.append(usage)
    return Source("bursts", until_ms, accounts)


def _events(dice: random.Random) -> Iterator[float]:
    """Seconds at which one account uses something: sessions do not overlap."""
    per_day = _SESSIONS_PER_DAY * dice.lognormvariate(0, 0.7)
    rate = _EVENTS_PER_S * dice.lognormvariate(0, 0.5)
    at = dice.expovariate(per_day / _DAY_S)
    while at < _BURST_DAYS * _DAY_S:
        ends = at + min(_SESSION_MIN_S * dice.paretovariate(_SESSION_SHAPE), _SESSION_MAX_S)
        while at < min(ends, _BURST_DAYS * _DAY_S):
            yield at
            at += dice.expovariate(rate)
        at += dice.expovariate(per_day / _DAY_S)


SLOWER = (1, 4, 24)
