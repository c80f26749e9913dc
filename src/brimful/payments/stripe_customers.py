"""Customers at Stripe: made when they are first needed, made again when they are gone there, kept up to date."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from brimful import cards, customers
from brimful.auth import audit
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.gateway.gateway import Failure, FailureKind
from brimful.payments import ownership
from brimful.payments.context import PaymentContext

_log = logging.getLogger(__name__)
_FIELD = "external_accounts"
Answer = TypeVar("Answer")


async def with_customer(
    context: PaymentContext, customer_id: CustomerId, ask: Callable[[str], Awaitable[Answer | Failure]]
) -> Answer | Failure:
    """Ask something of Stripe for a customer, by their id there. Where Stripe no longer has that customer, or the
    account never had, a new one takes its place, and it is asked once more.
    """
    stripe_customer = await _known_or_made(context, customer_id)
    if isinstance(stripe_customer, Failure):
        return stripe_customer
    answer = await ask(stripe_customer)
    if isinstance(answer, Failure) and answer.missing and answer.param == "customer":
        another = await _replaced(context, customer_id, stripe_customer, answer.message)
        answer = another if isinstance(another, Failure) else await ask(another)
    await context.note_key_rejection(answer, opens=True)
    return answer


async def _known_or_made(context: PaymentContext, customer_id: CustomerId) -> str | Failure:
    async with context.database.transaction() as tx:
        customer = await customers.get(tx, customer_id)
    if customer.stripe_customer_id is not None:
        return customer.stripe_customer_id
    made = await _made(context, customer)
    if isinstance(made, Failure):
        return made
    async with context.database.transaction() as tx:
        return await customers.set_stripe_customer(tx, customer_id, made)


async def _replaced(context: PaymentContext, customer_id: CustomerId, gone: str, why: str) -> str | Failure:
    async with context.database.transaction() as tx:
        customer = await customers.get(tx, customer_id)
    made = await _made(context, customer)
    if isinstance(made, Failure):
        return made
    async with context.database.transaction() as tx:
        standing = await customers.replace_stripe_customer(tx, customer_id, gone, made)
        if standing == made:
            _log.warning("customer %s is gone at Stripe (%s): %s takes the place of %s", customer_id, why, made, gone)
            await audit.record(tx, actor="stripe", action="customer.replaced_at_stripe", customer_id=customer_id,
                               before={"stripe_customer_id": gone}, after={"stripe_customer_id": made})  # fmt: skip
    return standing


async def _made(context: PaymentContext, customer: customers.Customer) -> str | Failure:
    """A key of its own for each try: a repeated failure would stick to a fixed one, and a customer object too many at
    Stripe moves no money. An e-mail that Stripe does not take is left out.
    """
    ours = await context.our_key()
    answer: str | Failure = Failure(FailureKind.NO_ANSWER, None, "not asked")
    for email in dict.fromkeys((customer.email, None)):
        answer = await context.gateway.create_customer(
            key=f"{customer.customer_id}:{ids.new('req')}",
            name=customer.name,
            email=email,
            metadata={ownership.NAME: ours, "customer_id": customer.customer_id},
        )
        if not (isinstance(answer, Failure) and answer.param == "email"):
            break
        _log.warning("customer %s: Stripe does not take their e-mail: %s", customer.customer_id, answer.message)
    await context.note_key_rejection(answer)
    return answer


async def require_replaceable(context: PaymentContext, customer_id: CustomerId, stripe_customer: str) -> None:
    """Refuse to take another customer at Stripe for this one unless it exists there, and unless the one before is gone
    or has no card: cards saved with it could not be charged any more.
    """
    found = await context.gateway.read_customer(stripe_customer)
    if isinstance(found, Failure) and not found.missing:
        raise Refused("payments_unavailable", "Stripe does not answer. Nothing was changed. Try again in a minute.")
    if isinstance(found, Failure) or found.deleted:
        raise Refused("invalid_field", f"The account at Stripe has no customer {stripe_customer}.", field=_FIELD)
    async with context.database.transaction() as tx:
        before = (await customers.get(tx, customer_id)).stripe_customer_id
        saved = await cards.store.list_for(tx, customer_id)
    if before in {None, stripe_customer} or not saved:
        return
    assert before is not None
    old = await context.gateway.read_customer(before)
    if not isinstance(old, Failure) and not old.deleted:
        raise Refused("invalid_field", f"{len(saved)} saved cards belong to {before} at Stripe and would be lost: "
                      "let the customer remove them in the portal first.", field=_FIELD)  # fmt: skip


async def update(context: PaymentContext, customer_id: CustomerId) -> None:
    """Bring what Stripe knows of a customer up to date. An e-mail that it does not take is left out there.

    Raises:
        ConnectionError: Stripe did not answer; again later.
    """
    async with context.database.transaction() as tx:
        customer = await customers.get(tx, customer_id)
    if customer.stripe_customer_id is None or customer.erased_at is not None:
        return
    failed = None
    for email in dict.fromkeys((customer.email, None)):
        failed = await context.gateway.update_customer(customer.stripe_customer_id, name=customer.name, email=email)
        if failed is None or failed.param != "email":
            break
    if failed is not None and failed.kind is not FailureKind.REFUSED:
        raise ConnectionError(f"{customer_id} is not up to date at Stripe: {failed.message}")
