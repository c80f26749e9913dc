"""The worker: job names to handlers, periodic tasks, graceful stop. Any number may run."""

import asyncio
import contextlib
import functools
import logging
import math
import os
import pathlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any

import procrastinate
import psycopg
import psycopg_pool

from brimful import auto_top_up, cards, email, jobs, ledger, observability, operations, payments, posting, top_ups
from brimful.auth import operators, portal_sessions
from brimful.core.ids import NOBODY, CustomerId
from brimful.jobs import Name, with_ids
from brimful.notifications import webhooks
from brimful.wiring import Deps

_log = logging.getLogger(__name__)
_SWEEP_MAX = 500
_LATE_S, _STALE_S = 15, 60
_PARALLEL = 8
_STOP_S = 8  # from SIGTERM to the end, also when the database does not answer
_FINISH_S = 5  # of these, for jobs that are running
_JOB_S = 3600  # `until_idle` waits for its jobs to the end
_PULSE_S = 5
_AGAIN_S = 3
_PARENT_S = 1
_ANSWER_S = 10  # psycopg's own 30 s would be spent before anybody says that the database is away
_HEARTBEAT_S = 10
_KEEP_JOBS_H = 24
_RETRY = procrastinate.RetryStrategy(max_attempts=12, exponential_wait=3)

# The database or Stripe is away: the job is tried again.
_AWAY = (psycopg.OperationalError, psycopg_pool.PoolTimeout, ConnectionError)


async def run(deps: Deps, *, until_idle: bool = False) -> None:
    """Work until SIGTERM or SIGINT, or until the supervisor is gone; then finish what is running, for a few seconds.
    With `until_idle`, run without periodic tasks until no job is due.

    While the database is away the worker waits for it. On SIGTERM it waits for nothing longer than `_STOP_S`:
    the process ends, and what it was doing is found again in our rows.
    """
    if until_idle:
        await _work(deps, JobHandlers(deps), until_idle=True)
        return
    handlers = JobHandlers(deps)
    if deps.settings.metrics_address is not None:
        observability.metrics.serve(deps.settings.metrics_address, handlers.healthy)
    working = asyncio.create_task(_work_always(deps, handlers), name="work")
    stop = asyncio.create_task(_stop_requested(deps.settings.parent_pid), name="stop")
    await asyncio.wait((working, stop), return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    done, _ = await asyncio.wait((working,), timeout=_STOP_S)
    if not done:
        _log.error("worker ends without waiting for its database: it did not stop within %d s", _STOP_S)
        logging.shutdown()
        os._exit(0)  # a task that does not end when it is canceled would hold the process
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _stop_requested(parent_pid: int | None) -> None:
    """Return on SIGTERM or SIGINT, or when the supervisor that started this process is gone."""
    signaled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signaled.set)
    while not signaled.is_set():
        if parent_pid is not None and os.getppid() != parent_pid:
            _log.error("worker ends: process %d, which started it, is gone", parent_pid)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(signaled.wait(), _PARENT_S)


async def _work_always(deps: Deps, handlers: "JobHandlers") -> None:
    """Restart the job queue until canceled.

    procrastinate can return without an error when its listener dies and the database is back by the time it shuts down.
    A worker whose settings are no longer the installation's waits until they are.
    """
    published = False
    while True:
        reason: object = "the queue has ended by itself"
        try:
            if not published:
                await handlers.publish_settings()
                published = True
            if await handlers.takes_part():
                await _work(deps, handlers, until_idle=False)
            if handlers.superseded.is_set():
                reason = "the installation has other settings, those of a worker that started later"
        except (procrastinate.exceptions.ConnectorException, *_AWAY) as error:
            reason = error
        _log.error("nothing can be worked on, looking again in %d s: %s", _AGAIN_S, reason)
        await asyncio.sleep(_AGAIN_S)


