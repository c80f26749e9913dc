"""Settling: a payment as read at Stripe becomes the state of its top-up, and its credit.

Reply, webhook, poll and reconciliation all come here, in any order and any number of times. The reading
decides, not who brought it; ends are absorbing; a credit is unique per payment. No network here.
"""

import datetime as dt
import logging
import time
from typing import Any

from brimful import cards, jobs, ledger, measures, money, topups, traces, wallets
from brimful.auto_topup import card_lost, pause, rearm, tell_limit_near, wait_until
from brimful.db import Tx
from brimful.events import Topic, emit
from brimful.paying.till import ANSWER_S, Till
from brimful.payments import Decline, DeclineKind, IntentReading, classify
from brimful.topups import Payment, TopUp

__all__ = ["leave", "lock_both", "settle", "tell_action_required", "tell_failed"]

_log = logging.getLogger(__name__)
CONFIRM_LIFE = dt.timedelta(hours=24)
_UNSENT_WAITS_S = (2.0, 30.0, 300.0, 3600.0)
_REST_AFTER_ODD_END = dt.timedelta(hours=1)  # a payment canceled by somebody else at Stripe: look again later


async def lock_both(tx: Tx, customer_id: str, top_up_id: str) -> tuple[wallets.Account, TopUp]:
    """The customer's accounts, then the top-up: the order of locks. All accounts, because a decline may
    block a card that serves the others too.
    """
    accounts = await wallets.lock_wallet(tx, customer_id)
    top_up = await topups.lock(tx, customer_id, top_up_id)
    return accounts[customer_id, top_up.asset], top_up


async def settle(till: Till, tx: Tx, payment: Payment, reading: IntentReading) -> None:
    """Bring a payment and its top-up to what was read.

    Args:
        till: for the keyring, the pace and the retry waits.
        tx: a short transaction of its own; account and top-up are locked here.
        payment: ours; read again under the lock.
        reading: from Stripe, just now or a while ago: a later state that we know already wins.
    """
    with traces.span(f"settle {reading.status}", payment.top_up_id):
        await _settle(till, tx, payment, reading)


async def _settle(till: Till, tx: Tx, payment: Payment, reading: IntentReading) -> None:
    account, top_up = await lock_both(tx, payment.customer_id, payment.top_up_id)
    fresh = await topups.find_payment(tx, payment.customer_id, payment.payment_id)
    assert fresh is not None
    if not _ours(till, fresh, reading):
        _log.critical("ALARM payment %s: %s does not match our books; not credited", fresh.payment_id, reading)
        return
    if reading.status == "succeeded":
        await _succeeded(till, tx, account, top_up, fresh, reading)
    elif fresh.closed_at is not None or not top_up.live:
        return
    elif reading.status == "canceled":
        await _canceled(till, tx, account, top_up, fresh, reading.decline)
    elif reading.status == "processing":
        if top_up.state != "processing" and "processing" in _moves(top_up):
            await topups.move(tx, top_up, "processing", wake_in_s=5)
    elif reading.status == "requires_action":
        await _needs_customer(tx, top_up, fresh, reading)
    else:
        await _not_paid(till, tx, account, top_up, fresh, reading.decline)


def _moves(top_up: TopUp) -> frozenset[str]:
    return topups.MOVES[top_up.state]


def _ours(till: Till, payment: Payment, reading: IntentReading) -> bool:
    """Amount, currency, mode and identity agree with what we asked for."""
    same_money = (reading.amount_minor, reading.currency) == (payment.amount_minor, payment.currency)
    paid_whole = reading.status != "succeeded" or reading.received_minor == payment.amount_minor
    same_one = payment.stripe_intent_id in {None, reading.intent_id}
    names_us = reading.metadata.get("payment_id") == payment.payment_id
    return same_money and paid_whole and same_one and names_us and reading.livemode == till.gateway.livemode


