"""Reversals: money that goes back to a customer takes its units with it. Once each, in any order.

A refund moves the ledger once it is on its way, and back again should it fail; a dispute when Stripe withdraws
or reinstates the money. What a payment has left in units follows from what it has left in money, so partial
reversals sum exactly in any order.
"""

import datetime as dt
import logging
import math
from collections.abc import Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from brimful import assets, auto_top_up, cards, grants, ledger, top_ups
from brimful.auth import audit
from brimful.core import money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx
from brimful.gateway.gateway import DisputeSnapshot, Failure, FailureKind, RefundSnapshot
from brimful.notifications import events
from brimful.notifications.events import Topic
from brimful.payments import ownership, refunds, settle
from brimful.payments.context import PaymentContext
from brimful.top_ups.model import Payment, TopUp

_log = logging.getLogger(__name__)
_NOTHING_TAKEN = "This top-up has taken no money: there is nothing to give back."
_KEY_LIFE = dt.timedelta(hours=23)  # Stripe may forget an idempotency key after 24 hours


async def request_refund(
    tx: Tx,
    customer_id: CustomerId,
    top_up_id: str,
    *,
    amount_minor: int | None,
    actor: str,
    refund_id: str | None = None,
) -> refunds.Refund:
    """Ask for money of a paid top-up to go back, in whole or in part; a job sends it.

    Args:
        tx: under the API's or the engine's role.
        customer_id: whose top-up it is.
        top_up_id: a paid one.
        amount_minor: None for all that is left.
        actor: who asks, for the audit trail.
        refund_id: the caller's key; the same one twice is one refund.
    """
    top_up = await top_ups.store.get(tx, customer_id, top_up_id)
    await ledger.accounts.lock(tx, [(customer_id, top_up.asset)])  # two requests at once must see each other
    payment = await top_ups.store.paid_by(tx, top_up)
    if payment is None:
        raise Refused("not_refundable", _NOTHING_TAKEN)
    made = await refunds.request(tx, payment, amount_minor, actor=actor, refund_id=refund_id)
    after = {"top_up_id": top_up_id, "refund_id": made.refund_id, "amount_minor": made.amount_minor}
    await audit.record(tx, actor=actor, action="refund.requested", customer_id=customer_id, after=after)
    return made


async def refundable(tx: Tx, top_up: TopUp, amount_minor: int) -> Payment:
    """The payment of a top-up, of which so much can be given back; refuses more."""
    await ledger.accounts.lock(tx, [(top_up.customer_id, top_up.asset)])
    payment = await top_ups.store.paid_by(tx, top_up)
    if payment is None:
        raise Refused("not_refundable", _NOTHING_TAKEN)
    await refunds.require_left(tx, payment, amount_minor)
    return payment


async def send_refund(context: PaymentContext, customer_id: CustomerId, refund_id: str) -> None:
    """Take a refund as far as it goes now: ask Stripe for it, or read what became of it."""
    async with context.database.transaction() as tx:
        refund = await refunds.get(tx, customer_id, refund_id)
        if refund is None or refund.closed_at is not None:
            return
        payment = await top_ups.store.find_payment(tx, customer_id, refund.payment_id)
        now = await tx.now()
    assert payment is not None
    assert payment.stripe_intent_id is not None
    answer = await _asked(context, refund, payment.stripe_intent_id, now)
    if not _may_not_refund(answer):
        await context.note_key_rejection(answer, opens=True)
    elif refund.polls == 0:
        _log.critical("ALARM refund %s waits: the key has no permission for refunds (Refunds: write)", refund_id)
    async with context.database.transaction("refund") as tx:
        if isinstance(answer, RefundSnapshot):
            await record_refund(context, tx, payment, answer)
        elif answer.kind is FailureKind.REFUSED and refund.stripe_refund_id is None:
            await _refuse(context, tx, payment, refund, answer.code or "refused")
            _log.error("Stripe refused refund %s: %s", refund_id, answer.message)
        else:
            await refunds.poll_later(tx, refund)


async def _refuse(context: PaymentContext, tx: Tx, payment: Payment, refund: refunds.Refund, reason: str) -> None:
    account, _ = await settle.lock_both(tx, payment.customer_id, payment.top_up_id)
    await refunds.refuse(tx, refund, reason)
    await refunds.let_go(tx, account, refund)
    await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)


