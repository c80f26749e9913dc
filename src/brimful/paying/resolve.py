"""What becomes of a payment that was sent or shown: read at Stripe, waited for, or taken back.

Nothing here guesses: a payment is left only when Stripe was read as succeeded, canceled or expired.
"""

import datetime as dt

from brimful import customers, topups
from brimful.db import Tx
from brimful.paying.create import find_or_abandon, refused
from brimful.paying.settle import leave, lock_both, settle
from brimful.paying.till import ANSWER_S, RECOVER_S, Till, hear
from brimful.payments import Failure, FailureKind, IntentReading
from brimful.topups import Payment, TopUp

__all__ = ["action_required", "canceling", "customer_left", "expire_if_due", "read"]

_PRESENT_GRACE = dt.timedelta(minutes=2)  # after that, a customer who was about to pay has left


async def read(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    """Confirming (its worker died), unknown, processing: what does Stripe say?"""
    assert payment is not None
    if top_up.state == "confirming" and not await _worker_died(till, top_up):
        return False
    if payment.kind == "checkout":
        return await _read_checkout(till, top_up, payment)
    assert payment.stripe_intent_id is not None
    answer = await till.gateway.read_intent(payment.stripe_intent_id)
    await hear(till, answer)
    return await _settle_or_poll(till, top_up, payment, answer)


async def _worker_died(till: Till, top_up: TopUp) -> bool:
    """A confirm has a minute to be answered by the one who sent it."""
    async with till.database.transaction() as tx:
        sent_at = top_up.confirmed_at
        return sent_at is None or sent_at + dt.timedelta(seconds=ANSWER_S) <= await tx.now()


async def action_required(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    """Waits for the customer until it expires; an open payment is read now and then."""
    if payment is not None and payment.kind == "intent" and payment.stripe_intent_id is None:
        # The customer pressed Confirm and the answer to create was lost: nothing to read yet.
        return await expire_if_due(till, top_up) or await customer_left(till, top_up, payment)
    if payment is not None:
        if await read(till, top_up, payment):
            return True
        async with till.database.transaction() as tx:
            top_up = await topups.get(tx, top_up.customer_id, top_up.top_up_id)
    return await expire_if_due(till, top_up)


async def expire_if_due(till: Till, top_up: TopUp) -> bool:
    """The customer did not come in time: end it, and pause an automatic rule."""
    async with till.database.transaction() as tx:
        if top_up.expires_at is None or await tx.now() < top_up.expires_at:
            if await topups.open_payment(tx, top_up) is None:
                await topups.sleep_until_expiry(tx, top_up)
            return False
        account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        reason = "expired" if fresh.kind == "manual" else "confirmation_expired"
        taken_back = await topups.move(
            tx, top_up, "canceling", recover_in_s=RECOVER_S, next_state="canceled", reason=reason
        )
        if await topups.open_payment(tx, fresh) is None:
            await leave(till, tx, account, taken_back)
            return False
    return True


async def customer_left(till: Till, top_up: TopUp, payment: Payment) -> bool:
    """A payment made for a present customer and never sent: after a while it is taken back."""
    async with till.database.transaction() as tx:
        if await tx.now() < payment.created_at + _PRESENT_GRACE:
            await topups.poll_later(tx, top_up, at_least_s=_PRESENT_GRACE.total_seconds())
            return False
        await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        next_state = "action_required" if top_up.kind == "automatic" else "canceled"
        await topups.move(tx, top_up, "canceling", recover_in_s=RECOVER_S, next_state=next_state, reason="not_sent")
    return True


async def _still_payable(tx: Tx, top_up: TopUp) -> bool:
    """Whether its customer may still come: a link is good until it expires, whatever page was left on the way."""
    return top_up.kind == "automatic" or (top_up.expires_at is not None and await tx.now() < top_up.expires_at)


async def canceling(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    """Make sure at Stripe that the payment never takes money, read it, then go on to what comes next."""
    if payment is None:
        async with till.database.transaction() as tx:
            account, _ = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
            await leave(till, tx, account, top_up)
        return True
    if payment.kind == "checkout":
        return await _expire_checkout(till, top_up, payment)
    if payment.stripe_intent_id is None:
        async with till.database.transaction() as tx:
            customer = await customers.get(tx, top_up.customer_id)
        if customer.stripe_customer_id is None:
            return await refused(till, top_up, payment, "no_stripe_customer")
        return await find_or_abandon(till, top_up, payment, customer.stripe_customer_id)
    answer = await till.gateway.cancel_intent(payment.stripe_intent_id)
    if isinstance(answer, Failure):
        answer = await till.gateway.read_intent(payment.stripe_intent_id)
    await hear(till, answer)
    return await _settle_or_poll(till, top_up, payment, answer)


async def _settle_or_poll(till: Till, top_up: TopUp, payment: Payment, answer: IntentReading | Failure) -> bool:
    async with till.database.transaction("read") as tx:
        if isinstance(answer, IntentReading):
            await settle(till, tx, payment, answer)
        fresh = await topups.get(tx, top_up.customer_id, top_up.top_up_id)
        if fresh.fence == top_up.fence:
            await topups.poll_later(tx, fresh)
            return False
    return True


async def _expire_checkout(till: Till, top_up: TopUp, payment: Payment) -> bool:
    """A Checkout Session that is open is expired; one that was completed is read."""
    if payment.stripe_session_id is None:  # the page was never shown to anybody
        async with till.database.transaction() as tx:
            account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
            await topups.save_payment(tx, payment, state="abandoned", error_code="not_created")
            await leave(till, tx, account, fresh)
        return True
    answer = await till.gateway.expire_checkout(payment.stripe_session_id)
    if isinstance(answer, Failure):
        return await _read_checkout(till, top_up, payment)
    async with till.database.transaction() as tx:
        account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await topups.save_payment(tx, payment, state="expired")
        await leave(till, tx, account, fresh)
    return True


async def _read_checkout(till: Till, top_up: TopUp, payment: Payment) -> bool:
    """Its session tells whether there is a PaymentIntent; that one tells whether it was paid."""
    if payment.stripe_session_id is None:
        return await _settle_or_poll(till, top_up, payment, Failure(FailureKind.NO_ANSWER, None, "no session yet"))
    session = await till.gateway.read_checkout(payment.stripe_session_id)
    if not isinstance(session, Failure) and session.status == "expired":
        async with till.database.transaction() as tx:
            account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
            await topups.save_payment(tx, payment, state="expired")
            if fresh.state != "canceling":
                next_state = "action_required" if await _still_payable(tx, fresh) else "canceled"
                fresh = await topups.move(tx, fresh, "canceling", next_state=next_state, reason="expired")
            await leave(till, tx, account, fresh)
        return True
    answer: IntentReading | Failure = Failure(FailureKind.NO_ANSWER, None, "not completed yet")
    if not isinstance(session, Failure) and session.status == "complete" and session.intent_id is not None:
        answer = await till.gateway.read_intent(session.intent_id)
    return await _settle_or_poll(till, top_up, payment, answer)
