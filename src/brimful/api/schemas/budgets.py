"""Budgets, what was spent for whom, and why a debit is refused, as the API answers them."""

from decimal import Decimal
from typing import Literal, Self

from pydantic import BaseModel

from brimful import budgets
from brimful.api.schemas.base import Amount, Moment, NextCursor
from brimful.budgets.explain import Explanation
from brimful.core import clock, money
from brimful.core.ids import CustomerId


class Dimension(BaseModel):
    """One value of a dimension."""

    key: str
    value: str

    @classmethod
    def of_tag(cls, tag: str) -> "Dimension | None":
        key, value = budgets.tags.parts(tag)
        return None if key is None or value is None else cls(key=key, value=value)


class Budget(BaseModel):
    """A budget with what its window has counted: `left` is below zero where more was recorded than it covers, and
    `beyond` is how much of it. `notices` says what is allowed and may surprise.
    """

    id: str
    customer_id: CustomerId
    asset: str
    name: str | None
    subject: str | None
    dimension: Dimension | None
    window: budgets.model.Span
    amount: Amount
    hard: bool
    parent_id: str | None
    set_by: budgets.model.SetBy
    used: Amount
    held: Amount
    left: Amount
    beyond: Amount
    resets_at: Moment | None
    created_at: Moment
    notices: list[str]

    @classmethod
    def of(cls, running: budgets.counting.Running, notices: list[str]) -> Self:
        budget, resets_at = running.budget, running.resets_at
        key, value = budgets.tags.parts(budget.tag)
        return cls(
            id=budget.budget_id,
            customer_id=budget.customer_id,
            asset=budget.asset,
            name=budget.name,
            subject=value if key is None else None,
            dimension=Dimension.of_tag(budget.tag),
            window=budget.span,
            amount=money.text(budget.amount),
            hard=budget.hard,
            parent_id=budget.parent_id,
            set_by=budget.set_by,
            used=money.text(running.used),
            held=money.text(running.held),
            left=money.text(running.left),
            beyond=money.text(sum((window.beyond for window in running.windows), Decimal(0))),
            resets_at=None if resets_at is None else clock.rfc3339(resets_at),
            created_at=clock.rfc3339(budget.created_at),
            notices=notices,
        )


class Budgets(BaseModel):
    """Budgets by their ids."""

    items: list[Budget]
    next_cursor: NextCursor


class Exceeded(BaseModel):
    """The hard budget that does not cover a debit."""

    id: str
    name: str | None
    amount: Amount
    used: Amount
    held: Amount
    resets_at: Moment | None

    @classmethod
    def of(cls, exceeded: budgets.counting.Exceeded) -> Self:
        resets_at = exceeded.resets_at
        return cls(
            id=exceeded.budget_id,
            name=exceeded.name,
            amount=money.text(exceeded.amount),
            used=money.text(exceeded.used),
            held=money.text(exceeded.held),
            resets_at=None if resets_at is None else clock.rfc3339(resets_at),
        )


class DebitExplanation(BaseModel):
    """Whether a debit that must be covered would be refused now, and by what; every budget that it would count in, the
    tightest first.
    """

    allowed: bool
    code: Literal["insufficient_funds", "budget_exceeded"] | None
    detail: str
    available: Amount
    exceeded: Exceeded | None
    budgets: list[Budget]

    @classmethod
    def of(cls, found: Explanation) -> Self:
        return cls(
            allowed=found.code is None,
            code=found.code,
            detail=found.detail,
            available=money.text(found.available),
            exceeded=None if found.exceeded is None else Exceeded.of(found.exceeded),
            budgets=[Budget.of(one, []) for one in found.budgets],
        )


class SpentFor(BaseModel):
    """What was spent for one subject, or with one value of the dimension."""

    value: str
    used: Amount


class Spend(BaseModel):
    """What was spent for whom, the most first, in whole days of the customer's."""

    asset: str
    dimension: str | None
    first_day: str
    last_day: str
    spent: list[SpentFor]
