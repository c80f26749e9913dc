"""Step one: the PaymentIntent, created unconfirmed; and what is done when its answer is lost or a no.

A payment that was never sent to be confirmed may be left behind as `abandoned`: no late call can charge it.
"""

import datetime as dt

from brimful import cards, customers, measures, money, topups
from brimful.auto_topup import pause
from brimful.paying.settle import leave, lock_both
from brimful.paying.till import RECOVER_S, Till, hear
from brimful.payments import Failure, FailureKind, IntentReading
from brimful.topups import Payment, TopUp

__all__ = ["create", "find_or_abandon", "names", "refused"]

_KEY_LIFE = dt.timedelta(hours=23)  # Stripe may forget an idempotency key after 24 hours
_LIST_BACK = dt.timedelta(minutes=5)


async def create(till: Till, top_up: TopUp, payment: Payment) -> bool:
    """Create the PaymentIntent and commit its id. It moves no money until it is confirmed."""
    async with till.database.transaction() as tx:
        customer = await customers.get(tx, top_up.customer_id)
        now = await tx.now()
        assert payment.card_id is not None
        card = await cards.get(tx, top_up.customer_id, payment.card_id)
    if customer.stripe_customer_id is None:
        return await refused(till, top_up, payment, "no_stripe_customer")
    if now - payment.created_at > _KEY_LIFE:
        return await find_or_abandon(till, top_up, payment, customer.stripe_customer_id)
    if top_up.kind == "automatic" and top_up.tries == 0:
        measures.TRIGGER.observe((now - top_up.requested_at).total_seconds())
    answer = await till.gateway.create_intent(
        key=f"{payment.payment_id}:create",
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        customer=customer.stripe_customer_id,
        payment_method=card.stripe_payment_method_id,
        metadata=names(top_up, payment),
        description=f"Top-up of {top_up.asset}",
    )
    await hear(till, answer, opens=True)
    if isinstance(answer, IntentReading):
        return await _created(till, top_up, payment, answer)
    if answer.kind is FailureKind.REFUSED:
        return await refused(till, top_up, payment, answer.code or "refused")
    if answer.kind is FailureKind.SERVER_ERROR:
        return await find_or_abandon(till, top_up, payment, customer.stripe_customer_id)
    async with till.database.transaction() as tx:
        await topups.poll_later(tx, top_up)
    return False


def names(top_up: TopUp, payment: Payment) -> dict[str, str]:
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


async def _created(till: Till, top_up: TopUp, payment: Payment, intent: IntentReading) -> bool:
    async with till.database.transaction("created") as tx:
        _, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        now = await topups.find_payment(tx, payment.customer_id, payment.payment_id)
        assert now is not None
        if now.state == "new" and "intent_created" in topups.MOVES[fresh.state]:
            await topups.save_payment(tx, now, state="created", stripe_intent_id=intent.intent_id)
            await customers.add_alias(tx, "payment_intent", intent.intent_id, payment.customer_id, payment.payment_id)
            await topups.move(tx, fresh, "intent_created", recover_in_s=RECOVER_S)
            return True
        if now.state == "new":  # the top-up is being canceled: the payment learns its id, so that it can be
            await topups.save_payment(tx, now, state="created", stripe_intent_id=intent.intent_id)
    if now.state == "abandoned":
        await till.gateway.cancel_intent(intent.intent_id)  # an orphan that came late: it was never confirmed
    return False


async def find_or_abandon(till: Till, top_up: TopUp, payment: Payment, stripe_customer: str) -> bool:
    """The answer to create is lost for good: look for what it made, else leave that payment behind."""
    found = await till.gateway.list_intents(customer=stripe_customer, since=payment.created_at - _LIST_BACK)
    if isinstance(found, Failure):
        async with till.database.transaction() as tx:
            await topups.poll_later(tx, top_up)
        return False
    for intent in found:
        if intent.metadata.get("payment_id") == payment.payment_id:
            return await _created(till, top_up, payment, intent)
    async with till.database.transaction() as tx:
        account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await topups.save_payment(tx, payment, state="abandoned", error_code="not_created")
        if fresh.state == "canceling":
            await leave(till, tx, account, fresh)
        else:
            await topups.poll_later(tx, fresh)
    return False


async def refused(till: Till, top_up: TopUp, payment: Payment, code: str) -> bool:
    """Stripe will not make this payment, whoever asks: it ends, and an automatic rule pauses."""
    async with till.database.transaction() as tx:
        account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await topups.save_payment(tx, payment, state="abandoned", error_code=code)
        if fresh.state == "canceling":
            await leave(till, tx, account, fresh)
            return True
        if top_up.kind == "automatic":
            await pause(tx, top_up.customer_id, top_up.asset, f"refused:{code}")
        canceling = await topups.move(tx, fresh, "canceling", next_state="failed", reason=f"refused:{code}")
        await leave(till, tx, account, canceling)
    return False
