"""What serving processes tell each other of the quotas they count, through the database, twice a second.

No request waits for it: a key or an address gets at most what all processes together answer in half a second more than
its quota.
"""

import asyncio
import logging
from collections.abc import Sequence

import psycopg
import psycopg_pool

from brimful.db import Database
from brimful.quotas import WINDOW_S, Quota

__all__ = ["Exchange"]

_log = logging.getLogger(__name__)
_EVERY_S = 0.5
_KEPT = 3  # windows

_NOW = "SELECT extract(epoch FROM clock_timestamp())::float AS now_s"
# In the order of the names, so that two processes never wait for each other.
_TELL = """
    INSERT INTO quota_uses AS q (span, name, used)
    SELECT span, name, used FROM unnest(%s::bigint[], %s::bytea[], %s::bigint[]) AS new (span, name, used)
    ORDER BY span, name
    ON CONFLICT (span, name) DO UPDATE SET used = q.used + excluded.used
    RETURNING span, name, used
"""
_FORGET = "DELETE FROM quota_uses WHERE span < %s"


class Exchange:
    """Runs beside the doors of one process."""

    def __init__(self, database: Database, quotas: Sequence[Quota]) -> None:
        self._database = database
        self._quotas = quotas
        self._task: asyncio.Task[None] | None = None
        self._forgotten = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="quotas")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.once()
            except (psycopg.Error, psycopg_pool.PoolTimeout) as error:  # each counts alone until it is back
                _log.warning("quotas are not shared: %s", error)
            await asyncio.sleep(_EVERY_S)

    async def once(self) -> None:
        """Tell what was counted here, and learn what was elsewhere."""
        told: dict[tuple[int, bytes], tuple[Quota, str, int]] = {}
        for quota in self._quotas:
            window, new = quota.untold()
            told |= {(window, quota.hashed(name)): (quota, name, used) for name, used in new.items()}
        async with self._database.transaction() as tx:
            row = await tx.one(_NOW)
            assert row is not None
            for quota in self._quotas:
                quota.set_clock(row["now_s"])
            window = int(row["now_s"] // WINDOW_S)
            if window != self._forgotten:
                await tx.execute(_FORGET, (window - _KEPT,))
                self._forgotten = window
            columns = [[key[0] for key in told], [key[1] for key in told], [used for _, _, used in told.values()]]
            rows = await tx.all(_TELL, columns) if told else []
        for found in rows:
            quota, name, _ = told[found["span"], bytes(found["name"])]
            quota.learn(found["span"], {name: found["used"]})
