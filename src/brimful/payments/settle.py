"""Settling: a payment as read at Stripe becomes the state of its top-up, and its credit.

Reply, webhook, poll and reconciliation all come here, in any order and any number of times. The reading
decides, not who brought it; ends are absorbing; a credit is unique per payment. No network here.
"""

import dataclasses
import datetime as dt
import logging
import time

from brimful import auto_top_up, cards, customers, grants, jobs, ledger, observability, top_ups
from brimful.core import clock
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.gateway.gateway import Decline, PaymentIntentSnapshot
from brimful.notifications import events
from brimful.notifications.events import Topic
from brimful.payments import declined
from brimful.payments.context import PaymentContext
from brimful.top_ups.model import Payment, TopUp

_log = logging.getLogger(__name__)
CONFIRM_LIFE = dt.timedelta(hours=24)
_WAIT_AFTER_UNEXPECTED_END = dt.timedelta(hours=1)  # a payment canceled by somebody else at Stripe: look again later


async def lock_both(tx: Tx, customer_id: CustomerId, top_up_id: str) -> tuple[ledger.accounts.Account, TopUp]:
    """The customer's accounts, then the top-up: the order of locks. All accounts, because a decline may
    block a card that serves the others too.
    """
    accounts, top_up = await tx.ask(
        ledger.accounts.lock_wallet_query(customer_id) & top_ups.store.lock_query(customer_id, top_up_id)
    )
    return accounts[customer_id, top_up.asset], top_up


async def settle(context: PaymentContext, tx: Tx, payment: Payment, snapshot: PaymentIntentSnapshot) -> None:
    """Bring a payment and its top-up to what was read.

    Args:
        context: for the keyring, the pace and the retry waits.
        tx: a short transaction of its own; account and top-up are locked here.
        payment: ours; read again under the lock.
        snapshot: from Stripe, just now or a while ago: a later state that we know already wins.
    """
    with observability.tracing.span(f"settle {snapshot.status}", payment.top_up_id):
        await _settle(context, tx, payment, snapshot)


async def _settle(context: PaymentContext, tx: Tx, payment: Payment, snapshot: PaymentIntentSnapshot) -> None:
    account, top_up = await lock_both(tx, payment.customer_id, payment.top_up_id)
    fresh = await top_ups.store.find_payment(tx, payment.customer_id, payment.payment_id)
    assert fresh is not None
    difference = _difference(context, fresh, snapshot)
    if difference is not None:
        _log.critical("ALARM payment %s: %s; not credited: %s", fresh.payment_id, difference, snapshot)
        await top_ups.review.flag_for_review(tx, top_up)
        return
    if snapshot.status == "succeeded":
        await _succeeded(context, tx, account, top_up, fresh, snapshot)
    elif fresh.closed_at is not None or not top_up.live:
        return
    elif snapshot.status == "canceled":
        await _canceled(context, tx, account, top_up, fresh, snapshot.decline)
    elif snapshot.status == "processing":
        if top_up.state != "processing" and "processing" in _moves(top_up):
            await top_ups.store.move(tx, top_up, "processing", wake_in_s=5)
    elif snapshot.status == "requires_action":
        await _needs_customer(tx, top_up, fresh, snapshot)
    else:
        await _not_paid(context, tx, account, top_up, fresh, snapshot.decline)


def _moves(top_up: TopUp) -> frozenset[str]:
    return top_ups.model.MOVES[top_up.state]


def _difference(context: PaymentContext, payment: Payment, snapshot: PaymentIntentSnapshot) -> str | None:
    """What does not agree with what we asked for. The id that we stored identifies a payment; its metadata, which
    anybody may edit in the dashboard, only one whose id is not known yet.
    """
    known = payment.stripe_intent_id
    same = known == snapshot.intent_id if known else snapshot.metadata.get("payment_id") == payment.payment_id
    checks = {
        "another PaymentIntent": same,
        "another mode": snapshot.livemode == context.gateway.livemode,
        "another amount": (snapshot.amount_minor, snapshot.currency) == (payment.amount_minor, payment.currency),
        "paid in part": snapshot.status != "succeeded" or snapshot.received_minor == payment.amount_minor,
    }
    return next((what for what, holds in checks.items() if not holds), None)


