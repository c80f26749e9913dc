"""A lease for a running job: it pays while the job runs, and says in time when the balance will not last::

    with brimful.lease(customer.id, "USD", chunk="0.50", subject="agent-7") as lease:
        for piece in work():
            try:
                lease.use(cost_of(piece))
            except WindDown as notice:
                save(piece)  # notice.seconds_left, and notice.why
                break

What is left of its hold is given back at the end; of a process that is lost, when the hold expires.
"""

import asyncio
import datetime as dt
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Required, Self, TypedDict

from brimful_client import calls, shapes
from brimful_client.calls import Amount, Call
from brimful_client.errors import Problem

_EXPIRES_IN_S = 600


class LeaseTerms(TypedDict, total=False):
    """What a lease is asked for with. `chunk` is set aside with every use; its job hears of the end `wind_down_s`
    seconds before it, and the hold ends `expires_in_s` seconds after the last use. The `id` is yours, or made here.
    """

    chunk: Required[Amount]
    wind_down_s: int
    expires_in_s: int
    id: str
    description: str
    subject: str
    dimensions: Mapping[str, str]


class WindDown(Exception):  # noqa: N818 - it is no error: finish, save, stop
    """The balance ends soon, and nothing more comes. Raised once; what was used is paid.

    `seconds_left` is None where it cannot be told, `why` what keeps a top-up away, such as `limit_reached`.
    """

    def __init__(self, seconds_left: float | None, why: str | None, held: Decimal) -> None:
        left = "soon" if seconds_left is None else f"in {seconds_left:.0f} s"
        super().__init__(f"The balance ends {left}: {why or 'nothing more comes'}.")
        self.seconds_left = seconds_left
        self.why = why
        self.held = held


class _Lease:
    """What both leases share: the calls, and what the server said last."""

    def __init__(self, customer_id: str, asset: str, terms: LeaseTerms) -> None:
        self.customer_id = customer_id
        self.asset = asset
        self.hold_id = terms.get("id") or f"lease-{secrets.token_hex(8)}"
        self._terms = terms
        self._series, self._number = secrets.token_hex(4), 0
        self._warned = False
        self.state: Literal["running", "bridged", "winding_down", "ended"] = "running"
        self.why: str | None = None
        self.held = self.used = Decimal(0)
        self.good_until: dt.datetime | None = None
        self._good_for_s: float | None = None
        self._heard_s = 0.0

    def _begin(self) -> Call[shapes.Hold]:
        terms: dict[str, Any] = {name: value for name, value in self._terms.items() if name not in {"id", "chunk"}}
        terms.setdefault("expires_in_s", _EXPIRES_IN_S)
        chunk = self._terms["chunk"]
        return calls.hold(self.customer_id, id=self.hold_id, asset=self.asset, lease_chunk=chunk, **terms)

    def _use(self, amount: Amount) -> Call[shapes.LeaseUse]:
        self._number += 1
        name = f"{self._series}-{self._number}"
        return calls.use_lease(self.customer_id, self.hold_id, id=name, amount=amount)

    def _end(self) -> Call[shapes.Hold]:
        return calls.release(self.customer_id, self.hold_id)

    def _take(self, answer: shapes.LeaseUse) -> None:
        self.state, self.why, self.good_until = answer.state, answer.why, answer.good_until
        self.held, self.used = answer.held, answer.used
        # By the server's clock on both sides: this machine's may be wrong.
        self._good_for_s = None if answer.good_until is None else (answer.good_until - answer.at).total_seconds()
        self._heard_s = time.monotonic()
        if answer.state != "winding_down":
            self._warned = False

    def _warn(self) -> None:
        if self.state != "winding_down" or self._warned:
            return
        self._warned = True
        raise WindDown(self.seconds_left, self.why, self.held)

    @property
    def seconds_left(self) -> float | None:
        """Until its share of the balance ends at the present burn; None where no end is in sight."""
        if self._good_for_s is None:
            return None
        return max(0.0, self._good_for_s - (time.monotonic() - self._heard_s))


def _has_ended(problem: Problem) -> bool:
    return problem.code in {"hold_ended", "hold_not_found"}


class Lease(_Lease):
    """A lease that waits for each answer. Made by `Client.lease`."""

    def __init__(self, send: Callable[[Call[Any]], Any], customer_id: str, asset: str, terms: LeaseTerms) -> None:
        super().__init__(customer_id, asset, terms)
        self._send = send

    def __enter__(self) -> Self:
        self.held = self._send(self._begin()).amount
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._send(self._end())
        except Problem as problem:
            if not _has_ended(problem):
                raise

    def use(self, amount: Amount) -> shapes.LeaseUse:
        """Pay what was used since the last time.

        Raises:
            WindDown: once, when the balance will end; what was used is paid. Later uses answer as ever.
            Problem: the lease has ended.
        """
        answer: shapes.LeaseUse = self._send(self._use(amount))
        self._take(answer)
        self._warn()
        return answer

    def keep(self) -> None:
        """A sign of life: the lease goes on, and its state is read anew. It never raises `WindDown`."""
        self._take(self._send(self._use(0)))

    def wait(self, timeout_s: float, every_s: float = 2) -> bool:
        """Wait until a lease that wound down may go on: after a top-up, for example. False when it may not by then."""
        until = time.monotonic() + timeout_s
        while True:
            self.keep()
            if self.state != "winding_down":
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(min(every_s, max(0.0, until - time.monotonic())))


class AsyncLease(_Lease):
    """The same with coroutines. Made by `AsyncClient.lease`."""

    def __init__(
        self, send: Callable[[Call[Any]], Awaitable[Any]], customer_id: str, asset: str, terms: LeaseTerms
    ) -> None:
        super().__init__(customer_id, asset, terms)
        self._send = send

    async def __aenter__(self) -> Self:
        self.held = (await self._send(self._begin())).amount
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._send(self._end())
        except Problem as problem:
            if not _has_ended(problem):
                raise

    async def use(self, amount: Amount) -> shapes.LeaseUse:
        """Pay what was used since the last time; raises what `Lease.use` raises."""
        answer: shapes.LeaseUse = await self._send(self._use(amount))
        self._take(answer)
        self._warn()
        return answer

    async def keep(self) -> None:
        """A sign of life, as `Lease.keep`."""
        self._take(await self._send(self._use(0)))

    async def wait(self, timeout_s: float, every_s: float = 2) -> bool:
        """Wait until a lease that wound down may go on, as `Lease.wait`."""
        until = time.monotonic() + timeout_s
        while True:
            await self.keep()
            if self.state != "winding_down":
                return True
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(min(every_s, max(0.0, until - time.monotonic())))
