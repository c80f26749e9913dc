"""Advance a top-up as far as it goes now, one short transaction and one call at a time.

    requested       create the PaymentIntent, unconfirmed            (key pay_id:create)
    intent_created  evaluate once more under the lock (T2), then     confirming
    confirming      confirm it; the point of no return               (key pay_id:confirm)
    unknown, processing, action_required   read it at Stripe
    canceling       cancel it at Stripe, read it, then what was to come next
    retry_wait      when its time has come, a new payment

If a worker dies in between, the next caller reads the state from our rows and goes on from there. A move
that finds another state raises `Stale`: another worker has moved it, so stop.
"""

import functools
import logging
from collections.abc import Awaitable, Callable

from brimful import auto_top_up, cards, ledger, observability, suspensions, top_ups
from brimful.auth.portal_sessions import PortalSession
from brimful.core import clock
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.gateway.gateway import FailureKind, PaymentIntentSnapshot
from brimful.payments import create, declined, poll, settle
from brimful.payments.context import ANSWER_S, FORBIDDEN, RECOVER_S, PaymentContext, Step
from brimful.top_ups.model import Payment, TopUp

_log = logging.getLogger(__name__)
_STEPS_MAX = 12
_CLAIM_WAIT_S = 30


async def advance(
    context: PaymentContext, customer_id: CustomerId, top_up_id: str, *, only_if_due: bool = False
) -> None:
    """Advance a top-up as far as it goes now. Safe to call at any time, from many workers at once; in one process a
    customer's payments go one after another, because Stripe locks the customer's objects.

    With `only_if_due` nothing happens before its time: a job that another one has overtaken must not poll, and
    defer another job, once more.
    """
    async with context.locks.of(customer_id):
        try:
            for turn in range(_STEPS_MAX):
                (top_up, payment), now = await context.database.read(
                    top_ups.store.get_query(customer_id, top_up_id)
                    & top_ups.store.open_payment_query(customer_id, top_up_id)
                )
                early = top_up.wake_at is not None and now < top_up.wake_at
                if only_if_due and turn == 0 and early:
                    return
                if not top_up.live:
                    return
                with observability.tracing.span(f"step {top_up.state}", top_up_id):
                    if await _STEPS[top_up.state](context, top_up, payment) is Step.WAIT:
                        return
        except top_ups.store.Stale:
            _log.info("top-up %s: another worker has moved it", top_up_id)


async def pay_on_session(
    context: PaymentContext, session: PortalSession, top_up_id: str, card_id: str, return_url: Callable[[str], str]
) -> TopUp:
    """Charge a saved card with its customer present: pay now, or confirm what the bank asks for.

    Args:
        context: under the portal's role.
        session: the customer's own.
        top_up_id: a manual one that is not paid, or an automatic one that needs its customer.
        card_id: one of the customer's cards.
        return_url: where Stripe sends the customer back to, made from the payment's id.

    Returns:
        The top-up as it stands. In `action_required` its open payment has a `redirect_url`. Called again
        for a payment that is open already, it starts no second one.
    """
    await _give_up_other(context, session.customer_id, top_up_id, card_id)
    ours = await context.our_key()
    async with context.database.transaction() as tx:
        _, top_up = await settle.lock_both(tx, session.customer_id, top_up_id)
        payment = await top_ups.store.open_payment(tx, top_up)
        if payment is None:
            _must_be_payable(top_up)
            await top_ups.request.require_manual_room(tx, top_up, context.manual_per_day)
            card = await cards.store.get(tx, session.customer_id, card_id)
            if card.state != "active" or (top_up.kind == "automatic" and card_id != top_up.card_id):
                raise Refused("card_unavailable", "This card cannot be charged: choose another.", field="card")
            payment = await top_ups.store.add_payment(tx, top_up, kind="intent", presence="on_session", card_id=card_id)
        if payment.kind != "intent" or payment.card_id != card_id:
            raise Refused("top_up_not_payable", "Another payment of this is on its way. Look again in a moment.")
        ready = await create.prepare(tx, top_up, payment, ours) if payment.state == "new" else None
    url = return_url(payment.payment_id)
    try:
        if ready is not None and await create.create(context, top_up, payment, ready) is Step.CONTINUE:
            await _reload_and(context, top_up, functools.partial(_confirm_or_refuse, return_url=url))
    except top_ups.store.Stale:
        _log.info("top-up %s: another worker has moved it", top_up_id)
    await advance(context, session.customer_id, top_up_id)
    async with context.database.transaction() as tx:
        return await top_ups.store.get(tx, session.customer_id, top_up_id)


