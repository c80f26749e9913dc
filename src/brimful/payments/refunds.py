"""Refunds in the database: ours begin as `requested`, those made at Stripe are recorded when an event names them."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Literal

from brimful import jobs, ledger
from brimful.core import ids, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx
from brimful.gateway.gateway import RefundSnapshot
from brimful.ledger.accounts import Account
from brimful.top_ups.model import Payment

_POLLS_S = (5, 15, 30, 60, 120, 300)


@dataclasses.dataclass(frozen=True)
class Refund:
    """Money given back for one payment, in minor units of `currency`."""

    customer_id: CustomerId
    refund_id: str
    payment_id: str
    stripe_refund_id: str | None
    amount_minor: int
    currency: str
    state: Literal["requested", "pending", "succeeded", "failed", "canceled", "refused"]
    reason: str | None
    actor: str
    polls: int
    created_at: dt.datetime
    closed_at: dt.datetime | None
    loss: Decimal | None  # of its units, what had been used; None before it is booked


_COLUMNS = "SELECT " + ", ".join(field.name for field in dataclasses.fields(Refund)) + " FROM refunds "
_GET = _COLUMNS + "WHERE customer_id = %s AND refund_id = %s"
_FIND = _COLUMNS + "WHERE customer_id = %s AND (stripe_refund_id = %s OR refund_id = %s)"
_LIST = _COLUMNS + "WHERE customer_id = %s AND payment_id = %s ORDER BY created_at, refund_id"


async def get(tx: Tx, customer_id: CustomerId, refund_id: str) -> Refund | None:
    """One refund, by our id."""
    row = await tx.one(_GET, (customer_id, refund_id))
    return None if row is None else Refund(**row)


async def find(tx: Tx, customer_id: CustomerId, snapshot: RefundSnapshot) -> Refund | None:
    """The row that a reading belongs to: by Stripe's id, or by ours in its metadata."""
    row = await tx.one(_FIND, (customer_id, snapshot.refund_id, snapshot.metadata.get("refund_id", "")))
    return None if row is None else Refund(**row)


async def list_for(tx: Tx, payment: Payment) -> list[Refund]:
    """Every refund of a payment."""
    return [Refund(**row) for row in await tx.all(_LIST, (payment.customer_id, payment.payment_id))]


_OF_TOP_UP = """
    SELECT r.* FROM refunds AS r JOIN payments AS p ON p.customer_id = r.customer_id AND p.payment_id = r.payment_id
    WHERE p.customer_id = %s AND p.top_up_id = %s ORDER BY r.created_at, r.refund_id
"""


async def list_of_top_up(tx: Tx, customer_id: CustomerId, top_up_id: str) -> list[Refund]:
    """Every refund of a top-up's payments."""
    names = [field.name for field in dataclasses.fields(Refund)]
    rows = await tx.all(_OF_TOP_UP, (customer_id, top_up_id))
    return [Refund(**{name: row[name] for name in names}) for row in rows]


_INSERT = """
    INSERT INTO refunds (customer_id, refund_id, payment_id, amount_minor, currency, state, actor, wake_at, created_at)
    VALUES (%(customer_id)s, %(refund_id)s, %(payment_id)s, %(amount_minor)s, %(currency)s, 'requested', %(actor)s,
        %(now)s, %(now)s)
    ON CONFLICT (customer_id, refund_id) DO NOTHING
"""
_GIVES_BACK = {"requested", "pending", "succeeded"}


_DISPUTED = """
    SELECT coalesce(-sum(money_minor), 0)::bigint AS minor FROM entries
    WHERE customer_id = %s AND payment_id = %s
        AND (kind = 'dispute' OR (kind = 'reinstatement' AND key LIKE '%%:reinstated'))
"""


