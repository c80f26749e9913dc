"""The till: what every operation here needs, handed in by the doors."""

import dataclasses
import datetime as dt

from brimful import ledger
from brimful.auto_topup import Pace
from brimful.db import Database, Tx
from brimful.payments import Failure, FailureKind, Gateway

__all__ = ["ANSWER_S", "RECOVER_S", "Till", "charging_open", "hear"]


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


# While Stripe refuses our key, one caller in half a minute tries whether it does so still.
_PROBE = """
    UPDATE charging SET since = %(now)s WHERE NOT open AND since < %(now)s::timestamptz - interval '30 s' RETURNING one
"""


async def charging_open(tx: Tx) -> bool:
    """Whether payments may be sent. Under a role that may not probe, closed is closed."""
    row = await tx.one("SELECT open FROM charging")
    if row is None or row["open"]:
        return True
    if not await _may_write(tx):
        return False
    return await tx.one(_PROBE, {"now": await tx.now()}) is not None


async def hear(till: Till, answer: object, *, opens: bool = False) -> None:
    """Learn from an answer of the gateway: a refused key closes charging, with one reason.

    Only a call that moves a payment (`opens`) and was answered opens it again: a key may be allowed to read
    and not to write, and silence tells nothing.
    """
    refused = isinstance(answer, Failure) and answer.kind is FailureKind.ACCOUNT
    answered = not isinstance(answer, Failure) or answer.kind is FailureKind.REFUSED
    if not refused and not (opens and answered):
        return
    async with till.database.transaction() as tx:
        row = await tx.one("SELECT open FROM charging")
        if row is None or row["open"] is not refused or not await _may_write(tx):
            return
        reason = f"Stripe refuses the platform's key: {answer.message}" if isinstance(answer, Failure) else None
        await tx.execute(
            "UPDATE charging SET open = %s, reason = %s, since = %s WHERE open = %s",
            (not refused, reason if refused else None, await tx.now(), refused),
        )


async def _may_write(tx: Tx) -> bool:
    row = await tx.one("SELECT has_table_privilege('charging', 'UPDATE') AS may")
    return bool(row and row["may"])
