"""Connections and transactions. Rooms get a `Tx` and never commit; the caller that opened it does."""

import contextlib
import dataclasses
import datetime as dt
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Generic, LiteralString, TypeVar

import psycopg
import psycopg.conninfo
import psycopg.rows
import psycopg_pool

from brimful.core import failpoints
from brimful.core.clock import Clock
from brimful.db.columns import ADAPTERS

Row = dict[str, Any]
Params = Mapping[str, Any] | Sequence[Any] | None
Statement = tuple[LiteralString, Params]
First = TypeVar("First")
Second = TypeVar("Second")

_log = logging.getLogger(__name__)
Options = Mapping[str, str]  # of a session, by PostgreSQL's names
# In UTC every moment that can be stored can be read; in another zone the last and first days of time cannot.
_SESSION: Options = {
    "statement_timeout": "30000", "lock_timeout": "15000", "idle_in_transaction_session_timeout": "60000",
    "TimeZone": "UTC",
}  # fmt: skip
_NONE: Options = {}
# Then the next request tries at once: a pool that waits twice as long each time comes back long after the database.
_RECONNECT_S = 3
_TRUSTED_S = 1.0  # a connection that was used so recently is not tried before it is used again
_UNFLUSHED: Statement = ("SELECT set_config('synchronous_commit', 'off', true)", None)
_CLOCK = "SELECT clock_timestamp() AS now"


@dataclasses.dataclass(frozen=True)
class Query(Generic[First]):
    """A statement that has not been sent, and how its rows are read. `one & other` are asked together."""

    sql: LiteralString
    params: Params
    read: Callable[[list[Row]], First]

    def __and__(self, other: "Query[Second]") -> "Together[tuple[First, Second]]":
        own, others = (self.sql, self.params), (other.sql, other.params)
        return Together((own, others), lambda rows: (self.read(rows[0]), other.read(rows[1])))


@dataclasses.dataclass(frozen=True)
class Together(Generic[First]):
    """Queries in one round trip, one after the other, and the clock after them. Each is a statement of its own: where
    one takes a lock, the next sees what was committed while it waited.
    """

    statements: tuple[Statement, ...]
    read: Callable[[Sequence[list[Row]]], First]

    def __and__(self, other: Query[Second]) -> "Together[tuple[First, Second]]":
        statements = (*self.statements, (other.sql, other.params))
        return Together(statements, lambda rows: (self.read(rows[:-1]), other.read(rows[-1])))