async def _asked(
    context: PaymentContext, refund: refunds.Refund, intent_id: str, now: dt.datetime
) -> RefundSnapshot | Failure:
    """Made at Stripe; or, once it has an id or its key is forgotten there, read."""
    if refund.stripe_refund_id is not None:
        return await context.gateway.read_refund(refund.stripe_refund_id)
    if now - refund.created_at > _KEY_LIFE:
        return await _look_for(context, refund, intent_id)
    names = {
        ownership.NAME: await context.our_key(),
        "refund_id": refund.refund_id,
        "payment_id": refund.payment_id,
    }
    answer = await context.gateway.create_refund(
        key=f"{refund.refund_id}:create", intent_id=intent_id, amount_minor=refund.amount_minor, metadata=names
    )
    if isinstance(answer, Failure) and answer.key_is_spent:
        return await _look_for(context, refund, intent_id)
    return answer


def _may_not_refund(answer: object) -> bool:
    """A restricted key may charge and not give back: that refund waits by itself, and charging goes on."""
    return isinstance(answer, Failure) and answer.status == HTTPStatus.FORBIDDEN


async def _look_for(context: PaymentContext, refund: refunds.Refund, intent_id: str) -> RefundSnapshot | Failure:
    """The answer is lost for good and its key with it: what did it make?"""
    found = await context.gateway.list_refunds(intent_id=intent_id)
    if isinstance(found, Failure):
        return found
    for snapshot in found:
        if snapshot.metadata.get("refund_id") == refund.refund_id:
            return snapshot
    return Failure(FailureKind.REFUSED, "not_created", "Stripe answered with an error and made no refund.")


async def record_refund(context: PaymentContext, tx: Tx, payment: Payment, snapshot: RefundSnapshot) -> None:
    """Bring the books to what was read of a refund. The payment must have been credited before."""
    account, top_up = await settle.lock_both(tx, payment.customer_id, payment.top_up_id)
    if not await refunds.note(tx, payment, snapshot):
        return
    refund = await refunds.find(tx, payment.customer_id, snapshot)
    account = await grants.due.post(tx, context.keyring, account)  # what is set aside of an expired credit stays for it
    account, aside = await refunds.let_go(tx, account, refund)
    gone = snapshot.status not in {"failed", "canceled"}
    key = snapshot.refund_id if gone else f"{snapshot.refund_id}:{snapshot.status}"
    if not gone and not await _written(tx, payment, snapshot.refund_id):
        return  # it failed before we ever booked it
    kind: ledger.entries.Kind = "refund" if gone else "reinstatement"
    loss = await _book(context, tx, account, top_up, payment, kind=kind, key=key, minor=snapshot.amount_minor,
                       aside=aside)  # fmt: skip
    moved = loss is not None
    if loss is not None and gone:
        await refunds.keep_loss(tx, payment.customer_id, snapshot.refund_id, loss)
    if refund is not None and not moved:
        loss = refund.loss  # booked before
    named = _shown(payment, top_up, snapshot.amount_minor, loss)
    shown = {**named, "refund_id": snapshot.refund_id, "state": snapshot.status}
    await events.emit(tx, Topic.REFUND_RECORDED, payment.customer_id, shown)
    if moved and gone:  # a refund is no reproach to a card: a rule goes on while its balance stands
        await auto_top_up.pauses.pause_after_reversal(tx, payment.customer_id, None, "refunded", context.pace)
    await auto_top_up.evaluate.reevaluate(
        tx, [account.key], context.pace
    )  # also where there is no rule: an alert may be due


async def record_dispute(context: PaymentContext, tx: Tx, payment: Payment, snapshot: DisputeSnapshot) -> None:
    """Bring the books to what was read of a dispute. Its card is not charged automatically again."""
    account, top_up = await settle.lock_both(tx, payment.customer_id, payment.top_up_id)
    opened, closed, loss = await _note_dispute(tx, payment, snapshot)
    minor = snapshot.amount_minor
    if snapshot.currency != payment.currency:
        _log.critical("ALARM dispute %s is in %s, its payment in %s: booked whole", snapshot.dispute_id,
                      snapshot.currency, payment.currency)  # fmt: skip
        minor = payment.amount_minor
    movements: list[tuple[ledger.entries.Kind, str]] = []
    if snapshot.withdrawn:
        movements.append(("dispute", "withdrawn"))
    if snapshot.reinstated:
        movements.append(("reinstatement", "reinstated"))
    for kind, name in movements:
        [fresh] = (await ledger.accounts.lock(tx, [account.key])).values()
        key = f"{snapshot.dispute_id}:{name}"
        booked = await _book(context, tx, fresh, top_up, payment, kind=kind, key=key, minor=minor)
        if kind == "dispute" and booked is not None:
            loss = booked
            await tx.execute(_KEEP_LOSS, (loss, payment.customer_id, snapshot.dispute_id))
    named = _shown(payment, top_up, minor, loss)
    shown = {**named, "dispute_id": snapshot.dispute_id, "status": snapshot.status}
    if opened:
        await events.emit(tx, Topic.DISPUTE_OPENED, payment.customer_id, shown)
        await _block_and_pause(context, tx, payment, "disputed")
    if closed:
        await events.emit(tx, Topic.DISPUTE_CLOSED, payment.customer_id, shown)
    await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)


