"""Budgets of a customer, what was spent for whom, and why a debit would be refused."""

import datetime as dt
import re
import zoneinfo
from decimal import Decimal
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from brimful import auto_top_up, budgets, customers, ledger
from brimful.api import context, json_body, pagination, schemas
from brimful.api.context import Context, KnownCustomer, Transaction
from brimful.api.pagination import Limit
from brimful.api.routes import wallets
from brimful.core import money, text
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx

router = context.router_for("Budgets")
_ID = re.compile(r"[A-Za-z0-9_:~-][A-Za-z0-9._:~-]{0,127}", re.ASCII)
_DAYS = 30
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
Day = Annotated[str, Query(pattern=r"^\d{4}-\d{2}-\d{2}$", json_schema_extra={"format": "date"})]
_SPAN_MAX = 400


@router.put("/customers/{customer_id}/budgets/{budget_id}")
async def set_budget(
    context: Context, customer_id: CustomerId, budget_id: str, body: schemas.requests.SetBudget
) -> schemas.budgets.Budget:
    """Make a budget under an id of your own, or change its name, amount and hardness. It counts from now on."""
    if not _ID.fullmatch(budget_id):
        detail = "A budget's id has 1 to 128 letters, digits and - _ . : ~, and begins with no dot."
        raise Refused("invalid_field", detail, field="budget_id")
    async with context.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        asset = await context.deps.catalogue.get(tx, body.asset)
        form = budgets.store.Form(
            budget_id, asset.code, _tag(body), body.window, _amount(body.amount, asset.scale), body.hard,
            None if body.name is None else text.clean(body.name, "name"), body.parent_id,
        )  # fmt: skip
        await budgets.store.ancestors_for(tx, customer_id, form, "platform")
        await ledger.accounts.create_missing(tx, [(customer_id, asset.code)])
    async with context.deps.database.transaction() as tx:
        await budgets.store.set_budget(tx, customer_id, form, "platform")
        await auto_top_up.evaluate.reevaluate(tx, [(customer_id, asset.code)], context.deps.pace)  # for leases
        return await _shown(tx, customer_id, budget_id)


