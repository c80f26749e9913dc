"""What every payment operation needs: the database, the gateway, and how to retry."""

import dataclasses
import datetime as dt
import enum

from brimful import ledger, suspensions
from brimful.auto_top_up.policy import Pace
from brimful.db.pool import Database
from brimful.gateway.gateway import Failure, FailureKind, Gateway
from brimful.gateway.limits import CustomerLocks
from brimful.payments.ownership import Installation

RECOVER_S = 30  # a step that goes on by itself is picked up by the sweep after this, should its worker die
# Why a card must not be charged, by what its plastic went through, as its rule's pause says it.
FORBIDDEN = {"hard": "card_declined", "data": "card_data", "disputed": "disputed"}
ANSWER_S = 60  # a confirm is answered within this, or its worker has died


class Step(enum.Enum):
    """What follows a step of a top-up."""

    CONTINUE = "continue"  # its state has changed: the next step may be taken at once
    WAIT = "wait"  # a job, an event or the sweep comes back to it


@dataclasses.dataclass(frozen=True)
class PaymentContext:
    """`retry_waits` lie between the tries of one top-up; there is one try more than waits. `manual_per_day` bounds what
    a customer pays by hand in 24 hours.
    """

    database: Database
    gateway: Gateway
    keyring: ledger.hash_chain.Keyring
    pace: Pace
    merchant: str
    retry_waits: tuple[dt.timedelta, ...]
    locks: CustomerLocks
    manual_per_day: int
    installation: Installation = dataclasses.field(default_factory=Installation)

    async def our_key(self) -> str:
        """The key that our objects at Stripe carry. Called outside of a transaction."""
        return await self.installation.key(self.database)

    async def note_key_rejection(self, answer: object, *, opens: bool = False) -> None:
        """Learn from an answer of the gateway: what is wrong with the platform's key or account suspends charging,
        with one reason.

        Only a call that moves a payment (`opens`) and was answered resumes it: a key may be allowed to read and not
        to write, no answer means nothing, and an object that is missing may mean another account.
        """
        if isinstance(answer, Failure) and answer.kind is FailureKind.ACCOUNT:
            await self.suspend_charging(f"Stripe refuses the platform's key or account: {answer.message}")
            return
        answered = not isinstance(answer, Failure) or (answer.kind is FailureKind.REFUSED and not answer.missing)
        if opens and answered:
            async with self.database.transaction() as tx:
                await suspensions.store.resume(tx, "key", actor="stripe")

    async def suspend_charging(self, reason: str) -> None:
        """The platform's key or account is wrong: nothing is sent until a payment, tried now and then, goes through."""
        async with self.database.transaction() as tx:
            await suspensions.store.suspend(tx, "key", reason, actor="stripe")
