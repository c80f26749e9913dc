"""Checkout: Stripe's page for a new card, to save it, or to pay once with it."""

import dataclasses
import datetime as dt
from collections.abc import Callable

from brimful import auto_top_up, cards, customers, ledger, top_ups
from brimful.auth import audit
from brimful.auth.portal_sessions import PortalSession
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.gateway.gateway import CardSnapshot, CheckoutSnapshot, Failure, FailureKind
from brimful.notifications import events
from brimful.notifications.events import Topic
from brimful.payments import create, ownership, settle, stripe_customers
from brimful.payments.context import FORBIDDEN, PaymentContext
from brimful.top_ups.model import Payment, TopUp

_UNAVAILABLE = "Payments are not available at the moment. Nothing was charged. Try again in a few minutes."
_PAGE_LIFE = dt.timedelta(hours=1)


async def open_setup_page(
    context: PaymentContext,
    session: PortalSession,
    *,
    rendered: str,
    limits: cards.setups.Limits,
    return_to: str,
    urls: Callable[[str], tuple[str, str]],
) -> str:
    """Open Stripe's page that saves a card without charging it.

    Args:
        context: under the portal's role.
        session: the customer's own; the consent to save the card is recorded with it.
        rendered: that consent, word for word as the page showed it.
        limits: how many cards may be added in an hour.
        return_to: the portal's path to go back to afterwards.
        urls: success and cancel address, made from the setup's id.

    Returns:
        The address of Stripe's page. Refuses when Stripe does not answer.
    """
    async with context.database.transaction() as tx:
        setup_id = await cards.setups.open_setup(
            tx,
            session,
            rendered=rendered,
            purpose="setup",
            limits=limits,
            failed=await _failed(tx),
            return_to=return_to,
        )
    success_url, cancel_url = urls(setup_id)
    metadata = {ownership.NAME: await context.our_key(), "setup_id": setup_id, "customer_id": session.customer_id}

    async def ask(stripe_customer: str) -> CheckoutSnapshot | Failure:
        return await context.gateway.create_setup_checkout(
            key=f"{setup_id}:create:{stripe_customer}",
            customer=stripe_customer,
            currency="usd",
            success_url=success_url,
            cancel_url=cancel_url,
            metadata=metadata,
        )

    answer = await stripe_customers.with_customer(context, session.customer_id, ask)
    if isinstance(answer, Failure) or answer.url is None:
        async with context.database.transaction() as tx:
            await cards.setups.expire(tx, session.customer_id, setup_id)
        raise Refused("payments_unavailable", _UNAVAILABLE)
    async with context.database.transaction() as tx:
        await cards.setups.remember_session(tx, session, setup_id, answer.session_id)
        await customers.add_alias(tx, "checkout_session", answer.session_id, session.customer_id, setup_id)
    return answer.url


async def open_checkout(
    context: PaymentContext,
    session: PortalSession,
    top_up_id: str,
    *,
    save_card: str | None,
    limits: cards.setups.Limits,
    urls: Callable[[str], tuple[str, str]],
) -> str:
    """Open Stripe's page that charges a new card for this top-up, and saves it if the customer ticked our box:
    then `save_card` holds the box's words.

    Returns the page's address: the same one while it is open. Refuses a top-up that is paid or has ended.
    """
    payment, top_up = await _open_payment(context, session, top_up_id, save_card=save_card, limits=limits)
    if payment.redirect_url is not None:
        return payment.redirect_url
    success_url, cancel_url = urls(payment.payment_id)
    ours = await context.our_key()

    async def ask(stripe_customer: str) -> CheckoutSnapshot | Failure:
        request = create.payment_request(top_up, payment, stripe_customer, ours, None)
        return await context.gateway.create_payment_checkout(
            dataclasses.replace(request, key=f"{request.key}:{stripe_customer}"),
            save_card=payment.setup_id is not None,
            success_url=success_url,
            cancel_url=cancel_url,
            expires_at=payment.created_at + _PAGE_LIFE,
        )

    answer = await stripe_customers.with_customer(context, session.customer_id, ask)
    if isinstance(answer, Failure) or answer.url is None:
        if not isinstance(answer, Failure) or answer.kind is FailureKind.REFUSED or answer.key_is_spent:
            await _abandon(context, session, payment)
        raise Refused("payments_unavailable", _UNAVAILABLE)
    async with context.database.transaction() as tx:
        _, fresh = await settle.lock_both(tx, session.customer_id, top_up_id)
        await top_ups.store.save_payment(
            tx, payment, state="created", stripe_session_id=answer.session_id, redirect_url=answer.url
        )
        await customers.add_alias(tx, "checkout_session", answer.session_id, session.customer_id, payment.payment_id)
        expires_at = fresh.expires_at or payment.created_at + _PAGE_LIFE
        await top_ups.store.move(tx, fresh, "action_required", wake_in_s=30, expires_at=expires_at)
    return answer.url


