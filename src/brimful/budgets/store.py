"""Budgets as they are kept: set, ended, listed, and what they have counted."""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any

from brimful import ledger
from brimful.budgets import counting, model, tags
from brimful.budgets.counting import Announcement, Counting, Running, Window
from brimful.budgets.model import Budget, SetBy, Span
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Moments, Numbers, Texts
from brimful.db.pool import Query, Row, Tx
from brimful.ledger.accounts import AccountKey
from brimful.ledger.holds import Hold
from brimful.notifications import events
from brimful.notifications.events import Topic

_COLUMNS = ", ".join(f"b.{name}" for name in Budget._fields)
_COUNTED = "w.starts_at, w.ends_at, w.used, w.held, w.beyond, w.most, w.announced"

# --- counting -----------------------------------------------------------------------------------------------

# LATERAL, and each customer asked for once more: look-ups by key, and a coordinator knows the node.
_FIND = f"""
    WITH named AS (
        SELECT b.* FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(tags)s::text[])
            AS t (customer_id, asset, tag)
        CROSS JOIN LATERAL (
            SELECT * FROM budgets AS f
            WHERE f.customer_id = t.customer_id AND f.asset = t.asset AND f.tag = t.tag AND f.ended_at IS NULL
                AND f.customer_id = ANY(%(customers)s)
            LIMIT {model.ALIKE_MAX}
        ) AS b
    ), family AS (
        SELECT * FROM named
        UNION
        SELECT a.* FROM named AS n
        CROSS JOIN LATERAL (
            SELECT * FROM budgets AS f
            WHERE f.customer_id = n.customer_id AND f.budget_id = ANY(n.ancestors)
                AND f.customer_id = ANY(%(customers)s)
            LIMIT {model.DEPTH_MAX}
        ) AS a
    )
    SELECT {_COLUMNS}, c.time_zone, {_COUNTED}
    FROM family AS b
    JOIN customers AS c ON c.customer_id = b.customer_id AND c.customer_id = ANY(%(customers)s)
    LEFT JOIN LATERAL (
        SELECT * FROM budget_windows AS f
        WHERE f.customer_id = b.customer_id AND f.budget_id = b.budget_id
            AND f.ends_at > CASE WHEN b.span = 'rolling_24h' THEN %(day_ago)s ELSE %(now)s END::timestamptz
            AND f.customer_id = ANY(%(customers)s)
        ORDER BY f.ends_at LIMIT 200
    ) AS w ON true
"""
_HELD = f"""
    SELECT {_COLUMNS}, c.time_zone, {_COUNTED}
    FROM unnest(%(customers)s::uuid[], %(ids)s::text[], %(ends)s::timestamptz[]) AS t (customer_id, budget_id, ends_at)
    CROSS JOIN LATERAL (
        SELECT * FROM budgets AS f WHERE f.customer_id = t.customer_id AND f.budget_id = t.budget_id
            AND f.customer_id = ANY(%(customers)s)
        LIMIT 1
    ) AS b
    CROSS JOIN LATERAL (
        SELECT * FROM budget_windows AS f
        WHERE f.customer_id = t.customer_id AND f.budget_id = t.budget_id AND f.ends_at = t.ends_at
            AND f.customer_id = ANY(%(customers)s)
        LIMIT 1
    ) AS w
    JOIN customers AS c ON c.customer_id = b.customer_id AND c.customer_id = ANY(%(customers)s)
"""
Wanted = Collection[tuple[AccountKey, str]]  # an account, a tag


async def read(tx: Tx, wanted: Wanted, holds: Iterable[Hold] = ()) -> Counting:
    """What the budgets of these tags have counted, and those in which these holds are set aside. To be asked under the
    accounts' locks, in a statement after them.
    """
    now = await tx.now()
    rows = await tx.ask(_found_query(wanted, now)) if wanted else []
    kept = {(hold.customer_id, name, end) for hold in holds for name, end in hold.counted}
    rows = [*rows, *(await tx.ask(_held_query(kept)) if kept else [])]
    if not rows:
        return counting.Counting()
    budgets: dict[counting.BudgetKey, Budget] = {}
    zones: dict[counting.BudgetKey, str] = {}
    windows: dict[tuple[CustomerId, str, dt.datetime], Window] = {}
    for row in rows:
        budget = _budget(row)
        key = budget.customer_id, budget.budget_id
        budgets[key], zones[key] = budget, row["time_zone"]
        if row["ends_at"] is not None:
            windows[*key, row["ends_at"]] = _window(row)
    by_budget: dict[counting.BudgetKey, list[Window]] = {}
    for (customer_id, budget_id, _), window in windows.items():
        by_budget.setdefault((customer_id, budget_id), []).append(window)
    runs = [counting.running(one, zones[key], by_budget.get(key, ()), now) for key, one in budgets.items()]
    return counting.Counting(runs, now, [(customer_id, window) for (customer_id, *_), window in windows.items()])