async def _give_up_other(context: PaymentContext, customer_id: CustomerId, top_up_id: str, card_id: str) -> None:
    """The customer chose another way to pay than before: the open payment is taken back at Stripe first."""
    async with context.database.transaction() as tx:
        _, top_up = await settle.lock_both(tx, customer_id, top_up_id)
        payment = await top_ups.store.open_payment(tx, top_up)
        other = payment is not None and (payment.kind != "intent" or payment.card_id != card_id)
        if not other or top_up.state not in top_ups.model.WAITING_STATES:
            return
        await top_ups.store.move(
            tx, top_up, "canceling", recover_in_s=RECOVER_S, next_state="action_required", reason="other_card"
        )
    await advance(context, customer_id, top_up_id)


def _must_be_payable(top_up: TopUp) -> None:
    payable = {"requested", "action_required"} if top_up.kind == "manual" else {"action_required"}
    if top_up.state not in payable:
        raise Refused("top_up_not_payable", "This top-up has been paid or has ended. Nothing was charged.")


async def _reload_and(context: PaymentContext, top_up: TopUp, step: Callable[..., Awaitable[Step]]) -> Step:
    async with context.database.transaction() as tx:
        top_up = await top_ups.store.get(tx, top_up.customer_id, top_up.top_up_id)
        payment = await top_ups.store.open_payment(tx, top_up)
    if payment is None or top_up.state != "intent_created":
        return Step.WAIT
    return await step(context, top_up, payment)


# --- requested -----------------------------------------------------------------------------------------


async def _requested(context: PaymentContext, top_up: TopUp, payment: Payment | None) -> Step:
    """A payment row with its request, then the PaymentIntent. Manual top-ups wait for their customer here."""
    if payment is not None and payment.presence == "on_session":
        return await poll.release_abandoned(context, top_up, payment)
    if top_up.kind == "manual":
        return await poll.expire_if_due(context, top_up)
    ours = await context.our_key()
    # Not waited for: T2, which precedes the only call that moves money, takes it to the disk. Should the server crash
    # before, the payment is made anew, and what Stripe knows of this one was never confirmed.
    async with context.database.transaction("payment", flushed=False) as tx:
        (standing, _), fresh = await tx.ask(
            suspensions.store.STANDING
            & ledger.accounts.lock_wallet_query(top_up.customer_id)
            & top_ups.store.lock_query(top_up.customer_id, top_up.top_up_id)
        )
        if not context.gateway.reachable or not await suspensions.store.charging_allowed(tx, standing):
            await top_ups.store.poll_later(tx, top_up, at_least_s=30)
            return Step.WAIT
        if payment is None:
            if fresh.fence != top_up.fence:
                raise top_ups.store.Stale(top_up.top_up_id)
            payment = await top_ups.store.add_payment(
                tx, top_up, kind="intent", presence="off_session", card_id=top_up.card_id
            )
        ready = await create.prepare(tx, top_up, payment, ours)
    return await create.create(context, top_up, payment, ready)


# --- intent_created: T2, then confirm ------------------------------------------------------------------


async def _intent_created(context: PaymentContext, top_up: TopUp, payment: Payment | None) -> Step:
    assert payment is not None
    if payment.presence == "on_session":
        return await poll.release_abandoned(context, top_up, payment)
    return await _confirm_or_refuse(context, top_up, payment, return_url=None)