async def _open_payment(
    context: PaymentContext,
    session: PortalSession,
    top_up_id: str,
    *,
    save_card: str | None,
    limits: cards.setups.Limits,
) -> tuple[Payment, TopUp]:
    async with context.database.transaction() as tx:
        _, top_up = await settle.lock_both(tx, session.customer_id, top_up_id)
        payment = await top_ups.store.open_payment(tx, top_up)
        if payment is not None and payment.kind == "checkout":
            return payment, top_up
        if payment is not None or top_up.kind != "manual" or top_up.state not in {"requested", "action_required"}:
            raise Refused("top_up_not_payable", "This top-up has been paid or has ended. Nothing was charged.")
        await top_ups.request.require_manual_room(tx, top_up, context.manual_per_day)
        setup_id = None
        if save_card is not None:
            setup_id = await cards.setups.open_setup(
                tx, session, rendered=save_card, purpose="payment", limits=limits, failed=await _failed(tx)
            )
        payment = await top_ups.store.add_payment(
            tx, top_up, kind="checkout", presence="on_session", card_id=None, setup_id=setup_id
        )
        return payment, top_up


_SETUPS_FAILED = """
    SELECT count(*) AS n FROM stripe_events WHERE type = 'setup_intent.setup_failed' AND received_at > %s
"""


async def _failed(tx: Tx) -> int:
    """How many cards could not be added in the last hour, of all customers."""
    row = await tx.one(_SETUPS_FAILED, (await tx.now() - cards.velocity.HOUR,))
    return 0 if row is None else int(row["n"])


async def _abandon(context: PaymentContext, session: PortalSession, payment: Payment) -> None:
    """A page that nobody has seen and whose key would only repeat the failure: the next press makes another."""
    async with context.database.transaction() as tx:
        await settle.lock_both(tx, session.customer_id, payment.top_up_id)
        await top_ups.store.save_payment(tx, payment, state="abandoned", error_code="not_created")
        if payment.setup_id is not None:
            await cards.setups.expire(tx, session.customer_id, payment.setup_id)


async def settle_setup(context: PaymentContext, customer_id: CustomerId, setup_id: str) -> None:
    """Read a card being added at Stripe; when it is there, make the card and close the setup.

    Under the engine's role: no other may make a card, and only from an open setup.
    """
    async with context.database.transaction() as tx:
        setup = await cards.setups.get(tx, customer_id, setup_id)
        erased = (await customers.get(tx, customer_id)).erased_at is not None
    if setup is None or (setup.state != "open" and not erased):
        return
    payment_method = await (_of_session(context, setup) if setup.purpose == "setup" else _of_payment(context, setup))
    if payment_method is None:
        return
    if erased:  # they were on Stripe's page meanwhile: what was saved there is let go
        await context.gateway.detach_card(payment_method)
        return
    card = await context.gateway.read_card(payment_method)
    if isinstance(card, Failure):
        return
    async with context.database.transaction() as tx:
        customer = await customers.lock(tx, customer_id)
        if card.customer is None or card.customer != customer.stripe_customer_id:
            return
        replaced = await _make(context, tx, setup, card)
    if replaced is not None:
        await context.gateway.detach_card(replaced)


async def _of_session(context: PaymentContext, setup: cards.setups.Setup) -> str | None:
    if setup.stripe_session_id is None:
        return None
    session = await context.gateway.read_checkout(setup.stripe_session_id)
    if isinstance(session, Failure):
        return None
    if session.status == "expired":
        async with context.database.transaction() as tx:
            await cards.setups.expire(tx, setup.customer_id, setup.setup_id)
    return session.payment_method if session.status == "complete" else None


async def _of_payment(context: PaymentContext, setup: cards.setups.Setup) -> str | None:
    async with context.database.transaction() as tx:
        payment = await top_ups.store.payment_of_setup(tx, setup.customer_id, setup.setup_id)
    if payment is None or payment.closed_at is None:
        return None
    if payment.state != "succeeded" or payment.stripe_intent_id is None:
        async with context.database.transaction() as tx:
            await cards.setups.expire(tx, setup.customer_id, setup.setup_id)
        return None
    intent = await context.gateway.read_intent(payment.stripe_intent_id)
    return None if isinstance(intent, Failure) else intent.payment_method


async def _make(context: PaymentContext, tx: Tx, setup: cards.setups.Setup, snapshot: CardSnapshot) -> str | None:
    """The card of a setup. Returns what it replaced at Stripe, if it was saved before."""
    await ledger.accounts.lock_wallet(tx, setup.customer_id)
    saved = await cards.setups.complete(tx, setup.customer_id, setup.setup_id, snapshot)
    if saved is None:
        return None
    made = saved.card
    forbidden = await cards.decline_budget.forbidden(tx, made.fingerprint, made.expiry)
    if forbidden is not None:
        await cards.store.block(tx, made.customer_id, made.card_id, FORBIDDEN[forbidden])
    else:
        await auto_top_up.pauses.card_data_is_new(tx, made, context.pace)
    await customers.add_alias(tx, "payment_method", made.stripe_payment_method_id, made.customer_id, made.card_id)
    shown = {"card_id": made.card_id, "brand": made.brand, "last4": made.last4}
    await events.emit(tx, Topic.CARD_ADDED, made.customer_id, shown)
    await events.emit(tx, Topic.CONSENT_RECORDED, made.customer_id, {"consent_id": setup.consent_id, **shown})
    await audit.record(tx, actor=setup.setup_id, action="card.added", customer_id=made.customer_id, after=shown)
    return saved.replaced