def _found_query(wanted: Wanted, now: dt.datetime) -> Query[list[Row]]:
    pairs = sorted(wanted)
    values = {
        "customers": CustomerIds(key[0] for key, _ in pairs),
        "assets": Texts(key[1] for key, _ in pairs),
        "tags": Texts(tag for _, tag in pairs),
        "now": now,
        "day_ago": now - dt.timedelta(hours=24),
    }
    return Query(_FIND, values, list)


def _held_query(kept: Collection[tuple[CustomerId, str, dt.datetime]]) -> Query[list[Row]]:
    customers, ids, ends = zip(*sorted(kept), strict=True)
    return Query(_HELD, {"customers": CustomerIds(customers), "ids": Texts(ids), "ends": Moments(ends)}, list)


_SAVE = """
    INSERT INTO budget_windows (customer_id, budget_id, starts_at, ends_at, used, held, beyond, most, announced)
    SELECT * FROM unnest(%(customers)s::uuid[], %(ids)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[],
        %(used)s::numeric[], %(held)s::numeric[], %(beyond)s::numeric[], %(most)s::numeric[], %(announced)s::smallint[])
    ON CONFLICT (customer_id, budget_id, ends_at) DO UPDATE SET used = excluded.used, held = excluded.held,
        beyond = excluded.beyond, most = excluded.most, announced = excluded.announced
"""


async def save(tx: Tx, counted: Counting) -> None:
    """Write the windows that changed, at the latest before the commit, and emit what is due. The caller holds the
    accounts' locks.
    """
    if not counted.changed:
        return
    keys, windows = list(counted.changed), list(counted.changed.values())
    columns = {
        "customers": CustomerIds(key[0] for key in keys),
        "ids": Texts(key[1] for key in keys),
        "starts": Moments(window.starts_at for window in windows),
        "ends": Moments(window.ends_at for window in windows),
        "used": Numbers(window.used for window in windows),
        "held": Numbers(window.held for window in windows),
        "beyond": Numbers(window.beyond for window in windows),
        "most": Numbers(window.most for window in windows),
        "announced": Numbers(window.announced for window in windows),
    }
    tx.later(_SAVE, columns, rows=len(windows))
    for event, topic in _TOPICS.items():
        data = [(one.running.budget.customer_id, _event_data(one)) for one in counted.due if one.event == event]
        await events.emit_each(tx, topic, data)


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
        since_seq)
    VALUES (%(customer_id)s, %(budget_id)s, %(asset)s, %(tag)s, %(name)s, %(span)s, %(amount)s, %(hard)s,
        %(ancestors)s, %(set_by)s, %(now)s, %(since_seq)s)
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
    SELECT count(*) AS total, count(*) FILTER (WHERE tag = %s) AS alike FROM budgets
    WHERE customer_id = %s AND asset = %s AND ended_at IS NULL
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
        ancestors = await ancestors_for(tx, customer_id, form)
        await _require_room(tx, customer_id, form)
        values = {**dataclasses.asdict(form), "customer_id": customer_id, "set_by": set_by, "now": await tx.now()}
        values |= {"ancestors": list(ancestors), "since_seq": account.head.seq}
        await tx.execute(_INSERT, values)
        ledger.accounts.set_budgeted(tx, account.key, budgeted=True)
    else:
        _require_changeable(known, form, set_by, await _is_below(tx, customer_id, form))
        await tx.execute(_UPDATE, {**dataclasses.asdict(form), "customer_id": customer_id})
    made = await _any(tx, customer_id, form.budget_id)
    assert made is not None
    return made


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


