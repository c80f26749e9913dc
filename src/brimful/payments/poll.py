"""What becomes of a payment that was sent or shown: read at Stripe, waited for, or taken back.

Nothing here guesses: a payment is left only when Stripe was read as succeeded, canceled or expired.
"""

import datetime as dt

from brimful import customers, top_ups
from brimful.db.pool import Tx
from brimful.gateway.gateway import Failure, FailureKind, PaymentIntentSnapshot
from brimful.payments import create, settle
from brimful.payments.context import RECOVER_S, PaymentContext, Step
from brimful.top_ups.model import Payment, TopUp

_PRESENT_GRACE = dt.timedelta(minutes=2)  # after that, a customer who was about to pay has left


async def poll(context: PaymentContext, top_up: TopUp, payment: Payment | None) -> Step:
    """Confirming (its worker died), unknown, processing: what does Stripe say?"""
    assert payment is not None
    if top_up.state == "confirming" and not await _worker_died(context, top_up):
        return Step.WAIT
    if payment.kind == "checkout":
        return await _read_checkout(context, top_up, payment)
    assert payment.stripe_intent_id is not None
    answer = await context.gateway.read_intent(payment.stripe_intent_id)
    await context.note_key_rejection(answer)
    return await _settle_or_poll(context, top_up, payment, answer)


async def _worker_died(context: PaymentContext, top_up: TopUp) -> bool:
    """A confirm has a minute to be answered by the one who sent it."""
    async with context.database.transaction() as tx:
        return top_up.wake_at is None or top_up.wake_at <= await tx.now()  # ANSWER_S after it was sent


async def await_customer(context: PaymentContext, top_up: TopUp, payment: Payment | None) -> Step:
    """Waits for the customer until it expires; an open payment is read now and then."""
    if payment is not None and payment.kind == "intent" and payment.stripe_intent_id is None:
        # The customer pressed Confirm and the answer to create was lost: nothing to read yet.
        if await expire_if_due(context, top_up) is Step.CONTINUE:
            return Step.CONTINUE
        return await release_abandoned(context, top_up, payment)
    if payment is not None:
        if await poll(context, top_up, payment) is Step.CONTINUE:
            return Step.CONTINUE
        async with context.database.transaction() as tx:
            top_up = await top_ups.store.get(tx, top_up.customer_id, top_up.top_up_id)
    return await expire_if_due(context, top_up)


async def expire_if_due(context: PaymentContext, top_up: TopUp) -> Step:
    """The customer did not come in time: end it, and pause an automatic rule."""
    async with context.database.transaction() as tx:
        if top_up.expires_at is None or await tx.now() < top_up.expires_at:
            if await top_ups.store.open_payment(tx, top_up) is None:
                await top_ups.store.sleep_until_expiry(tx, top_up)
            return Step.WAIT
        account, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        reason = "expired" if fresh.kind == "manual" else "confirmation_expired"
        if fresh.awaits_approval:
            reason = "not_approved"
        taken_back = await top_ups.store.move(
            tx, top_up, "canceling", recover_in_s=RECOVER_S, next_state="canceled", reason=reason
        )
        if await top_ups.store.open_payment(tx, fresh) is None:
            await settle.finish_canceling(context, tx, account, taken_back)
            return Step.WAIT
    return Step.CONTINUE


async def release_abandoned(context: PaymentContext, top_up: TopUp, payment: Payment) -> Step:
    """A payment made for a present customer and never sent: after a while it is taken back."""
    async with context.database.transaction() as tx:
        if await tx.now() < payment.created_at + _PRESENT_GRACE:
            await top_ups.store.poll_later(tx, top_up, at_least_s=_PRESENT_GRACE.total_seconds())
            return Step.WAIT
        await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        next_state = "action_required" if top_up.kind == "automatic" else "canceled"
        await top_ups.store.move(
            tx, top_up, "canceling", recover_in_s=RECOVER_S, next_state=next_state, reason="not_sent"
        )
    return Step.CONTINUE


