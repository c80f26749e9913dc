"""Expiry of holds: what nobody captured or released becomes available again."""

import logging

from brimful import auto_top_up, budgets, grants, leases, ledger
from brimful.auto_top_up.policy import Pace
from brimful.core import money
from brimful.db.pool import Database
from brimful.ledger.hash_chain import Keyring
from brimful.notifications import events
from brimful.notifications.events import Topic

_log = logging.getLogger(__name__)


async def expire_due(database: Database, keyring: Keyring, pace: Pace, *, limit: int = 500) -> int:
    """Free open holds whose time has run out, of so many accounts, and evaluate these. Returns how many were freed."""
    async with database.transaction() as tx:
        keys = await ledger.holds.accounts_due(tx, limit=limit)
    freed = 0
    for key in keys:  # each in a transaction of its own, so that nobody waits for a herd, or for one that is broken
        try:
            freed += await _expire(database, key, keyring, pace)
        except Exception:  # noqa: BLE001 - the others go on; verify names what is held wrongly
            _log.exception("holds of %s %s could not be freed", *key)
    return freed


async def _expire(database: Database, key: ledger.accounts.AccountKey, keyring: Keyring, pace: Pace) -> int:
    """Those of one account, under its lock."""
    async with database.transaction() as tx:
        accounts = await ledger.accounts.lock(tx, [key])
        account = await grants.due.post(tx, keyring, accounts[key])
        now = await tx.now()
        # Read again under the lock: it may have been captured meanwhile.
        ended = [hold._replace(state="expired", ended_at=now) for hold in await ledger.holds.due(tx, key)]
        if not ended and account == accounts[key]:
            return 0
        held = account.held - sum(hold.amount for hold in ended)
        ledger.holds.save(tx, begun=[], ended=ended, held={key: held}, now=now)
        for hold in ended:
            data = {"asset": hold.asset, "hold_id": hold.hold_id, "amount": money.text(hold.amount)}
            await events.emit(tx, Topic.HOLD_EXPIRED, hold.customer_id, data)
        leases.store.end(tx, ended)
        counting = await budgets.windows.read(tx, {}, ended)
        for hold in ended:
            counting.give_back(hold)
        await budgets.windows.save(tx, counting)
        await grants.due.post(tx, keyring, account._replace(held=held))  # what they kept of a lot that has expired
        await auto_top_up.evaluate.reevaluate(tx, [key], pace)
    return len(ended)
