"""Whether a top-up comes by itself: the one that is in flight, or the one that a balance below its threshold starts."""

import dataclasses
from collections.abc import Collection

from brimful import top_ups
from brimful.auto_top_up import facts, policy
from brimful.auto_top_up.policy import Facts, Pace, Reason
from brimful.core import money
from brimful.db.pool import Tx
from brimful.leases.model import Coming
from brimful.ledger.accounts import AccountKey


async def read(tx: Tx, keys: Collection[AccountKey], pace: Pace, *, suspended: bool) -> dict[AccountKey, Coming]:
    """For each of these accounts that has a rule. The caller holds their locks."""
    if suspended:
        return {key: Coming(comes=False, why="suspended") for key in keys}
    statuses = await facts.with_use(tx, await facts.read_facts(tx, keys))
    live = await top_ups.store.live_by_accounts(tx, [status.key for status in statuses if status.facts.live])
    now = await tx.now()
    found: dict[AccountKey, Coming] = {}
    for status in statuses:
        if status.key in live:
            state = live[status.key].state
            comes = state in top_ups.bridges.COMING_STATES
            found[status.key] = Coming(comes, None if comes else state)
            continue
        verdict = policy.evaluate(_below(status.facts), pace, now)
        comes = verdict.reason == Reason.TRIGGERED and verdict.ask is None
        why = None if comes else "approval_needed" if verdict.ask is not None else verdict.reason.value
        found[status.key] = Coming(comes, why)
    return found


def _below(read: Facts) -> Facts:
    """The same account once it has fallen below its threshold."""
    least = read.threshold - money.one_unit(read.scale)
    return dataclasses.replace(read, available=min(read.available, least), live=False)
