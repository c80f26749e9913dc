"""Windows of budgets as they are kept: read for a batch, written with it, and summed up once nobody asks for them."""

import collections
import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from brimful import ledger
from brimful.budgets import counting, definitions, tags
from brimful.budgets.counting import Announcement, Bundle, BundleKey, Counting, Window
from brimful.budgets.definitions import Definitions
from brimful.budgets.model import Zoned
from brimful.core import clock, money
from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Moments, Names, Numbers, Texts
from brimful.db.pool import Query, Row, Tx
from brimful.ledger.accounts import Account, AccountKey
from brimful.ledger.holds import Hold
from brimful.notifications import events
from brimful.notifications.events import Topic

# For so long a window stays where it is after its end: a clock that steps back finds it again.
_GRACE = dt.timedelta(hours=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# Rows of up to a page: a bundle beyond it would be kept out of line, and rewritten whole.
BUNDLE_MAX = 8
_BUNDLES = """
    SELECT w.customer_id, w.asset, w.bundle, w.windows
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(bundles)s::integer[]) AS b (customer_id, asset, bundle)
    CROSS JOIN LATERAL (
        SELECT * FROM budget_counters AS f
        WHERE f.customer_id = b.customer_id AND f.asset = b.asset AND f.bundle = b.bundle
            AND (f.customer_id = %(one)s OR f.customer_id = ANY(%(customers)s))
        LIMIT 1
    ) AS w
"""
_CLOSED = """
    SELECT w.* FROM unnest(%(customers)s::uuid[], %(ids)s::text[], %(ends)s::timestamptz[])
        AS t (customer_id, budget_id, ends_at)
    CROSS JOIN LATERAL (
        SELECT * FROM budget_windows AS f
        WHERE f.customer_id = t.customer_id AND f.budget_id = t.budget_id AND f.ends_at = t.ends_at
            AND f.customer_id = ANY(%(customers)s)
        LIMIT 1
    ) AS w
"""


class Memory:
    """What one process need not work out again: which budgets there are, and what their bundles said when it wrote
    them. What a bundle says is read all the same, and compared.

    Args:
        most: of each.
    """

    def __init__(self, most: int = 100_000) -> None:
        self.definitions = Definitions(most)
        self._most = most
        self._bundles: collections.OrderedDict[BundleKey, Bundle] = collections.OrderedDict()

    def take(self, customer_id: CustomerId, asset: str, number: int, text: str) -> Bundle:
        """A bundle that says this. It is not remembered until it is kept: a batch that fails has changed it."""
        known = self._bundles.pop((customer_id, asset, number), None)
        if known is not None and known.text == text:
            return known
        return Bundle(customer_id, asset, number, _parsed(text), text)

    def keep(self, bundle: Bundle) -> None:
        """A bundle as it was written."""
        if self._most:
            self._bundles[bundle.key] = bundle
            if len(self._bundles) > self._most:
                self._bundles.popitem(last=False)


async def read(
    tx: Tx,
    wanted: Mapping[tuple[AccountKey, str], Account],
    holds: Iterable[Hold] = (),
    memory: Memory | None = None,
) -> Counting:
    """What the budgets of these accounts and tags have counted, and those in which these holds are set aside. To be
    asked under the accounts' locks, in a statement after them.
    """
    memory = memory or Memory(0)
    families = await memory.definitions.read(tx, wanted) if wanted else {}
    keys = {(*account, number) for (account, _), family in families.items() for number in family.bundles}
    kept = {(hold.customer_id, name, end) for hold in holds for name, end in hold.counted}
    held_in: dict[tuple[CustomerId, str], Zoned] = {}
    closed: list[tuple[CustomerId, Window]] = []
    if kept:
        held_in = await definitions.of_ids(tx, {(customer_id, name) for customer_id, name, _ in kept})
        closed = [(row["customer_id"], _window(row)) for row in await tx.ask(_closed_query(kept))]
        keys |= {(one.customer_id, one.asset, one.bundle) for one, _ in held_in.values()}
    if not keys:
        return Counting()
    return Counting(families, await read_bundles(tx, keys, memory), await tx.now(), held_in, closed)


async def read_bundles(tx: Tx, keys: Collection[BundleKey], memory: Memory | None = None) -> dict[BundleKey, Bundle]:
    """Those of these bundles that there are."""
    take = (memory or Memory(0)).take
    customers, assets, numbers = zip(*keys, strict=True)
    values = {
        "customers": CustomerIds(customers), "assets": Names(assets), "bundles": Numbers(numbers), "one": customers[0],
    }  # fmt: skip
    found = (take(*row.values()) for row in await tx.all(_BUNDLES, values))
    return {bundle.key: bundle for bundle in found}


def _closed_query(kept: Collection[tuple[CustomerId, str, dt.datetime]]) -> Query[list[Row]]:
    customers, ids, ends = zip(*sorted(kept), strict=True)
    return Query(_CLOSED, {"customers": CustomerIds(customers), "ids": Texts(ids), "ends": Moments(ends)}, list)


def _parsed(windows: str) -> list[Window]:
    number = Decimal
    return [
        Window(name, _moment(start), _moment(end), _moment(until), number(used), number(held), number(beyond),
               number(most), announced)
        for name, start, end, until, used, held, beyond, most, announced in json.loads(windows)
    ]  # fmt: skip


def _moment(seconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(seconds=seconds)


def _text(bundle: Bundle) -> str:
    """A JSON array; no name, number or moment needs an escape, and a writer of JSON took ten times as long."""
    return f"[{','.join([_window_text(window) for window in bundle.windows])}]"


def _window_text(one: Window) -> str:
    if not one.rest:
        ends = ",".join(str(int(moment.timestamp())) for moment in (one.starts_at, one.ends_at, one.counts_until))
        one.name = f'["{one.budget_id}",{ends},"'
        one.rest = f'","{one.held}","{one.beyond}","{one.most}",{one.announced}]'
    return f"{one.name}{one.used}{one.rest}"


_SAVE = """
    INSERT INTO budget_counters (customer_id, asset, bundle, windows)
    SELECT * FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(bundles)s::integer[], %(windows)s::text[])
    ON CONFLICT (customer_id, asset, bundle) DO UPDATE SET windows = excluded.windows
"""
_SAVE_CLOSED = """
    INSERT INTO budget_windows (customer_id, budget_id, starts_at, ends_at, used, held, beyond, most, announced)
    SELECT * FROM unnest(%(customers)s::uuid[], %(ids)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[],
        %(used)s::numeric[], %(held)s::numeric[], %(beyond)s::numeric[], %(most)s::numeric[], %(announced)s::smallint[])
    ON CONFLICT (customer_id, budget_id, ends_at) DO UPDATE SET used = excluded.used, held = excluded.held,
        beyond = excluded.beyond, most = excluded.most, announced = excluded.announced
"""


async def save(tx: Tx, counted: Counting, memory: Memory | None = None) -> None:
    """Write what changed, at the latest before the commit, and emit what is due. The caller holds the accounts' locks.
    A window that counts no longer leaves its bundle, and becomes a row of its own.
    """
    if not counted.changed and not counted.closed:
        return
    before = await tx.now() - _GRACE
    closed = dict(counted.closed)
    for bundle in counted.changed.values():
        over = [window for window in bundle.windows if window.counts_until <= before]
        if over:
            closed |= {(bundle.customer_id, window.budget_id, window.ends_at): window for window in over}
            bundle.windows = [window for window in bundle.windows if window.counts_until > before]
            bundle.running.clear()
            bundle.families.clear()
    save_bundles(tx, list(counted.changed.values()), memory)
    if closed:
        save_closed(tx, closed)
    for event, topic in _TOPICS.items() if counted.due else ():
        data = [(one.running.budget.customer_id, _event_data(one)) for one in counted.due if one.event == event]
        await events.emit_each(tx, topic, data)


def save_bundles(tx: Tx, bundles: Sequence[Bundle], memory: Memory | None = None) -> None:
    """Write bundles whole, at the latest before the commit."""
    if not bundles:
        return
    for bundle in bundles:
        bundle.text = _text(bundle)
        if memory is not None:
            memory.keep(bundle)
    columns = {
        "customers": CustomerIds([bundle.customer_id for bundle in bundles]),
        "assets": Names([bundle.asset for bundle in bundles]),
        "bundles": Numbers([bundle.number for bundle in bundles]),
        "windows": Texts([bundle.text for bundle in bundles]),
    }
    tx.later(_SAVE, columns, rows=len(bundles))


def save_closed(tx: Tx, closed: Mapping[tuple[CustomerId, str, dt.datetime], Window]) -> None:
    """Write windows as rows of their own, at the latest before the commit."""
    windows = closed.values()
    columns = {
        "customers": CustomerIds(key[0] for key in closed),
        "ids": Texts(key[1] for key in closed),
        "starts": Moments(window.starts_at for window in windows),
        "ends": Moments(window.ends_at for window in windows),
        "used": Numbers(window.used for window in windows),
        "held": Numbers(window.held for window in windows),
        "beyond": Numbers(window.beyond for window in windows),
        "most": Numbers(window.most for window in windows),
        "announced": Numbers(window.announced for window in windows),
    }
    tx.later(_SAVE_CLOSED, columns, rows=len(closed))


_TOPICS = {
    counting.NEAR: Topic.BUDGET_NEAR,
    counting.REACHED: Topic.BUDGET_REACHED,
    counting.BEYOND: Topic.BUDGET_EXCEEDED,
}


def _event_data(announced: Announcement) -> dict[str, Any]:
    budget, resets_at = announced.running.budget, announced.running.resets_at
    key, value = tags.parts(budget.tag)
    return {
        "asset": budget.asset,
        "budget_id": budget.budget_id,
        "name": budget.name,
        "subject": value if key is None else None,
        "dimension": None if key is None else {"key": key, "value": value},
        "window": budget.span,
        "hard": budget.hard,
        "set_by": budget.set_by,
        "amount": money.text(budget.amount),
        "used": money.text(announced.running.used),
        "held": money.text(announced.running.held),
        "resets_at": None if resets_at is None else clock.rfc3339(resets_at),
    }


def _window(row: Row) -> Window:
    return Window(
        row["budget_id"], row["starts_at"], row["ends_at"], row["ends_at"], row["used"], row["held"], row["beyond"],
        row["most"], row["announced"],
    )  # fmt: skip


# --- keeping house ------------------------------------------------------------------------------------------

_KEPT = dt.timedelta(days=35)
# What they had counted stays as a sum, for verification. One that still has something set aside stays.
_OLD = """
    SELECT w.customer_id, b.asset, w.budget_id FROM budget_windows AS w
    JOIN budgets AS b ON b.customer_id = w.customer_id AND b.budget_id = w.budget_id
    WHERE w.ends_at < %s AND w.held = 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT %s
"""
_FORGET = """
    WITH gone AS (
        DELETE FROM budget_windows WHERE customer_id = %(customer_id)s AND budget_id = %(budget_id)s
            AND ends_at < %(before)s AND held = 0
        RETURNING used
    )
    UPDATE budgets SET used_before = used_before + (SELECT coalesce(sum(used), 0) FROM gone)
    WHERE customer_id = %(customer_id)s AND budget_id = %(budget_id)s
"""


async def old_windows(tx: Tx, *, limit: int) -> Sequence[tuple[AccountKey, str]]:
    """Budgets with windows that nobody asks for any more."""
    rows = await tx.all(_OLD, (await tx.now() - _KEPT, limit))
    return [((row["customer_id"], row["asset"]), row["budget_id"]) for row in rows]


async def forget_windows(tx: Tx, key: AccountKey, budget_id: str) -> None:
    """Delete those of one budget, under its account's lock."""
    await ledger.accounts.lock(tx, [key])
    before = await tx.now() - _KEPT
    await tx.execute(_FORGET, {"customer_id": key[0], "budget_id": budget_id, "before": before})
