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

import functools
import logging
from collections.abc import Awaitable, Callable

from brimful import cards, charging, clock, topups, traces
from brimful.auto_topup import Reason, fits_limit, pause, read_facts, rearm, superseded
from brimful.db import Tx
from brimful.errors import Refused
from brimful.paying.create import create
from brimful.paying.resolve import action_required, canceling, customer_left, expire_if_due, read
from brimful.paying.settle import lock_both, settle
from brimful.paying.till import ANSWER_S, RECOVER_S, Till, hear
from brimful.payments import FailureKind, IntentReading
from brimful.sessions import PortalSession
from brimful.topups import Payment, TopUp

__all__ = ["pay", "pay_present"]

_log = logging.getLogger(__name__)
_STEPS_MAX = 12
_CLAIM_WAIT_S = 30


async def pay(till: Till, customer_id: str, top_up_id: str, *, only_if_due: bool = False) -> None:
    """Take a top-up as far as it goes now. Safe to call at any time, from many workers at once; in one process a
    customer's payments go one after another, because Stripe locks the customer's objects.

    With `only_if_due` nothing happens before its time: a job that somebody else has overtaken must not look, and
    ask for another job, once more.
    """
    async with till.turns.of(customer_id):
        try:
            for turn in range(_STEPS_MAX):
                async with till.database.transaction() as tx:
                    top_up = await topups.get(tx, customer_id, top_up_id)
                    payment = await topups.open_payment(tx, top_up)
                    early = top_up.wake_at is not None and await tx.now() < top_up.wake_at
                if only_if_due and turn == 0 and early:
                    return
                if not top_up.live:
                    return
                with traces.span(f"step {top_up.state}", top_up_id):
                    if not await _STEPS[top_up.state](till, top_up, payment):
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
        if payment.state == "new" and await create(till, top_up, payment):
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
            tx, top_up, "canceling", recover_in_s=RECOVER_S, next_state="action_required", reason="other_card"
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
        return await customer_left(till, top_up, payment)
    if top_up.kind == "manual":
        return await expire_if_due(till, top_up)
    async with till.database.transaction("payment") as tx:
        if not till.gateway.reachable or not await charging.is_open(tx):
            await topups.poll_later(tx, top_up, at_least_s=30)
            return False
        if payment is None:
            _, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
            if fresh.fence != top_up.fence:
                raise topups.Stale(top_up.top_up_id)
            payment = await topups.add_payment(
                tx, top_up, kind="intent", presence="off_session", card_id=top_up.card_id
            )
    return await create(till, top_up, payment)


# --- intent_created: T2, then confirm ------------------------------------------------------------------


async def _intent_created(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    assert payment is not None
    if payment.presence == "on_session":
        return await customer_left(till, top_up, payment)
    return await _confirm_or_refuse(till, top_up, payment, return_url=None)


async def _confirm_or_refuse(till: Till, top_up: TopUp, payment: Payment, *, return_url: str | None) -> bool:
    """T2: the card's budget, then everything else read again under the lock; then the point of no return."""
    assert payment.card_id is not None
    async with till.database.transaction("claim") as tx:
        # Whoever closes the payment meanwhile waits for this row and then finds the claim to release.
        if (await topups.lock_payment(tx, payment)).state != "created":
            raise topups.Stale(top_up.top_up_id)
        card = await cards.get(tx, payment.customer_id, payment.card_id)
        claim = await cards.tries.claim(tx, card.fingerprint, payment.payment_id)
    async with till.database.transaction("T2") as tx:
        account, fresh = await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        held = not till.gateway.reachable or not await charging.is_open(tx)
        if held or claim is cards.tries.Claim.BUSY:
            await topups.poll_later(tx, fresh, at_least_s=_CLAIM_WAIT_S)
            return False
        spent = claim is cards.tries.Claim.SPENT or await cards.tries.forbidden(tx, card.fingerprint)
        reason = "card_budget" if spent else await _refusal(tx, fresh)
        if reason is not None:
            if reason == "card_budget" and fresh.kind == "automatic":
                await pause(tx, fresh.customer_id, fresh.asset, reason)
            next_state = "failed" if reason == "card_budget" else "canceled"
            await topups.move(tx, top_up, "canceling", recover_in_s=RECOVER_S, next_state=next_state, reason=reason)
            await rearm(tx, [account.key], till.pace)
            return True
        now = await tx.now()
        await topups.save_payment(tx, payment, state="confirming", confirm_sent_at=now)
        month = clock.month_start(now) if fresh.kind == "automatic" else None
        top_up = await topups.move(tx, top_up, "confirming", recover_in_s=ANSWER_S, confirmed_at=now, limit_month=month)
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
    answer = await till.gateway.confirm_intent(
        payment.stripe_intent_id,
        key=f"{payment.payment_id}:confirm",
        payment_method=card.stripe_payment_method_id,
        return_url=return_url,
    )
    await hear(till, answer, opens=True)
    async with till.database.transaction("T3") as tx:
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


# --- retry_wait ----------------------------------------------------------------------------------------


async def _retry_wait(till: Till, top_up: TopUp, payment: Payment | None) -> bool:
    assert payment is None
    async with till.database.transaction() as tx:
        if top_up.wake_at is not None and await tx.now() < top_up.wake_at:
            return False
        await lock_both(tx, top_up.customer_id, top_up.top_up_id)
        await topups.move(tx, top_up, "requested", recover_in_s=RECOVER_S)
    return True


_STEPS: dict[str, Callable[[Till, TopUp, Payment | None], Awaitable[bool]]] = {
    "requested": _requested,
    "intent_created": _intent_created,
    "confirming": read,
    "unknown": read,
    "processing": read,
    "action_required": action_required,
    "canceling": canceling,
    "retry_wait": _retry_wait,
}
