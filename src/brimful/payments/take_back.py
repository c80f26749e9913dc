"""Taking back: the customer undoes the unspent part of an automatic top-up, within the platform's window.

What is left of its credit is set aside in the same transaction that asks for the refund, under the account's lock:
debits that run meanwhile cannot use it, and no more goes back than was left. The rule pauses, so that the same is not
charged again; the bonus goes back in proportion, as with any refund.
"""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Literal

from brimful import assets, auto_top_up, grants, ledger, top_ups
from brimful.auth import audit
from brimful.auth.portal_sessions import PortalSession
from brimful.auto_top_up.policy import Pace
from brimful.core import ids, money
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.ledger.accounts import Account
from brimful.ledger.hash_chain import Keyring
from brimful.payments import refunds, reversals, settle
from brimful.top_ups.model import Payment, TopUp

ACTOR = "customer"  # of a refund that its customer asked for
_OVER = {"failed", "canceled", "refused"}
Reason = Literal["not_automatic", "too_late", "taken_back", "disputed", "refund_on_its_way", "nothing_left"]
_WHY: dict[Reason, str] = {
    "not_automatic": "Only an automatic top-up can be taken back: ask for a refund of this one.",
    "too_late": "The time in which this top-up could be taken back has passed.",
    "taken_back": "This top-up has been taken back already.",
    "disputed": "A dispute about this payment is open.",
    "refund_on_its_way": "A refund of this top-up is on its way: try again once it has been made.",
    "nothing_left": "Nothing is left of this top-up.",
}


@dataclasses.dataclass(frozen=True)
class Offered:
    """What can be taken back now: money of the payment, and the units that go with it, a bonus among them."""

    payment: Payment
    amount_minor: int
    units: Decimal


async def offered(tx: Tx, keyring: Keyring, account: Account, top_up: TopUp, window: dt.timedelta) -> Offered | Reason:
    """What its customer may take back of a top-up now, or why nothing.

    Args:
        tx: any; what is offered is certain only under the account's lock.
        keyring: the ledger's.
        account: the top-up's.
        top_up: of this customer.
        window: how long after the credit.
    """
    payment = await top_ups.store.paid_by(tx, top_up)
    if top_up.kind != "automatic" or payment is None or top_up.ended_at is None:
        return "not_automatic"
    made = await refunds.list_for(tx, payment)
    if any(one.actor == ACTOR and one.state not in _OVER for one in made):
        return "taken_back"
    if await tx.now() >= top_up.ended_at + window:
        return "too_late"
    if any(row["closed_at"] is None for row in await reversals.disputes_of(tx, account.customer_id, top_up.top_up_id)):
        return "disputed"
    if any(one.state == "requested" for one in made):  # what it takes is in the wallet still
        return "refund_on_its_way"
    return await _unspent(tx, keyring, account, top_up, payment)


async def _unspent(
    tx: Tx, keyring: Keyring, account: Account, top_up: TopUp, payment: Payment
) -> Offered | Literal["nothing_left"]:
    """The money whose units are all left, and that can be given back."""
    lots = await ledger.lot_store.read(tx, keyring, account.key, account.head.seq)
    left = sum((lot.left for lot in lots if lot.payment_id == payment.payment_id), Decimal(0))
    asset = await assets.get(tx, top_up.asset)
    most = await refunds.refundable_minor(tx, payment)
    minor = min(most, _money_of(left, top_up.units, payment.amount_minor))
    now_minor = await _money_left(tx, payment)
    units = await _units(tx, top_up, payment, now_minor, minor, asset.scale)
    if units > account.available > 0:  # of a bonus, part has been used: less can go back
        minor = _money_of(account.available, units, minor)
        units = await _units(tx, top_up, payment, now_minor, minor, asset.scale)
    if minor <= 0 or units <= 0 or units > account.available:
        return "nothing_left"
    return Offered(payment, minor, units)


def _money_of(units: Decimal, whole: Decimal, minor: int) -> int:
    """The part of the money that so many of the whole units are, rounded down."""
    return int(units * minor // whole)


async def _money_left(tx: Tx, payment: Payment) -> int:
    left = await ledger.entries.remaining_of_payment(tx, payment.customer_id, payment.payment_id)
    return 0 if left is None else left.money_minor


async def _units(tx: Tx, top_up: TopUp, payment: Payment, now_minor: int, minor: int, scale: int) -> Decimal:
    """The units that leave with so much money: its own, and of its bonus in proportion."""
    before, after = (
        money.units_left(top_up.units, left, payment.amount_minor, scale=scale)
        for left in (now_minor, now_minor - minor)
    )
    bonus = await grants.bonuses.follow(tx, top_up, payment, "taken back", now_minor - minor, scale)
    return before - after - (Decimal(0) if bonus is None else bonus.amount)


async def take_back(
    tx: Tx, session: PortalSession, top_up_id: str, *, keyring: Keyring, window: dt.timedelta, pace: Pace
) -> refunds.Refund:
    """Ask for the refund of what is left of a top-up, set it aside, and pause the rule. A job sends the refund.

    Args:
        tx: under the portal's role.
        session: the customer's own.
        top_up_id: an automatic top-up of theirs.
        keyring: the ledger's.
        window: how long after its credit.
        pace: how often an account may be topped up.

    Refuses a manual top-up, one that was taken back, one outside the window, one with an open dispute, and one of which
    nothing is left: `extra["why"]` says which.
    """
    if session.kind != "portal":
        raise Refused("forbidden", "This link is for one payment only: open billing.")
    await top_ups.store.get(tx, session.customer_id, top_up_id)  # refuses what is none of theirs
    account, top_up = await settle.lock_both(tx, session.customer_id, top_up_id)
    account = await grants.due.post(tx, keyring, account)
    found = await offered(tx, keyring, account, top_up, window)
    if not isinstance(found, Offered):
        raise Refused("not_refundable", _WHY[found], why=found)
    refund = await refunds.request(tx, found.payment, found.amount_minor, actor=ACTOR, refund_id=ids.new("ref"))
    await refunds.set_aside(tx, account, refund, found.units)
    await auto_top_up.pauses.pause(tx, session.customer_id, top_up.asset, "taken_back")
    await audit.record(
        tx, actor=session.session_id, action="top_up.taken_back", customer_id=session.customer_id,
        after={"top_up_id": top_up_id, "refund_id": refund.refund_id, "amount_minor": refund.amount_minor},
    )  # fmt: skip
    await auto_top_up.evaluate.reevaluate(tx, [account.key], pace)
    return refund
