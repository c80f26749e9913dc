"""Manners towards the provider: its rates, one customer at a time, and silence while it is down.

Rates: docs.stripe.com/rate-limits (100 requests a second live, 25 in a sandbox, 25 on one endpoint). Each process
keeps its own buckets; the operator divides the rates by the number of processes.
"""

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator, Callable

__all__ = ["Breaker", "Limits", "TokenBucket", "Turns"]


class TokenBucket:
    """At most `rate` takes a second, in the order in which they came; a quarter of a second's worth at once."""

    def __init__(self, rate: int) -> None:
        self._spacing_s = 1 / rate
        self._burst_s = 0.25
        self._next = 0.0  # when the next token falls due, monotonic

    def delay_s(self, now: float) -> float:
        """Take a token; returns how long to wait before using it."""
        due = max(self._next, now - self._burst_s)
        self._next = due + self._spacing_s
        return max(0.0, due - now)


class Limits:
    """A bucket for all calls and one for each endpoint."""

    def __init__(self, *, all_per_s: int, endpoint_per_s: int) -> None:
        self._all = TokenBucket(all_per_s)
        self._endpoints: dict[str, TokenBucket] = collections.defaultdict(lambda: TokenBucket(endpoint_per_s))

    async def take(self, endpoint: str) -> None:
        """Wait until one more call of this endpoint is within both rates."""
        # One after the other: a token of all, taken for the moment at which this endpoint's turn comes, would be
        # withheld from other endpoints until then.
        for bucket in (self._endpoints[endpoint], self._all):
            wait_s = bucket.delay_s(time.monotonic())
            if wait_s > 0:
                await asyncio.sleep(wait_s)


class Breaker:
    """Opens after `threshold` calls in a row that nobody answered; then lets one call in `probe_s` try.

    What is not sent was not carried out: the caller keeps its state and comes back.
    """

    def __init__(
        self, *, threshold: int = 5, probe_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threshold = threshold
        self._probe_s = probe_s
        self._clock = clock
        self._lost = 0
        self._probe_at = 0.0

    @property
    def open(self) -> bool:
        """Whether the provider seems to be down."""
        return self._lost >= self._threshold

    @property
    def reachable(self) -> bool:
        """Whether to begin something: while closed, and when a probe is due."""
        return not self.open or self._clock() >= self._probe_at

    def may_call(self) -> bool:
        """Whether to send a call now: always while closed, now and then while open."""
        if not self.open:
            return True
        if not self.reachable:
            return False
        self._probe_at = self._clock() + self._probe_s
        return True

    def heard(self, *, answered: bool) -> None:
        """Learn from a call that was sent."""
        self._lost = 0 if answered else self._lost + 1
        if self._lost == self._threshold:
            self._probe_at = self._clock() + self._probe_s


class Turns:
    """One customer's calls in sequence: the provider locks a customer's objects while it works on them."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self.waiting = 0

    @contextlib.asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Hold the turn of `name`; others of that name wait."""
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = lock, users + 1
        self.waiting += 1
        try:
            try:
                await lock.acquire()
            finally:
                self.waiting -= 1
            try:
                yield
            finally:
                lock.release()
        finally:
            users = self._locks[name][1] - 1
            if users:
                self._locks[name] = lock, users
            else:
                del self._locks[name]