async def _succeeded(
    context: PaymentContext,
    tx: Tx,
    account: ledger.accounts.Account,
    top_up: TopUp,
    payment: Payment,
    snapshot: PaymentIntentSnapshot,
) -> None:
    key = payment.customer_id, "stripe", payment.payment_id
    known = await ledger.keys.find(tx, [key])
    if known.entries:
        return
    account = await grants.due.post(tx, context.keyring, account)
    if await top_ups.store.succeeded_payments(tx, top_up):
        _log.critical("ALARM top-up %s was paid twice: %s is credited too", top_up.top_up_id, payment.payment_id)
    draft = ledger.entries.Draft(
        customer_id=top_up.customer_id,
        asset=top_up.asset,
        kind="top_up",
        amount=top_up.units,
        source="stripe",
        key=payment.payment_id,
        payment_id=payment.payment_id,
        money_minor=snapshot.received_minor,
        currency=payment.currency,
        terms=terms_of(top_up, await tx.now()),
    )
    bonus = grants.bonuses.credit(top_up, payment, await tx.now())
    drafts = [draft] if bonus is None else [draft, bonus]
    *_, entry = await ledger.post.post(tx, context.keyring, {account.key: account}, drafts)
    await cards.decline_budget.release(tx, payment.payment_id)
    if payment.setup_id is not None:
        await jobs.defer(tx, jobs.Name.SETUP, [{"customer_id": payment.customer_id, "setup_id": payment.setup_id}])
    if payment.closed_at is None:
        await top_ups.store.save_payment(tx, payment, state="succeeded", stripe_intent_id=snapshot.intent_id,
                                  receipt_url=snapshot.receipt_url)  # fmt: skip
    else:
        await top_ups.store.mark_succeeded_late(tx, payment)
    if payment.kind == "checkout":  # its PaymentIntent is known only now
        await customers.add_alias(tx, "payment_intent", snapshot.intent_id, payment.customer_id, payment.payment_id)
    if top_up.live:
        available = entry.balance_after - account.held
        await top_ups.store.move(tx, top_up, "succeeded", reason=None, balance_after=entry.balance_after,
                          available_after=available)  # fmt: skip
    else:
        _log.critical("ALARM top-up %s had ended as %s when its payment succeeded", top_up.top_up_id, top_up.state)
        await top_ups.review.flag_late_success(tx, top_up, entry.balance_after)
    paid = dataclasses.replace(
        top_up, state="succeeded", reason=None, balance_after=entry.balance_after, ended_at=await tx.now()
    )
    await events.emit(tx, Topic.TOP_UP_SUCCEEDED, top_up.customer_id, top_ups.model.described(paid))
    await declined.announce_backup(tx, top_up, payment)
    await _measure(tx, account, top_up, snapshot)
    if top_up.kind == "automatic":
        await auto_top_up.evaluate.announce_limit_near(tx, account.key, top_up.amount_minor)
    await auto_top_up.thresholds.follow(tx, [account.key], "credit")
    await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)


def terms_of(top_up: TopUp, now: dt.datetime) -> ledger.lots.Terms | None:
    """The platform's expiry, unless it has passed while the payment was under way: what was just paid for does not
    vanish.
    """
    expires_at = top_up.credit_expires_at
    return None if expires_at is None or expires_at <= now else ledger.lots.Terms.of("paid", expires_at=expires_at)