class Tx:
    """One open transaction. It touches no network but the database's.

    BEGIN goes out with the first statement, and what `later` was given all together: a round trip saved is a tenth of
    a single debit.
    """

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Row],
        clock: Clock,
        first: Sequence[Statement] = (),
        *,
        begun: bool = False,  # by the caller, who ends it too
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._first = first
        self._now: dt.datetime | None = None
        self._begun = begun
        self._waiting: list[tuple[LiteralString, Params, int | None]] = []
        self._committed: list[Callable[[], object]] = []

    async def execute(self, sql: LiteralString, params: Params = None) -> int:
        """Run a statement; returns how many rows it changed."""
        [cursor] = await self._send((sql, params))
        return cursor.rowcount

    async def all(self, sql: LiteralString, params: Params = None) -> list[Row]:
        """Every row of a query."""
        [cursor] = await self._send((sql, params))
        return await cursor.fetchall()

    async def one(self, sql: LiteralString, params: Params = None) -> Row | None:
        """The first row of a query, or None."""
        [cursor] = await self._send((sql, params))
        return await cursor.fetchone()

    async def ask(self, query: Query[First] | Together[First]) -> First:
        """What a query answers, or several of them together."""
        if isinstance(query, Query):
            return query.read(await self.all(query.sql, query.params))
        cursors = await self._send(*query.statements, (_CLOCK, None))
        *rows, clock = [await cursor.fetchall() for cursor in cursors]
        self._now = clock[0]["now"] + self._clock.offset
        return query.read(rows)

    def later(self, sql: LiteralString, params: Params, *, rows: int | None) -> None:
        """Run a statement with the next ones, at the latest before the commit. It must change that many rows; None
        stands for any number.
        """
        self._waiting.append((sql, params, rows))

    async def now(self) -> dt.datetime:
        """The database's clock, read once after the last lock (`now()` would be the time before it)."""
        if self._now is None:
            row = await self.one(_CLOCK)
            assert row is not None
            self._now = row["now"] + self._clock.offset
        return self._now

    def locked(self) -> None:
        """Call after taking a row lock: time has passed while waiting, so the clock is read again."""
        self._now = None

    def once_committed(self, call: Callable[[], object]) -> None:
        """Run it when this has been committed: for what counts, and must not count what was rolled back."""
        self._committed.append(call)

    async def connection(self) -> psycopg.AsyncConnection[Row]:
        """The connection, for a library that brings its own statements; the transaction is open on it."""
        await self._send()
        return self._connection

    async def commit(self) -> None:
        """Only `Database` calls this. Raises InternalError when the server rolled back: an error was swallowed."""
        if self._waiting:
            await self._send()  # alone: whether each changed its rows must be known before COMMIT goes out
        if not self._begun:
            return
        [cursor] = await self._send(("COMMIT", None))
        if cursor.statusmessage != "COMMIT":
            raise psycopg.InternalError(f"the transaction was not committed: {cursor.statusmessage}")
        for call in self._committed:
            try:
                call()
            except Exception:  # noqa: BLE001 - what is committed must not look as if it had failed
                _log.exception("after the commit")

    async def _send(self, *statements: tuple[LiteralString, Params]) -> list[psycopg.AsyncCursor[Row]]:
        """Send what waits, then these, in one round trip."""
        whole: list[tuple[LiteralString, Params, int | None]] = []
        if not self._begun:
            whole = [("BEGIN", None, None), *((sql, params, None) for sql, params in self._first)]
        whole += self._waiting
        whole += [(sql, params, None) for sql, params in statements]
        self._begun, self._waiting = True, []
        if len(whole) == 1:
            return [await self._connection.execute(*whole[0][:2])]
        async with self._connection.pipeline():
            cursors = [await self._connection.execute(sql, params) for sql, params, _ in whole]
        for cursor, (sql, _, rows) in zip(cursors, whole, strict=True):
            assert rows in {None, cursor.rowcount}, f"{cursor.rowcount} rows, not {rows}: {' '.join(sql.split())}"
        return cursors[len(whole) - len(statements) :]


class _Connection(psycopg.AsyncConnection[Row]):
    used_at = 0.0


async def _check(connection: _Connection) -> None:
    """Before a connection is handed out: whether it still lives, unless it just did."""
    if time.monotonic() - connection.used_at > _TRUSTED_S:
        await psycopg_pool.AsyncConnectionPool.check_connection(connection)


async def _note_use(connection: _Connection) -> None:
    connection.used_at = time.monotonic()


async def _autocommit(connection: _Connection) -> None:
    await connection.set_autocommit(True)


def trusting_pool(**options: Any) -> psycopg_pool.AsyncConnectionPool[Any]:
    """A pool for a library that brings its own statements, each a transaction of its own: one round trip, where the
    library's own pool took four.
    """
    own = {"connection_class": _Connection, "configure": _autocommit, "check": _check, "reset": _note_use}
    return psycopg_pool.AsyncConnectionPool(**{**options, **own})


_SET: LiteralString = "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)"
_PLANS_OF = "plan_cache_mode"
# A coordinator (Citus) plans by the values it is given: with a plan that fits all of them it does not know the node.
_PLAN_BY_VALUES = "SELECT set_config('plan_cache_mode', 'auto', false) FROM pg_extension WHERE extname = 'citus'"


async def _fit_plans(connection: _Connection) -> None:
    """When a connection is new."""
    await connection.execute(_PLAN_BY_VALUES)


