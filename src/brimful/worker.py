"""The background door: job names to operations, periodic tasks, graceful stop. Any number may run."""

import asyncio
import contextlib
import functools
import logging
import pathlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import procrastinate
import psycopg
import psycopg_pool

from brimful import (
    anchors,
    auto_topup,
    cards,
    charging,
    epochs,
    letters,
    measures,
    operators,
    paying,
    reconcile,
    sessions,
    stripe_inbox,
    topups,
    usage,
    verify,
    wallets,
    webhooks,
)
from brimful.db.pool import role_conninfo
from brimful.deps import Deps
from brimful.jobs import Name

__all__ = ["Operations", "run", "slow_sweep", "sweep"]

_log = logging.getLogger(__name__)
_SWEEP_MAX = 500
_LATE_S = 15
_STALE_S = 60
_PARALLEL = 8
_STOP_S = 20
_BEAT_S = 5
_AGAIN_S = 3
_ANSWER_S = 10  # psycopg's own 30 s would be spent before anybody says that the database is away
_HEARTBEAT_S = 10
_KEEP_JOBS_H = 24
# The next job is found through the index of priorities, and in no other way. A plan made while the queue was short
# joins it with itself: with a thousand jobs waiting it took 60 ms for each, until autovacuum came by.
_QUEUE_PLANS = {f"enable_{way}": "off" for way in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin")}
_RETRY = procrastinate.RetryStrategy(max_attempts=12, exponential_wait=3)


# Not the fault of what is worked on: the job is tried again.
_AWAY = (psycopg.OperationalError, psycopg_pool.PoolTimeout, ConnectionError)
_OUTSIDE = (*_AWAY, asyncio.CancelledError)


async def run(deps: Deps, *, until_idle: bool = False) -> None:
    """Work until SIGTERM or SIGINT, then finish what is running; or, without periodic tasks, until no job is due.

    A database that goes away is waited for: nothing is known of what happens meanwhile, and nothing is done.
    """
    if until_idle:
        await _work(deps, until_idle=True)
        return
    if deps.settings.metrics_address is not None:
        measures.serve(deps.settings.metrics_address)
    working = asyncio.create_task(_work_always(deps), name="work")
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    stop = asyncio.create_task(told.wait(), name="stop")
    await asyncio.wait((working, stop), return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _work_always(deps: Deps) -> None:
    """Until it is cancelled. The queue may also end by no error: one of its own tasks has failed, and a moment later
    the database was there again to say goodbye to.
    """
    while True:
        reason: object = "the queue has ended by itself"
        try:
            await _work(deps, until_idle=False)
        except (procrastinate.exceptions.ConnectorException, *_AWAY) as error:
            reason = error
        _log.error("nothing can be worked on, looking again in %d s: %s", _AGAIN_S, reason)
        await asyncio.sleep(_AGAIN_S)


async def _work(deps: Deps, *, until_idle: bool) -> None:
    connector = procrastinate.PsycopgConnector(
        conninfo=role_conninfo(deps.database.direct_url, deps.database.role, _QUEUE_PLANS),  # it listens
        min_size=1,
        max_size=max(4, deps.settings.worker_concurrency // 2),
        timeout=_ANSWER_S,
        reconnect_timeout=_AGAIN_S,
    )
    app = procrastinate.App(connector=connector)
    operations = Operations(deps)
    _register(app, operations)
    if not until_idle:
        _register_periodic(app, operations)
    async with app.open_async():
        if not until_idle:
            await operations.beat()  # before the first payment
            await reconcile_if_restored(deps)
        async with _courier(deps, once=until_idle), _pulse(operations, once=until_idle):
            await app.run_worker_async(
                concurrency=deps.settings.worker_concurrency,
                wait=not until_idle,
                install_signal_handlers=False,
                listen_notify=not until_idle,
                shutdown_graceful_timeout=_STOP_S,
                fetch_job_polling_interval=0.02 if until_idle else 1.0,
                update_heartbeat_interval=_HEARTBEAT_S,
                stalled_worker_timeout=3 * _HEARTBEAT_S,
                delete_jobs=procrastinate.jobs.DeleteJobCondition.SUCCESSFUL,
            )


@contextlib.asynccontextmanager
async def _courier(deps: Deps, *, once: bool) -> AsyncIterator[None]:
    """Webhooks are delivered beside the jobs; with `once`, those that are due when the jobs are done."""
    async with contextlib.aclosing(webhooks.Courier(deps.database, loopback=deps.settings.sandbox)) as courier:
        if once:
            yield
            await courier.deliver_due()
            return
        task = asyncio.create_task(courier.run(), name="courier")
        try:
            yield
        finally:
            courier.stop()
            await task


@contextlib.asynccontextmanager
async def _pulse(operations: "Operations", *, once: bool) -> AsyncIterator[None]:
    """Beat beside the jobs: a copy of the database is known for one that is older than the last beat."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            try:
                await operations.beat()
            except Exception:  # noqa: BLE001 - a database that is away comes back
                _log.exception("no beat")

    task = None if once else asyncio.create_task(beat(), name="pulse")
    try:
        yield
    finally:
        if task is not None:
            task.cancel()


class Operations:
    """What each job does. Without a payment provider, jobs that need one do nothing."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._witness = epochs.Witness(deps.settings.epoch_file)

    async def pay(self, customer_id: str, top_up_id: str) -> None:
        if self._deps.till is not None:
            await pay_or_set_aside(self._deps.till, customer_id, top_up_id)

    async def refund(self, customer_id: str, refund_id: str) -> None:
        if self._deps.till is not None:
            await paying.send_refund(self._deps.till, customer_id, refund_id)

    async def judge(self, customer_id: str, asset: str) -> None:
        async with self._deps.database.transaction() as tx:
            await auto_topup.judge_account(tx, customer_id, asset, self._deps.pace)

    async def setup(self, customer_id: str, setup_id: str) -> None:
        if self._deps.till is not None:
            await paying.settle_setup(self._deps.till, customer_id, setup_id)

    async def stripe_event(self, event_id: str) -> None:
        if self._deps.till is not None:
            await apply_or_set_aside(self._deps.till, event_id)

    async def letter(self, customer_id: str, event_id: str) -> None:
        if self._deps.post is not None:
            await letters.write(self._deps.post, self._deps.database, customer_id, event_id)

    async def sweep(self, timestamp: int) -> None:  # noqa: ARG002 - procrastinate passes it
        await reconcile_if_restored(self._deps)
        await sweep(self._deps)

    async def expire(self, timestamp: int) -> None:  # noqa: ARG002
        while await usage.expire(self._deps.database, self._deps.pace):
            pass

    async def beat(self) -> None:
        await beat(self._deps, self._witness)

    async def reconcile(self, timestamp: int) -> None:  # noqa: ARG002
        if self._deps.till is not None:
            await reconcile_since_last(self._deps, self._deps.till)

    async def verify(self, timestamp: int) -> None:  # noqa: ARG002
        _cry(await verify.run(self._deps.database.direct_url, self._deps.settings.ledger_keys))

    async def nightly(self, timestamp: int) -> None:  # noqa: ARG002
        await nightly(self._deps)

    async def slow_sweep(self, timestamp: int) -> None:  # noqa: ARG002
        await slow_sweep(self._deps)


async def pay_or_set_aside(till: paying.Till, customer_id: str, top_up_id: str) -> None:
    """Work on a top-up; an error of ours is counted on it, and after a few it waits for a person. Others go on."""
    try:
        await paying.pay(till, customer_id, top_up_id, only_if_due=True)
    except _OUTSIDE:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        _log.exception("top-up %s cannot be worked on", top_up_id)
        async with till.database.transaction() as tx:
            if await topups.note_failure(tx, customer_id, top_up_id):
                _log.critical("ALARM top-up %s needs a person: %r", top_up_id, error)


async def apply_or_set_aside(till: paying.Till, event_id: str) -> None:
    """Apply an event; the same care."""
    try:
        await stripe_inbox.process(till, event_id)
    except _OUTSIDE:
        raise
    except Exception as error:  # noqa: BLE001 - the same
        _log.exception("event %s cannot be applied", event_id)
        async with till.database.transaction() as tx:
            await stripe_inbox.note_failure(tx, event_id, repr(error))


_CRON = (
    ("sweep", "* * * * *"),
    ("expire", "* * * * * */15"),
    ("slow_sweep", "17 * * * *"),
    ("reconcile", "23 * * * *"),
    ("verify", "41 * * * *"),
    ("nightly", "11 3 * * *"),
)


def _register(app: procrastinate.App, operations: Operations) -> None:
    for name in Name:
        app.task(name=name.value, retry=_RETRY)(getattr(operations, name.value))


def _register_periodic(app: procrastinate.App, operations: Operations) -> None:
    for title, cron in _CRON:
        app.periodic(cron=cron)(app.task(name=title, queueing_lock=title)(getattr(operations, title)))

    async def rescue(timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
        await _rescue(app)

    app.periodic(cron="* * * * *")(app.task(name="rescue", queueing_lock="rescue")(rescue))


async def _rescue(app: procrastinate.App) -> None:
    """Jobs of workers that died are put back; our guards make doing them again harmless."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=3 * _HEARTBEAT_S):
        _log.warning("job %s of a dead worker is put back", job.id)
        await app.job_manager.retry_job(job)
    await app.job_manager.delete_old_jobs(nb_hours=_KEEP_JOBS_H, include_failed=False)


async def beat(deps: Deps, witness: epochs.Witness) -> None:
    """Note that the database is the one it was. If it is not, payments are compared with Stripe before any other."""
    async with deps.database.transaction() as tx:
        reason = await witness.beat(tx)
    witness.committed()
    if reason is not None:
        await reconcile_if_restored(deps)


async def reconcile_if_restored(deps: Deps) -> None:
    """While a restore holds charging, reconciliation is what lifts it."""
    async with deps.database.transaction() as tx:
        held = any(hold.kind == "restore" for hold in await charging.holds(tx))
    if held and deps.till is not None:
        await reconcile_since_last(deps, deps.till)


async def reconcile_since_last(deps: Deps, till: paying.Till) -> None:
    """Compare with Stripe what has happened since the last time."""
    async with deps.database.transaction() as tx:
        since = await reconcile.since_last(tx)
    try:
        await reconcile.run(till, since=since)
    except ConnectionError as error:
        _log.warning("reconciliation waits: %s", error)


async def sweep(deps: Deps) -> None:
    """Each minute: find in our own rows what no job, event or debit has brought forward."""
    async with deps.database.transaction() as tx:
        due = await topups.due(tx, late_s=_LATE_S, limit=_SWEEP_MAX)
        refunds = await paying.refunds.due(tx, late_s=_LATE_S, limit=_SWEEP_MAX)
        keys = {*await auto_topup.overdue_waits(tx, limit=_SWEEP_MAX)}
        missed = await wallets.missed_crossings(tx, limit=_SWEEP_MAX)
        setups = await cards.setups.list_open(tx, older_than_s=_STALE_S, limit=_SWEEP_MAX)
        events = await stripe_inbox.waiting(tx, older_than_s=_STALE_S, limit=_SWEEP_MAX)
    if missed:
        _log.error("%d accounts were below their line and not judged", len(missed))
    await _judge(deps, sorted(keys | set(missed)))
    till = deps.till
    if till is None:
        return
    calls: list[Callable[[], Awaitable[Any]]] = [
        *[lambda row=row: pay_or_set_aside(till, row["customer_id"], row["top_up_id"]) for row in due],
        *[lambda row=row: paying.send_refund(till, row["customer_id"], row["refund_id"]) for row in refunds],
        *[lambda setup=setup: paying.settle_setup(till, setup.customer_id, setup.setup_id) for setup in setups],
        *[lambda event_id=event_id: apply_or_set_aside(till, event_id) for event_id in events],
    ]
    await _each(calls)


async def _judge(deps: Deps, keys: Iterable[wallets.AccountKey]) -> None:
    """Judge accounts, each in a transaction of its own."""

    async def one(key: wallets.AccountKey) -> None:
        async with deps.database.transaction() as tx:
            await auto_topup.judge_account(tx, *key, deps.pace)

    await _each([functools.partial(one, key) for key in keys])


async def _each(calls: Iterable[Callable[[], Awaitable[Any]]]) -> None:
    """Run them a few at a time; one that fails is logged and stops no other."""
    gate = asyncio.Semaphore(_PARALLEL)

    async def one(call: Callable[[], Awaitable[Any]]) -> None:
        async with gate:
            try:
                await call()
            except Exception:  # noqa: BLE001 - the others go on
                _log.exception("the sweep goes on after a failure")

    await asyncio.gather(*(one(call) for call in calls))


async def nightly(deps: Deps) -> None:
    """Each night: read the whole ledger from its first entry, believing no mark, and keep an anchor of it outside."""
    url, keys, directory = deps.database.direct_url, deps.settings.ledger_keys, deps.settings.anchor_dir
    _cry(await verify.run(url, keys, full=True))
    if directory is not None:
        try:
            _cry([await anchors.keep(url, keys, pathlib.Path(directory))])
        except OSError as error:
            _log.critical("ALARM no anchor was kept: %s", error)


def _cry(findings: Iterable[verify.Finding]) -> None:
    for finding in findings:
        if not finding.ok:
            _log.critical("ALARM %s does not hold: %s", finding.id, finding.detail)


async def slow_sweep(deps: Deps) -> None:
    """Each hour: tell of cards about to expire, forget what need not be kept, and derive every rule's account anew;
    whatever was wrong is right afterwards.
    """
    async with deps.database.transaction() as tx:
        await auto_topup.tell_expiring(tx, limit=_SWEEP_MAX)
        await cards.testing.forget(tx)
        await sessions.forget(tx)
        await operators.forget(tx)
    after = ("", "")
    while True:
        async with deps.database.transaction() as tx:
            keys = await auto_topup.enabled_after(tx, after, limit=_SWEEP_MAX)
        if not keys:
            return
        await _judge(deps, keys)
        after = keys[-1]