async def _measure(tx: Tx, account: ledger.accounts.Account, top_up: TopUp, snapshot: PaymentIntentSnapshot) -> None:
    """How long the credit took, and how long its customer had waited for it."""
    now = await tx.now()
    below_s = 0.0
    if account.balance < 0:
        since = await ledger.statements.below_zero_since(tx, account.customer_id, account.asset, account.head.seq)
        below_s = 0.0 if since is None else (now - since).total_seconds()
    waited_s = (now - top_up.requested_at).total_seconds()

    def count() -> None:
        observability.metrics.CREDIT.observe(time.monotonic() - snapshot.received_s)
        observability.metrics.BELOW_ZERO.observe(below_s)
        if top_up.kind == "automatic" and top_up.asked is None:
            observability.metrics.FUNDING.observe(waited_s)

    tx.once_committed(count)


async def _canceled(
    context: PaymentContext,
    tx: Tx,
    account: ledger.accounts.Account,
    top_up: TopUp,
    payment: Payment,
    decline: Decline | None,
) -> None:
    if decline is not None and top_up.state == "canceling":
        top_up, payment = await _declined_meanwhile(context, tx, account, top_up, payment, decline)
    closed = "expired" if payment.kind == "checkout" else "canceled"
    await top_ups.store.save_payment(tx, payment, state=closed)
    await cards.decline_budget.release(tx, payment.payment_id)
    if top_up.state == "canceling":
        await finish_canceling(context, tx, account, top_up)
        return
    if top_up.kind == "automatic":
        await auto_top_up.pauses.set_not_before(
            tx, top_up.customer_id, top_up.asset, await tx.now() + _WAIT_AFTER_UNEXPECTED_END
        )
    ended = await top_ups.store.move(tx, top_up, "canceled", reason="canceled_at_stripe")
    await announce_failed(tx, ended)
    await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)


async def announce_action_required(tx: Tx, top_up: TopUp) -> None:
    """Announce, or announce again, that a payment waits for its customer."""
    await events.emit(tx, Topic.TOP_UP_ACTION_REQUIRED, top_up.customer_id, top_ups.model.described(top_up))


async def finish_canceling(context: PaymentContext, tx: Tx, account: ledger.accounts.Account, top_up: TopUp) -> None:
    """Leave `canceling`, now that no payment is open, for the state that was stored with the reason."""
    assert top_up.state == "canceling"
    assert top_up.next_state is not None
    now = await tx.now()
    if top_up.next_state == "retry_wait":
        waiting = await top_ups.store.move(
            tx, top_up, "retry_wait", wake_in_s=await declined.retry_in_s(context, tx, top_up)
        )
        await _announce_retry(tx, account, waiting)
        await auto_top_up.evaluate.reevaluate(
            tx, [account.key], context.pace
        )  # the rule may have gone while the payment was canceled
        return
    if top_up.next_state == "action_required":
        expires_at = top_up.expires_at or now + CONFIRM_LIFE
        wake_in_s = max(0.0, (expires_at - now).total_seconds())
        waiting = await top_ups.store.move(tx, top_up, "action_required", wake_in_s=wake_in_s, expires_at=expires_at)
        if top_up.kind == "automatic":
            await announce_action_required(tx, waiting)
        await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)
        return
    ended = await top_ups.store.move(tx, top_up, top_up.next_state)
    if top_up.kind == "automatic" and top_up.reason in {"confirmation_expired", "not_approved"}:
        await auto_top_up.pauses.pause(tx, top_up.customer_id, top_up.asset, top_up.reason, card_id=top_up.card_id)
    await announce_failed(tx, ended)
    await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)


async def _announce_retry(tx: Tx, account: ledger.accounts.Account, top_up: TopUp) -> None:
    """Announce when it is tried again, and whether the balance lasts until then."""
    now = await tx.now()
    if top_up.kind != "automatic" or top_up.wake_at is None or top_up.wake_at <= now:
        return
    use = await ledger.runway.read(tx, account)
    dry = ledger.runway.runs_dry_at(account.available, use, now)
    data = {
        "top_up_id": top_up.top_up_id, "asset": top_up.asset, "reason": top_up.reason,
        "retry_at": clock.rfc3339(top_up.wake_at), "runs_dry_at": None if dry is None else clock.rfc3339(dry),
        "runs_dry_before_retry": dry is not None and dry < top_up.wake_at,
    }  # fmt: skip
    await events.emit(tx, Topic.AUTO_TOP_UP_RETRY_SCHEDULED, top_up.customer_id, data)


