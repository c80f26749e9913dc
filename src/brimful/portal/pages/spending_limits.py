"""What one balance was spent for, and the limits on it: those of the platform, and the customer's own."""

import dataclasses
import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from brimful import assets, auto_top_up, budgets, ledger
from brimful.budgets.counting import Running
from brimful.core import ids, text
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.portal import error_messages
from brimful.portal.context import Page

_DAYS = 30
_SHOWN = 20
_LIMITS_MAX = 200
_SPANS: tuple[budgets.model.Span, ...] = ("day", "week", "month", "rolling_24h", "total")


@dataclasses.dataclass(frozen=True)
class LimitRow:
    """One limit as the page shows it. `filled` is how much of it is used, in thousandths."""

    budget_id: str
    what: str
    each: str
    used: str
    of: str
    filled: int
    tone: str
    note: str
    own: bool
    depth: int


async def spending_limits(page: Page) -> Response:
    """The page, and its form: a new limit, or another amount for one of the customer's own."""
    code = page.request.path_params["asset"]
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, code)
    errors: dict[str, str] = {}
    if page.posted:
        errors = await _save(page, asset)
        if not errors:
            return page.go(f"/limits/{code}", done="limit_saved")
    async with page.deps.database.transaction() as tx:
        values = await _values(page, tx, asset)
    values |= {"errors": errors, "form": _typed(page, values["changing"])}
    return page.show("limits.html", values, status=422 if errors else 200)


async def end_limit(page: Page) -> Response:
    """Remove one of the customer's own limits."""
    async with page.deps.database.transaction() as tx:
        key = await budgets.store.end(tx, page.session.customer_id, page.field("limit"), "customer")
        await auto_top_up.evaluate.reevaluate(tx, [key], page.deps.pace)
    return page.go(f"/limits/{page.request.path_params['asset']}", done="limit_removed")


async def _values(page: Page, tx: Tx, asset: assets.Asset) -> dict[str, Any]:
    customer_id, key = page.session.customer_id, (page.session.customer_id, asset.code)
    own = await budgets.store.page(tx, customer_id, limit=_LIMITS_MAX, asset=asset.code, set_by="customer")
    found = own + await budgets.store.page(tx, customer_id, limit=_LIMITS_MAX, asset=asset.code, set_by="platform")
    changing = next((one for one in found if one.budget.budget_id == page.query("change") and _own(one)), None)
    today = (await tx.now()).astimezone(zoneinfo.ZoneInfo(page.session.time_zone)).date()
    since = today - dt.timedelta(days=_DAYS - 1)
    dimensions = await ledger.spend.dimensions(tx, key, since)
    by = page.query("by") if page.query("by") in dimensions else None
    spent = await ledger.spend.read(tx, key, since, today, dimension=by, limit=_SHOWN)
    most = max((one.used for one in spent), default=Decimal(0))
    return {
        "asset": asset,
        "name": page.words.asset(asset),
        "unit": page.words.unit(Decimal(2), asset) if asset.kind == "unit" else asset.code,
        "limits": [_row(page, asset, one) for one in _in_order(found)],
        "changing": changing,
        "by": by,
        "dimensions": dimensions,
        "spent": [_spent(page, asset, one, most) for one in spent],
        "known": [budgets.tags.parts(one.tag)[1] for one in spent] if by is None else [],
        "spans": [(span, _each(page, span)) for span in _SPANS],
        "merchant": page.deps.settings.merchant,
    }


def _own(one: Running) -> bool:
    return one.budget.set_by == "customer"


def _in_order(found: list[Running]) -> list[Running]:
    """Each below its parent, where that is shown too."""
    ordered: list[Running] = []
    shown = {one.budget.budget_id for one in found}

    def place(parent: str | None) -> None:
        for one in found:
            above = one.budget.parent_id if one.budget.parent_id in shown else None
            if above == parent:
                ordered.append(one)
                place(one.budget.budget_id)

    place(None)
    return ordered


