"""What every payment operation needs: the database, the gateway, and how to retry."""

import dataclasses
import datetime as dt
import enum

from brimful import ledger
from brimful.auto_top_up.policy import Pace
from brimful.db.pool import Database
from brimful.gateway.gateway import Failure, FailureKind, Gateway
from brimful.gateway.limits import CustomerLocks
from brimful.payments import suspensions

RECOVER_S = 30  # a step that goes on by itself is picked up by the sweep after this, should its worker die
ANSWER_S = 60  # a confirm is answered within this, or its worker has died


class Step(enum.Enum):
    """What follows a step of a top-up."""

    CONTINUE = "continue"  # its state has changed: the next step may be taken at once
    WAIT = "wait"  # a job, an event or the sweep comes back to it


@dataclasses.dataclass(frozen=True)
class PaymentContext:
    """`retry_waits` lie between the tries of one top-up; there is one try more than waits."""

    database: Database
    gateway: Gateway
    keyring: ledger.hash_chain.Keyring
    pace: Pace
    merchant: str
    retry_waits: tuple[dt.timedelta, ...]
    locks: CustomerLocks

    async def note_key_rejection(self, answer: object, *, opens: bool = False) -> None:
        """Learn from an answer of the gateway: a rejected key suspends charging, with one reason.

        Only a call that moves a payment (`opens`) and was answered resumes it: a key may be allowed to read and not
        to write, and no answer means nothing.
        """
        refused = isinstance(answer, Failure) and answer.kind is FailureKind.ACCOUNT
        answered = not isinstance(answer, Failure) or answer.kind is FailureKind.REFUSED
        if not refused and not (opens and answered):
            return
        async with self.database.transaction() as tx:
            if not refused:
                await suspensions.resume(tx, "key", actor="stripe")
                return
            assert isinstance(answer, Failure)
            await suspensions.suspend(tx, "key", f"Stripe refuses the platform's key: {answer.message}", actor="stripe")