async def _succeeded(
    till: Till, tx: Tx, account: wallets.Account, top_up: TopUp, payment: Payment, reading: IntentReading
) -> None:
    key = payment.customer_id, "stripe", payment.payment_id
    if await ledger.find_known(tx, [key]):
        return
    if await topups.succeeded_payments(tx, top_up):
        _log.critical("ALARM top-up %s was paid twice: %s is credited too", top_up.top_up_id, payment.payment_id)
    draft = ledger.Draft(
        customer_id=top_up.customer_id,
        asset=top_up.asset,
        kind="top_up",
        amount=top_up.units,
        source="stripe",
        key=payment.payment_id,
        payment_id=payment.payment_id,
        money_minor=reading.received_minor,
        currency=payment.currency,
    )
    [entry] = await wallets.post(tx, till.keyring, {account.key: account}, [draft])
    await cards.tries.release(tx, payment.payment_id)
    if payment.setup_id is not None:
        await jobs.defer(tx, jobs.Name.SETUP, [{"customer_id": payment.customer_id, "setup_id": payment.setup_id}])
    if payment.closed_at is None:
        await topups.save_payment(tx, payment, state="succeeded", stripe_intent_id=reading.intent_id,
                                  receipt_url=reading.receipt_url)  # fmt: skip
    else:
        await topups.mark_succeeded_late(tx, payment)
    if top_up.live:
        available = entry.balance_after - account.held
        await topups.move(tx, top_up, "succeeded", reason=None, balance_after=entry.balance_after,
                          available_after=available)  # fmt: skip
    else:
        _log.critical("ALARM top-up %s had ended as %s when its payment succeeded", top_up.top_up_id, top_up.state)
        await topups.flag_late_success(tx, top_up, entry.balance_after)
    await emit(tx, Topic.TOP_UP_SUCCEEDED, top_up.customer_id, _shown(top_up, entry.balance_after))
    await _measure(tx, account, top_up, reading)
    if top_up.kind == "automatic":
        await tell_limit_near(tx, account.key, top_up.amount_minor)
    await rearm(tx, [account.key], till.pace)


async def _measure(tx: Tx, account: wallets.Account, top_up: TopUp, reading: IntentReading) -> None:
    """How long the credit took, and how long its customer had waited for it."""
    now = await tx.now()
    below_s = 0.0
    if account.balance < 0:
        since = await ledger.below_zero_since(tx, account.customer_id, account.asset, account.tail.seq)
        below_s = 0.0 if since is None else (now - since).total_seconds()
    waited_s = (now - top_up.requested_at).total_seconds()

    def count() -> None:
        measures.CREDIT.observe(time.monotonic() - reading.heard_s)
        measures.BELOW_ZERO.observe(below_s)
        if top_up.kind == "automatic":
            measures.FUNDING.observe(waited_s)

    tx.once_committed(count)


async def _canceled(
    till: Till, tx: Tx, account: wallets.Account, top_up: TopUp, payment: Payment, decline: Decline | None
) -> None:
    if decline is not None and top_up.state == "canceling":
        top_up, payment = await _declined_meanwhile(till, tx, account, top_up, payment, decline)
    closed = "expired" if payment.kind == "checkout" else "canceled"
    await topups.save_payment(tx, payment, state=closed)
    await cards.tries.release(tx, payment.payment_id)
    if top_up.state == "canceling":
        await leave(till, tx, account, top_up)
        return
    if top_up.kind == "automatic":
        await wait_until(tx, top_up.customer_id, top_up.asset, await tx.now() + _REST_AFTER_ODD_END)
    ended = await topups.move(tx, top_up, "canceled", reason="canceled_at_stripe")
    await tell_failed(tx, ended)
    await rearm(tx, [account.key], till.pace)


async def tell_action_required(tx: Tx, top_up: TopUp) -> None:
    """Tell, or tell again, that a payment waits for its customer."""
    await emit(tx, Topic.TOP_UP_ACTION_REQUIRED, top_up.customer_id, _shown(top_up, None))