@router.get("/customers/{customer_id}/budgets")
async def list_budgets(
    tx: Transaction,
    customer: KnownCustomer,
    asset: str | None = None,
    set_by: budgets.model.SetBy | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> schemas.budgets.Budgets:
    """A customer's budgets, those of the platform and their own, by their ids."""
    after = pagination.read_cursor("b", cursor) or ""
    rows = await budgets.store.page(tx, customer.customer_id, limit=limit + 1, asset=asset, set_by=set_by, after=after)
    page, next_cursor = pagination.cut("b", rows, limit, lambda one: one.budget.budget_id)
    return schemas.budgets.Budgets(items=[schemas.budgets.Budget.of(one, []) for one in page], next_cursor=next_cursor)


@router.get("/customers/{customer_id}/budgets/{budget_id}")
async def get_budget(tx: Transaction, customer: KnownCustomer, budget_id: str) -> schemas.budgets.Budget:
    """One budget with what its window has counted."""
    return await _shown(tx, customer.customer_id, budget_id)


@router.delete("/customers/{customer_id}/budgets/{budget_id}", status_code=204)
async def end_budget(context: Context, tx: Transaction, customer: KnownCustomer, budget_id: str) -> Response:
    """End a budget of the platform's. Its id stays taken."""
    key = await budgets.store.end(tx, customer.customer_id, budget_id, "platform")
    await auto_top_up.evaluate.reevaluate(tx, [key], context.deps.pace)
    return Response(status_code=204)


@router.get("/customers/{customer_id}/wallet/{account_id}/spend")
async def read_spend(
    tx: Transaction,
    customer: KnownCustomer,
    account_id: str,
    dimension: Annotated[str | None, Query(max_length=budgets.tags.KEY_MAX)] = None,
    first_day: Day | None = None,
    last_day: Day | None = None,
    limit: Limit = 50,
) -> schemas.budgets.Spend:
    """What was spent for each subject, or with each value of a dimension: in the last 30 days, or in those given."""
    account = await wallets.account_of(tx, customer.customer_id, account_id)
    today = (await tx.now()).astimezone(zoneinfo.ZoneInfo(customer.time_zone)).date()
    last = today if last_day is None else _day(last_day, "last_day")
    first = last - dt.timedelta(days=_DAYS - 1) if first_day is None else _day(first_day, "first_day")
    if not dt.timedelta(0) <= last - first <= dt.timedelta(days=_SPAN_MAX):
        detail = f"first_day must not lie after last_day, nor more than {_SPAN_MAX} days before it."
        raise Refused("invalid_field", detail, field="first_day")
    spent = await ledger.spend.read(tx, account.key, first, last, dimension=dimension, limit=limit)
    return schemas.budgets.Spend(
        asset=account.asset,
        dimension=dimension,
        first_day=first.isoformat(),
        last_day=last.isoformat(),
        spent=[
            schemas.budgets.SpentFor(value=budgets.tags.parts(one.tag)[1] or "", used=money.text(one.used))
            for one in spent
        ],
    )


@router.get("/customers/{customer_id}/wallet/{account_id}/explain")
async def explain_debit(
    context: Context,
    tx: Transaction,
    customer: KnownCustomer,
    account_id: str,
    amount: Annotated[str, Query(max_length=40)],
    subject: Annotated[str | None, Query(max_length=budgets.tags.SUBJECT_MAX)] = None,
    dimension: Annotated[list[str], Query(max_length=budgets.tags.DIMENSIONS_MAX)] = [],  # noqa: B006
) -> schemas.budgets.DebitExplanation:
    """Whether a debit that must be covered would be refused now, and by what. A dimension is given as `key=value`."""
    account = await wallets.account_of(tx, customer.customer_id, account_id)
    asset = await context.deps.catalogue.get(tx, account.asset)
    wanted = money.positive(money.parse(amount, scale=asset.scale))
    found = await budgets.explain.explain(
        tx, account, wanted, budgets.tags.subject(subject), budgets.tags.dimensions(budgets.tags.pairs(dimension))
    )
    return schemas.budgets.DebitExplanation.of(found)


def _day(given: str, field: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(given if _DAY.fullmatch(given) else "")
    except ValueError:
        raise Refused("invalid_field", f"{field} must be a day such as 2026-11-24.", field=field) from None
    if not json_body.within_usual_length(day):
        raise Refused("invalid_field", json_body.UNUSUAL, field=field)
    return day


async def _shown(tx: Tx, customer_id: CustomerId, budget_id: str) -> schemas.budgets.Budget:
    found = await budgets.store.page(tx, customer_id, limit=1, only=budget_id)
    if not found:
        await budgets.store.get(tx, customer_id, budget_id)  # which says where there is none
        raise Refused("budget_not_found", "This budget has ended.")
    budget = found[0].budget
    notices = []
    if budget.parent_id is not None:
        parent = await budgets.store.get(tx, customer_id, budget.parent_id)
        if parent.hard and parent.amount < budget.amount and parent.span == budget.span:
            notices.append(f"The parent {parent.budget_id} covers less than this budget: the parent decides first.")
    return schemas.budgets.Budget.of(found[0], notices)


def _amount(given: str, scale: int) -> Decimal:
    amount = money.parse(given, scale=scale)
    if amount < 0:
        raise Refused("amount_invalid", "amount must not be negative: zero allows nothing.", field="amount")
    return amount


def _tag(body: schemas.requests.SetBudget) -> str:
    if body.subject is not None and body.dimension is not None:
        raise Refused("invalid_field", "A budget is for a subject or for a dimension, not for both.", field="subject")
    if body.subject is not None:
        return budgets.tags.of_subject(budgets.tags.subject(body.subject) or "")
    if body.dimension is not None:
        [(key, value)] = (budgets.tags.dimensions({body.dimension.key: body.dimension.value}) or {}).items()
        return budgets.tags.of_dimension(key, value)
    return budgets.tags.ALL
