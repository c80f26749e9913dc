"""What is done again and again: what each job or event may have missed, and what time alone brings."""

import asyncio
import datetime as dt
import functools
import logging
import pathlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from brimful import auto_top_up, budgets, cards, grants, leases, ledger, operations, payments, suspensions, top_ups
from brimful.auth import operators, portal_sessions
from brimful.auto_top_up.policy import Pace
from brimful.core.ids import NOBODY, CustomerId
from brimful.db.pool import Tx
from brimful.wiring import Deps

_log = logging.getLogger(__name__)
_SWEEP_MAX = 500
_LATE_S, _STALE_S = 15, 60
_PARALLEL = 8
_ENTRIES_MAX = 50_000  # in one transaction


async def heartbeat(deps: Deps, detector: suspensions.restore_guard.RestoreDetector) -> None:
    """Note that the database is the one it was. If it is not, payments are compared with Stripe before any other."""
    async with deps.database.transaction() as tx:
        reason = await detector.heartbeat(tx)
    detector.committed()
    if reason is not None:
        await reconcile_if_restored(deps)


async def reconcile_if_restored(deps: Deps) -> None:
    """Reconcile while charging is suspended after a restore: that resumes it."""
    async with deps.database.transaction() as tx:
        found = await suspensions.store.list_all(tx)
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
        leased = await leases.store.waiting(tx, limit=_SWEEP_MAX)
        setups = await cards.setups.list_open(tx, older_than_s=_STALE_S, limit=_SWEEP_MAX)
        events = await payments.stripe_events.waiting(tx, older_than_s=_STALE_S, limit=_SWEEP_MAX)
    if missed:
        _log.error("%d accounts were below their trigger and not evaluated", len(missed))
    await _evaluate(deps, sorted({*keys, *missed, *leased}))
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


async def verify(deps: Deps) -> None:
    """Each hour: the invariants, and the chain since the last time."""
    _raise_alarms(await operations.verify.run(deps.database.direct_url, deps.settings.ledger_keys))


async def post_due_credits(deps: Deps) -> None:
    """Each 15 seconds: post what expires or begins on accounts that nobody debits."""

    async def post(tx: Tx, customer_id: CustomerId, asset: str, pace: Pace) -> None:
        key = customer_id, asset
        accounts = await ledger.accounts.lock(tx, [key])
        if await grants.due.post(tx, deps.keyring, accounts[key]) != accounts[key]:
            await auto_top_up.evaluate.reevaluate(tx, [key], pace)

    await _each_due(deps, dt.timedelta(0), post)


async def advance_lots(deps: Deps) -> None:
    """Each minute: keep checkpoints of the lots of accounts that many entries came to."""
    after: ledger.accounts.AccountKey = (NOBODY, "")
    while True:
        async with deps.database.transaction() as tx:
            behind = await ledger.lot_store.behind(tx, after, limit=_SWEEP_MAX)
        if not behind:
            return
        await _each([functools.partial(_advance, deps, key, seq) for key, seq in behind])
        after = behind[-1][0]


async def announce_expiring(deps: Deps) -> None:
    """Each hour: tell of credits that expire within a day, or within seven."""

    async def announce(tx: Tx, customer_id: CustomerId, asset: str, _pace: Pace) -> None:
        await grants.notices.announce(tx, deps.keyring, (customer_id, asset))

    await _each_due(deps, grants.notices.AHEAD, announce)


async def _each_due(deps: Deps, ahead: dt.timedelta, how: Callable[..., Awaitable[None]]) -> None:
    """Accounts of which something begins or expires by then, each in a transaction of its own."""
    after: ledger.accounts.AccountKey = (NOBODY, "")
    while True:
        async with deps.database.transaction() as tx:
            by = await tx.now() + ahead
            keys = await ledger.accounts.with_lots_due(tx, by, after, limit=_SWEEP_MAX)
        if not keys:
            return
        await _evaluate(deps, keys, how)
        after = keys[-1]


async def _advance(deps: Deps, key: ledger.accounts.AccountKey, seq: int) -> None:
    reached = -1
    while reached < seq:
        before = reached
        async with deps.database.transaction() as tx:
            reached = (await ledger.lot_store.read(tx, deps.keyring, key, seq, most=_ENTRIES_MAX)).seq
        if reached == before:
            return


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
        old = await budgets.windows.old_windows(tx, limit=_SWEEP_MAX)
    for key, budget_id in old:
        async with deps.database.transaction() as tx:
            await budgets.windows.forget_windows(tx, key, budget_id)
    await announce_expiring(deps)
    after = (NOBODY, "")
    while True:
        async with deps.database.transaction() as tx:
            keys = await auto_top_up.evaluate.enabled_after(tx, after, limit=_SWEEP_MAX)
        if not keys:
            return
        await _evaluate(deps, keys)
        after = keys[-1]
