"""Limits on calls to the provider: its rates, one customer at a time, and a circuit breaker while it is down.

Rates: docs.stripe.com/rate-limits (100 requests a second live, 25 in a sandbox, 25 on one endpoint). They are the
account's, so all processes take tokens from the same buckets in the database, and share one circuit breaker.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Sequence
from typing import LiteralString, Protocol

from brimful.db.pool import Database, Query, Row, Tx

_BURST_S = 0.25  # a quarter of a second's worth at once


class CallPolicy(Protocol):
    """What stands before each call."""

    @property
    def reachable(self) -> bool:
        """Whether to begin something that will call."""

    async def admit(self, endpoint: str) -> bool:
        """Wait until one more call of this endpoint is within the rates. False: the provider does not answer, do not
        send.
        """

    async def record_outcome(self, *, answered: bool) -> None:
        """Learn from a call that was sent."""


@dataclasses.dataclass(frozen=True)
class Breaker:
    """Opens after `THRESHOLD` calls in a row that nobody answered; then lets one call in `PROBE_S` try. A value: each
    step gives the next one.

    What is not sent was not carried out: the caller keeps its state and comes back.
    """

    THRESHOLD = 5
    PROBE_S = 5.0

    lost: int = 0
    probe_at_s: float = 0.0  # by whichever clock `now_s` is read from

    @property
    def open(self) -> bool:
        """Whether the provider seems to be down."""
        return self.lost >= self.THRESHOLD

    def may_call(self, now_s: float) -> bool:
        """Whether a call may be sent now: always while closed, now and then while open."""
        return not self.open or now_s >= self.probe_at_s

    def probing(self, now_s: float) -> "Breaker":
        """After a call was let through while open: the others wait."""
        return dataclasses.replace(self, probe_at_s=now_s + self.PROBE_S)

    def record_outcome(self, now_s: float, *, answered: bool) -> "Breaker":
        """After a call that was sent."""
        if answered:
            return Breaker()
        lost = dataclasses.replace(self, lost=self.lost + 1)
        return lost.probing(now_s) if lost.lost == self.THRESHOLD else lost


# In the order in which they came. The caller that takes a token knows how long to wait before using it.
_TAKE = """
    INSERT INTO token_buckets AS b (name, due_at)
    VALUES (%(name)s, clock_timestamp() + make_interval(secs => %(spacing_s)s - %(burst_s)s))
    ON CONFLICT (name) DO UPDATE SET due_at = greatest(b.due_at, clock_timestamp() - make_interval(secs => %(burst_s)s))
        + make_interval(secs => %(spacing_s)s)
    RETURNING extract(epoch FROM due_at - clock_timestamp())::float - %(spacing_s)s AS wait_s
"""
_BREAKER = """
    SELECT lost, extract(epoch FROM probe_at)::float AS probe_at_s FROM breakers WHERE name = %s
