"""Checkout: Stripe's page for a new card, to save it, or to pay once with it."""

import datetime as dt
from collections.abc import Callable

from brimful import audit, cards, customers, ids, topups
from brimful.db import Tx
from brimful.errors import Refused
from brimful.events import Topic, emit
from brimful.paying.create import names
from brimful.paying.settle import lock_both
from brimful.paying.till import Till, hear
from brimful.payments import CardReading, Failure, FailureKind
from brimful.sessions import PortalSession
from brimful.topups import Payment, TopUp

__all__ = ["open_checkout", "open_setup_page", "settle_setup"]

_PAGE_LIFE = dt.timedelta(hours=1)
_UNAVAILABLE = "Payments are not available at the moment. Nothing was charged. Try again in a few minutes."


async def open_setup_page(
    till: Till,
    session: PortalSession,
    *,
    rendered: str,
    limits: cards.Limits,
    return_to: str,
    urls: Callable[[str], tuple[str, str]],
) -> str:
    """Open Stripe's page that saves a card without charging it.

    Args:
        till: under the portal's role.
        session: the customer's own; the consent to save the card is recorded with it.
        rendered: that consent, word for word as the page showed it.
        limits: how many cards may be added in an hour.
        return_to: the portal's path to go back to afterwards.
        urls: success and cancel address, made from the setup's id.

    Returns:
        The address of Stripe's page. Refuses when Stripe does not answer.
    """
    stripe_customer = await _stripe_customer(till, session.customer_id)
    async with till.database.transaction() as tx:
        setup_id = await cards.setups.open_setup(
            tx,
            session,
            rendered=rendered,
            purpose="setup",
            limits=limits,
            return_to=return_to,
        )
    success_url, cancel_url = urls(setup_id)
    answer = await till.gateway.create_setup_checkout(
        key=f"{setup_id}:create",
        customer=stripe_customer,
        currency="usd",
        success_url=success_url,
        cancel_url=cancel_url,
        metadata={"setup_id": setup_id, "customer_id": session.customer_id},
    )
    await hear(till, answer, opens=True)
    if isinstance(answer, Failure) or answer.url is None:
        async with till.database.transaction() as tx:
            await cards.setups.expire(tx, session.customer_id, setup_id)
        raise Refused("payments_unavailable", _UNAVAILABLE)
    async with till.database.transaction() as tx:
        await cards.setups.remember_session(tx, session, setup_id, answer.session_id)
        await customers.add_alias(tx, "checkout_session", answer.session_id, session.customer_id, setup_id)
    return answer.url


async def open_checkout(
    till: Till,
    session: PortalSession,
    top_up_id: str,
    *,
    save_card: str | None,
    limits: cards.Limits,
    urls: Callable[[str], tuple[str, str]],
) -> str:
    """Open Stripe's page that charges a new card for this top-up, and saves it if the customer ticked our box:
    then `save_card` holds the box's words.

    Returns the page's address: the same one while it is open. Refuses a top-up that is paid or over.
    """
    stripe_customer = await _stripe_customer(till, session.customer_id)
    payment, top_up = await _open_payment(till, session, top_up_id, save_card=save_card, limits=limits)
    if payment.redirect_url is not None:
        return payment.redirect_url
    success_url, cancel_url = urls(payment.payment_id)
    answer = await till.gateway.create_payment_checkout(
        key=f"{payment.payment_id}:create",
        customer=stripe_customer,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        description=f"Top-up of {top_up.asset}",
        save_card=payment.setup_id is not None,
        success_url=success_url,
        cancel_url=cancel_url,
        expires_at=payment.created_at + _PAGE_LIFE,
        metadata=names(top_up, payment),
    )
    await hear(till, answer, opens=True)
    if isinstance(answer, Failure) or answer.url is None:
        if not isinstance(answer, Failure) or answer.kind in {FailureKind.REFUSED, FailureKind.SERVER_ERROR}:
            await _abandon(till, session, payment)
        raise Refused("payments_unavailable", _UNAVAILABLE)
    async with till.database.transaction() as tx:
        _, fresh = await lock_both(tx, session.customer_id, top_up_id)
        await topups.save_payment(
            tx, payment, state="created", stripe_session_id=answer.session_id, redirect_url=answer.url
        )
        await customers.add_alias(tx, "checkout_session", answer.session_id, session.customer_id, payment.payment_id)
        expires_at = fresh.expires_at or payment.created_at + _PAGE_LIFE
        await topups.move(tx, fresh, "action_required", wake_in_s=30, expires_at=expires_at)
    return answer.url


