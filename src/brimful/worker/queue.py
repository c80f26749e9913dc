"""The worker: job names to handlers, periodic tasks, graceful stop. Any number may run."""

import asyncio
import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import procrastinate
import psycopg
import psycopg_pool

from brimful import auto_top_up, email, jobs, observability, operations, payments, posting, suspensions
from brimful.core.ids import CustomerId
from brimful.jobs import Name, with_ids
from brimful.notifications import webhooks
from brimful.wiring import Deps
from brimful.worker import periodic

_log = logging.getLogger(__name__)
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
            await periodic.reconcile_if_restored(deps)
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
        self._detector = suspensions.restore_guard.RestoreDetector(deps.settings.epoch_file)
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
        await periodic.reconcile_if_restored(self._deps)
        await periodic.sweep(self._deps)
        await periodic.advance_lots(self._deps)

    async def expire(self, timestamp: int) -> None:  # noqa: ARG002
        while await posting.expire_holds.expire_due(self._deps.database, self._deps.keyring, self._deps.pace):
            pass
        await periodic.post_due_credits(self._deps)

    def healthy(self) -> bool:
        """Whether a heartbeat was written lately: the loop runs, and the database takes part."""
        return time.monotonic() - self._beat_s < 3 * _HEARTBEAT_S

    async def heartbeat(self) -> None:
        await periodic.heartbeat(self._deps, self._detector)
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
            await periodic.reconcile_since_last(self._deps, self._deps.payments)

    async def verify(self, timestamp: int) -> None:  # noqa: ARG002
        await periodic.verify(self._deps)

    async def nightly(self, timestamp: int) -> None:  # noqa: ARG002
        await periodic.nightly(self._deps)

    async def slow_sweep(self, timestamp: int) -> None:  # noqa: ARG002
        await periodic.slow_sweep(self._deps)

    async def roll_up(self, timestamp: int) -> None:  # noqa: ARG002
        await periodic.roll_up(self._deps)


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