async def refundable_minor(tx: Tx, payment: Payment) -> int:
    """What neither a refund nor a dispute has taken of a payment. The caller holds the account's lock."""
    given = sum(refund.amount_minor for refund in await list_for(tx, payment) if refund.state in _GIVES_BACK)
    row = await tx.one(_DISPUTED, (payment.customer_id, payment.payment_id))
    assert row is not None
    return payment.amount_minor - given - int(row["minor"])


async def require_left(tx: Tx, payment: Payment, amount_minor: int | None) -> int:
    """The amount itself, or without one all that can be given back; refuses more. The caller holds the lock."""
    left = await refundable_minor(tx, payment)
    wanted = left if amount_minor is None else amount_minor
    if not 0 < wanted <= left:
        most = money.priced(max(0, left), payment.currency)
        raise Refused("not_refundable", f"At most {most} can be given back: the rest was refunded or is disputed.",
                      field="amount")  # fmt: skip
    return wanted


async def request(tx: Tx, payment: Payment, amount_minor: int | None, *, actor: str, refund_id: str | None) -> Refund:
    """Ask for a refund; a job sends it. Without an amount, all that is left. The same `refund_id` twice is one.

    Refuses more than is left of the payment. The caller holds the account's lock.
    """
    chosen = refund_id or ids.new("ref")
    known = await get(tx, payment.customer_id, chosen)
    if known is not None:
        return known
    wanted = await require_left(tx, payment, amount_minor)
    values = {"customer_id": payment.customer_id, "refund_id": chosen, "payment_id": payment.payment_id,
              "amount_minor": wanted, "currency": payment.currency, "actor": actor, "now": await tx.now()}  # fmt: skip
    await tx.execute(_INSERT, values)
    await jobs.defer(tx, jobs.Name.REFUND, [{"customer_id": payment.customer_id, "refund_id": chosen}])
    made = await get(tx, payment.customer_id, chosen)
    assert made is not None
    return made


_MEET = """
    INSERT INTO refunds (customer_id, refund_id, payment_id, stripe_refund_id, amount_minor, currency, state, actor,
        created_at)
    VALUES (%(customer_id)s, %(refund_id)s, %(payment_id)s, %(stripe_refund_id)s, %(amount_minor)s, %(currency)s,
        'pending', 'stripe', %(now)s)
"""
_NOTE = """
    UPDATE refunds SET state = %(state)s, stripe_refund_id = %(stripe_refund_id)s, reason = %(reason)s,
        read_at = %(now)s, closed_at = %(closed_at)s, wake_at = %(wake_at)s
    WHERE customer_id = %(customer_id)s AND refund_id = %(refund_id)s
        AND state NOT IN ('failed', 'canceled')
"""
_READ = "UPDATE refunds SET read_at = %s WHERE customer_id = %s AND refund_id = %s"
_AFTER = {"pending": {"succeeded", "failed", "canceled"}, "succeeded": {"failed", "canceled"}}
_STATES = {"requires_action": "pending"}
_PENDING_POLL = dt.timedelta(hours=1)


async def note(tx: Tx, payment: Payment, snapshot: RefundSnapshot) -> bool:
    """Keep what was read of a refund. True when its state is news. A failed one never succeeds after all; one that
    succeeded may still fail, days later, and is never pending again: that was read before.
    """
    now, before = await tx.now(), await find(tx, payment.customer_id, snapshot)
    state = _STATES.get(snapshot.status, snapshot.status)
    values = {
        "customer_id": payment.customer_id,
        "refund_id": ids.new("ref") if before is None else before.refund_id,
        "payment_id": payment.payment_id,
        "stripe_refund_id": snapshot.refund_id,
        "amount_minor": snapshot.amount_minor,
        "currency": snapshot.currency,
        "state": state,
        "reason": snapshot.reason,
        "closed_at": None if state == "pending" else now,
        "wake_at": now + _PENDING_POLL if state == "pending" else None,
        "now": now,
    }
    if before is None:
        await tx.execute(_MEET, values)
    elif before.stripe_refund_id is not None and (before.state == state or before.state in _AFTER.get(state, ())):
        await tx.execute(_READ, (now, payment.customer_id, before.refund_id))
        return False
    return await tx.execute(_NOTE, values) == 1


