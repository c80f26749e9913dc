"""What happens to each movement of a batch. Pure: balances and known keys in, verdicts out."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal

from brimful import ledger
from brimful.budgets.counting import Counting, Running
from brimful.core.ids import CustomerId
from brimful.posting import holds
from brimful.posting.model import HOLDING, Movement, Verdict

_NOTHING = Decimal(0)


def decide(
    movements: Sequence[Movement],
    balances: Mapping[tuple[CustomerId, str], Decimal],
    known: Mapping[ledger.keys.Key, ledger.keys.ExistingEntry],
    now: dt.datetime,
    batch_holds: holds.BatchHolds,
) -> list[Verdict]:
    """Decide movements in order, each seeing the balances that those before it left.

    Args:
        movements: of accounts that all stand in `balances`.
        balances: as read under the lock.
        known: entries that are written under some of the keys, read after the lock.
        now: the database's clock after the lock, at which those applied are recorded.
        batch_holds: what is held, and what budgets have counted; it takes up what begins and ends here.

    Returns:
        One verdict per movement. The same id with the same asset and amount is a duplicate; with another
        asset, amount or kind it is refused. A refusal is not remembered: the same id may be sent again.
    """
    running = dict(balances)
    first: dict[ledger.keys.Key, Movement] = {}
    verdicts: list[Verdict] = []
    counting = batch_holds.counting
    for movement in movements:
        account = movement.customer_id, movement.asset
        key = movement.customer_id, movement.source, movement.key
        before = known.get(key) or first.get(key)
        balance = running[account]
        budgets = _budgets(counting, movement) if counting else ()
        if before is not None and (movement.kind not in HOLDING or _takes(movement)):
            verdict = _repeated(movement, before, balance, now)
        elif movement.kind in HOLDING:
            verdict = batch_holds.decide(movement, balance, now)
            running[account] = verdict.balance or _NOTHING
            if verdict.outcome == "applied" and _takes(movement):
                first[key] = movement
        elif movement.covered_only and (refusal := _uncovered(movement, balance, batch_holds, budgets)) is not None:
            verdict = refusal
        elif _begins_later(movement.terms, now):
            first[key] = movement
            verdict = Verdict("applied", None, None, balance, now)
        else:
            first[key] = movement
            counting.use(budgets, -movement.amount)
            after = running[account] = balance + movement.amount
            available = after - batch_holds.held.get(account, _NOTHING)
            verdicts.append(Verdict("applied", None, None, after, now, available))  # at once: nearly all are these
            continue
        verdicts.append(verdict._replace(available=running[account] - batch_holds.held.get(account, _NOTHING)))
    return verdicts


def _budgets(counting: Counting, movement: Movement) -> Sequence[Running]:
    """Those that a debit counts in."""
    if movement.kind not in ledger.entries.SPENDING:
        return ()
    return counting.of((movement.customer_id, movement.asset), movement.subject, movement.dimensions)


def _takes(movement: Movement) -> bool:
    """Whether it is a use of a lease that takes anything: one that takes nothing is no more than a sign of life."""
    return movement.kind == "use" and bool(movement.amount)


def _uncovered(
    movement: Movement, balance: Decimal, batch_holds: holds.BatchHolds, budgets: Sequence[Running]
) -> Verdict | None:
    """Why a movement that must be covered is not: by a budget, which no top-up would fill, or by what is available."""
    exceeded = batch_holds.counting.exceeded(budgets, -movement.amount)
    if exceeded is not None:
        return holds.over_budget(exceeded, balance, -movement.amount)
    if balance - batch_holds.held.get((movement.customer_id, movement.asset), _NOTHING) + movement.amount >= 0:
        return None
    detail = "What is available does not cover this."
    return Verdict("refused", "insufficient_funds", detail, balance, requested=-movement.amount)


def _begins_later(terms: ledger.lots.Terms | None, now: dt.datetime) -> bool:
    return terms is not None and terms.effective_at is not None and terms.effective_at > now


def _repeated(
    movement: Movement, before: ledger.keys.ExistingEntry | Movement, balance: Decimal, now: dt.datetime
) -> Verdict:
    """The id was used before: by an entry that is written, or earlier in this batch."""
    kind = "usage" if movement.kind == "use" and isinstance(before, ledger.keys.ExistingEntry) else movement.kind
    if (before.kind, before.asset, before.amount) == (kind, movement.asset, movement.amount):
        recorded_at = before.recorded_at if isinstance(before, ledger.keys.ExistingEntry) else now
        return Verdict("duplicate", balance=balance, recorded_at=recorded_at)
    detail = "This id was used before with another asset or amount: send a new id."
    return Verdict("refused", "key_reused", detail, balance)
