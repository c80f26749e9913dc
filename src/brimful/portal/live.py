"""Live balances: one query a second for all open streams of this process, and only while there are any.

A NOTIFY for each commit would halve the ledger's throughput; a poll costs one index look-up per open page.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator

import psycopg
import psycopg_pool

from brimful.core.ids import CustomerId
from brimful.db.pool import Database

_log = logging.getLogger(__name__)
HEARTBEAT_S = 15
_POLL_S = 1.0
_STREAMS_MAX = 2000
_PAGES_MAX = 10  # that one customer has open

_LATEST = """
    SELECT a.customer_id, a.asset, a.seq, t.state, t.fence, s.reason, s.wake_at
    FROM accounts AS a
    LEFT JOIN top_ups AS t
        ON t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic' AND t.ended_at IS NULL
            AND t.customer_id = ANY(%(customers)s)
    LEFT JOIN rule_states AS s
        ON s.customer_id = a.customer_id AND s.asset = a.asset AND s.customer_id = ANY(%(customers)s)
    WHERE a.customer_id = ANY(%(customers)s)
    ORDER BY a.customer_id, a.asset
"""


class Hub:
    """Tells open pages that something of their customer's has changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._streams: dict[str, set[asyncio.Queue[str | None]]] = {}
        self._marks: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def stop(self) -> None:
        """End every stream: the process is about to go."""
        self._stopping = True
        for queues in self._streams.values():
            for queue in queues:
                queue.put_nowait(None)

    @contextlib.asynccontextmanager
    async def listen(self, customer_id: CustomerId) -> AsyncIterator[asyncio.Queue[str | None] | None]:
        """A queue that gets a mark whenever the customer's accounts change, None when the process stops. Yields None
        itself where no more streams are taken.
        """
        open_pages = len(self._streams.get(customer_id, ()))
        if self._stopping or open_pages >= _PAGES_MAX or sum(map(len, self._streams.values())) >= _STREAMS_MAX:
            yield None
            return
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._streams.setdefault(customer_id, set()).add(queue)
        if customer_id in self._marks:
            queue.put_nowait(self._marks[customer_id])
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        try:
            yield queue
        finally:
            self._streams[customer_id].discard(queue)
            if not self._streams[customer_id]:
                del self._streams[customer_id]
                self._marks.pop(customer_id, None)

    async def _poll(self) -> None:
        while self._streams and not self._stopping:
            try:
                await self._look()
            except (psycopg.Error, psycopg_pool.PoolTimeout):
                _log.warning("live balances wait: the database does not answer")
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> None:
        async with self._database.transaction() as tx:
            rows = await tx.all(_LATEST, {"customers": list(self._streams)})
        seen: dict[str, list[str]] = {}
        for row in rows:
            seen.setdefault(row["customer_id"], []).append("/".join(str(value) for value in row.values()))
        for customer_id, parts in seen.items():
            mark = hashlib.blake2b("|".join(parts).encode(), digest_size=8).hexdigest()
            if self._marks.get(customer_id) == mark:
                continue
            self._marks[customer_id] = mark
            for queue in self._streams.get(customer_id, ()):
                queue.put_nowait(mark)