_SET_ASIDE = dt.timedelta(days=7)  # at most: a refund is booked as soon as Stripe has it


def _hold_id(refund_id: str) -> str:
    """Of a form that no hold of the platform's can have: the API can neither make nor end one of these."""
    return f"refund/{refund_id}"


async def set_aside(tx: Tx, account: Account, refund: Refund, units: Decimal) -> None:
    """Keep the units of a refund from being used until it is booked. The caller holds the account's lock."""
    now = await tx.now()
    hold = ledger.holds.Hold(
        account.customer_id, _hold_id(refund.refund_id), account.asset, units, "open", None, None, now + _SET_ASIDE,
        now, None,
    )  # fmt: skip
    ledger.holds.save(tx, begun=[hold], ended=[], held={account.key: account.held + units}, now=now)


async def let_go(tx: Tx, account: Account, refund: Refund | None) -> tuple[Account, Decimal]:
    """What was set aside for a refund is free again: it is booked now, or will not be. The caller holds the lock, and
    reevaluates. Returns the account as it is then, and how much it was.
    """
    if refund is None:
        return account, Decimal(0)
    hold = await ledger.holds.find(tx, account.customer_id, _hold_id(refund.refund_id))
    if hold is None or hold.state != "open":
        return account, Decimal(0)
    now = await tx.now()
    held = account.held - hold.amount
    ended = hold._replace(state="released", ended_at=now)
    ledger.holds.save(tx, begun=[], ended=[ended], held={account.key: held}, now=now)
    return account._replace(held=held), hold.amount


_KEEP_LOSS = "UPDATE refunds SET loss = %s WHERE customer_id = %s AND stripe_refund_id = %s"


async def keep_loss(tx: Tx, customer_id: CustomerId, stripe_refund_id: str, loss: Decimal) -> None:
    """Keep how many of the units that went back had been used."""
    await tx.execute(_KEEP_LOSS, (loss, customer_id, stripe_refund_id))


_REFUSE = """
    UPDATE refunds SET state = 'refused', reason = %s, closed_at = %s, wake_at = NULL
    WHERE customer_id = %s AND refund_id = %s AND state = 'requested'
"""


async def refuse(tx: Tx, refund: Refund, reason: str) -> None:
    """Stripe will not make it: it ends, and no money has moved."""
    await tx.execute(_REFUSE, (reason, await tx.now(), refund.customer_id, refund.refund_id))


_LATER = """
    UPDATE refunds SET polls = polls + 1, wake_at = %s
    WHERE customer_id = %s AND refund_id = %s AND closed_at IS NULL
"""


async def poll_later(tx: Tx, refund: Refund) -> None:
    """Its outcome is not known: look again, each time a little later. Nothing, where it has become known meanwhile."""
    wait_s = _POLLS_S[min(refund.polls, len(_POLLS_S) - 1)] * ids.spread(f"{refund.refund_id}{refund.polls}")
    wake_at = await tx.now() + dt.timedelta(seconds=wait_s)
    if not await tx.execute(_LATER, (wake_at, refund.customer_id, refund.refund_id)):
        return
    arguments = {"customer_id": refund.customer_id, "refund_id": refund.refund_id}
    await jobs.defer(tx, jobs.Name.REFUND, [arguments], at=wake_at)


_DUE = "SELECT customer_id, refund_id FROM refunds WHERE wake_at <= %s ORDER BY wake_at LIMIT %s"


async def due(tx: Tx, *, late_s: float, limit: int) -> list[Row]:
    """Refunds whose time came `late_s` ago."""
    return await tx.all(_DUE, (await tx.now() - dt.timedelta(seconds=late_s), limit))
