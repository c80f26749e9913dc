"""Jobs: what must happen later, deferred in the transaction that causes it.

State lives in our own rows; a job only says where to look. Losing every job costs time, not money: the
sweep finds the same work. No job takes a procrastinate lock: a later job would wait behind an earlier one
that is scheduled for tomorrow.
"""

import datetime as dt
import enum
import functools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, LiteralString

import procrastinate
import procrastinate.sql
from procrastinate.connector import Notify

from brimful.core.ids import CustomerId
from brimful.db.pool import Database, Tx, role_conninfo, trusting_pool


class Name(enum.StrEnum):
    """Every job there is. worker/queue.py maps each to an operation."""

    PAY = "pay"  # customer_id, top_up_id: take a top-up as far as it goes now
    EVALUATE = "evaluate"  # customer_id, asset: a wait has run out
    REFUND = "refund"  # customer_id, refund_id: send a refund, or read what became of it
    SETUP = "setup"  # customer_id, setup_id: a card being added, read at Stripe
    STRIPE_EVENT = "stripe_event"  # event_id: apply an event from the inbox
    CARD = "card"  # customer_id, card_id, reason: block a card whose plastic was found bad elsewhere
    CUSTOMER = "customer"  # customer_id: bring their name and e-mail up to date at Stripe
    EMAIL = "email"  # customer_id, event_id: write to the customer about an event


_PRIORITIES = {
    Name.PAY: 10, Name.CARD: 10, Name.STRIPE_EVENT: 5, Name.REFUND: 5, Name.SETUP: 5, Name.EVALUATE: 5,
    Name.CUSTOMER: 0, Name.EMAIL: 0,
}  # fmt: skip

# The next job is found through the index of priorities, and in no other way: a plan made while the queue was short
# joined it with itself, and took 60 ms with a thousand jobs, until autovacuum came by. That a job was taken need not be
# on the disk: after a crash of the server it is done once more, which our rows allow.
_SESSION = dict.fromkeys((f"enable_{way}" for way in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin")), "off")
_SESSION["synchronous_commit"] = "off"

_FETCH = procrastinate.sql.queries["fetch_job"]


class _Connector(procrastinate.PsycopgConnector):
    """Asks for a job once more when a notification came while it asked and found none.

    A worker forgets such a notification (procrastinate 3.10), and would look again only after its polling interval:
    a second after the debit.
    """

    _notified = 0

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        async def count(*, channel: str, payload: str) -> None:
            self._notified += 1
            await on_notification(channel=channel, payload=payload)

        await super().listen_notify(count, channels)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        while True:
            notified = self._notified
            row: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
            if query != _FETCH or row["id"] is not None or notified == self._notified:
                return row


def connector(
    database: Database, *, connections: int, answer_s: float, again_s: float
) -> procrastinate.PsycopgConnector:
    """The worker's own connections to the queue, past a pooler, because it listens.

    Args:
        database: whose role they take.
        connections: at most.
        answer_s: how long one is waited for.
        again_s: how long a connection that is lost is tried again.
    """
    return _Connector(
        pool_factory=trusting_pool,
        conninfo=role_conninfo(database.direct_url, database.role, _SESSION),
        min_size=1,
        max_size=connections,
        timeout=answer_s,
        reconnect_timeout=again_s,
    )


# Builds the statement only; it always runs on the caller's connection.
_DEFERRER = procrastinate.App(connector=procrastinate.PsycopgConnector())


Collector = Callable[[Tx, Name, Sequence[dict[str, Any]], dt.datetime | None], None]
_keeper: Collector | None = None


def collect_with(keeper: Collector | None) -> None:
    """Hand jobs to somebody else than procrastinate: a simulation runs them in an order of its own. None ends that."""
    global _keeper  # noqa: PLW0603 - one process is one simulation or none
    _keeper = keeper


async def defer(tx: Tx, name: Name, arguments: Sequence[dict[str, Any]], *, at: dt.datetime | None = None) -> None:
    """Add one job per element of `arguments` to the caller's transaction, to run at `at` or at once."""
    if not arguments:
        return
    if _keeper is not None:
        _keeper(tx, name, arguments, at)
        return
    deferrer = _DEFERRER.configure_task(
        name=name.value, connection=await tx.connection(), schedule_at=at, priority=_PRIORITIES[name]
    )
    await deferrer.batch_defer_async(*arguments)


def with_ids(handle: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """A job whose arguments were JSON meanwhile: a customer's id is one again."""

    @functools.wraps(handle)
    async def run(**arguments: Any) -> None:
        if "customer_id" in arguments:
            arguments["customer_id"] = CustomerId(arguments["customer_id"])
        await handle(**arguments)

    return run