async def ancestors_for(tx: Tx, customer_id: CustomerId, form: Form) -> tuple[str, ...]:
    """The budgets that a new one would stand below, nearest first; refuses a parent that cannot be one."""
    if form.parent_id is None:
        return ()
    if form.parent_id == form.budget_id:
        raise Refused("invalid_field", "A budget cannot stand below itself: choose another parent.", field="parent_id")
    parent = await _any(tx, customer_id, form.parent_id)
    if parent is None or parent.ended_at is not None:
        detail = f"There is no budget {form.parent_id[:60]!r} to stand below: make it first."
        raise Refused("invalid_field", detail, field="parent_id")
    if parent.asset != form.asset:
        detail = f"The parent counts {parent.asset}: a budget and its parent count the same asset."
        raise Refused("invalid_field", detail, field="parent_id")
    ancestors = (parent.budget_id, *parent.ancestors)
    if len(ancestors) >= model.DEPTH_MAX:
        detail = f"Budgets stand {model.DEPTH_MAX} deep at most: choose a parent further up."
        raise Refused("invalid_field", detail, field="parent_id")
    return ancestors


async def _require_room(tx: Tx, customer_id: CustomerId, form: Form) -> None:
    row = await tx.one(_ALIKE, (form.tag, customer_id, form.asset))
    assert row is not None
    if row["alike"] >= model.ALIKE_MAX:
        raise Refused("too_many_budgets", f"{model.ALIKE_MAX} budgets match this already: end one of them first.")
    if row["total"] >= _TOTAL_MAX:
        raise Refused("too_many_budgets", f"This balance has {_TOTAL_MAX:,} budgets: end one of them first.")


_TOTAL_MAX = 10_000


async def end(tx: Tx, customer_id: CustomerId, budget_id: str, set_by: SetBy) -> None:
    """End a budget: it limits nothing any more. Its id stays taken; ending it again is the same as once.

    Raises:
        Refused: there is none, it is somebody else's, or others stand below it.
    """
    known = await get(tx, customer_id, budget_id)
    await ledger.accounts.lock(tx, [(customer_id, known.asset)])
    if known.set_by != set_by:
        raise Refused("budget_not_yours", f"This budget was set by the {known.set_by}: only they can end it.")
    below = await tx.one(_CHILDREN, (customer_id, budget_id))
    if below is not None:
        raise Refused("budget_has_children", f"{below['budget_id']} stands below this budget: end that one first.")
    await tx.execute(_END, {"customer_id": customer_id, "budget_id": budget_id, "now": await tx.now()})
    row = await tx.one(_ALIKE, (tags.ALL, customer_id, known.asset))
    ledger.accounts.set_budgeted(tx, (customer_id, known.asset), budgeted=row is not None and row["total"] > 0)


_END = """
    UPDATE budgets SET ended_at = %(now)s
    WHERE customer_id = %(customer_id)s AND budget_id = %(budget_id)s AND ended_at IS NULL
"""
_ANY = f"SELECT {_COLUMNS} FROM budgets AS b WHERE b.customer_id = %s AND b.budget_id = %s"


async def _any(tx: Tx, customer_id: CustomerId, budget_id: str) -> Budget | None:
    row = await tx.one(_ANY, (customer_id, budget_id))
    return None if row is None else _budget(row)


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
    SELECT {_COLUMNS}, c.time_zone
    FROM budgets AS b JOIN customers AS c ON c.customer_id = b.customer_id
    WHERE b.customer_id = %(customer_id)s AND b.ended_at IS NULL AND b.budget_id > %(after)s
        AND (%(asset)s::text IS NULL OR b.asset = %(asset)s) AND (%(set_by)s::text IS NULL OR b.set_by = %(set_by)s)
        AND (%(only)s::text IS NULL OR b.budget_id = %(only)s)
    ORDER BY b.budget_id LIMIT %(limit)s
"""
_WINDOWS = f"""
    SELECT w.budget_id, {_COUNTED} FROM budget_windows AS w
    WHERE w.customer_id = %s AND w.budget_id = ANY(%s) AND w.ends_at > %s
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
    now = await tx.now()
    windows: dict[str, list[Window]] = {}
    ids = [row["budget_id"] for row in rows]
    for row in await tx.all(_WINDOWS, (customer_id, ids, now - dt.timedelta(hours=24))) if ids else []:
        windows.setdefault(row["budget_id"], []).append(_window(row))
    return [counting.running(_budget(row), row["time_zone"], windows.get(row["budget_id"], ()), now) for row in rows]


def _budget(row: Row) -> Budget:
    return Budget(**{**{name: row[name] for name in Budget._fields}, "ancestors": tuple(row["ancestors"])})


def _window(row: Row) -> Window:
    return Window(
        row["budget_id"], row["starts_at"], row["ends_at"], row["used"], row["held"], row["beyond"], row["most"],
        row["announced"],
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