async def record_warning(context: PaymentContext, tx: Tx, payment: Payment) -> None:
    """The card's issuer suspects fraud: the card is not charged automatically again, before a dispute comes."""
    await settle.lock_both(tx, payment.customer_id, payment.top_up_id)
    await _block_and_pause(context, tx, payment, "fraud_warning")


async def _block_and_pause(context: PaymentContext, tx: Tx, payment: Payment, reason: str) -> None:
    card_id = await _card_of(tx, payment)
    if card_id is not None:
        await cards.store.block(tx, payment.customer_id, card_id, reason)
        card = await cards.store.get(tx, payment.customer_id, card_id)
        await cards.decline_budget.record_dispute(tx, card.fingerprint, payment.payment_id)
        await auto_top_up.pauses.plastic_lost(tx, card, reason)
    await auto_top_up.pauses.pause_after_reversal(tx, payment.customer_id, card_id, reason, context.pace)


async def _card_of(tx: Tx, payment: Payment) -> str | None:
    """The card that paid, if it is on file: a new card that was saved with its payment too."""
    if payment.card_id is not None or payment.setup_id is None:
        return payment.card_id
    setup = await cards.setups.get(tx, payment.customer_id, payment.setup_id)
    return None if setup is None else setup.card_id


async def _written(tx: Tx, payment: Payment, key: str) -> bool:
    return bool((await ledger.keys.find(tx, [(payment.customer_id, "stripe", key)])).entries)


async def _book(
    context: PaymentContext,
    tx: Tx,
    account: ledger.accounts.Account,
    top_up: TopUp,
    payment: Payment,
    *,
    kind: ledger.entries.Kind,
    key: str,
    minor: int,
    aside: Decimal | None = None,
) -> Decimal | None:
    """One entry for one movement of money at Stripe, and one for its bonus. Returns the loss: units that go back and
    had been used; None when it is written already. Of what was set `aside` for it, nothing had been.

    What goes back comes from what is left of the payment's own credit first.

    Raises:
        AssertionError: the payment was never credited; the caller settles it first.
    """
    known = await ledger.keys.find(tx, [(payment.customer_id, "stripe", key)])
    if known.entries:
        return None
    if aside is None:
        account = await grants.due.post(tx, context.keyring, account)
    left = await ledger.entries.remaining_of_payment(tx, payment.customer_id, payment.payment_id)
    assert left is not None, f"{payment.payment_id} goes back before it was credited"
    signed = minor if kind == "reinstatement" else -minor
    asset = await assets.get(tx, top_up.asset)
    units = money.units_left(top_up.units, left.money_minor + signed, payment.amount_minor, scale=asset.scale)
    draft = ledger.entries.Draft(
        customer_id=payment.customer_id,
        asset=top_up.asset,
        kind=kind,
        amount=units - left.units,
        source="stripe",
        key=key,
        payment_id=payment.payment_id,
        money_minor=signed,
        currency=payment.currency,
        terms=settle.terms_of(top_up, await tx.now()) if kind == "reinstatement" else None,
    )
    bonus = await grants.bonuses.follow(tx, top_up, payment, key, left.money_minor + signed, asset.scale)
    drafts = [draft] if bonus is None else [draft, bonus]
    loss = await _used(context, tx, account, drafts) if signed < 0 else Decimal(0)
    if aside:
        loss = min(loss, max(Decimal(0), -sum(draft.amount for draft in drafts) - aside))
    await ledger.post.post(tx, context.keyring, {account.key: account}, drafts)
    return loss


async def _used(
    context: PaymentContext, tx: Tx, account: ledger.accounts.Account, drafts: Sequence[ledger.entries.Draft]
) -> Decimal:
    """How much of what goes back has been used: what is not left of the lots that it came in."""
    lots = await ledger.lot_store.read(tx, context.keyring, account.key, account.head.seq)
    loss = Decimal(0)
    for draft in drafts:
        own = [lot for lot in lots if lot.seq == draft.lot_seq
               or (draft.payment_id is not None and lot.payment_id == draft.payment_id)]  # fmt: skip
        loss += max(Decimal(0), -draft.amount - sum(lot.left for lot in own))
    return loss


