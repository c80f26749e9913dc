"""Step one: the PaymentIntent, created unconfirmed; and what is done when its answer is lost or a no.

A payment that was never sent to be confirmed may be left behind as `abandoned`: no late call can charge it.
"""

import dataclasses
import datetime as dt
import logging

from brimful import auto_top_up, cards, customers, observability, top_ups
from brimful.core import money
from brimful.db.pool import Tx
from brimful.gateway.gateway import Failure, FailureKind, PaymentIntentSnapshot, PaymentRequest
from brimful.payments import declined, ownership, settle
from brimful.payments.context import RECOVER_S, PaymentContext, Step
from brimful.top_ups.model import Payment, TopUp

_log = logging.getLogger(__name__)
_KEY_LIFE = dt.timedelta(hours=23)  # Stripe may forget an idempotency key after 24 hours
_LIST_BACK = dt.timedelta(minutes=5)


@dataclasses.dataclass(frozen=True)
class Ready:
    """What a payment asks of Stripe, as it is committed before it is sent. A `request` that has become too old to be
    sent again is None.
    """

    stripe_customer: str | None
    request: PaymentRequest | None
    at: dt.datetime


async def prepare(tx: Tx, top_up: TopUp, payment: Payment, ours: str) -> Ready:
    """Keep the request of a new payment, or read the one that was kept, in the transaction that precedes the call.
    `ours` is what our objects at Stripe carry.
    """
    assert payment.card_id is not None
    customer, card = await tx.ask(
        customers.get_query(top_up.customer_id) & cards.store.get_query(top_up.customer_id, payment.card_id)
    )
    stripe_customer, now = customer.stripe_customer_id, await tx.now()
    if stripe_customer is None or now - payment.created_at > _KEY_LIFE:
        return Ready(stripe_customer, None, now)
    wanted = payment_request(top_up, payment, stripe_customer, ours, card.stripe_payment_method_id)
    return Ready(stripe_customer, await top_ups.store.keep_request(tx, payment, wanted), now)


async def create(context: PaymentContext, top_up: TopUp, payment: Payment, ready: Ready) -> Step:
    """Create the PaymentIntent and commit its id. It moves no money until it is confirmed."""
    request, stripe_customer = ready.request, ready.stripe_customer
    if stripe_customer is None:
        return await reject(context, top_up, payment, "refused:no_stripe_customer")
    if request is None:
        return await find_or_abandon(context, top_up, payment, stripe_customer)
    if top_up.kind == "automatic" and top_up.tries == 0:
        observability.metrics.TRIGGER.observe((ready.at - top_up.requested_at).total_seconds())
    answer = await context.gateway.create_intent(request)
    await context.note_key_rejection(answer, opens=True)
    if isinstance(answer, PaymentIntentSnapshot):
        return await _created(context, top_up, payment, answer)
    if answer.key_is_spent:
        return await find_or_abandon(context, top_up, payment, stripe_customer)
    if answer.kind is FailureKind.REFUSED and (answer.missing or answer.param == "payment_method"):
        return await _something_is_gone(context, top_up, payment, request, answer)
    if answer.kind is FailureKind.REFUSED:
        return await reject(context, top_up, payment, f"refused:{answer.code or 'refused'}")
    async with context.database.transaction() as tx:
        await top_ups.store.poll_later(tx, top_up)
    return Step.WAIT


async def _something_is_gone(
    context: PaymentContext, top_up: TopUp, payment: Payment, request: PaymentRequest, refusal: Failure
) -> Step:
    """Stripe does not know the customer or the card, or the card is no longer theirs.

    A customer or a card that was deleted there is this customer's: the card is gone. A customer whom the account has
    never had is the platform's: the key is another account's, and the same is true for everybody.
    """
    customer = await context.gateway.read_customer(request.customer)
    if isinstance(customer, Failure):
        if customer.missing:
            await context.suspend_charging(f"The key's account does not know our customers: {refusal.message}")
        async with context.database.transaction() as tx:
            await top_ups.store.poll_later(tx, top_up)
        return Step.WAIT
    _log.warning("payment %s cannot be made: %s", payment.payment_id, refusal.message)
    async with context.database.transaction() as tx:
        await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        assert payment.card_id is not None
        card = await cards.store.get(tx, top_up.customer_id, payment.card_id)
        reason = "customer_gone_at_stripe" if customer.deleted else "gone_at_stripe"
        await auto_top_up.pauses.card_removed(tx, card, reason, context.pace)
    return await reject(context, top_up, payment, "card_removed")


def payment_request(
    top_up: TopUp, payment: Payment, stripe_customer: str, installation: str, payment_method: str | None
) -> PaymentRequest:
    """What a payment asks of Stripe, on a saved card or on a Checkout page, which has no `payment_method` yet."""
    return PaymentRequest(
        key=f"{payment.payment_id}:create",
        customer=stripe_customer,
        payment_method=payment_method,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        description=f"Top-up of {top_up.asset}",
        metadata={ownership.NAME: installation, **_intent_metadata(top_up, payment)},
    )


def _intent_metadata(top_up: TopUp, payment: Payment) -> dict[str, str]:
    """What a payment says of itself at Stripe: enough to book it again should our own rows be lost."""
    return {
        "top_up_id": payment.top_up_id,
        "payment_id": payment.payment_id,
        "customer_id": payment.customer_id,
        "kind": top_up.kind,
        "asset": top_up.asset,
        "units": money.text(top_up.units),
        "rate": money.rate_text(top_up.price),
        **({} if top_up.asked is None else {"asked": top_up.asked}),
    }


async def _created(context: PaymentContext, top_up: TopUp, payment: Payment, intent: PaymentIntentSnapshot) -> Step:
    async with context.database.transaction("created") as tx:
        _, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        now = await top_ups.store.find_payment(tx, payment.customer_id, payment.payment_id)
        if now is not None and now.state == "new":
            await top_ups.store.save_payment(tx, now, state="created", stripe_intent_id=intent.intent_id)
            if "intent_created" not in top_ups.model.MOVES[fresh.state]:
                return Step.WAIT  # it is being canceled: the payment has learned its id, so that it can be
            await customers.add_alias(tx, "payment_intent", intent.intent_id, payment.customer_id, payment.payment_id)
            await top_ups.store.move(tx, fresh, "intent_created", recover_in_s=RECOVER_S)
            return Step.CONTINUE
    if now is None or now.state == "abandoned":
        # An orphan that was never confirmed: its answer came late, or its row was lost with a server that crashed.
        await context.gateway.cancel_intent(intent.intent_id)
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
    """Stripe refuses to make this payment: it ends, and an automatic rule pauses for the reason `code`."""
    async with context.database.transaction() as tx:
        account, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await top_ups.store.save_payment(tx, payment, state="abandoned", error_code=code)
        if fresh.state == "canceling":
            await settle.finish_canceling(context, tx, account, fresh)
            return Step.CONTINUE
        other = await declined.other_card(tx, fresh, payment.card_id) if code == "card_removed" else None
        if other is not None:
            canceling = await top_ups.store.move(
                tx, fresh, "canceling", next_state="retry_wait", reason=code, card_id=other
            )
            await settle.finish_canceling(context, tx, account, canceling)
            return Step.CONTINUE
        if top_up.kind == "automatic":
            await auto_top_up.pauses.pause(tx, top_up.customer_id, top_up.asset, code)
        canceling = await top_ups.store.move(tx, fresh, "canceling", next_state="failed", reason=code)
        await settle.finish_canceling(context, tx, account, canceling)
    return Step.WAIT