async def leave(till: Till, tx: Tx, account: wallets.Account, top_up: TopUp) -> None:
    """Out of `canceling`, now that no payment is open: into the state that was stored with the reason."""
    assert top_up.state == "canceling"
    assert top_up.next_state is not None
    now = await tx.now()
    if top_up.next_state == "retry_wait":
        await topups.move(tx, top_up, "retry_wait", wake_in_s=await _retry_in_s(till, tx, top_up))
        await rearm(tx, [account.key], till.pace)  # the rule may have gone while the payment was taken back
        return
    if top_up.next_state == "action_required":
        expires_at = top_up.expires_at or now + CONFIRM_LIFE
        wake_in_s = max(0.0, (expires_at - now).total_seconds())
        waiting = await topups.move(tx, top_up, "action_required", wake_in_s=wake_in_s, expires_at=expires_at)
        if top_up.kind == "automatic":
            await tell_action_required(tx, waiting)
        await rearm(tx, [account.key], till.pace)
        return
    ended = await topups.move(tx, top_up, top_up.next_state)
    if top_up.kind == "automatic" and top_up.reason == "confirmation_expired":
        await pause(tx, top_up.customer_id, top_up.asset, "confirmation_expired", card_id=top_up.card_id)
    await tell_failed(tx, ended)
    await rearm(tx, [account.key], till.pace)


async def _retry_in_s(till: Till, tx: Tx, top_up: TopUp) -> float:
    """Hours after a decline; after payments that never arrived, longer each time."""
    if top_up.reason != "not_sent":
        return till.retry_waits[top_up.tries - 1].total_seconds()
    unsent = await topups.count_payments(tx, top_up) - top_up.tries
    return _UNSENT_WAITS_S[min(max(unsent, 1), len(_UNSENT_WAITS_S)) - 1]


async def _needs_customer(tx: Tx, top_up: TopUp, payment: Payment, reading: IntentReading) -> None:
    """The bank asks the customer, who is present: Stripe's page takes over."""
    if top_up.state not in {"confirming", "unknown"}:
        return
    await topups.save_payment(tx, payment, redirect_url=reading.redirect_url)
    expires_at = top_up.expires_at or await tx.now() + CONFIRM_LIFE
    await topups.move(tx, top_up, "action_required", wake_in_s=5, expires_at=expires_at)


_SENT = {"confirming", "unknown", "action_required", "processing"}


async def _not_paid(
    till: Till, tx: Tx, account: wallets.Account, top_up: TopUp, payment: Payment, decline: Decline | None
) -> None:
    """Stripe waits for a card or a confirmation: declined, or what we sent never arrived. Either way it stays
    confirmable, so it is canceled before anything else happens.
    """
    if decline is not None and top_up.state == "canceling":
        await _declined_meanwhile(till, tx, account, top_up, payment, decline)
        return
    if top_up.state not in _SENT or payment.kind == "checkout":
        return
    if decline is None and (top_up.state == "action_required" or await _in_flight(tx, top_up, payment)):
        return  # the customer has not come yet; or the confirmation is on its way, and its own answer will tell
    if decline is None and (payment.error_code or "").startswith("refused:"):
        # Stripe refused the confirmation itself: it would refuse the next one too.
        await topups.move(tx, top_up, "canceling", recover_in_s=30, next_state="failed", reason=payment.error_code)
        if top_up.kind == "automatic":
            await pause(tx, top_up.customer_id, top_up.asset, str(payment.error_code), card_id=payment.card_id)
            await rearm(tx, [account.key], till.pace)
        return
    if decline is None:
        automatic = top_up.kind == "automatic" and payment.presence == "off_session"
        next_state = "retry_wait" if automatic else _after_presence(top_up)
        await topups.move(tx, top_up, "canceling", recover_in_s=30, next_state=next_state, reason="not_sent")
        return
    await _count(tx, payment, decline)
    await _declined(till, tx, account, top_up, payment, decline)


async def _count(tx: Tx, payment: Payment, decline: Decline) -> None:
    """Keep a decline with its payment, and count it on its card."""
    await topups.save_payment(
        tx, payment, error_code=decline.code, decline_code=decline.decline_code, advice_code=decline.advice_code
    )
    hard = classify(decline) is DeclineKind.HARD
    await cards.tries.declined(tx, payment.payment_id, hard=hard)