class Database:
    """A pool of connections under one service role, and short transactions on them.

    Args:
        url: of the database, or of a pooler in transaction mode before it.
        role: a service role.
        direct_url: past the pooler. Where it is another address than `url`, nothing is left in a session: each
            transaction begins by taking the role and setting what it needs, and no statement is prepared.
        pool_min: connections that are kept.
        pool_max: connections at most.
        clock: the product's.
        options: of its sessions.
    """

    def __init__(
        self,
        url: str,
        role: str,
        *,
        direct_url: str | None = None,
        pool_min: int = 1,
        pool_max: int = 10,
        clock: Clock | None = None,
        options: Options = _NONE,
    ) -> None:
        self.url = url
        self.direct_url = direct_url or url
        pooled = self.direct_url != url
        self._first = (_as_first(role, options),) if pooled else ()
        self.role = role
        self.clock = clock or Clock()
        self._sizes, self._options = (pool_min, pool_max), options
        self.pool: psycopg_pool.AsyncConnectionPool[_Connection] = psycopg_pool.AsyncConnectionPool(
            url if pooled else role_conninfo(url, role, options),
            kwargs={
                "row_factory": psycopg.rows.dict_row,
                "autocommit": True,
                "context": ADAPTERS,
                "prepare_threshold": None if pooled else 5,
            },
            connection_class=_Connection,
            min_size=pool_min,
            max_size=pool_max,
            timeout=10,
            reconnect_timeout=_RECONNECT_S,
            open=False,
            configure=_fit_plans if options and not pooled else None,
            check=_check,
            reset=_note_use,
            name=role,
        )

    def at(self, host: str, port: int) -> "Database":
        """The same database at another machine: a node of a cluster, past any pooler. It is not open yet."""
        url = psycopg.conninfo.make_conninfo(self.direct_url, host=host, port=port)
        least, most = self._sizes
        return Database(url, self.role, pool_min=least, pool_max=most, clock=self.clock, options=self._options)

    async def open(self, *, timeout_s: float = 30) -> None:
        """Open the pool; raises psycopg errors when the database does not answer."""
        await self.pool.open(wait=True, timeout=timeout_s)

    async def close(self) -> None:
        await self.pool.close()

    @contextlib.asynccontextmanager
    async def transaction(self, at: str | None = None, *, flushed: bool = True) -> AsyncIterator[Tx]:
        """One short READ COMMITTED transaction: committed at the end, rolled back on any exception.

        Args:
            at: its commit lies between two crash points of that name.
            flushed: False does not wait for the disk. Only for what may be lost with a server that crashes, as long as
                no later commit of ours was flushed: that one takes all before it along.
        """
        first = self._first if flushed else (*self._first, _UNFLUSHED)
        async with self.pool.connection() as connection:  # which rolls back what an exception leaves open
            tx = Tx(connection, self.clock, first)
            yield tx
            if at is not None:
                await failpoints.crash_point(f"before {at}")
            await tx.commit()
        if at is not None:
            await failpoints.crash_point(f"after {at}")

    async def read(self, query: Together[First]) -> tuple[First, dt.datetime]:
        """What these queries answer, each as of its own moment, and the clock: one round trip, without a transaction
        around them.
        """
        if self._first:  # behind a pooler the role is a transaction's
            async with self.transaction() as tx:
                return await tx.ask(query), await tx.now()
        async with self.pool.connection() as connection, connection.pipeline():
            cursors = [await connection.execute(*statement) for statement in (*query.statements, (_CLOCK, None))]
            *rows, clock = [await cursor.fetchall() for cursor in cursors]
        return query.read(rows), clock[0]["now"] + self.clock.offset


def role_conninfo(url: str, role: str, options: Options = _NONE) -> str:
    """Connection string under a service role, which the server takes from the start-up options."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    given = str(parts.pop("options", "") or "")
    wanted = {**_SESSION, "role": role, **options}
    options_ = " ".join([given, *(f"-c {name}={value}" for name, value in wanted.items())]).strip()
    return psycopg.conninfo.make_conninfo("", **{**parts, "options": options_, "application_name": role})


def _as_first(role: str, options: Options) -> Statement:
    """The same for one transaction. Nothing is prepared there, so plans are made for the values at hand."""
    wanted = {**_SESSION, "role": role, **{name: value for name, value in options.items() if name != _PLANS_OF}}
    return _SET, (list(wanted), list(wanted.values()))
