"""Why a debit would be refused at this moment: the same decision as the debit's own, without a debit."""

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

from brimful.budgets import tags, windows
from brimful.budgets.counting import Exceeded, Running
from brimful.core import money
from brimful.db.pool import Tx
from brimful.ledger.accounts import Account


@dataclasses.dataclass(frozen=True)
class Explanation:
    """`code` is that of the refusal, None where there would be none. `budgets` are those that the debit would count in,
    the tightest first.
    """

    code: Literal["insufficient_funds", "budget_exceeded"] | None
    detail: str
    available: Decimal
    exceeded: Exceeded | None
    budgets: Sequence[Running]


async def explain(
    tx: Tx, account: Account, amount: Decimal, subject: str | None, dimensions: Mapping[str, str] | None
) -> Explanation:
    """What would become of a debit that must be covered. The account need not be locked: it is only said."""
    counting = await windows.read(tx, {(account.key, tag): account for tag in tags.of(subject, dimensions)})
    budgets = sorted(counting.of(account.key, subject, dimensions), key=lambda one: (not one.budget.hard, one.left))
    exceeded = counting.exceeded(budgets, amount)
    if exceeded is not None:
        name = exceeded.name or exceeded.budget_id
        left = exceeded.amount - exceeded.used - exceeded.held
        detail = f"The budget {name!r} has {money.text(left)} left. A top-up would not change that."
        return Explanation("budget_exceeded", detail, account.available, exceeded, budgets)
    if account.available < amount:
        detail = f"{money.text(account.available)} is available. What is recorded after the fact may go below zero."
        return Explanation("insufficient_funds", detail, account.available, None, budgets)
    return Explanation(None, "It would be applied.", account.available, None, budgets)
