"""Step one: the PaymentIntent, created unconfirmed; and what is done when its answer is lost or a no.

A payment that was never sent to be confirmed may be left behind as `abandoned`: no late call can charge it.
"""

import datetime as dt

from brimful import auto_top_up, cards, customers, observability, top_ups
from brimful.core import money
from brimful.gateway.gateway import Failure, FailureKind, PaymentIntentSnapshot, PaymentRequest
from brimful.payments import settle
from brimful.payments.context import RECOVER_S, PaymentContext, Step
from brimful.top_ups.model import Payment, TopUp

_KEY_LIFE = dt.timedelta(hours=23)  # Stripe may forget an idempotency key after 24 hours
_LIST_BACK = dt.timedelta(minutes=5)


async def create(context: PaymentContext, top_up: TopUp, payment: Payment) -> Step:
    """Create the PaymentIntent and commit its id. It moves no money until it is confirmed."""
    async with context.database.transaction() as tx:
        customer = await customers.get(tx, top_up.customer_id)
        now = await tx.now()
        assert payment.card_id is not None
        card = await cards.store.get(tx, top_up.customer_id, payment.card_id)
    if customer.stripe_customer_id is None:
        return await reject(context, top_up, payment, "no_stripe_customer")
    if now - payment.created_at > _KEY_LIFE:
        return await find_or_abandon(context, top_up, payment, customer.stripe_customer_id)
    if top_up.kind == "automatic" and top_up.tries == 0:
        observability.metrics.TRIGGER.observe((now - top_up.requested_at).total_seconds())
    request = payment_request(top_up, payment, customer.stripe_customer_id)
    answer = await context.gateway.create_intent(request, payment_method=card.stripe_payment_method_id)
    await context.note_key_rejection(answer, opens=True)
    if isinstance(answer, PaymentIntentSnapshot):
        return await _created(context, top_up, payment, answer)
    if answer.kind is FailureKind.REFUSED:
        return await reject(context, top_up, payment, answer.code or "refused")
    if answer.kind is FailureKind.SERVER_ERROR:
        return await find_or_abandon(context, top_up, payment, customer.stripe_customer_id)
    async with context.database.transaction() as tx:
        await top_ups.store.poll_later(tx, top_up)
    return Step.WAIT


def payment_request(top_up: TopUp, payment: Payment, stripe_customer: str) -> PaymentRequest:
    """What a payment asks of Stripe, on a saved card or on a Checkout page."""
    return PaymentRequest(
        key=f"{payment.payment_id}:create",
        customer=stripe_customer,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        description=f"Top-up of {top_up.asset}",
        metadata=intent_metadata(top_up, payment),
    )


def intent_metadata(top_up: TopUp, payment: Payment) -> dict[str, str]:
    """What a payment says of itself at Stripe: enough to book it again should our own rows be lost."""
    return {
        "top_up_id": payment.top_up_id,
        "payment_id": payment.payment_id,
        "customer_id": payment.customer_id,
        "kind": top_up.kind,
        "asset": top_up.asset,
        "units": money.text(top_up.units),
        "rate": money.text(top_up.rate),
    }


async def _created(context: PaymentContext, top_up: TopUp, payment: Payment, intent: PaymentIntentSnapshot) -> Step:
    async with context.database.transaction("created") as tx:
        _, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        now = await top_ups.store.find_payment(tx, payment.customer_id, payment.payment_id)
        assert now is not None
        if now.state == "new" and "intent_created" in top_ups.model.MOVES[fresh.state]:
            await top_ups.store.save_payment(tx, now, state="created", stripe_intent_id=intent.intent_id)
            await customers.add_alias(tx, "payment_intent", intent.intent_id, payment.customer_id, payment.payment_id)
            await top_ups.store.move(tx, fresh, "intent_created", recover_in_s=RECOVER_S)
            return Step.CONTINUE
        if now.state == "new":  # the top-up is being canceled: the payment learns its id, so that it can be
            await top_ups.store.save_payment(tx, now, state="created", stripe_intent_id=intent.intent_id)
    if now.state == "abandoned":
        await context.gateway.cancel_intent(intent.intent_id)  # an orphan that came late: it was never confirmed
    return Step.WAIT


async def find_or_abandon(context: PaymentContext, top_up: TopUp, payment: Payment, stripe_customer: str) -> Step:
    """The answer to create is lost for good: look for what it made, else leave that payment behind."""
    found = await context.gateway.list_intents(customer=stripe_customer, since=payment.created_at - _LIST_BACK)
    if isinstance(found, Failure):
        async with context.database.transaction() as tx:
            await top_ups.store.poll_later(tx, top_up)
        return Step.WAIT
    for intent in found:
        if intent.metadata.get("payment_id") == payment.payment_id:
            return await _created(context, top_up, payment, intent)
    async with context.database.transaction() as tx:
        account, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await top_ups.store.save_payment(tx, payment, state="abandoned", error_code="not_created")
        if fresh.state == "canceling":
            await settle.finish_canceling(context, tx, account, fresh)
        else:
            await top_ups.store.poll_later(tx, fresh)
    return Step.WAIT


async def reject(context: PaymentContext, top_up: TopUp, payment: Payment, code: str) -> Step:
    """Stripe refuses to make this payment: it ends, and an automatic rule pauses."""
    async with context.database.transaction() as tx:
        account, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await top_ups.store.save_payment(tx, payment, state="abandoned", error_code=code)
        if fresh.state == "canceling":
            await settle.finish_canceling(context, tx, account, fresh)
            return Step.CONTINUE
        if top_up.kind == "automatic":
            await auto_top_up.pauses.pause(tx, top_up.customer_id, top_up.asset, f"refused:{code}")
        canceling = await top_ups.store.move(tx, fresh, "canceling", next_state="failed", reason=f"refused:{code}")
        await settle.finish_canceling(context, tx, account, canceling)
    return Step.WAIT
