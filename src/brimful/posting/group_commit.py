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

import psycopg
import psycopg.errors
import psycopg_pool

from brimful import ledger, observability
from brimful.auto_top_up.policy import Pace
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.citus.shards import Shards
from brimful.db.pool import Database
from brimful.posting.batch import BatchWriter
from brimful.posting.model import Movement, Verdict

# The hot statements have one good plan each for tables of any size: look-ups by key. Planning them again for each
# batch cost as much as running them, and a plan made while a table was empty read it as a whole when it was not.
PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "lock_timeout": "100ms"}

_log = logging.getLogger(__name__)
_FAILED = Verdict("refused", "event_failed", "This event could not be recorded; it has been logged. Nothing changed.")
_AWAY = "The database does not answer. Send this again."
_LOCKED = "The account is locked by somebody else. Send this again in a moment."
_ATTEMPTS = 2  # a batch that fails runs once more before it is split
_ASIDE_S = 20.0  # how long a movement waits for its account
_ASIDE_AGAIN_S = 0.05


@dataclasses.dataclass(slots=True, eq=False)  # one is made for each request, and frozen ones take 7 us
class _Waiting:
    """`movements` are those without a verdict; `verdicts` has a gap for each once a node has done some of them."""

    movements: Sequence[Movement]
    place: int
    answer: asyncio.Future[list[Verdict]]
    since_s: float = dataclasses.field(default_factory=time.monotonic)
    verdicts: list[Verdict | None] | None = None

    def take(self, verdicts: Sequence[Verdict]) -> None:
        """Answer, with the verdicts of `movements`."""
        if self.verdicts is not None:
            rest = iter(verdicts)
            verdicts = [next(rest) if verdict is None else verdict for verdict in self.verdicts]
        if not self.answer.done():
            self.answer.set_result(list(verdicts))

    @property
    def keys(self) -> set[ledger.accounts.AccountKey]:
        return {(movement.customer_id, movement.asset) for movement in self.movements}


class Recorder:
    """Posts movements in groups. One per process.

    Args:
        database: with `PLANS` among its options.
        keyring: signs the entries.
        pace: of automatic top-ups.
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
        batch_max: int,
        queue_max: int,
        writers: int,
        aside_again_s: float = _ASIDE_AGAIN_S,
    ) -> None:
        self._database = database
        self._writer = BatchWriter(database, keyring, pace)
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
        await self._writer.close()

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
        waiting = _Waiting(movements, place, asyncio.get_running_loop().create_future())
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
        started_s = time.monotonic()
        try:
            batch = await self._post_at_node(batch)
            movements = [movement for waiting in batch for movement in waiting.movements]
            verdicts = await self._post_safely(movements) if movements else []
        except psycopg.errors.LockNotAvailable:
            await self._without_locked(batch)
        except psycopg.OperationalError as error:
            _log.warning("The database does not answer: %s", error)
            self._fail(batch, Refused("unavailable", _AWAY))
        except Exception as error:  # noqa: BLE001 - a caller who waits must get any failure
            _log.exception("A batch for %d callers failed", len(batch))
            self._fail(batch, error)
        else:
            self._answer(batch, verdicts)
            _measure(verdicts, time.monotonic() - started_s)

    async def _post_at_node(self, batch: Sequence[_Waiting]) -> Sequence[_Waiting]:
        """Let the node of the batch's place do what it can by itself, and answer those who are done. Returns the rest.
        One node, one shard: on a plain PostgreSQL there is nothing to do here.
        """
        movements = [movement for waiting in batch for movement in waiting.movements]
        done = await self._writer.write_at_node(movements, batch[0].place)
        if not done:
            return batch
        numbers, rest = itertools.count(), []
        for waiting in batch:
            waiting.verdicts = [done.get(next(numbers)) for _ in waiting.movements]
            pairs = zip(waiting.movements, waiting.verdicts, strict=True)
            waiting.movements = [movement for movement, verdict in pairs if verdict is None]
            if waiting.movements:
                rest.append(waiting)
            else:
                waiting.take(())
        _count(list(done.values()))
        return rest

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
            waiting.take(verdicts[start:end])
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
                return await self._writer.write(movements)
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


def _measure(verdicts: Sequence[Verdict], took_s: float) -> None:
    observability.metrics.POSTING.observe(took_s)
    _count(verdicts)


def _count(verdicts: Sequence[Verdict]) -> None:
    for outcome, count in collections.Counter(verdict.outcome for verdict in verdicts).items():
        observability.metrics.USAGE.labels(outcome).inc(count)
