"""Group commit: movements of many requests, posted in one transaction while the next batch gathers.

Nobody waits for a batch to fill: a writer that is free takes what is queued, be it one movement, and the more come
while all are at work, the larger the next batch. A thousand requests cost a few commits instead of a thousand. An
answer is given only after the commit that holds it. Where the database is distributed there is a queue for each shard:
a batch is of one, so that its node alone commits it.

An account that somebody else holds for long (a person's psql, an erasure) keeps its own movements waiting and nobody
else's: a batch waits a tenth of a second for its locks, then goes on without those accounts, whose movements are tried
aside until they are free.
"""

import asyncio
import collections
import dataclasses
import itertools
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

import psycopg
import psycopg.errors
import psycopg_pool

from brimful import auto_top_up, ledger, observability, top_ups
from brimful.auto_top_up.policy import Pace
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.citus.shards import Shards
from brimful.db.pool import Database, Query, Tx
from brimful.posting import decide
from brimful.posting.holds import BatchHolds
from brimful.posting.model import HOLDING, Movement, Verdict

# The hot statements have one good plan each for tables of any size: look-ups by key. Planning them again for each
# batch cost as much as running them, and a plan made while a table was empty read it as a whole when it was not.
PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "lock_timeout": "100ms"}

_log = logging.getLogger(__name__)
_NO_CUSTOMER = Verdict("refused", "customer_not_found", "There is no such customer.")
_FAILED = Verdict("refused", "event_failed", "This event could not be recorded; it has been logged. Nothing changed.")
_AWAY = "The database does not answer. Send this again."
_NO_ENTRY = frozenset({"hold", "release"})
_NOTHING = Decimal(0)
_LOCKED = "The account is locked by somebody else. Send this again in a moment."
_ATTEMPTS = 2  # a batch that fails runs once more before it is split
_ASIDE_S = 20.0  # how long a movement waits for its account
_ASIDE_AGAIN_S = 0.05


@dataclasses.dataclass(slots=True, eq=False)  # one is made for each request, and frozen ones take 7 us
class _Waiting:
    movements: Sequence[Movement]
    answer: asyncio.Future[list[Verdict]]
    since_s: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def keys(self) -> set[ledger.accounts.AccountKey]:
        return {(movement.customer_id, movement.asset) for movement in self.movements}


