"""What happens to each movement of a batch. Pure: balances and known keys in, verdicts out."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal

from brimful import ledger
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
        batch_holds: what is held; it takes up the holds that begin and end here.

    Returns:
        One verdict per movement. The same id with the same asset and amount is a duplicate; with another
        asset, amount or kind it is refused. A refusal is not remembered: the same id may be sent again.
    """
    running = dict(balances)
    first: dict[ledger.keys.Key, Movement] = {}
    verdicts: list[Verdict] = []
    for movement in movements:
        account = movement.customer_id, movement.asset
        key = movement.customer_id, movement.source, movement.key
        before = known.get(key) or first.get(key)
        balance = running[account]
        if movement.kind in HOLDING:
            verdict = batch_holds.decide(movement, balance, now)
            running[account] = verdict.balance or _NOTHING
        elif before is not None:
            verdict = _repeated(movement, before, balance, now)
        elif movement.covered_only and balance - batch_holds.held.get(account, _NOTHING) + movement.amount < 0:
            detail = "What is available does not cover this."
            verdict = Verdict("refused", "insufficient_funds", detail, balance, requested=-movement.amount)
        elif movement.terms is not None and _begins_later(movement.terms, now):
            first[key] = movement
            verdict = Verdict("applied", None, None, balance, now)
        else:
            first[key] = movement
            after = running[account] = balance + movement.amount
            available = after - batch_holds.held.get(account, _NOTHING)
            verdicts.append(Verdict("applied", None, None, after, now, available))  # at once: nearly all are these
            continue
        verdicts.append(verdict._replace(available=running[account] - batch_holds.held.get(account, _NOTHING)))
    return verdicts


def _begins_later(terms: ledger.lots.Terms, now: dt.datetime) -> bool:
    return terms.effective_at is not None and terms.effective_at > now


def _repeated(
    movement: Movement, before: ledger.keys.ExistingEntry | Movement, balance: Decimal, now: dt.datetime
) -> Verdict:
    """The id was used before: by an entry that is written, or earlier in this batch."""
    if (before.kind, before.asset, before.amount) == (movement.kind, movement.asset, movement.amount):
        recorded_at = before.recorded_at if isinstance(before, ledger.keys.ExistingEntry) else now
        return Verdict("duplicate", balance=balance, recorded_at=recorded_at)
    detail = "This id was used before with another asset or amount: send a new id."
    return Verdict("refused", "key_reused", detail, balance)
