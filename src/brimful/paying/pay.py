"""Paying: takes a top-up as far as it goes now, one short transaction and one call at a time.

    requested       create the PaymentIntent, unconfirmed            (key pay_id:create)
    intent_created  judge once more under the lock (T2), then        confirming
    confirming      confirm it; the point of no return               (key pay_id:confirm)
    unknown, processing, action_required   read it at Stripe
    canceling       cancel it at Stripe, read it, then what was to come next
    retry_wait      when its time has come, a new payment

Whatever happens in between, the next caller reads the state from our rows and goes on from there. A move
that finds another state raises `Stale`: somebody else is at it, so stop.
"""

import asyncio
import datetime as dt
import functools
import logging
from collections.abc import Awaitable, Callable

from brimful import cards, clock, customers, ids, topups
from brimful.auto_topup import Reason, fits_limit, pause, read_facts, rearm, superseded
from brimful.db import Tx
from brimful.errors import Refused
from brimful.paying.settle import leave, lock_both, settle
from brimful.paying.till import Till, charging_open, hear
from brimful.payments import Failure, FailureKind, IntentReading
from brimful.sessions import PortalSession
from brimful.topups import Payment, TopUp

__all__ = ["pay", "pay_present"]

_log = logging.getLogger(__name__)
_STEPS_MAX = 12
_KEY_LIFE = dt.timedelta(hours=23)  # Stripe may forget an idempotency key after 24 hours
_CLAIM_WAIT_S = 30
_RECOVER_S = 30  # a step that goes on by itself is picked up by the sweep after this, should its worker die
_ANSWER_S = 60  # a confirm is answered within this, or its worker has died
_BUSY_WAITS_S = (0.5, 1.0, 2.0, 4.0)
_PRESENT_GRACE = dt.timedelta(minutes=2)  # after that, a customer who was about to pay has left
_LIST_BACK = dt.timedelta(minutes=5)


async def pay(till: Till, customer_id: str, top_up_id: str) -> None:
    """Take a top-up as far as it goes now. Safe to call at any time, from many workers at once."""
    try:
        for _ in range(_STEPS_MAX):
            async with till.database.transaction() as tx:
                top_up = await topups.get(tx, customer_id, top_up_id)
                payment = await topups.open_payment(tx, top_up)
            if not top_up.live or not await _STEPS[top_up.state](till, top_up, payment):
                return
    except topups.Stale:
        _log.info("top-up %s: somebody else has moved it", top_up_id)


async def pay_present(
    till: Till, session: PortalSession, top_up_id: str, card_id: str, return_url: Callable[[str], str]
) -> TopUp:
    """Charge a saved card with its customer present: pay now, or confirm what the bank asks for.

    Args:
        till: under the portal's role.
        session: the customer's own.
        top_up_id: a manual one that is not paid, or an automatic one that needs its customer.
        card_id: one of the customer's cards.
        return_url: where Stripe sends the customer back to, made from the payment's id.

    Returns:
        The top-up as it stands. In `action_required` its open payment has a `redirect_url`. Called again
        for a payment that is open already, it starts no second one.
    """
    await _give_up_other(till, session.customer_id, top_up_id, card_id)
    async with till.database.transaction() as tx:
        _, top_up = await lock_both(tx, session.customer_id, top_up_id)
        payment = await topups.open_payment(tx, top_up)
        if payment is None:
            _must_be_payable(top_up)
            card = await cards.get(tx, session.customer_id, card_id)
            if card.state != "active" or (top_up.kind == "automatic" and card_id != top_up.card_id):
                raise Refused("card_unavailable", "This card cannot be charged: choose another.", field="card")
            payment = await topups.add_payment(tx, top_up, kind="intent", presence="on_session", card_id=card_id)
        if payment.kind != "intent" or payment.card_id != card_id:
            raise Refused("top_up_not_payable", "Another payment of this is on its way. Look again in a moment.")
    url = return_url(payment.payment_id)
    try:
        if payment.state == "new" and await _create(till, top_up, payment):
            await _reload_and(till, top_up, functools.partial(_confirm_or_refuse, return_url=url))
    except topups.Stale:
        _log.info("top-up %s: somebody else has moved it", top_up_id)
    await pay(till, session.customer_id, top_up_id)
    async with till.database.transaction() as tx:
        return await topups.get(tx, session.customer_id, top_up_id)