class Recorder:
    """Posts movements in groups. One per process.

    Args:
        database: with `PLANS` among its options.
        keyring: signs the entries.
        pace: of automatic top-ups.
        suspended: whether charging is; what is in flight then covers no hold.
        batch_max: movements in one commit; a single request may bring more.
        queue_max: movements that may wait. More are refused, so that a queued one waits for a bounded time.
        aside_again_s: how often what waits for a locked account is tried.
        writers: batches at once. While one waits for the disk, another is decided; each waits for its accounts.
    """

    def __init__(
        self,
        database: Database,
        keyring: ledger.hash_chain.Keyring,
        pace: Pace,
        *,
        suspended: Query[bool],
        batch_max: int,
        queue_max: int,
        writers: int,
        aside_again_s: float = _ASIDE_AGAIN_S,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._pace = pace
        self._suspended = suspended
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._places = Shards(database)
        self._queues: dict[int, collections.deque[_Waiting]] = {}  # by place; the first is the next
        self._aside: collections.deque[_Waiting] = collections.deque()  # their accounts are locked by somebody else
        self._held_up = asyncio.Event()
        self._queued = 0
        self._arrived = asyncio.Event()
        self._writers = writers
        self._aside_again_s = aside_again_s
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(), name=f"writer {n}") for n in range(self._writers)]
        self._beside = asyncio.create_task(self._run_aside(), name="writer aside")

    async def stop(self) -> None:
        """Post what is queued, then end."""
        self._stopping = True
        self._arrived.set()
        await asyncio.gather(*self._tasks)
        self._held_up.set()
        await self._beside

    async def submit(self, movements: Sequence[Movement]) -> list[Verdict]:
        """One verdict per movement, after the commit.

        Raises:
            Refused: `unavailable` when the queue is full or the database does not answer. Movements may then
                be sent again under the same keys.
        """
        self._admit(len(movements))
        customers = {movement.customer_id for movement in movements}
        places = self._places.at_once(customers)
        if places is None:
            places = await self._find(customers)
            self._admit(len(movements))
        if len(set(places.values())) == 1:
            return await self._enqueue(movements, next(iter(places.values())))
        parts: dict[int, list[int]] = {}
        for number, movement in enumerate(movements):
            parts.setdefault(places[movement.customer_id], []).append(number)
        answers = await asyncio.gather(
            *(self._enqueue([movements[number] for number in part], place) for place, part in parts.items())
        )
        verdicts = dict(zip(itertools.chain(*parts.values()), itertools.chain(*answers), strict=True))
        return [verdicts[number] for number in range(len(movements))]

    def _admit(self, number: int) -> None:
        if self._stopping or self._queued + number > self._queue_max:
            raise Refused("unavailable", "Too many events are waiting. Send this again in a moment.")

    async def _find(self, customers: Collection[CustomerId]) -> Mapping[CustomerId, int]:
        try:
            return await self._places.of(customers)
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
            _log.warning("The database does not answer: %s", error)
            raise Refused("unavailable", _AWAY) from error

    def _enqueue(self, movements: Sequence[Movement], place: int) -> asyncio.Future[list[Verdict]]:
        waiting = _Waiting(movements, asyncio.get_running_loop().create_future())
        if self._aside and not waiting.keys.isdisjoint(self._locked_keys()):
            self._set_aside(waiting)
            return waiting.answer
        self._queues.setdefault(place, collections.deque()).append(waiting)
        self._queued += len(movements)
        self._arrived.set()
        return waiting.answer

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._take()
            if not batch:
                if self._stopping:
                    return
                self._arrived.clear()
                continue
            await self._post_batch(batch)

    async def _post_batch(self, batch: Sequence[_Waiting]) -> None:
        """Post what these wait for, and answer them; those whose accounts are locked by somebody else go aside."""
        movements = [movement for waiting in batch for movement in waiting.movements]
        started_s = time.monotonic()
        try:
            verdicts = await self._post_safely(movements)
        except psycopg.errors.LockNotAvailable:
            await self._without_locked(batch)
        except psycopg.OperationalError as error:
            _log.warning("The database does not answer: %s", error)
            self._fail(batch, Refused("unavailable", _AWAY))
        except Exception as error:  # noqa: BLE001 - a caller who waits must get any failure
            _log.exception("A batch of %d movements failed", len(movements))
            self._fail(batch, error)
        else:
            self._answer(batch, verdicts)
            _measure(verdicts, time.monotonic() - started_s)

    async def _without_locked(self, batch: Sequence[_Waiting]) -> None:
        try:
            async with self._database.transaction() as tx:
                locked = await ledger.accounts.locked_elsewhere(tx, set().union(*(waiting.keys for waiting in batch)))
        except psycopg.OperationalError:
            self._fail(batch, Refused("unavailable", _AWAY))
            return
        kept = [waiting for waiting in batch if waiting.keys.isdisjoint(locked)]
        for waiting in batch:
            if waiting not in kept or len(batch) == 1:
                self._set_aside(waiting)
        if len(kept) == len(batch) > 1:  # what held them was something else, or has ended: one of them will show it
            middle = len(kept) // 2
            await self._post_batch(kept[:middle])
            await self._post_batch(kept[middle:])
        elif kept and len(batch) > 1:
            await self._post_batch(kept)

    # --- accounts that somebody else holds -------------------------------------------------------------------

    def _locked_keys(self) -> set[ledger.accounts.AccountKey]:
        return set().union(*(waiting.keys for waiting in self._aside))

    def _set_aside(self, waiting: _Waiting) -> None:
        self._aside.append(waiting)
        self._queued += len(waiting.movements)
        self._held_up.set()

    async def _run_aside(self) -> None:
        """Try what waits for a locked account, one account after another, until it is free or has waited too long."""
        while True:
            await self._held_up.wait()
            if not self._aside:
                if self._stopping:
                    return
                self._held_up.clear()
                continue
            first = self._aside[0]
            batch = [waiting for waiting in self._aside if not waiting.keys.isdisjoint(first.keys)]
            await self._try_aside(batch)
            for waiting in batch:
                self._aside.remove(waiting)
                if waiting.answer.done():
                    self._queued -= len(waiting.movements)
                else:
                    self._aside.append(waiting)
            await asyncio.sleep(self._aside_again_s)

    async def _try_aside(self, batch: Sequence[_Waiting]) -> None:
        movements = [movement for waiting in batch for movement in waiting.movements]
        try:
            self._answer(batch, await self._post_safely(movements))
        except psycopg.errors.LockNotAvailable:
            late = [waiting for waiting in batch if time.monotonic() - waiting.since_s > _ASIDE_S]
            self._fail(late, Refused("unavailable", _LOCKED))
        except psycopg.OperationalError:
            self._fail(batch, Refused("unavailable", _AWAY))
        except Exception as error:  # noqa: BLE001 - a caller who waits must get any failure
            _log.exception("Movements of a locked account failed")
            self._fail(batch, error)

    def _take(self) -> list[_Waiting]:
        """What waits in the place whose turn it is; the place goes behind the others."""
        if not self._queues:
            return []
        place = next(iter(self._queues))
        queue = self._queues.pop(place)
        batch: list[_Waiting] = []
        size = 0
        while queue and (not batch or size + len(queue[0].movements) <= self._batch_max):
            batch.append(queue.popleft())
            size += len(batch[-1].movements)
        if queue:
            self._queues[place] = queue
        self._queued -= size
        return batch

    @staticmethod
    def _answer(batch: Sequence[_Waiting], verdicts: Sequence[Verdict]) -> None:
        start = 0
        for waiting in batch:
            end = start + len(waiting.movements)
            if not waiting.answer.done():
                waiting.answer.set_result(list(verdicts[start:end]))
            start = end

    @staticmethod
    def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    async def _post_safely(self, movements: Sequence[Movement]) -> list[Verdict]:
        """Post a batch; if the data of one movement breaks it, find that one and post the others."""
        failure: Exception | None = None
        for _ in range(_ATTEMPTS):
            try:
                return await self._post(movements)
            except psycopg.errors.DeadlockDetected as error:
                failure = error
            except psycopg.OperationalError:
                raise
            except psycopg.errors.FeatureNotSupported as error:
                # They lie in several places: the database was distributed, or a shard split, since they were put
                # together. The next callers are put where they belong; these are split until each part lies in one.
                self._places.forget()
                failure = error
            except Exception as error:  # noqa: BLE001 - one movement that fails must not stop the others
                failure = error
        if len(movements) == 1:
            _log.error("Movement %s of %s fails", movements[0].key, movements[0].customer_id, exc_info=failure)
            return [_FAILED]
        half = len(movements) // 2
        return [*await self._post_safely(movements[:half]), *await self._post_safely(movements[half:])]

    async def _post(self, movements: Sequence[Movement]) -> list[Verdict]:
        keys = {(movement.customer_id, movement.asset) for movement in movements}
        used = {(movement.customer_id, movement.source, movement.key) for movement in movements}
        async with self._database.transaction("T1") as tx:
            accounts, known = await tx.lock_then_read(ledger.accounts.lock_query(keys), ledger.keys.known_query(used))
            if len(accounts) == len(keys):
                return await self._write(tx, accounts, known, movements)
        # Missing accounts are committed before the batch, so that a batch only ever locks rows that exist.
        async with self._database.transaction() as tx:
            await ledger.accounts.create_missing(tx, keys - set(accounts))
        async with self._database.transaction("T1") as tx:
            accounts, known = await tx.lock_then_read(ledger.accounts.lock_query(keys), ledger.keys.known_query(used))
            return await self._write(tx, accounts, known, movements)

    async def _write(
        self,
        tx: Tx,
        accounts: dict[ledger.accounts.AccountKey, ledger.accounts.Account],
        known: ledger.keys.Known,
        movements: Sequence[Movement],
    ) -> list[Verdict]:
        """One batch under its locks: decide, write, and evaluate the accounts that crossed their trigger."""
        possible = [
            _without_text(movement) if accounts[key].erased else movement
            for movement in movements
            if (key := (movement.customer_id, movement.asset)) in accounts
        ]
        await known.complete(tx)
        balances = {key: account.balance for key, account in accounts.items()}
        batch_holds = await self._batch_holds(tx, accounts, possible)
        decided = decide.decide(possible, balances, known.entries, await tx.now(), batch_holds)
        applied = [
            move
            for move, verdict in zip(possible, decided, strict=True)
            if verdict.outcome == "applied" and move.kind not in _NO_ENTRY
        ]
        entries = await ledger.post.post(tx, self._keyring, accounts, [_draft(movement) for movement in applied], known)
        if batch_holds.touched:
            held = {key: batch_holds.held[key] for key in batch_holds.touched}
            ledger.holds.save(tx, begun=batch_holds.begun, ended=batch_holds.ended, held=held, now=await tx.now())
        ends = {entry.draft[:2]: entry.balance_after for entry in entries}
        if to_evaluate := _to_evaluate(accounts, applied, ends, batch_holds):
            if observability.tracing.on():
                observability.tracing.posting(_by_account(applied))
            await auto_top_up.evaluate.reevaluate(tx, to_evaluate, self._pace)
        if len(possible) == len(movements):
            return decided
        answers = iter(decided)
        return [next(answers) if (m.customer_id, m.asset) in accounts else _NO_CUSTOMER for m in movements]

    async def _batch_holds(
        self,
        tx: Tx,
        accounts: dict[ledger.accounts.AccountKey, ledger.accounts.Account],
        movements: Sequence[Movement],
    ) -> BatchHolds:
        """What is held on these accounts; holds and bridges are read only for a batch that names any."""
        held = {key: account.held for key, account in accounts.items() if account.held}
        holding = [movement for movement in movements if movement.kind in HOLDING]
        if not holding:
            return BatchHolds(held)
        known = await tx.ask(ledger.holds.existing_query({(move.customer_id, move.key) for move in holding}))
        new = {(move.customer_id, move.asset) for move in holding if move.kind == "hold"}
        bridges = await tx.ask(top_ups.bridges.bridges_query(new)) if new else {}
        in_flight = any(bridge.bound and bridge.in_flight for bridge in bridges.values())
        if in_flight and await tx.ask(self._suspended):
            bridges = {}  # what is in flight waits for as long as charging is suspended
        return BatchHolds(held, known, bridges)