async def _work(deps: Deps, handlers: "JobHandlers", *, until_idle: bool) -> None:
    connections = max(4, deps.settings.worker_concurrency // 2)
    connector = jobs.connector(deps.database, connections=connections, answer_s=_ANSWER_S, again_s=_AGAIN_S)
    app = procrastinate.App(connector=connector)
    _register(app, handlers)
    if not until_idle:
        _register_periodic(app, handlers)
    async with app.open_async():
        if not until_idle:
            await handlers.heartbeat()  # before the first payment
            await reconcile_if_restored(deps)
        async with _deliveries(deps, once=until_idle), _heartbeat(handlers, once=until_idle):
            queue = app.run_worker_async(
                concurrency=deps.settings.worker_concurrency,
                wait=not until_idle,
                install_signal_handlers=False,
                listen_notify=not until_idle,
                shutdown_graceful_timeout=_JOB_S if until_idle else _FINISH_S,
                fetch_job_polling_interval=0.02 if until_idle else 1.0,
                update_heartbeat_interval=_HEARTBEAT_S,
                stalled_worker_timeout=3 * _HEARTBEAT_S,
                delete_jobs=procrastinate.jobs.DeleteJobCondition.SUCCESSFUL,
            )
            await _until(handlers.superseded, queue)


async def _until(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, or cancel it when the event happens. Raises what it raises."""
    working, happened = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait((working, happened), return_when=asyncio.FIRST_COMPLETED)
    finally:
        happened.cancel()
        working.cancel()
        [outcome] = await asyncio.gather(working, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome


@contextlib.asynccontextmanager
async def _deliveries(deps: Deps, *, once: bool) -> AsyncIterator[None]:
    """Webhooks are delivered beside the jobs; with `once`, those that are due when the jobs are done."""
    async with contextlib.aclosing(
        webhooks.delivery.DeliveryWorker(deps.database, loopback=deps.settings.sandbox)
    ) as deliveries:
        if once:
            yield
            await deliveries.deliver_due()
            return
        task = asyncio.create_task(deliveries.run(), name="deliveries")
        try:
            yield
        finally:
            deliveries.stop()
            await task


@contextlib.asynccontextmanager
async def _heartbeat(handlers: "JobHandlers", *, once: bool) -> AsyncIterator[None]:
    """Send heartbeats beside the jobs: an old copy of the database is recognized by them."""

    async def heartbeat() -> None:
        while True:
            await asyncio.sleep(_PULSE_S)
            try:
                await handlers.heartbeat()
            except Exception:  # noqa: BLE001 - a database that is away comes back
                _log.exception("no heartbeat")

    task = None if once else asyncio.create_task(heartbeat(), name="pulse")
    try:
        yield
    finally:
        if task is not None:
            task.cancel()


class JobHandlers:
    """What each job does. Without a payment provider, jobs that need one do nothing."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._detector = payments.restore_guard.RestoreDetector(deps.settings.epoch_file)
        self._worker = operations.installation.membership(deps.settings)
        self._beat_s = -math.inf
        self.superseded = asyncio.Event()  # by a worker that started later, with other settings

    async def pay(self, customer_id: CustomerId, top_up_id: str) -> None:
        if self._deps.payments is not None:
            await payments.turns.pay(self._deps.payments, customer_id, top_up_id)

    async def refund(self, customer_id: CustomerId, refund_id: str) -> None:
        if self._deps.payments is not None:
            await payments.turns.within(payments.reversals.send_refund(self._deps.payments, customer_id, refund_id))

    async def evaluate(self, customer_id: CustomerId, asset: str) -> None:
        async with self._deps.database.transaction() as tx:
            await auto_top_up.evaluate.evaluate_account(tx, customer_id, asset, self._deps.pace)

    async def setup(self, customer_id: CustomerId, setup_id: str) -> None:
        if self._deps.payments is not None:
            await payments.turns.within(payments.checkout.settle_setup(self._deps.payments, customer_id, setup_id))

    async def card(self, customer_id: CustomerId, card_id: str, reason: str) -> None:
        async with self._deps.database.transaction() as tx:
            await auto_top_up.pauses.block_card(tx, customer_id, card_id, reason, self._deps.pace)

    async def customer(self, customer_id: CustomerId) -> None:
        if self._deps.payments is not None:
            await payments.stripe_customers.update(self._deps.payments, customer_id)

    async def stripe_event(self, event_id: str) -> None:
        if self._deps.payments is not None:
            await payments.turns.apply_event(self._deps.payments, event_id)

    async def email(self, customer_id: CustomerId, event_id: str) -> None:
        if self._deps.mailer is not None:
            await email.send.send_for_event(self._deps.mailer, self._deps.database, customer_id, event_id)

    async def sweep(self, timestamp: int) -> None:  # noqa: ARG002 - procrastinate passes it
        await reconcile_if_restored(self._deps)
        await sweep(self._deps)

    async def expire(self, timestamp: int) -> None:  # noqa: ARG002
        while await posting.expire_holds.expire_due(self._deps.database, self._deps.pace):
            pass

    def healthy(self) -> bool:
        """Whether a heartbeat was written lately: the loop runs, and the database takes part."""
        return time.monotonic() - self._beat_s < 3 * _HEARTBEAT_S

    async def heartbeat(self) -> None:
        await heartbeat(self._deps, self._detector)
        self._beat_s = time.monotonic()
        await self.takes_part()

    async def publish_settings(self) -> None:
        async with self._deps.database.transaction() as tx:
            await operations.installation.publish(tx, self._worker)

    async def takes_part(self) -> bool:
        """Report this worker as alive. Returns whether its settings are still the installation's."""
        async with self._deps.database.transaction() as tx:
            current = await operations.installation.report(tx, self._worker)
        if current:
            self.superseded.clear()
        else:
            self.superseded.set()
        return current

    async def reconcile(self, timestamp: int) -> None:  # noqa: ARG002
        if self._deps.payments is not None:
            await reconcile_since_last(self._deps, self._deps.payments)

    async def verify(self, timestamp: int) -> None:  # noqa: ARG002
        _raise_alarms(await operations.verify.run(self._deps.database.direct_url, self._deps.settings.ledger_keys))

    async def nightly(self, timestamp: int) -> None:  # noqa: ARG002
        await nightly(self._deps)

    async def slow_sweep(self, timestamp: int) -> None:  # noqa: ARG002
        await slow_sweep(self._deps)

    async def roll_up(self, timestamp: int) -> None:  # noqa: ARG002
        await roll_up(self._deps)


_CRON = (
    ("sweep", "* * * * *"),
    ("expire", "* * * * * */15"),
    ("roll_up", "2 * * * *"),
    ("slow_sweep", "17 * * * *"),
    ("reconcile", "23 * * * *"),
    ("verify", "41 * * * *"),
    ("nightly", "11 3 * * *"),
)


def _register(app: procrastinate.App, handlers: JobHandlers) -> None:
    for name in Name:
        app.task(name=name.value, retry=_RETRY)(with_ids(getattr(handlers, name.value)))


def _register_periodic(app: procrastinate.App, handlers: JobHandlers) -> None:
    for title, cron in _CRON:
        app.periodic(cron=cron)(app.task(name=title, queueing_lock=title)(getattr(handlers, title)))

    async def rescue(timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
        await _rescue(app)

    app.periodic(cron="* * * * *")(app.task(name="rescue", queueing_lock="rescue")(rescue))


async def _rescue(app: procrastinate.App) -> None:
    """Jobs of workers that died are put back; our guards make doing them again harmless."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=3 * _HEARTBEAT_S):
        _log.warning("job %s of a dead worker is put back", job.id)
        await app.job_manager.retry_job(job)
    await app.job_manager.delete_old_jobs(nb_hours=_KEEP_JOBS_H, include_failed=False)


async def heartbeat(deps: Deps, detector: payments.restore_guard.RestoreDetector) -> None:
    """Note that the database is the one it was. If it is not, payments are compared with Stripe before any other."""
    async with deps.database.transaction() as tx:
        reason = await detector.heartbeat(tx)
    detector.committed()
    if reason is not None:
        await reconcile_if_restored(deps)


async def reconcile_if_restored(deps: Deps) -> None:
    """Reconcile while charging is suspended after a restore: that resumes it."""
    async with deps.database.transaction() as tx:
        found = await payments.suspensions.list_all(tx)
    if deps.payments is not None and any(suspension.kind == "restore" for suspension in found):
        await reconcile_since_last(deps, deps.payments)


async def reconcile_since_last(deps: Deps, context: payments.context.PaymentContext) -> None:
    """Compare with Stripe what has happened since the last time."""
    async with deps.database.transaction() as tx:
        since = await payments.reconcile.since_last(tx)
    try:
        await payments.reconcile.run(context, since=since)
    except ConnectionError as error:
        _log.warning("reconciliation waits: %s", error)


async def sweep(deps: Deps) -> None:
    """Each minute: find in our own rows what no job, event or debit has brought forward."""
    async with deps.database.transaction() as tx:
        due = await top_ups.store.due(tx, late_s=_LATE_S, limit=_SWEEP_MAX)
        refunds = await payments.refunds.due(tx, late_s=_LATE_S, limit=_SWEEP_MAX)
        keys = {*await auto_top_up.evaluate.overdue_waits(tx, limit=_SWEEP_MAX)}
        missed = await ledger.accounts.missed_crossings(tx, limit=_SWEEP_MAX)
        setups = await cards.setups.list_open(tx, older_than_s=_STALE_S, limit=_SWEEP_MAX)
        events = await payments.stripe_events.waiting(tx, older_than_s=_STALE_S, limit=_SWEEP_MAX)
    if missed:
        _log.error("%d accounts were below their trigger and not evaluated", len(missed))
    await _evaluate(deps, sorted(keys | set(missed)))
    context = deps.payments
    if context is None:
        return
    calls: list[Callable[[], Awaitable[Any]]] = [
        *[lambda row=row: payments.turns.pay(context, row["customer_id"], row["top_up_id"]) for row in due],
        *[
            lambda row=row: payments.turns.within(
                payments.reversals.send_refund(context, row["customer_id"], row["refund_id"])
            )
            for row in refunds
        ],
        *[
            lambda setup=setup: payments.turns.within(
                payments.checkout.settle_setup(context, setup.customer_id, setup.setup_id)
            )
            for setup in setups
        ],
        *[lambda event_id=event_id: payments.turns.apply_event(context, event_id) for event_id in events],
    ]
    await _each(calls)


async def _evaluate(
    deps: Deps,
    keys: Iterable[ledger.accounts.AccountKey],
    how: Callable[..., Awaitable[None]] = auto_top_up.evaluate.evaluate_account,
) -> None:
    """Evaluate accounts, each in a transaction of its own."""

    async def one(key: ledger.accounts.AccountKey) -> None:
        async with deps.database.transaction() as tx:
            await how(tx, *key, deps.pace)

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
    _raise_alarms(await operations.verify.run(url, keys, full=True))
    if directory is not None:
        try:
            _raise_alarms([await operations.anchors.write_anchor(url, keys, pathlib.Path(directory))])
        except OSError as error:
            _log.critical("ALARM no anchor was kept: %s", error)


def _raise_alarms(findings: Iterable[operations.verify.Finding]) -> None:
    for finding in findings:
        if not finding.ok:
            _log.critical("ALARM %s does not hold: %s", finding.id, finding.detail)


async def roll_up(deps: Deps) -> None:
    """Each hour: bring every account's hours of use up to date, delete those that are too old, measure how long
    payments take, and let thresholds follow.
    """
    after: ledger.accounts.AccountKey | None = (NOBODY, "")
    while after is not None:
        async with deps.database.transaction() as tx:
            after = await ledger.usage_hours.roll_up(tx, after, limit=_SWEEP_MAX)
    async with deps.database.transaction() as tx:
        await ledger.usage_hours.delete_old(tx)
        await auto_top_up.thresholds.delete_old(tx)
        await top_ups.timing.measure(tx)
    after = (NOBODY, "")
    while True:
        async with deps.database.transaction() as tx:
            keys = await auto_top_up.thresholds.following_after(tx, after, limit=_SWEEP_MAX)
        if not keys:
            return
        await _evaluate(deps, keys, auto_top_up.evaluate.follow_account)
        after = keys[-1]


async def slow_sweep(deps: Deps) -> None:
    """Each hour: notify of cards about to expire, delete what need not be kept, and reevaluate every rule's account."""
    async with deps.database.transaction() as tx:
        await auto_top_up.card_expiry.notify_expiring(tx, limit=_SWEEP_MAX)
        await cards.velocity.delete_expired(tx)
        await portal_sessions.delete_expired(tx)
        await operators.delete_expired(tx)
    after = (NOBODY, "")
    while True:
        async with deps.database.transaction() as tx:
            keys = await auto_top_up.evaluate.enabled_after(tx, after, limit=_SWEEP_MAX)
        if not keys:
            return
        await _evaluate(deps, keys)
        after = keys[-1]