async def _give_up_other(till: Till, customer_id: str, top_up_id: str, card_id: str) -> None:
    """The customer chose another way to pay than before: the open payment is taken back at Stripe first."""
    async with till.database.transaction() as tx:
        _, top_up = await lock_both(tx, customer_id, top_up_id)
        payment = await topups.open_payment(tx, top_up)
        other = payment is not None and (payment.kind != "intent" or payment.card_id != card_id)
        if not other or top_up.state not in topups.WAITING_STATES:
            return
        await topups.move(
            tx, top_up, "canceling", recover_in_s=_RECOVER_S, next_state="action_required", reason="other_card"
        )
    await pay(till, customer_id, top_up_id)


def _must_be_payable(top_up: TopUp) -> None:
    payable = {"requested", "action_required"} if top_up.kind == "manual" else {"action_required"}
    if top_up.state not in payable:
        raise Refused("top_up_not_payable", "This top-up has been paid or is over. Nothing was charged.")


async def _reload_and(till: Till, top_up: TopUp, step: Callable[..., Awaitable[bool]]) -> bool:
    async with till.database.transaction() as tx:
        top_up = await topups.get(tx, top_up.customer_id, top_up.top_up_id)
        payment = await topups.open_payment(tx, top_up)
    if payment is None or top_up.state != "intent_created":
        return False
    return await step(till, top_up, payment)


# --- requested -----------------------------------------------------------------------------------------