_NOTE_DISPUTE = """
    INSERT INTO disputes (customer_id, dispute_id, payment_id, amount_minor, currency, status, reason, opened_at,
        evidence_due_at)
    VALUES (%(customer_id)s, %(dispute_id)s, %(payment_id)s, %(amount_minor)s, %(currency)s, %(status)s, %(reason)s,
        %(now)s, %(due)s)
    ON CONFLICT (customer_id, dispute_id) DO NOTHING
"""
_UPDATE_DISPUTE = """
    UPDATE disputes SET status = %(status)s, amount_minor = %(amount_minor)s, read_at = %(now)s,
        evidence_due_at = %(due)s, closed_at = CASE WHEN %(closed)s THEN coalesce(closed_at, %(now)s) END
    WHERE customer_id = %(customer_id)s AND dispute_id = %(dispute_id)s
"""
_OF = """
    SELECT d.dispute_id, d.amount_minor, d.currency, d.status, d.reason, d.opened_at, d.closed_at, d.evidence_due_at,
        d.loss, p.top_up_id, p.customer_id
    FROM disputes AS d
    JOIN payments AS p ON p.customer_id = d.customer_id AND p.payment_id = d.payment_id
    WHERE p.customer_id = %s AND (p.top_up_id = %s OR %s::text IS NULL) ORDER BY d.opened_at DESC, d.dispute_id
"""
_OPEN = """
    SELECT d.customer_id, c.name, d.dispute_id, d.amount_minor, d.currency, d.status, d.reason, d.opened_at,
        d.evidence_due_at, p.top_up_id
    FROM disputes AS d
    JOIN payments AS p ON p.customer_id = d.customer_id AND p.payment_id = d.payment_id
    JOIN customers AS c ON c.customer_id = d.customer_id
    WHERE d.closed_at IS NULL ORDER BY d.evidence_due_at NULLS LAST, d.dispute_id LIMIT %s
"""


async def disputes_of(tx: Tx, customer_id: CustomerId, top_up_id: str | None = None) -> list[Row]:
    """Every dispute and inquiry of a customer's payments, or of one top-up's, newest first."""
    return await tx.all(_OF, (customer_id, top_up_id, top_up_id))


_COUNT_OPEN = """
    SELECT count(*) AS n, extract(epoch FROM min(evidence_due_at) - %s::timestamptz)::float AS due_s FROM disputes
    WHERE closed_at IS NULL
"""


async def count_open(tx: Tx) -> tuple[int, float]:
    """How many have not ended, and in how many seconds evidence for the first of them is due: infinite for none."""
    row = await tx.one(_COUNT_OPEN, (await tx.now(),))
    assert row is not None
    return row["n"], math.inf if row["due_s"] is None else row["due_s"]


async def open_disputes(tx: Tx, *, limit: int) -> list[Row]:
    """Everybody's that have not ended, those first whose evidence is due first."""
    return await tx.all(_OPEN, (limit,))


_STANDING = "SELECT status, closed_at, loss FROM disputes WHERE customer_id = %s AND dispute_id = %s"
# How far a dispute has come: a reading may be applied late, and one of before never undoes a later one. An inquiry may
# become a dispute, also after it was closed. Source: docs.stripe.com/disputes/how-disputes-work.
_PROGRESS = {
    "warning_needs_response": 0, "warning_under_review": 1, "warning_closed": 2, "needs_response": 3, "under_review": 4,
    "prevented": 5, "won": 5, "lost": 5,
}  # fmt: skip


async def _note_dispute(tx: Tx, payment: Payment, snapshot: DisputeSnapshot) -> tuple[bool, bool, Decimal | None]:
    """Keep what was read. Returns whether it is new, whether its end is, and the loss if that was booked before."""
    values = {
        "customer_id": payment.customer_id,
        "dispute_id": snapshot.dispute_id,
        "payment_id": payment.payment_id,
        "amount_minor": snapshot.amount_minor,
        "currency": snapshot.currency,
        "status": snapshot.status,
        "reason": snapshot.reason,
        "closed": snapshot.closed,
        "due": snapshot.evidence_due_at,
        "now": await tx.now(),
    }
    opened = await tx.execute(_NOTE_DISPUTE, values) == 1
    before = await tx.one(_STANDING, (payment.customer_id, snapshot.dispute_id))
    assert before is not None
    if _PROGRESS.get(snapshot.status, 0) < _PROGRESS.get(before["status"], 0):
        return False, False, before["loss"]
    await tx.execute(_UPDATE_DISPUTE, values)
    return opened, snapshot.closed and before["closed_at"] is None, before["loss"]


_KEEP_LOSS = "UPDATE disputes SET loss = %s WHERE customer_id = %s AND dispute_id = %s"


def _shown(payment: Payment, top_up: TopUp, minor: int, loss: Decimal | None) -> dict[str, Any]:
    return {
        "top_up_id": top_up.top_up_id, "asset": top_up.asset, "amount": money.major_text(minor, payment.currency),
        "currency": payment.currency, "loss": money.text(loss or Decimal(0)),
    }  # fmt: skip