async def _declined_meanwhile(
    till: Till, tx: Tx, account: wallets.Account, top_up: TopUp, payment: Payment, decline: Decline
) -> tuple[TopUp, Payment]:
    """While a payment that seemed never to have arrived is taken back, it arrives and is declined: that counts, and
    what comes next is what comes after a decline. Returns both as they are now.
    """
    if payment.error_code is None:
        await _count(tx, payment, decline)
        if top_up.reason == "not_sent":
            await _declined(till, tx, account, top_up, payment, decline)
        elif classify(decline) is DeclineKind.HARD:
            await _lose_card(till, tx, payment, decline.reason)
    fresh = await topups.find_payment(tx, payment.customer_id, payment.payment_id)
    assert fresh is not None
    return await topups.get(tx, top_up.customer_id, top_up.top_up_id), fresh


async def _lose_card(till: Till, tx: Tx, payment: Payment, reason: str) -> None:
    """Declined for good: the card is blocked, and every rule that uses it pauses."""
    if payment.card_id is None:
        return
    await cards.block(tx, payment.customer_id, payment.card_id, reason)
    card = await cards.get(tx, payment.customer_id, payment.card_id)
    await card_lost(tx, card, "card_declined", till.pace)


async def _in_flight(tx: Tx, top_up: TopUp, payment: Payment) -> bool:
    """Whether the confirmation may yet arrive: an event about the payment's creation is often read before."""
    if top_up.state != "confirming" or payment.confirm_sent_at is None:
        return False
    return await tx.now() < payment.confirm_sent_at + dt.timedelta(seconds=ANSWER_S)


def _after_presence(top_up: TopUp) -> str:
    """With the customer present a failure is told at once: an automatic top-up may be tried again by them."""
    return "action_required" if top_up.kind == "automatic" else "failed"


async def _declined(
    till: Till, tx: Tx, account: wallets.Account, top_up: TopUp, payment: Payment, decline: Decline
) -> None:
    """The decline, its count, what comes next and the pause: all in one transaction."""
    kind = classify(decline)
    reason, tries = decline.reason, top_up.tries + 1
    pause_reason: str | None = None
    if kind is DeclineKind.HARD and payment.card_id is not None:
        pause_reason = "card_declined"
    if payment.presence == "on_session" and kind is not DeclineKind.HARD:
        next_state = _after_presence(top_up)
    elif kind is DeclineKind.AUTHENTICATE:
        next_state, reason = "action_required", "authentication_required"
    elif kind is DeclineKind.SOFT and tries <= len(till.retry_waits):
        next_state = "retry_wait"
    else:
        next_state, pause_reason = "failed", pause_reason or "declined"
    await topups.move(tx, top_up, "canceling", recover_in_s=30, next_state=next_state, reason=reason, tries=tries)
    if pause_reason is not None and top_up.kind == "automatic":
        await pause(tx, top_up.customer_id, top_up.asset, pause_reason, card_id=payment.card_id)
    if kind is DeclineKind.HARD:
        await _lose_card(till, tx, payment, decline.reason)
    await rearm(tx, [account.key], till.pace)


async def tell_failed(tx: Tx, top_up: TopUp) -> None:
    """Tell that a top-up ended without success."""
    await emit(tx, Topic.TOP_UP_FAILED, top_up.customer_id, _shown(top_up, None))


def _shown(top_up: TopUp, balance: Any) -> dict[str, Any]:
    return {
        "top_up_id": top_up.top_up_id,
        "asset": top_up.asset,
        "kind": top_up.kind,
        "state": top_up.state if balance is None else "succeeded",
        "reason": top_up.reason if balance is None else None,
        "amount_minor": top_up.amount_minor,
        "currency": top_up.currency,
        "units": money.text(top_up.units),
        "balance": None if balance is None else money.text(balance),
    }