async def _open_payment(
    till: Till, session: PortalSession, top_up_id: str, *, save_card: str | None, limits: cards.Limits
) -> tuple[Payment, TopUp]:
    async with till.database.transaction() as tx:
        _, top_up = await lock_both(tx, session.customer_id, top_up_id)
        payment = await topups.open_payment(tx, top_up)
        if payment is not None and payment.kind == "checkout":
            return payment, top_up
        if payment is not None or top_up.kind != "manual" or top_up.state not in {"requested", "action_required"}:
            raise Refused("top_up_not_payable", "This top-up has been paid or is over. Nothing was charged.")
        setup_id = None
        if save_card is not None:
            setup_id = await cards.setups.open_setup(tx, session, rendered=save_card, purpose="payment", limits=limits)
        payment = await topups.add_payment(
            tx, top_up, kind="checkout", presence="on_session", card_id=None, setup_id=setup_id
        )
        return payment, top_up


async def _abandon(till: Till, session: PortalSession, payment: Payment) -> None:
    """A page that nobody has seen and whose key would only repeat the failure: the next press makes another."""
    async with till.database.transaction() as tx:
        await lock_both(tx, session.customer_id, payment.top_up_id)
        await topups.save_payment(tx, payment, state="abandoned", error_code="not_created")
        if payment.setup_id is not None:
            await cards.setups.expire(tx, session.customer_id, payment.setup_id)


async def settle_setup(till: Till, customer_id: str, setup_id: str) -> None:
    """Read a card being added at Stripe; when it is there, make the card and close the setup.

    Under the engine's role: no other may make a card, and only from an open setup.
    """
    async with till.database.transaction() as tx:
        setup = await cards.setups.get(tx, customer_id, setup_id)
        erased = (await customers.get(tx, customer_id)).erased_at is not None
    if setup is None or (setup.state != "open" and not erased):
        return
    payment_method = await (_of_session(till, setup) if setup.purpose == "setup" else _of_payment(till, setup))
    if payment_method is None:
        return
    if erased:  # they were on Stripe's page meanwhile: what was saved there is let go
        await till.gateway.detach_card(payment_method)
        return
    card = await till.gateway.read_card(payment_method)
    if isinstance(card, Failure):
        return
    async with till.database.transaction() as tx:
        customer = await customers.lock(tx, customer_id)
        if card.customer is None or card.customer != customer.stripe_customer_id:
            return
        await _make(tx, setup, card)


async def _of_session(till: Till, setup: cards.setups.Setup) -> str | None:
    if setup.stripe_session_id is None:
        return None
    session = await till.gateway.read_checkout(setup.stripe_session_id)
    if isinstance(session, Failure):
        return None
    if session.status == "expired":
        async with till.database.transaction() as tx:
            await cards.setups.expire(tx, setup.customer_id, setup.setup_id)
    return session.payment_method if session.status == "complete" else None


async def _of_payment(till: Till, setup: cards.setups.Setup) -> str | None:
    async with till.database.transaction() as tx:
        payment = await topups.payment_of_setup(tx, setup.customer_id, setup.setup_id)
    if payment is None or payment.closed_at is None:
        return None
    if payment.state != "succeeded" or payment.stripe_intent_id is None:
        async with till.database.transaction() as tx:
            await cards.setups.expire(tx, setup.customer_id, setup.setup_id)
        return None
    intent = await till.gateway.read_intent(payment.stripe_intent_id)
    return None if isinstance(intent, Failure) else intent.payment_method


async def _make(tx: Tx, setup: cards.setups.Setup, reading: CardReading) -> None:
    made = await cards.setups.complete(tx, setup.customer_id, setup.setup_id, reading)
    if made is None:
        return
    await customers.add_alias(tx, "payment_method", made.stripe_payment_method_id, made.customer_id, made.card_id)
    shown = {"card_id": made.card_id, "brand": made.brand, "last4": made.last4}
    await emit(tx, Topic.CARD_ADDED, made.customer_id, shown)
    await emit(tx, Topic.CONSENT_RECORDED, made.customer_id, {"consent_id": setup.consent_id, **shown})
    await audit.record(tx, actor=setup.setup_id, action="card.added", customer_id=made.customer_id, after=shown)


async def _stripe_customer(till: Till, customer_id: str) -> str:
    async with till.database.transaction() as tx:
        customer = await customers.get(tx, customer_id)
    if customer.stripe_customer_id is not None:
        return customer.stripe_customer_id
    # A key of its own for each press: a repeated failure would stick to a fixed one, and a customer object too many
    # at Stripe moves no money.
    answer = await till.gateway.create_customer(
        key=f"{customer_id}:{ids.new('req')}", name=customer.name, email=customer.email, customer_id=customer_id
    )
    await hear(till, answer)
    if isinstance(answer, Failure):
        raise Refused("payments_unavailable", _UNAVAILABLE)
    async with till.database.transaction() as tx:
        return await customers.set_stripe_customer(tx, customer_id, answer)
