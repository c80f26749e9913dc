"""What happens to each movement of a batch. Pure: balances and known keys in, verdicts out."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from brimful import ledger

__all__ = ["Key", "Movement", "Verdict", "decide"]

Key = tuple[str, str, str]  # customer_id, source, key

SOURCES: Mapping[str, Literal["usage", "api"]] = {"usage": "usage", "charge": "api", "adjustment": "api"}


class Movement(NamedTuple):
    """A change that somebody asks for. `amount` is signed, in the asset: usage and charges are negative.

    `covered_only` refuses what the balance does not cover. `key` is the caller's own id for it.
    """

    kind: Literal["usage", "charge", "adjustment"]
    customer_id: str
    asset: str
    key: str
    amount: Decimal
    covered_only: bool = False
    occurred_at: dt.datetime | None = None
    description: str | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def source(self) -> Literal["usage", "api"]:
        return SOURCES[self.kind]


class Verdict(NamedTuple):
    """What became of a movement. `balance` is the account's after it; None when there is no account."""

    outcome: Literal["applied", "duplicate", "refused"]
    code: str | None = None
    detail: str | None = None
    balance: Decimal | None = None
    recorded_at: dt.datetime | None = None


def decide(
    movements: Sequence[Movement],
    balances: Mapping[tuple[str, str], Decimal],
    known: Mapping[Key, ledger.Known],
    now: dt.datetime,
) -> list[Verdict]:
    """Judge movements in order, each seeing the balances that those before it left.

    Args:
        movements: of accounts that all stand in `balances`.
        balances: as read under the lock.
        known: entries that are written under some of the keys, read after the lock.
        now: the database's clock after the lock, at which those applied are recorded.

    Returns:
        One verdict per movement. The same id with the same asset and amount is a duplicate; with another
        asset, amount or kind it is refused. A refusal is not remembered: the same id may be sent again.
    """
    running = dict(balances)
    first: dict[Key, Movement] = {}
    verdicts: list[Verdict] = []
    for movement in movements:
        account = movement.customer_id, movement.asset
        key = movement.customer_id, movement.source, movement.key
        before = known.get(key) or first.get(key)
        balance = running[account]
        if before is not None:
            verdicts.append(_repeated(movement, before, balance, now))
        elif movement.covered_only and balance + movement.amount < 0:
            detail = "The balance does not cover this."
            verdicts.append(Verdict("refused", "insufficient_funds", detail, balance))
        else:
            first[key] = movement
            running[account] = balance + movement.amount
            verdicts.append(Verdict("applied", None, None, running[account], now))
    return verdicts


def _repeated(movement: Movement, before: ledger.Known | Movement, balance: Decimal, now: dt.datetime) -> Verdict:
    """The id was used before: by an entry that is written, or earlier in this batch."""
    if (before.kind, before.asset, before.amount) == (movement.kind, movement.asset, movement.amount):
        recorded_at = before.recorded_at if isinstance(before, ledger.Known) else now
        return Verdict("duplicate", balance=balance, recorded_at=recorded_at)
    detail = "This id was used before with another asset or amount: send a new id."
    return Verdict("refused", "key_reused", detail, balance)
