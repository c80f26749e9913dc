"""Budgets as they are kept: set, ended, listed, and what they have counted."""

import collections
import dataclasses
import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from brimful import ledger
from brimful.budgets import counting, definitions as budget_definitions, model, tags
from brimful.budgets.counting import Announcement, Bundle, BundleKey, Counting, Running, Window
from brimful.budgets.definitions import COLUMNS, Definitions, budget_of
from brimful.budgets.model import Budget, SetBy, Span, Zoned
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Moments, Names, Numbers, Texts
from brimful.db.pool import Query, Row, Tx
from brimful.ledger.accounts import Account, AccountKey
from brimful.ledger.holds import Hold
from brimful.notifications import events
from brimful.notifications.events import Topic

# --- counting -----------------------------------------------------------------------------------------------

# For so long a window stays where it is after its end: a clock that steps back finds it again.
_GRACE = dt.timedelta(hours=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# Rows of up to a page: a bundle beyond it would be kept out of line, and rewritten whole.
_BUNDLE_MAX = 8
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
        held_in = await budget_definitions.of_ids(tx, {(customer_id, name) for customer_id, name, _ in kept})
        closed = [(row["customer_id"], _window(row)) for row in await tx.ask(_closed_query(kept))]
        keys |= {(one.customer_id, one.asset, one.bundle) for one, _ in held_in.values()}
    if not keys:
        return Counting()
    return Counting(families, await _read_bundles(tx, keys, memory), await tx.now(), held_in, closed)


async def _read_bundles(tx: Tx, keys: Collection[BundleKey], memory: Memory | None = None) -> dict[BundleKey, Bundle]:
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
    _save_bundles(tx, list(counted.changed.values()), memory)
    if closed:
        _save_closed(tx, closed)
    for event, topic in _TOPICS.items() if counted.due else ():
        data = [(one.running.budget.customer_id, _event_data(one)) for one in counted.due if one.event == event]
        await events.emit_each(tx, topic, data)


def _save_bundles(tx: Tx, bundles: Sequence[Bundle], memory: Memory | None = None) -> None:
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


def _save_closed(tx: Tx, closed: Mapping[tuple[CustomerId, str, dt.datetime], Window]) -> None:
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


# --- setting ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Form:
    """What somebody asks of a budget. `tag` says what it matches."""

    budget_id: str
    asset: str
    tag: str
    span: Span
    amount: Decimal
    hard: bool
    name: str | None = None
    parent_id: str | None = None


_INSERT = """
    INSERT INTO budgets (customer_id, budget_id, asset, tag, name, span, amount, hard, ancestors, set_by, created_at,
        since_seq, bundle)
    VALUES (%(customer_id)s, %(budget_id)s, %(asset)s, %(tag)s, %(name)s, %(span)s, %(amount)s, %(hard)s,
        %(ancestors)s, %(set_by)s, %(now)s, %(since_seq)s, %(bundle)s)
    ON CONFLICT (customer_id, budget_id) DO NOTHING
"""
_UPDATE = """
    UPDATE budgets SET name = %(name)s, amount = %(amount)s, hard = %(hard)s
    WHERE customer_id = %(customer_id)s AND budget_id = %(budget_id)s
"""
_CHILDREN = """
    SELECT budget_id FROM budgets
    WHERE customer_id = %s AND ended_at IS NULL AND ancestors[1] = %s ORDER BY budget_id LIMIT 1
"""
_ALIKE = """
    SELECT count(*) AS standing, count(*) FILTER (WHERE set_by = %(set_by)s) AS total,
        count(*) FILTER (WHERE set_by = %(set_by)s AND tag = %(tag)s) AS alike
    FROM budgets WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND ended_at IS NULL
"""
_FIXED = "asset, match, window and parent stay as they were made: end this budget, and make another."


async def set_budget(tx: Tx, customer_id: CustomerId, form: Form, set_by: SetBy) -> Budget:
    """Make a budget, or change the name, amount and hardness of one. It counts what is used from now on. The account
    exists; a budget with these very terms is left as it is.

    Raises:
        Refused: what cannot be: a parent that is not there, of another asset or too deep, a cycle, a change of what
            stays; a budget of somebody else's, one that has ended, too many.
    """
    [account] = (await ledger.accounts.lock(tx, [(customer_id, form.asset)])).values()
    if account.erased:
        raise Refused("customer_erased", "This customer was erased: nothing of them can be changed or opened again.")
    known = await _any(tx, customer_id, form.budget_id)
    if known is None:
        ancestors = await ancestors_for(tx, customer_id, form, set_by)
        await _require_room(tx, customer_id, form, set_by)
        values = {**dataclasses.asdict(form), "customer_id": customer_id, "set_by": set_by, "now": await tx.now()}
        values |= {"ancestors": list(ancestors), "since_seq": account.head.seq}
        if not await tx.execute(_INSERT, {**values, "bundle": await _bundle_for(tx, customer_id, form)}):
            known = await _any(tx, customer_id, form.budget_id)  # made meanwhile, for another asset
    if known is not None:
        _require_changeable(known, form, set_by, await _is_below(tx, customer_id, form))
        await tx.execute(_UPDATE, {**dataclasses.asdict(form), "customer_id": customer_id})
    ledger.accounts.set_budgeted(tx, account.key, budgeted=True)
    made = await _any(tx, customer_id, form.budget_id)
    assert made is not None
    return made


_FILLED = """
    SELECT bundle, count(*) FILTER (WHERE ended_at IS NULL) AS filled, bool_or(span = 'rolling_24h') AS rolling,
        bool_or(budget_id = %s) AS parents
    FROM budgets WHERE customer_id = %s AND asset = %s GROUP BY bundle ORDER BY bundle
"""


async def _bundle_for(tx: Tx, customer_id: CustomerId, form: Form) -> int:
    """Its parent's, or the newest, where there is room; one that rolls has many windows, and a bundle of its own."""
    rows = await tx.all(_FILLED, (form.parent_id, customer_id, form.asset))
    new: int = rows[-1]["bundle"] + 1 if rows else 0
    if form.span == "rolling_24h":
        return new
    free = [row for row in rows if row["filled"] < _BUNDLE_MAX and not row["rolling"]]
    beside = next((row["bundle"] for row in free if row["parents"]), None)
    if beside is not None:
        return int(beside)
    return int(free[-1]["bundle"]) if free and form.parent_id is None else new


def _require_changeable(known: Budget, form: Form, set_by: SetBy, is_below: bool) -> None:
    if known.ended_at is not None:
        raise Refused("budget_ended", "This budget has ended; its id stays taken: choose another.")
    if known.set_by != set_by:
        raise Refused("budget_not_yours", f"This budget was set by the {known.set_by}: only they can change it.")
    if is_below:
        raise Refused("invalid_field", "A budget cannot stand below itself: choose another parent.", field="parent_id")
    same = (known.asset, known.tag, known.span, known.parent_id) == (form.asset, form.tag, form.span, form.parent_id)
    if not same:
        raise Refused("budget_fixed", _FIXED)


async def _is_below(tx: Tx, customer_id: CustomerId, form: Form) -> bool:
    """Whether the parent that is asked for stands below this budget, or is it."""
    if form.parent_id is None:
        return False
    parent = await _any(tx, customer_id, form.parent_id)
    return form.parent_id == form.budget_id or (parent is not None and form.budget_id in parent.ancestors)


async def ancestors_for(tx: Tx, customer_id: CustomerId, form: Form, set_by: SetBy) -> tuple[str, ...]:
    """The budgets that a new one would stand below, nearest first; refuses a parent that cannot be one."""
    if form.parent_id is None:
        return ()
    if form.parent_id == form.budget_id:
        raise Refused("invalid_field", "A budget cannot stand below itself: choose another parent.", field="parent_id")
    parent = await _any(tx, customer_id, form.parent_id)
    if parent is None or parent.ended_at is not None:
        detail = f"There is no budget {form.parent_id[:60]!r} to stand below: make it first."
        raise Refused("invalid_field", detail, field="parent_id")
    if parent.set_by != set_by:
        detail = f"The parent was set by the {parent.set_by}: a budget stands below one of the same side."
        raise Refused("invalid_field", detail, field="parent_id")
    if parent.asset != form.asset:
        detail = f"The parent counts {parent.asset}: a budget and its parent count the same asset."
        raise Refused("invalid_field", detail, field="parent_id")
    ancestors = (parent.budget_id, *parent.ancestors)
    if len(ancestors) >= model.DEPTH_MAX:
        detail = f"Budgets stand {model.DEPTH_MAX} deep at most: choose a parent further up."
        raise Refused("invalid_field", detail, field="parent_id")
    return ancestors


async def _require_room(tx: Tx, customer_id: CustomerId, form: Form, set_by: SetBy) -> None:
    values = {"tag": form.tag, "customer_id": customer_id, "asset": form.asset, "set_by": set_by}
    row = await tx.one(_ALIKE, values)
    assert row is not None
    most = model.TOTAL_MAX[set_by]
    if row["alike"] >= model.ALIKE_MAX:
        raise Refused("too_many_budgets", f"{model.ALIKE_MAX} budgets match this already: end one of them first.")
    if row["total"] >= most:
        raise Refused("too_many_budgets", f"This balance has {most:,} budgets: end one of them first.")


async def end(tx: Tx, customer_id: CustomerId, budget_id: str, set_by: SetBy) -> AccountKey:
    """End a budget: it limits nothing any more. Its id stays taken; ending it again is the same as once. Returns its
    account, which stays locked.

    Raises:
        Refused: there is none, it is somebody else's, or others stand below it.
    """
    known = await get(tx, customer_id, budget_id)
    [account] = (await ledger.accounts.lock(tx, [(customer_id, known.asset)])).values()
    if known.set_by != set_by:
        raise Refused("budget_not_yours", f"This budget was set by the {known.set_by}: only they can end it.")
    below = await tx.one(_CHILDREN, (customer_id, budget_id))
    if below is not None:
        raise Refused("budget_has_children", f"{below['budget_id']} stands below this budget: end that one first.")
    now = await tx.now()
    values = {"customer_id": customer_id, "budget_id": budget_id, "now": now, "seq": account.head.seq}
    await tx.execute(_END, values)
    for bundle in (await _read_bundles(tx, [(customer_id, known.asset, known.bundle)])).values():
        its = {(customer_id, budget_id, one.ends_at): one for one in bundle.windows if one.budget_id == budget_id}
        if its:
            bundle.windows = [one for one in bundle.windows if one.budget_id != budget_id]
            _save_bundles(tx, [bundle])
            _save_closed(tx, its)
    row = await tx.one(_ALIKE, {**values, "tag": known.tag, "asset": known.asset, "set_by": set_by})
    ledger.accounts.set_budgeted(tx, account.key, budgeted=row is not None and row["standing"] > 0)
    return account.key


_END = """
    UPDATE budgets SET ended_at = %(now)s, until_seq = %(seq)s
    WHERE customer_id = %(customer_id)s AND budget_id = %(budget_id)s AND ended_at IS NULL
"""
_ANY = f"SELECT {COLUMNS} FROM budgets AS b WHERE b.customer_id = %s AND b.budget_id = %s"


async def _any(tx: Tx, customer_id: CustomerId, budget_id: str) -> Budget | None:
    row = await tx.one(_ANY, (customer_id, budget_id))
    return None if row is None else budget_of(row)


async def get(tx: Tx, customer_id: CustomerId, budget_id: str) -> Budget:
    """One budget, also one that has ended.

    Raises:
        Refused: there is none.
    """
    found = await _any(tx, customer_id, budget_id)
    if found is None:
        raise Refused("budget_not_found", f"There is no budget {budget_id[:60]!r}.")
    return found


# --- reading ------------------------------------------------------------------------------------------------

_PAGE = f"""
    SELECT {COLUMNS}, c.time_zone
    FROM budgets AS b JOIN customers AS c ON c.customer_id = b.customer_id
    WHERE b.customer_id = %(customer_id)s AND b.ended_at IS NULL AND b.budget_id > %(after)s
        AND (%(asset)s::text IS NULL OR b.asset = %(asset)s) AND (%(set_by)s::text IS NULL OR b.set_by = %(set_by)s)
        AND (%(only)s::text IS NULL OR b.budget_id = %(only)s)
    ORDER BY b.budget_id LIMIT %(limit)s
"""


async def page(
    tx: Tx,
    customer_id: CustomerId,
    *,
    limit: int,
    asset: str | None = None,
    set_by: SetBy | None = None,
    after: str = "",
    only: str | None = None,
) -> list[Running]:
    """Budgets that stand, by their ids, with what they have counted."""
    values = {"customer_id": customer_id, "asset": asset, "set_by": set_by, "after": after, "only": only}
    rows = await tx.all(_PAGE, {**values, "limit": limit})
    if not rows:
        return []
    now, found = await tx.now(), [(budget_of(row), row["time_zone"]) for row in rows]
    bundles = await _read_bundles(tx, {(one.customer_id, one.asset, one.bundle) for one, _ in found})
    shown = []
    for one, zone in found:
        key = one.customer_id, one.asset, one.bundle
        shown.append((bundles.get(key) or Bundle(*key, [])).run(one, zone, now))
    return shown


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
