"""Connections and transactions. Rooms get a `Tx` and never commit; whoever opened it does."""

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, LiteralString

import psycopg
import psycopg.conninfo
import psycopg.rows
import psycopg_pool

from brimful.clock import Clock
from brimful.crashes import crash_point

__all__ = ["Database", "Row", "Tx", "role_conninfo"]

Row = dict[str, Any]
Params = Mapping[str, Any] | Sequence[Any] | None

_SERVER_OPTIONS = "-c statement_timeout=30000 -c lock_timeout=15000 -c idle_in_transaction_session_timeout=60000"


class Tx:
    """One open transaction. It touches no network but the database's."""

    def __init__(self, connection: psycopg.AsyncConnection[Row], clock: Clock) -> None:
        self.connection = connection
        self._clock = clock
        self._now: dt.datetime | None = None

    async def execute(self, sql: LiteralString, params: Params = None) -> int:
        """Run a statement; returns how many rows it changed."""
        cursor = await self.connection.execute(sql, params)
        return cursor.rowcount

    async def all(self, sql: LiteralString, params: Params = None) -> list[Row]:
        """Every row of a query."""
        cursor = await self.connection.execute(sql, params)
        return await cursor.fetchall()

    async def one(self, sql: LiteralString, params: Params = None) -> Row | None:
        """The first row of a query, or None."""
        cursor = await self.connection.execute(sql, params)
        return await cursor.fetchone()

    async def now(self) -> dt.datetime:
        """The database's clock, read once after the last lock (`now()` would be the time before it)."""
        if self._now is None:
            row = await self.one("SELECT clock_timestamp() AS now")
            assert row is not None
            self._now = row["now"] + self._clock.offset
        return self._now

    def locked(self) -> None:
        """Called by whoever took a row lock: time has passed while waiting, read the clock anew."""
        self._now = None


class Database:
    """A pool of connections under one service role, and short transactions on them."""

    def __init__(self, url: str, role: str, *, pool_max: int = 10, clock: Clock | None = None) -> None:
        self.url = url
        self.role = role
        self.clock = clock or Clock()
        self.pool: psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[Row]] = psycopg_pool.AsyncConnectionPool(
            role_conninfo(url, role),
            kwargs={"row_factory": psycopg.rows.dict_row, "autocommit": True},
            connection_class=psycopg.AsyncConnection[Row],
            min_size=1,
            max_size=pool_max,
            timeout=10,
            open=False,
            check=psycopg_pool.AsyncConnectionPool.check_connection,
            name=role,
        )

    async def open(self) -> None:
        """Open the pool; raises psycopg errors when the database does not answer."""
        await self.pool.open(wait=True, timeout=30)

    async def close(self) -> None:
        await self.pool.close()

    @contextlib.asynccontextmanager
    async def transaction(self, at: str | None = None) -> AsyncIterator[Tx]:
        """One short READ COMMITTED transaction: committed at the end, rolled back on any exception. With `at`, its
        commit lies between two crash points of that name.
        """
        async with self.pool.connection() as connection, connection.transaction():
            yield Tx(connection, self.clock)
            if at is not None:
                await crash_point(f"before {at}")
        if at is not None:
            await crash_point(f"after {at}")


def role_conninfo(url: str, role: str) -> str:
    """Connection string under a service role, which the server takes from the start-up options."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    given = str(parts.pop("options", "") or "")
    options = f"{given} {_SERVER_OPTIONS} -c role={role}".strip()
    return psycopg.conninfo.make_conninfo("", **{**parts, "options": options, "application_name": role})