async def _confirm_or_refuse(
    context: PaymentContext, top_up: TopUp, payment: Payment, *, return_url: str | None
) -> Step:
    """T2: the card's budget, then everything else read again under the lock; then the point of no return."""
    assert payment.card_id is not None
    async with context.database.transaction("claim") as tx:
        # A transaction that closes the payment meanwhile waits for this row and then finds the claim to release.
        if (await top_ups.store.lock_payment(tx, payment)).state != "created":
            raise top_ups.store.Stale(top_up.top_up_id)
        card = await cards.store.get(tx, payment.customer_id, payment.card_id)
        claim = await cards.decline_budget.claim(tx, card.fingerprint, payment.payment_id)
    async with context.database.transaction("T2") as tx:
        account, fresh = await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        held = not context.gateway.reachable or not await suspensions.store.charging_allowed(tx)
        if held or claim is cards.decline_budget.Claim.BUSY:
            await top_ups.store.poll_later(tx, fresh, at_least_s=_CLAIM_WAIT_S)
            return Step.WAIT
        spent = claim is cards.decline_budget.Claim.SPENT
        forbidden = await cards.decline_budget.forbidden(tx, card.fingerprint, card.expiry)
        alone = return_url is None
        reason = "card_budget" if spent else FORBIDDEN[forbidden] if forbidden else await _refusal(tx, fresh, alone)
        unusable = spent or forbidden is not None
        if reason is None and card.state != "active":
            reason, unusable = "card_unavailable", True
        if reason is not None:
            doubted = forbidden in {"hard", "disputed"} or card.state_reason in auto_top_up.backup.NEVER_AFTER
            other = await declined.other_card(tx, fresh, card.card_id) if unusable and not doubted else None
            if other is not None:
                await top_ups.store.move(
                    tx, top_up, "canceling", recover_in_s=RECOVER_S, reason=reason, card_id=other,
                    next_state="retry_wait" if alone else "action_required",
                )  # fmt: skip
                return Step.CONTINUE
            if unusable and fresh.kind == "automatic":
                await auto_top_up.pauses.pause(tx, fresh.customer_id, fresh.asset, reason)
            next_state = "failed" if unusable else "canceled"
            await top_ups.store.move(
                tx, top_up, "canceling", recover_in_s=RECOVER_S, next_state=next_state, reason=reason
            )
            await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)
            return Step.CONTINUE
        now = await tx.now()
        sent_at = await auto_top_up.order.moment(tx, account.key)
        await top_ups.store.save_payment(tx, payment, state="confirming", confirm_sent_at=sent_at)
        month = clock.month_start(now) if fresh.kind == "automatic" else None
        top_up = await top_ups.store.move(
            tx, top_up, "confirming", recover_in_s=ANSWER_S, confirmed_at=sent_at, limit_month=month
        )
    return await _confirm(context, top_up, payment, card, return_url)


async def _refusal(tx: Tx, top_up: TopUp, alone: bool) -> str | None:
    """Why an automatic top-up must not be sent after all, with the customer present or `alone`. One that nobody was
    asked about may have waited while the use became unusual: it ends, and is asked about.
    """
    if top_up.kind == "manual":
        return None
    [status] = await auto_top_up.facts.read_facts(tx, [(top_up.customer_id, top_up.asset)], without=top_up.top_up_id)
    assert top_up.rule_version is not None
    reason = auto_top_up.policy.superseded(status.facts, top_up.rule_version)
    if reason is None:
        reason = auto_top_up.policy.limit_exceeded(status.facts, top_up.amount_minor, await tx.now())
    if reason is None and alone and status.facts.brake and not status.facts.approved_unusual:
        facts = await auto_top_up.facts.use_of(tx, status.key, status.facts)
        if auto_top_up.brake.unusual(facts.last_hour, facts.past, await tx.now()):
            return auto_top_up.policy.Ask.UNUSUAL_USE.value
    return None if reason is None else reason.value


async def _confirm(
    context: PaymentContext, top_up: TopUp, payment: Payment, card: cards.store.Card, return_url: str | None
) -> Step:
    assert payment.stripe_intent_id is not None
    answer = await context.gateway.confirm_intent(
        payment.stripe_intent_id,
        key=f"{payment.payment_id}:confirm",
        payment_method=card.stripe_payment_method_id,
        return_url=return_url,
    )
    await context.note_key_rejection(answer, opens=True)
    async with context.database.transaction("T3") as tx:
        if isinstance(answer, PaymentIntentSnapshot):
            await settle.settle(context, tx, payment, answer)
            return Step.CONTINUE
        # There is no answer to act on: only reading the payment shows its outcome.
        _log.warning("confirm of %s: %s %s", payment.payment_id, answer.kind.value, answer.message)
        if answer.kind is FailureKind.REFUSED:
            sent = await top_ups.store.find_payment(tx, payment.customer_id, payment.payment_id)
            assert sent is not None
            await top_ups.store.save_payment(tx, sent, error_code=f"refused:{answer.code or 'confirm'}")
        await top_ups.store.move(tx, top_up, "unknown", wake_in_s=0 if not answer.unknown else 5)
        return Step.WAIT if answer.unknown else Step.CONTINUE


# --- retry_wait ----------------------------------------------------------------------------------------


async def _retry_wait(context: PaymentContext, top_up: TopUp, payment: Payment | None) -> Step:
    assert payment is None
    async with context.database.transaction() as tx:
        if top_up.wake_at is not None and await tx.now() < top_up.wake_at:
            return Step.WAIT
        await settle.lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await top_ups.store.move(tx, top_up, "requested", recover_in_s=RECOVER_S)
    return Step.CONTINUE


_STEPS: dict[str, Callable[[PaymentContext, TopUp, Payment | None], Awaitable[Step]]] = {
    "requested": _requested,
    "intent_created": _intent_created,
    "confirming": poll.poll,
    "unknown": poll.poll,
    "processing": poll.poll,
    "action_required": poll.await_customer,
    "canceling": poll.cancel,
    "retry_wait": _retry_wait,
}
