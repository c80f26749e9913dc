"""Balance alerts: announce that a balance is low or used up, whether or not it is topped up.

One alert per account, set by the platform or by its customer. What was announced last is its level; it is announced
again once the balance has recovered. The threshold of the next level stands on the account (`alert_below`), so that a
debit sees it in the row that it locks anyway.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

from brimful import ledger
from brimful.core import money
from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Texts
from brimful.db.pool import Row, Tx
from brimful.notifications import events
from brimful.notifications.events import Topic

Level = Literal["ok", "low", "depleted"]
_WORSE: dict[str, int] = {"ok": 0, "low": 1, "depleted": 2}
_TOPICS = {"low": Topic.BALANCE_LOW, "depleted": Topic.BALANCE_DEPLETED}


@dataclasses.dataclass(frozen=True)
class Alert:
    """`threshold` is in the asset; `level` is what was announced last."""

    customer_id: CustomerId
    asset: str
    threshold: Decimal
    level: Level
    updated_at: dt.datetime


_COLUMNS = "SELECT customer_id, asset, threshold, level, updated_at FROM alerts "
_GET = _COLUMNS + "WHERE customer_id = %s AND asset = %s"
_LIST = _COLUMNS + "WHERE customer_id = %s ORDER BY asset"


async def get(tx: Tx, customer_id: CustomerId, asset: str) -> Alert | None:
    """The alert of an account, if it has one."""
    row = await tx.one(_GET, (customer_id, asset))
    return None if row is None else Alert(**row)


async def list_for(tx: Tx, customer_id: CustomerId) -> list[Alert]:
    """Every alert of a customer."""
    return [Alert(**row) for row in await tx.all(_LIST, (customer_id,))]


_SET = """
    INSERT INTO alerts (customer_id, asset, threshold, level, updated_at)
    VALUES (%(customer_id)s, %(asset)s, %(threshold)s, 'ok', %(now)s)
    ON CONFLICT (customer_id, asset) DO UPDATE SET threshold = excluded.threshold, level = 'ok',
        updated_at = excluded.updated_at
"""


async def set_threshold(tx: Tx, customer_id: CustomerId, asset: str, threshold: Decimal) -> Alert:
    """Tell when what is available falls below this; at once if it already is. The account exists.

    A threshold that stands already is left alone, so that setting it again announces nothing twice.
    """
    await ledger.accounts.lock(tx, [(customer_id, asset)])
    known = await get(tx, customer_id, asset)
    if known is not None and known.threshold == threshold:
        return known
    values = {"customer_id": customer_id, "asset": asset, "threshold": threshold, "now": await tx.now()}
    await tx.execute(_SET, values)
    await evaluate(tx, [(customer_id, asset)])
    found = await get(tx, customer_id, asset)
    assert found is not None
    return found


async def remove(tx: Tx, customer_id: CustomerId, asset: str) -> bool:
    """Tell nothing any more. True if there was an alert."""
    await ledger.accounts.lock(tx, [(customer_id, asset)])
    removed = await tx.execute("DELETE FROM alerts WHERE customer_id = %s AND asset = %s", (customer_id, asset))
    await ledger.accounts.set_alert_levels(tx, [((customer_id, asset), None)])
    return bool(removed)


_FACTS = """
    SELECT a.customer_id, a.asset, a.balance - a.held AS available, l.threshold, l.level, s.scale
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[]) AS wanted (customer_id, asset)
    JOIN alerts AS l ON l.customer_id = wanted.customer_id AND l.asset = wanted.asset
    JOIN accounts AS a ON a.customer_id = l.customer_id AND a.asset = l.asset
    JOIN assets AS s ON s.code = a.asset
    WHERE a.customer_id = ANY(%(customers)s) AND l.customer_id = ANY(%(customers)s)
"""
_KEEP = """
    UPDATE alerts SET level = new.level
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(levels)s::text[]) AS new (customer_id, asset, level)
    WHERE alerts.customer_id = new.customer_id AND alerts.asset = new.asset
        AND alerts.customer_id = ANY(%(customers)s) AND alerts.level <> new.level
"""


async def evaluate(tx: Tx, keys: Iterable[ledger.accounts.AccountKey]) -> None:
    """Tell what has become worse, and put the lines where the next change will be seen. The caller holds the locks."""
    wanted = sorted(set(keys))
    if not wanted:
        return
    customers, assets = zip(*wanted, strict=True)
    rows: Sequence[Row] = await tx.all(_FACTS, {"customers": CustomerIds(customers), "assets": Texts(assets)})
    if not rows:
        return
    evaluated = [(row, *_level(row["available"], row["threshold"], money.one_unit(row["scale"]))) for row in rows]
    await tx.execute(
        _KEEP,
        {
            "customers": CustomerIds(row["customer_id"] for row in rows),
            "assets": Texts(row["asset"] for row in rows),
            "levels": Texts(level for _, level, _ in evaluated),
        },
    )
    await ledger.accounts.set_alert_levels(
        tx, [((row["customer_id"], row["asset"]), line) for row, _, line in evaluated]
    )
    for worse, topic in _TOPICS.items():
        data = [
            (row["customer_id"], _event_data(row))
            for row, level, _ in evaluated
            if level == worse and _WORSE[level] > _WORSE[row["level"]]
        ]
        await events.emit_each(tx, topic, data)


def _event_data(row: Row) -> dict[str, str]:
    return {
        "asset": row["asset"],
        "available": money.text(row["available"]),
        "threshold": money.text(row["threshold"]),
    }


def _level(available: Decimal, threshold: Decimal, unit: Decimal) -> tuple[Level, Decimal | None]:
    """How a balance stands, and below what it would stand worse. `unit` is the asset's smallest amount."""
    if available < unit:
        return "depleted", None
    if available < threshold:
        return "low", unit
    return "ok", threshold
