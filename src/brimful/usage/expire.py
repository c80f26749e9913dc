"""Expiry of holds: what nobody captured or released becomes available again."""

from brimful import wallets
from brimful.auto_topup import Pace, rearm
from brimful.db import Database
from brimful.events import Topic, emit
from brimful.money import text
from brimful.wallets import holds

__all__ = ["expire"]


async def expire(database: Database, pace: Pace, *, limit: int = 500) -> int:
    """Free open holds whose time has run out, and judge their accounts. Returns how many were freed."""
    async with database.transaction() as tx:
        keys = {hold.account for hold in await holds.due(tx, limit=limit)}
    freed = 0
    for key in sorted(keys):  # an account each, so that nobody waits for a herd
        async with database.transaction() as tx:
            accounts = await wallets.lock(tx, [key])
            now = await tx.now()
            # Read again under the lock: it may have been captured meanwhile.
            ended = [
                hold._replace(state="expired", ended_at=now)
                for hold in await holds.due(tx, limit=limit)
                if hold.account == key
            ]
            if not ended:
                continue
            held = accounts[key].held - sum(hold.amount for hold in ended)
            holds.write(tx, begun=[], ended=ended, held={key: held}, now=now)
            for hold in ended:
                data = {"asset": hold.asset, "hold_id": hold.hold_id, "amount": text(hold.amount)}
                await emit(tx, Topic.HOLD_EXPIRED, hold.customer_id, data)
            await rearm(tx, [key], pace)
        freed += len(ended)
    return freed
