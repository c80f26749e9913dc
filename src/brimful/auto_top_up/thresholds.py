"""The threshold in force of rules whose threshold follows the account's use, between the customer's two bounds.

Re-derived each hour, after each credit and when the rule is saved, under the account's lock, before the account is
evaluated. `adaptive` decides; each change is kept with what it came from.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

from brimful import ledger, top_ups
from brimful.auto_top_up import adaptive, retries
from brimful.db.pool import Tx
from brimful.ledger.accounts import AccountKey

Cause = Literal["saved", "hour", "credit"]
KEPT = dt.timedelta(days=35)
_HOURS_OF = dt.timedelta(days=31)

_FOLLOWING = """
    SELECT r.customer_id, r.asset, r.threshold_low AS low, r.threshold AS high, st.threshold AS in_force, s.scale
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[]) AS wanted (customer_id, asset)
    JOIN rules AS r ON r.customer_id = wanted.customer_id AND r.asset = wanted.asset
    JOIN rule_states AS st ON st.customer_id = r.customer_id AND st.asset = r.asset
    JOIN assets AS s ON s.code = r.asset
    WHERE r.customer_id = ANY(%(customers)s) AND st.customer_id = ANY(%(customers)s) AND r.enabled
        AND r.threshold_low IS NOT NULL
"""
_SET = "UPDATE rule_states SET threshold = %(threshold)s WHERE customer_id = %(customer_id)s AND asset = %(asset)s"
_NOTE = """
    INSERT INTO threshold_changes (customer_id, asset, changed_at, threshold, cause, burn, time_s)
    VALUES (%(customer_id)s, %(asset)s, %(now)s, %(threshold)s, %(cause)s, %(burn)s, %(time_s)s)
    ON CONFLICT (customer_id, asset, changed_at) DO NOTHING
"""


async def follow(tx: Tx, keys: Iterable[AccountKey], cause: Cause) -> None:
    """Re-derive the threshold of those accounts whose rule follows their use. The caller holds their locks, and
    reevaluates them.
    """
    customers, assets = ([key[i] for key in keys] for i in (0, 1)) if (keys := sorted(set(keys))) else ([], [])
    for row in await tx.all(_FOLLOWING, {"customers": customers, "assets": assets}):
        key = row["customer_id"], row["asset"]
        found = await derive(tx, key, low=row["low"], high=row["high"], scale=row["scale"])
        if found.threshold == row["in_force"]:
            continue
        values = {"customer_id": key[0], "asset": key[1], "now": await tx.now(), "cause": cause,
                  **dataclasses.asdict(found)}  # fmt: skip
        await tx.execute(_SET, values)
        await tx.execute(_NOTE, values)


@dataclasses.dataclass(frozen=True)
class Derived:
    """A threshold, and what it came from: use in five minutes at the 99th percentile, and seconds until a credit."""

    threshold: Decimal
    burn: Decimal
    time_s: int


async def derive(tx: Tx, key: AccountKey, *, low: Decimal, high: Decimal, scale: int) -> Derived:
    """The threshold between these bounds that this account's use asks for now."""
    burn = await _burn(tx, key)
    time = await top_ups.timing.slowest(tx) + retries.TECHNICAL_WAITS[1]
    found = adaptive.threshold(burn, time, low=low, high=high, scale=scale)
    return Derived(found, adaptive.at_percentile(burn) or Decimal(0), int(time.total_seconds()))


async def _burn(tx: Tx, key: AccountKey) -> adaptive.Burn:
    """The last day in windows from the chain, the days before from the hours that were rolled up."""
    account = await ledger.accounts.get(tx, *key)
    if account is None:
        return adaptive.Burn((), ())
    now = await tx.now()
    windows = await ledger.runway.windows(tx, account, adaptive.WINDOW, adaptive.RECENT)
    hours = await ledger.usage_hours.read(tx, key, now - _HOURS_OF, now - adaptive.RECENT)
    begun = None
    if windows and windows[-1].at + adaptive.WINDOW > now:
        begun = now - windows[-1].at
    return adaptive.Burn([one.used for one in windows], [one.used for one in hours if one.used > 0], begun)


@dataclasses.dataclass(frozen=True)
class Change:
    """A threshold, and since when it was in force."""

    changed_at: dt.datetime
    threshold: Decimal
    cause: Cause


_CHANGES = """
    SELECT changed_at, threshold, cause FROM threshold_changes
    WHERE customer_id = %s AND asset = %s AND changed_at > %s ORDER BY changed_at
"""


async def changes(tx: Tx, key: AccountKey, since: dt.datetime) -> Sequence[Change]:
    """How an account's threshold followed its use, oldest first."""
    return [Change(**row) for row in await tx.all(_CHANGES, (*key, since))]


_PAGE = """
    SELECT customer_id, asset FROM rules
    WHERE enabled AND threshold_low IS NOT NULL AND (customer_id, asset) > (%s, %s) ORDER BY customer_id, asset LIMIT %s
"""


async def following_after(tx: Tx, key: AccountKey, *, limit: int) -> list[AccountKey]:
    """Accounts whose threshold follows their use, in key order, beginning after one: for the hourly job."""
    return [(row["customer_id"], row["asset"]) for row in await tx.all(_PAGE, (*key, limit))]


_DELETE_OLD = "DELETE FROM threshold_changes WHERE changed_at < %s"


async def delete_old(tx: Tx) -> None:
    """Delete changes that no chart shows any more."""
    await tx.execute(_DELETE_OLD, (await tx.now() - KEPT,))