async def _needs_customer(tx: Tx, top_up: TopUp, payment: Payment, snapshot: PaymentIntentSnapshot) -> None:
    """The bank asks the customer, who is present: Stripe's page takes over."""
    if top_up.state not in {"confirming", "unknown"}:
        return
    await top_ups.store.save_payment(tx, payment, redirect_url=snapshot.redirect_url)
    expires_at = top_up.expires_at or await tx.now() + CONFIRM_LIFE
    await top_ups.store.move(tx, top_up, "action_required", wake_in_s=5, expires_at=expires_at)


_SENT = {"confirming", "unknown", "action_required", "processing"}


async def _not_paid(
    context: PaymentContext,
    tx: Tx,
    account: ledger.accounts.Account,
    top_up: TopUp,
    payment: Payment,
    decline: Decline | None,
) -> None:
    """Stripe waits for a card or a confirmation: declined, or what we sent never arrived. Either way it stays
    confirmable, so it is canceled before anything else happens.
    """
    if decline is not None and top_up.state == "canceling":
        await _declined_meanwhile(context, tx, account, top_up, payment, decline)
        return
    if top_up.state not in _SENT or payment.kind == "checkout":
        return
    if decline is None and (top_up.state == "action_required" or await _in_flight(tx, top_up, payment)):
        return  # the customer has not come yet; or the confirmation is in flight, and its own answer decides
    if decline is None and (payment.error_code or "").startswith("refused:"):
        # Stripe refused the confirmation itself: it would refuse the next one too.
        await top_ups.store.move(
            tx, top_up, "canceling", recover_in_s=30, next_state="failed", reason=payment.error_code
        )
        if top_up.kind == "automatic":
            await auto_top_up.pauses.pause(
                tx, top_up.customer_id, top_up.asset, str(payment.error_code), card_id=payment.card_id
            )
            await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)
        return
    if decline is None:
        automatic = top_up.kind == "automatic" and payment.presence == "off_session"
        next_state = "retry_wait" if automatic else declined.after_presence(top_up)
        await top_ups.store.move(tx, top_up, "canceling", recover_in_s=30, next_state=next_state, reason="not_sent")
        return
    await declined.count(tx, payment, decline)
    await declined.decide(context, tx, account, top_up, payment, decline)


async def _declined_meanwhile(
    context: PaymentContext, tx: Tx, account: ledger.accounts.Account, top_up: TopUp, payment: Payment, decline: Decline
) -> tuple[TopUp, Payment]:
    """While a payment that seemed never to have arrived is taken back, it arrives and is declined: that counts, and
    what comes next is what comes after a decline. Returns both as they are now.
    """
    if payment.error_code is None:
        await declined.count(tx, payment, decline)
        if top_up.reason == "not_sent":
            await declined.decide(context, tx, account, top_up, payment, decline)
        else:
            await declined.lose_card(context, tx, payment, decline)
    fresh = await top_ups.store.find_payment(tx, payment.customer_id, payment.payment_id)
    assert fresh is not None
    return await top_ups.store.get(tx, top_up.customer_id, top_up.top_up_id), fresh


async def _in_flight(tx: Tx, top_up: TopUp, payment: Payment) -> bool:
    """Whether the confirmation may yet arrive: an event about the payment's creation is often read before."""
    if top_up.state != "confirming" or payment.confirm_sent_at is None:
        return False
    return top_up.wake_at is not None and await tx.now() < top_up.wake_at  # ANSWER_S after it was sent


async def announce_failed(tx: Tx, top_up: TopUp) -> None:
    """Announce that a top-up ended without success."""
    await events.emit(tx, Topic.TOP_UP_FAILED, top_up.customer_id, top_ups.model.described(top_up))