async def _still_payable(tx: Tx, top_up: TopUp) -> bool:
    """Whether its customer may still come: a link is valid until it expires, even if a page was left on the way."""
    return top_up.kind == "automatic" or (top_up.expires_at is not None and await tx.now() < top_up.expires_at)


async def cancel(context: PaymentContext, top_up: TopUp, payment: Payment | None) -> Step:
    """Make sure at Stripe that the payment never takes money, read it, then go on to what comes next."""
    if payment is None:
        async with context.database.transaction() as tx:
            account, _ = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
            await settle.finish_canceling(context, tx, account, top_up)
        return Step.CONTINUE
    if payment.kind == "checkout":
        return await _expire_checkout(context, top_up, payment)
    if payment.stripe_intent_id is None:
        async with context.database.transaction() as tx:
            customer = await customers.get(tx, top_up.customer_id)
        if customer.stripe_customer_id is None:
            return await create.reject(context, top_up, payment, "refused:no_stripe_customer")
        return await create.find_or_abandon(context, top_up, payment, customer.stripe_customer_id)
    answer = await context.gateway.cancel_intent(payment.stripe_intent_id)
    if isinstance(answer, Failure):
        answer = await context.gateway.read_intent(payment.stripe_intent_id)
    await context.note_key_rejection(answer)
    return await _settle_or_poll(context, top_up, payment, answer)


async def _settle_or_poll(
    context: PaymentContext, top_up: TopUp, payment: Payment, answer: PaymentIntentSnapshot | Failure
) -> Step:
    async with context.database.transaction("read") as tx:
        if isinstance(answer, PaymentIntentSnapshot):
            await settle.settle(context, tx, payment, answer)
        fresh = await top_ups.store.get(tx, top_up.customer_id, top_up.top_up_id)
        if fresh.fence == top_up.fence:
            await top_ups.store.poll_later(tx, fresh)
            return Step.WAIT
    return Step.CONTINUE


async def _expire_checkout(context: PaymentContext, top_up: TopUp, payment: Payment) -> Step:
    """A Checkout Session that is open is expired; one that was completed is read."""
    if payment.stripe_session_id is None:  # the page was never shown to anybody
        async with context.database.transaction() as tx:
            account, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
            await top_ups.store.save_payment(tx, payment, state="abandoned", error_code="not_created")
            await settle.finish_canceling(context, tx, account, fresh)
        return Step.CONTINUE
    answer = await context.gateway.expire_checkout(payment.stripe_session_id)
    if isinstance(answer, Failure):
        return await _read_checkout(context, top_up, payment)
    async with context.database.transaction() as tx:
        account, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await top_ups.store.save_payment(tx, payment, state="expired")
        await settle.finish_canceling(context, tx, account, fresh)
    return Step.CONTINUE


async def _read_checkout(context: PaymentContext, top_up: TopUp, payment: Payment) -> Step:
    """Read its session, which names the PaymentIntent if there is one; that one shows whether it was paid."""
    if payment.stripe_session_id is None:
        return await _settle_or_poll(context, top_up, payment, Failure(FailureKind.NO_ANSWER, None, "no session yet"))
    session = await context.gateway.read_checkout(payment.stripe_session_id)
    if not isinstance(session, Failure) and session.status == "expired":
        async with context.database.transaction() as tx:
            account, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
            await top_ups.store.save_payment(tx, payment, state="expired")
            if fresh.state != "canceling":
                next_state = "action_required" if await _still_payable(tx, fresh) else "canceled"
                fresh = await top_ups.store.move(tx, fresh, "canceling", next_state=next_state, reason="expired")
            await settle.finish_canceling(context, tx, account, fresh)
        return Step.CONTINUE
    answer: PaymentIntentSnapshot | Failure = Failure(FailureKind.NO_ANSWER, None, "not completed yet")
    if not isinstance(session, Failure) and session.status == "complete" and session.intent_id is not None:
        answer = await context.gateway.read_intent(session.intent_id)
    return await _settle_or_poll(context, top_up, payment, answer)