def _spent(page: Page, asset: assets.Asset, one: ledger.spend.Spent, most: Decimal) -> dict[str, Any]:
    share = int(one.used * 1000 / most) if most > 0 else 0
    value = budgets.tags.parts(one.tag)[1]
    return {"value": value, "used": page.words.amount_rounded(one.used, asset), "filled": share}


def _row(page: Page, asset: assets.Asset, one: Running) -> LimitRow:
    t, words, budget = page.words.t, page.words, one.budget
    together = one.used + one.held
    filled = 1000 if together >= budget.amount else int(together * 1000 / budget.amount)
    note = t("Stops at the limit") if budget.hard else t("Only notifies")
    if one.used > budget.amount and budget.hard:
        note = t("More was used than the limit allows: it had happened already.")
    tone = "over" if filled >= 1000 else "near" if filled >= 800 else ""
    return LimitRow(
        budget.budget_id, _what(page, budget), _each(page, budget.span), words.amount_rounded(together, asset),
        words.amount(budget.amount, asset), filled, tone, note, _own(one), len(budget.ancestors),
    )  # fmt: skip


def _what(page: Page, budget: budgets.model.Budget) -> str:
    key, value = budgets.tags.parts(budget.tag)
    what = page.words.t("All spending") if value is None else value if key is None else f"{key}: {value}"
    return what if budget.name is None else f"{budget.name} · {what}"


def _each(page: Page, span: budgets.model.Span) -> str:
    t = page.words.t
    return {
        "day": t("each day"),
        "week": t("each week"),
        "month": t("each month"),
        "rolling_24h": t("in any 24 hours"),
        "total": t("in all"),
    }[span]


def _typed(page: Page, changing: Running | None) -> dict[str, str]:
    """What the form shows: what was typed, else the limit that is changed, else what most people want."""
    if page.posted:
        return {name: page.field(name) for name in ("limit", "subject", "span", "amount", "hard")}
    if changing is None:
        return {"limit": "", "subject": "", "span": "day", "amount": "", "hard": "yes"}
    budget = changing.budget
    _, value = budgets.tags.parts(budget.tag)
    return {
        "limit": budget.budget_id,
        "subject": value or "",
        "span": budget.span,
        "amount": page.words.typed(budget.amount),
        "hard": "yes" if budget.hard else "no",
    }


async def _save(page: Page, asset: assets.Asset) -> dict[str, str]:
    """Save the form. Returns what is wrong with it, by field."""
    customer_id = page.session.customer_id
    try:
        of = asset if asset.kind == "unit" else asset.code
        amount = page.amount("amount", scale=asset.scale, of=of)
        async with page.deps.database.transaction() as tx:
            form = await _form(page, tx, asset, amount)
            await ledger.accounts.create_missing(tx, [(customer_id, asset.code)])
        async with page.deps.database.transaction() as tx:
            await budgets.store.set_budget(tx, customer_id, form, "customer")
            await auto_top_up.evaluate.reevaluate(tx, [(customer_id, asset.code)], page.deps.pace)
    except Refused as refused:
        return {refused.field or "amount": error_messages.text(page.words, refused)}
    return {}


async def _form(page: Page, tx: Tx, asset: assets.Asset, amount: Decimal) -> budgets.store.Form:
    hard = page.field("hard") != "no"
    if page.field("limit"):
        known = await budgets.store.get(tx, page.session.customer_id, page.field("limit"))
        return budgets.store.Form(
            known.budget_id, known.asset, known.tag, known.span, amount, hard, known.name, known.parent_id
        )
    span = next((one for one in _SPANS if one == page.field("span")), None)
    if span is None:
        raise Refused("invalid_field", "Choose how long the limit is for.", field="span")
    subject = budgets.tags.subject(text.one_writing(page.field("subject")) or None)
    tag = budgets.tags.ALL if subject is None else budgets.tags.of_subject(subject)
    return budgets.store.Form(ids.new("bud"), asset.code, tag, span, amount, hard)
