"""Rate limits of all serving processes together: they exchange their counts through the database, twice a second.

No request waits for it: a key or an address gets at most what all processes together answer in half a second more than
its limit.
"""

import asyncio
import logging
from collections.abc import Sequence

import psycopg
import psycopg_pool

from brimful.db.pool import Database
from brimful.web.rate_limit import WINDOW_S, RateLimit

_log = logging.getLogger(__name__)
_EVERY_S = 0.5
_KEPT = 3  # windows

_NOW = "SELECT extract(epoch FROM clock_timestamp())::float AS now_s"
# In the order of the names, so that two processes never wait for each other.
_SEND = """
    INSERT INTO rate_limit_uses AS q (span, name, used)
    SELECT span, name, used FROM unnest(%s::bigint[], %s::bytea[], %s::bigint[]) AS new (span, name, used)
    ORDER BY span, name
    ON CONFLICT (span, name) DO UPDATE SET used = q.used + excluded.used
    RETURNING span, name, used
"""
_FORGET = "DELETE FROM rate_limit_uses WHERE span < %s"


class RateLimitSync:
    """Exchange counts beside the applications of one process."""

    def __init__(self, database: Database, limits: Sequence[RateLimit]) -> None:
        self._database = database
        self._limits = limits
        self._task: asyncio.Task[None] | None = None
        self._forgotten = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="rate limits")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.once()
            except (psycopg.Error, psycopg_pool.PoolTimeout) as error:  # each counts alone until it is back
                _log.warning("rate limits are not shared: %s", error)
            await asyncio.sleep(_EVERY_S)

    async def once(self) -> None:
        """Send what was counted here, and learn what was counted elsewhere."""
        sent: dict[tuple[int, bytes], tuple[RateLimit, str, int]] = {}
        for limit in self._limits:
            window, new = limit.unsent()
            sent |= {(window, limit.hashed(name)): (limit, name, used) for name, used in new.items()}
        async with self._database.transaction() as tx:
            row = await tx.one(_NOW)
            assert row is not None
            for limit in self._limits:
                limit.set_clock(row["now_s"])
            window = int(row["now_s"] // WINDOW_S)
            if window != self._forgotten:
                await tx.execute(_FORGET, (window - _KEPT,))
                self._forgotten = window
            columns = [[key[0] for key in sent], [key[1] for key in sent], [used for _, _, used in sent.values()]]
            rows = await tx.all(_SEND, columns) if sent else []
        for found in rows:
            limit, name, _ = sent[found["span"], bytes(found["name"])]
            limit.learn(found["span"], {name: found["used"]})
