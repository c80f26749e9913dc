"""The till: what every operation here needs, handed in by the doors."""

import dataclasses
import datetime as dt

from brimful import charging, ledger
from brimful.auto_topup import Pace
from brimful.db import Database
from brimful.payments import Failure, FailureKind, Gateway, Turns

__all__ = ["ANSWER_S", "RECOVER_S", "Till", "hear"]


RECOVER_S = 30  # a step that goes on by itself is picked up by the sweep after this, should its worker die
ANSWER_S = 60  # a confirm is answered within this, or its worker has died


@dataclasses.dataclass(frozen=True)
class Till:
    """`retry_waits` lie between the tries of one top-up; there is one try more than waits."""

    database: Database
    gateway: Gateway
    keyring: ledger.Keyring
    pace: Pace
    merchant: str
    retry_waits: tuple[dt.timedelta, ...]
    turns: Turns


async def hear(till: Till, answer: object, *, opens: bool = False) -> None:
    """Learn from an answer of the gateway: a refused key holds charging, with one reason.

    Only a call that moves a payment (`opens`) and was answered lifts that: a key may be allowed to read and not
    to write, and silence tells nothing.
    """
    refused = isinstance(answer, Failure) and answer.kind is FailureKind.ACCOUNT
    answered = not isinstance(answer, Failure) or answer.kind is FailureKind.REFUSED
    if not refused and not (opens and answered):
        return
    async with till.database.transaction() as tx:
        if not refused:
            await charging.lift(tx, "key", actor="stripe")
            return
        assert isinstance(answer, Failure)
        await charging.hold(tx, "key", f"Stripe refuses the platform's key: {answer.message}", actor="stripe")
