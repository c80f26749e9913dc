"""Budgets as they are kept: set, ended, listed, and what they have counted."""

import dataclasses
from decimal import Decimal

from brimful import ledger
from brimful.budgets import model, windows
from brimful.budgets.counting import Bundle, Running
from brimful.budgets.definitions import COLUMNS, budget_of
from brimful.budgets.model import Budget, SetBy, Span
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.ledger.accounts import AccountKey


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
    free = [row for row in rows if row["filled"] < windows.BUNDLE_MAX and not row["rolling"]]
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
    for bundle in (await windows.read_bundles(tx, [(customer_id, known.asset, known.bundle)])).values():
        its = {(customer_id, budget_id, one.ends_at): one for one in bundle.windows if one.budget_id == budget_id}
        if its:
            bundle.windows = [one for one in bundle.windows if one.budget_id != budget_id]
            windows.save_bundles(tx, [bundle])
            windows.save_closed(tx, its)
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
    bundles = await windows.read_bundles(tx, {(one.customer_id, one.asset, one.bundle) for one, _ in found})
    shown = []
    for one, zone in found:
        key = one.customer_id, one.asset, one.bundle
        shown.append((bundles.get(key) or Bundle(*key, [])).run(one, zone, now))
    return shown