def _without_text(movement: Movement) -> Movement:
    """Of a customer who was erased the figures are kept, and nothing that somebody wrote."""
    return movement._replace(description=None, metadata=None)


def _by_account(movements: Sequence[Movement]) -> dict[ledger.accounts.AccountKey, list[str]]:
    found: dict[ledger.accounts.AccountKey, list[str]] = {}
    for movement in movements:
        found.setdefault((movement.customer_id, movement.asset), []).append(movement.key)
    return found


def _measure(verdicts: Sequence[Verdict], took_s: float) -> None:
    observability.metrics.POSTING.observe(took_s)
    for outcome, count in collections.Counter(verdict.outcome for verdict in verdicts).items():
        observability.metrics.USAGE.labels(outcome).inc(count)


def _to_evaluate(
    accounts: dict[ledger.accounts.AccountKey, ledger.accounts.Account],
    applied: Sequence[Movement],
    ends: dict[ledger.accounts.AccountKey, Decimal],
    batch_holds: BatchHolds,
) -> list[ledger.accounts.AccountKey]:
    """Accounts that crossed a line, and those that got something: a credit may end a waiting top-up."""
    evaluated = {
        (movement.customer_id, movement.asset) for movement in applied if movement.amount > 0
    } | batch_holds.touched
    for key, balance in ends.items():
        account = accounts[key]
        if account.trigger_below is None and account.alert_below is None:
            continue
        available = balance - batch_holds.held.get(key, _NOTHING)
        if any(line is not None and available < line for line in (account.trigger_below, account.alert_below)):
            evaluated.add(key)
    return sorted(evaluated)


def _draft(movement: Movement) -> ledger.entries.Draft:
    return ledger.entries.Draft(
        movement.customer_id,
        movement.asset,
        "usage" if movement.kind == "capture" else movement.kind,  # type: ignore[arg-type] # the others write none
        movement.amount,
        movement.source,
        movement.key,
        movement.occurred_at,
        description=movement.description,
        metadata=movement.metadata,
    )