"""
_LOCK_BREAKER = _BREAKER + "FOR NO KEY UPDATE"
_FIRST_BREAKER = "INSERT INTO breakers (name, lost, probe_at) VALUES (%s, 0, clock_timestamp()) ON CONFLICT DO NOTHING"
_SET_BREAKER = "UPDATE breakers SET lost = %s, probe_at = to_timestamp(%s) WHERE name = %s"
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float AS now_s"


class SharedLimits:
    """The buckets and the breaker of one account at the provider, shared by all processes through the database.

    Args:
        database: of any service role.
        all_per_s: calls a second, of all endpoints.
        endpoint_per_s: and of one.
        name: of the account.
    """

    def __init__(self, database: Database, *, all_per_s: int, endpoint_per_s: int, name: str = "stripe") -> None:
        self._database = database
        self._all_per_s = all_per_s
        self._endpoint_per_s = endpoint_per_s
        self._name = name
        self._seen = Breaker()
        self._probe_s = 0.0  # of this process's own clock

    @property
    def reachable(self) -> bool:
        """As it was when this process last called; `admit` reads it again."""
        return not self._seen.open or time.monotonic() >= self._probe_s

    async def admit(self, endpoint: str) -> bool:
        if not self._seen.open and await self._admit_at_once(endpoint):
            return True
        # The endpoint's turn first: a token of all, taken for the moment at which that comes, would be withheld from
        # other endpoints until then.
        whole = self._name, self._all_per_s
        async with self._database.transaction() as tx:
            if not await self._may_call(tx):
                return False
            wait_s = await _take(tx, f"{self._name} {endpoint}", self._endpoint_per_s)
            at_once = wait_s <= 0
            if at_once:
                wait_s = await _take(tx, *whole)
        await _wait(wait_s)
        if not at_once:
            async with self._database.transaction() as tx:
                wait_s = await _take(tx, *whole)
            await _wait(wait_s)
        return True

    async def _admit_at_once(self, endpoint: str) -> bool:
        """Nearly always nothing has to be waited for: breaker and both tokens in one round trip, or none of them."""
        with contextlib.suppress(_NotAtOnce):
            async with self._database.transaction() as tx:
                (seen, turn_s), whole_s = await tx.ask(
                    Query(_BREAKER, (self._name,), _breaker)
                    & _token(f"{self._name} {endpoint}", self._endpoint_per_s)
                    & _token(self._name, self._all_per_s)
                )
                if seen.open or turn_s > 0 or whole_s > 0:
                    raise _NotAtOnce
            self._seen = seen
            return True
        return False

    async def _may_call(self, tx: Tx) -> bool:
        seen = await self._read(tx, _BREAKER)
        if not seen.open:
            self._seen = seen
            return True
        seen, now_s = await self._read(tx, _LOCK_BREAKER), await _now_s(tx)
        may = seen.may_call(now_s)
        if may:
            seen = seen.probing(now_s)
            await self._write(tx, seen)
        self._see(seen, now_s)
        return may

    async def record_outcome(self, *, answered: bool) -> None:
        if answered and self._seen.lost == 0:
            return
        async with self._database.transaction() as tx:
            await tx.execute(_FIRST_BREAKER, (self._name,))
            seen, now_s = await self._read(tx, _LOCK_BREAKER), await _now_s(tx)
            seen = seen.record_outcome(now_s, answered=answered)
            await self._write(tx, seen)
        self._see(seen, now_s)

    def _see(self, breaker: Breaker, now_s: float) -> None:
        self._seen = breaker
        self._probe_s = time.monotonic() + breaker.probe_at_s - now_s

    async def _read(self, tx: Tx, sql: LiteralString) -> Breaker:
        return await tx.ask(Query(sql, (self._name,), _breaker))

    async def _write(self, tx: Tx, breaker: Breaker) -> None:
        await tx.execute(_SET_BREAKER, (breaker.lost, breaker.probe_at_s, self._name))


class _NotAtOnce(Exception):  # noqa: N818 - what was taken is given back
    """Something has to be waited for."""


def _breaker(rows: Sequence[Row]) -> Breaker:
    return Breaker(**rows[0]) if rows else Breaker()


async def _take(tx: Tx, name: str, per_s: int) -> float:
    return await tx.ask(_token(name, per_s))


def _token(name: str, per_s: int) -> Query[float]:
    """Take a token: seconds to wait before using it."""
    return Query(
        _TAKE, {"name": name, "spacing_s": 1 / per_s, "burst_s": _BURST_S}, lambda rows: max(0.0, rows[0]["wait_s"])
    )


async def _now_s(tx: Tx) -> float:
    row = await tx.one(_NOW)
    assert row is not None
    now_s: float = row["now_s"]
    return now_s


async def _wait(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


class CustomerLocks:
    """One customer's calls in sequence: the provider locks a customer's objects while it works on them. In one process:
    where two call at once, one gets `lock_timeout` at worst, and retries.
    """

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
