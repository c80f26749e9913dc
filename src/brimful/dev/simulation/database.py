"""The database of a history: tables in memory behind the product's own `Database`.

A transaction runs from its beginning to its end before anything else happens, keeps its jobs until it commits, and
breaks at a crash point when the history says so. That none is open across a network call is checked at each call
(`idle`).
"""

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, LiteralString, TypeVar

import psycopg.errors

from brimful import jobs, ledger
from brimful.core.failpoints import CrashError
from brimful.db.pool import Database, Query, Row, Together, Tx
from brimful.dev.simulation.statements.registry import HANDLERS
from brimful.dev.simulation.tables import Tables

Params = Any
First = TypeVar("First")
EPOCH = dt.datetime(2026, 1, 31, 20, tzinfo=dt.UTC)  # four hours before a month ends
_TICK = dt.timedelta(milliseconds=1)


class Time:
    """The clock of a history: it moves when the history moves it, and a little with each transaction."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.slack = dt.timedelta(0)  # how far it has gone back in all

    def go_back(self, span: dt.timedelta) -> None:
        self.now -= span
        self.slack += span

    def tick(self) -> None:
        self.now += _TICK

    def seconds(self) -> float:
        return self.now.timestamp()


class Job:
    """A job as it was deferred."""

    def __init__(self, name: jobs.Name, arguments: dict[str, Any], at: dt.datetime | None) -> None:
        self.name = name
        self.arguments = arguments
        self.at = at


# Gets each statement with its parameters and its answer, and `BEGIN`, `COMMIT`, `ROLLBACK`.
Observer = Callable[[str, Params, Any], None]


class _MemoryTx(Tx):
    def __init__(
        self, tables: Tables, time: Time, observe: Observer, locked: dict[ledger.accounts.AccountKey, int] | None
    ) -> None:
        self._locked = locked
        self._tables = tables
        self._time = time
        self._observe = observe
        self.jobs: list[Job] = []

    def _run(self, sql: str, params: Params) -> "list[Row] | int":
        if sql == ledger.accounts._LOCK and self._locked is not None:
            self._meet_locks(params)
        handler = HANDLERS.get(sql)
        if handler is None:
            # Also where the product carries on after an error: a history that went on would show nothing.
            self._tables.unknown = f"the simulation does not know this statement: {' '.join(sql.split())}"
            raise NotImplementedError(self._tables.unknown)
        done = handler(self._tables, params)
        self._observe(sql, params, done)
        return done

    def _meet_locks(self, params: Params) -> None:
        """A batch of debits gives up where somebody else holds an account: so often, and then that has ended."""
        assert self._locked is not None
        for key in [key for key in self._locked if key[0] in params[0] and key[1] in params[1]]:
            self._locked[key] -= 1
            if self._locked[key] < 0:
                del self._locked[key]
            else:
                raise psycopg.errors.LockNotAvailable("somebody else holds it")

    async def execute(self, sql: LiteralString, params: Params = None) -> int:
        done = self._run(sql, params)
        return done if isinstance(done, int) else len(done)

    async def all(self, sql: LiteralString, params: Params = None) -> list[Row]:
        done = self._run(sql, params)
        assert not isinstance(done, int), sql
        return done

    async def one(self, sql: LiteralString, params: Params = None) -> Row | None:
        rows = await self.all(sql, params)
        return rows[0] if rows else None

    async def ask(self, query: Query[First] | Together[First]) -> First:
        if isinstance(query, Query):
            return query.read(await self.all(query.sql, query.params))
        return query.read([await self.all(*statement) for statement in query.statements])

    def later(self, sql: LiteralString, params: Params, *, rows: int | None) -> None:
        changed = self._run(sql, params)
        assert rows in {None, changed}, sql

    async def now(self) -> dt.datetime:
        return self._time.now

    def locked(self) -> None:
        pass

    def once_committed(self, call: Callable[[], object]) -> None:
        pass


def keep(tx: Any, name: jobs.Name, arguments: Sequence[dict[str, Any]], at: dt.datetime | None) -> None:
    """Jobs wait in their transaction until it commits."""
    tx.jobs += [Job(name, one, at) for one in arguments]


class MemoryDatabase(Database):
    """Tables in memory behind the product's own `Database`."""

    def __init__(self, tables: Tables, time: Time) -> None:
        self.tables = tables
        self.jobs: list[Job] = []
        self.locked: dict[ledger.accounts.AccountKey, int] = {}  # by somebody else, for so many tries of a batch
        self.pulse = 0
        self.crash: Callable[[str], bool] = lambda _point: False
        self.observe: Observer = lambda _sql, _params, _done: None
        self._time = time
        self._open = False

    def idle(self) -> bool:
        return not self._open

    @contextlib.asynccontextmanager
    async def transaction(self, at: str | None = None, *, flushed: bool = True) -> AsyncIterator[Tx]:  # noqa: ARG002
        assert not self._open, "two transactions overlap"
        self.pulse += 1
        self._open = True
        self._time.tick()
        self.observe("BEGIN", None, None)
        tx = _MemoryTx(self.tables, self._time, self.observe, self.locked if at == "T1" else None)
        try:
            yield tx
            self._pass(f"before {at}" if at is not None else None)
        except BaseException:
            self.tables.rollback()
            self.observe("ROLLBACK", None, None)
            raise
        else:
            self.tables.commit()
            self.observe("COMMIT", None, None)
            self.jobs += tx.jobs
        finally:
            self._open = False
        self._pass(f"after {at}" if at is not None else None)

    async def read(self, query: Together[First]) -> tuple[First, dt.datetime]:
        async with self.transaction() as tx:
            return await tx.ask(query), await tx.now()

    def _pass(self, point: str | None) -> None:
        if point is not None and self.crash(point):
            raise CrashError(point)