async def _requested(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    """A payment row, then the PaymentIntent. Manual top-ups wait for their customer here."""
    if payment is not None and payment.presence == "on_session":
        return await _customer_left(till, top_up, payment)
    if top_up.kind == "manual":
        return await _expire_if_due(till, top_up)
    async with till.database.transaction() as tx:
        if not await charging_open(tx):
            await topups.poll_later(tx, top_up, at_least_s=30)
            return False
        if payment is None:
            _, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
            if fresh.fence != top_up.fence:
                raise topups.Stale(top_up.top_up_id)
            payment = await topups.add_payment(
                tx, top_up, kind="intent", presence="off_session", card_id=top_up.card_id
            )
    return await _create(till, top_up, payment)


async def _create(till: Till, top_up: TopUp, payment: Payment) -> bool:
    """Create the PaymentIntent and commit its id. It moves no money until it is confirmed."""
    async with till.database.transaction() as tx:
        customer = await customers.get(tx, top_up.customer_id)
        now = await tx.now()
        assert payment.card_id is not None
        card = await cards.get(tx, top_up.customer_id, payment.card_id)
    if customer.stripe_customer_id is None:
        return await _refused(till, top_up, payment, "no_stripe_customer")
    if now - payment.created_at > _KEY_LIFE:
        return await _find_or_abandon(till, top_up, payment, customer.stripe_customer_id)
    answer = await till.gateway.create_intent(
        key=f"{payment.payment_id}:create",
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        customer=customer.stripe_customer_id,
        payment_method=card.stripe_payment_method_id,
        metadata=_names(payment),
        description=f"Top-up of {top_up.asset}",
    )
    await hear(till, answer, opens=True)
    if isinstance(answer, IntentReading):
        return await _created(till, top_up, payment, answer)
    if answer.kind is FailureKind.REFUSED:
        return await _refused(till, top_up, payment, answer.code or "refused")
    if answer.kind is FailureKind.SERVER_ERROR:
        return await _find_or_abandon(till, top_up, payment, customer.stripe_customer_id)
    async with till.database.transaction() as tx:
        await topups.poll_later(tx, top_up)
    return False


def _names(payment: Payment) -> dict[str, str]:
    return {"top_up_id": payment.top_up_id, "payment_id": payment.payment_id, "customer_id": payment.customer_id}


async def _created(till: Till, top_up: TopUp, payment: Payment, intent: IntentReading) -> bool:
    async with till.database.transaction() as tx:
        _, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        now = await topups.find_payment(tx, payment.customer_id, payment.payment_id)
        assert now is not None
        if now.state == "new" and "intent_created" in topups.MOVES[fresh.state]:
            await topups.save_payment(tx, now, state="created", stripe_intent_id=intent.intent_id)
            await customers.add_alias(tx, "payment_intent", intent.intent_id, payment.customer_id, payment.payment_id)
            await topups.move(tx, fresh, "intent_created", recover_in_s=_RECOVER_S)
            return True
        if now.state == "new":  # the top-up is being canceled: the payment learns its id, so that it can be
            await topups.save_payment(tx, now, state="created", stripe_intent_id=intent.intent_id)
    if now.state == "abandoned":
        await till.gateway.cancel_intent(intent.intent_id)  # an orphan that came late: it was never confirmed
    return False


async def _find_or_abandon(till: Till, top_up: TopUp, payment: Payment, stripe_customer: str) -> bool:
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


async def _refused(till: Till, top_up: TopUp, payment: Payment, code: str) -> bool:
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


# --- intent_created: T2, then confirm ------------------------------------------------------------------


async def _intent_created(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    assert payment is not None
    if payment.presence == "on_session":
        return await _customer_left(till, top_up, payment)
    return await _confirm_or_refuse(till, top_up, payment, return_url=None)


async def _confirm_or_refuse(till: Till, top_up: TopUp, payment: Payment, *, return_url: str | None) -> bool:
    """T2: the card's budget, then everything else read again under the lock; then the point of no return."""
    assert payment.card_id is not None
    async with till.database.transaction() as tx:
        # Whoever closes the payment meanwhile waits for this row and then finds the claim to release.
        if (await topups.lock_payment(tx, payment)).state != "created":
            raise topups.Stale(top_up.top_up_id)
        card = await cards.get(tx, payment.customer_id, payment.card_id)
        claim = await cards.tries.claim(tx, card.fingerprint, payment.payment_id)
    async with till.database.transaction() as tx:
        account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        if not await charging_open(tx) or claim is cards.tries.Claim.BUSY:
            await topups.poll_later(tx, fresh, at_least_s=_CLAIM_WAIT_S)
            return False
        reason = "card_budget" if claim is cards.tries.Claim.SPENT else await _refusal(tx, fresh)
        if reason is not None:
            if reason == "card_budget" and fresh.kind == "automatic":
                await pause(tx, fresh.customer_id, fresh.asset, reason)
            next_state = "failed" if reason == "card_budget" else "canceled"
            await topups.move(tx, top_up, "canceling", recover_in_s=_RECOVER_S, next_state=next_state, reason=reason)
            await rearm(tx, [account.key], till.pace)
            return True
        now = await tx.now()
        await topups.save_payment(tx, payment, state="confirming", confirm_sent_at=now)
        month = clock.month_start(now) if fresh.kind == "automatic" else None
        top_up = await topups.move(
            tx, top_up, "confirming", recover_in_s=_ANSWER_S, confirmed_at=now, limit_month=month
        )
    return await _confirm(till, top_up, payment, card, return_url)


async def _refusal(tx: Tx, top_up: TopUp) -> str | None:
    """Why an automatic top-up must not be sent after all, with the customer present or not."""
    if top_up.kind == "manual":
        return None
    [standing] = await read_facts(tx, [(top_up.customer_id, top_up.asset)], without=top_up.top_up_id)
    assert top_up.rule_version is not None
    reason = superseded(standing.facts, top_up.rule_version)
    if reason is None and not fits_limit(standing.facts, top_up.amount_minor):
        reason = Reason.LIMIT_REACHED
    return None if reason is None else reason.value


async def _confirm(till: Till, top_up: TopUp, payment: Payment, card: cards.Card, return_url: str | None) -> bool:
    assert payment.stripe_intent_id is not None
    for wait_s in (*_BUSY_WAITS_S, None):
        answer = await till.gateway.confirm_intent(
            payment.stripe_intent_id,
            key=f"{payment.payment_id}:confirm",
            payment_method=card.stripe_payment_method_id,
            return_url=return_url,
        )
        if isinstance(answer, IntentReading) or answer.kind is not FailureKind.BUSY or wait_s is None:
            break
        await asyncio.sleep(ids.jitter(wait_s))  # busy was not carried out: the same key is safe
    await hear(till, answer, opens=True)
    async with till.database.transaction() as tx:
        if isinstance(answer, IntentReading):
            await settle(till, tx, payment, answer)
            return True
        # No answer to act on, whatever the reason: only reading the payment tells what became of it.
        _log.warning("confirm of %s: %s %s", payment.payment_id, answer.kind.value, answer.message)
        if answer.kind is FailureKind.REFUSED:
            sent = await topups.find_payment(tx, payment.customer_id, payment.payment_id)
            assert sent is not None
            await topups.save_payment(tx, sent, error_code=f"refused:{answer.code or 'confirm'}")
        await topups.move(tx, top_up, "unknown", wake_in_s=0 if not answer.unknown else 5)
        return not answer.unknown


# --- reading -------------------------------------------------------------------------------------------


async def _read(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    """Confirming (its worker died), unknown, processing: what does Stripe say?"""
    assert payment is not None
    if top_up.state == "confirming" and not await _worker_died(till, top_up):
        return False
    if payment.kind == "checkout":
        return await _read_checkout(till, top_up, payment)
    assert payment.stripe_intent_id is not None
    answer = await till.gateway.read_intent(payment.stripe_intent_id)
    await hear(till, answer)
    async with till.database.transaction() as tx:
        if isinstance(answer, IntentReading):
            await settle(till, tx, payment, answer)
        fresh = await topups.get(tx, top_up.customer_id, top_up.top_up_id)
        if fresh.fence == top_up.fence:
            await topups.poll_later(tx, fresh)
            return False
    return True


async def _worker_died(till: Till, top_up: TopUp) -> bool:
    """A confirm has a minute to be answered by the one who sent it."""
    async with till.database.transaction() as tx:
        sent_at = top_up.confirmed_at
        return sent_at is None or sent_at + dt.timedelta(seconds=_ANSWER_S) <= await tx.now()


async def _action_required(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    """Waits for the customer until it expires; an open payment is read now and then."""
    if payment is not None and payment.kind == "intent" and payment.stripe_intent_id is None:
        # The customer pressed Confirm and the answer to create was lost: nothing to read yet.
        return await _expire_if_due(till, top_up) or await _customer_left(till, top_up, payment)
    if payment is not None:
        if await _read(till, top_up, payment):
            return True
        async with till.database.transaction() as tx:
            top_up = await topups.get(tx, top_up.customer_id, top_up.top_up_id)
    return await _expire_if_due(till, top_up)


async def _expire_if_due(till: Till, top_up: TopUp) -> bool:
    """The customer did not come in time: end it, and pause an automatic rule."""
    async with till.database.transaction() as tx:
        if top_up.expires_at is None or await tx.now() < top_up.expires_at:
            return False
        account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        reason = "expired" if fresh.kind == "manual" else "confirmation_expired"
        canceling = await topups.move(
            tx, top_up, "canceling", recover_in_s=_RECOVER_S, next_state="canceled", reason=reason
        )
        if await topups.open_payment(tx, fresh) is None:
            await leave(till, tx, account, canceling)
            return False
    return True


async def _customer_left(till: Till, top_up: TopUp, payment: Payment) -> bool:
    """A payment made for a present customer and never sent: after a while it is taken back."""
    async with till.database.transaction() as tx:
        if await tx.now() < payment.created_at + _PRESENT_GRACE:
            await topups.poll_later(tx, top_up, at_least_s=_PRESENT_GRACE.total_seconds())
            return False
        await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        next_state = "action_required" if top_up.kind == "automatic" else "canceled"
        await topups.move(tx, top_up, "canceling", recover_in_s=_RECOVER_S, next_state=next_state, reason="not_sent")
    return True


async def _still_payable(tx: Tx, top_up: TopUp) -> bool:
    """Whether its customer may still come: a link is good until it expires, whatever page was left on the way."""
    return top_up.kind == "automatic" or (top_up.expires_at is not None and await tx.now() < top_up.expires_at)


# --- canceling -----------------------------------------------------------------------------------------


async def _canceling(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
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
            return await _refused(till, top_up, payment, "no_stripe_customer")
        return await _find_or_abandon(till, top_up, payment, customer.stripe_customer_id)
    answer = await till.gateway.cancel_intent(payment.stripe_intent_id)
    if isinstance(answer, Failure):
        answer = await till.gateway.read_intent(payment.stripe_intent_id)
    await hear(till, answer)
    return await _settle_or_poll(till, top_up, payment, answer)


async def _settle_or_poll(till: Till, top_up: TopUp, payment: Payment, answer: IntentReading | Failure) -> bool:
    async with till.database.transaction() as tx:
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


# --- retry_wait ----------------------------------------------------------------------------------------


async def _retry_wait(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    assert payment is None
    async with till.database.transaction() as tx:
        if top_up.wake_at is not None and await tx.now() < top_up.wake_at:
            return False
        await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await topups.move(tx, top_up, "requested", recover_in_s=_RECOVER_S)
    return True


_STEPS: dict[str, Callable[[Till, TopUp, Payment | None], Awaitable[bool]]] = {
    "requested": _requested,
    "intent_created": _intent_created,
    "confirming": _read,
    "unknown": _read,
    "processing": _read,
    "action_required": _action_required,
    "canceling": _canceling,
    "retry_wait": _retry_wait,
}
