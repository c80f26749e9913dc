"""Customers."""

from starlette.responses import RedirectResponse, Response

from brimful import customers, email, jobs, ledger, payments
from brimful.api import context, pagination, schemas
from brimful.api.context import Context, Transaction
from brimful.api.pagination import Limit, Offset
from brimful.core.ids import CustomerId
from brimful.notifications import events

router = context.router_for("Customers")


@router.post("/customers", status_code=201)
async def create_customer(tx: Transaction, body: schemas.requests.CreateCustomer) -> schemas.balances.Customer:
    """Create a customer."""
    made = await customers.create(
        tx,
        name=body.name,
        external_id=body.external_id,
        email=body.email,
        time_zone=body.time_zone,
        metadata=body.metadata,
        external_accounts=[account.model_dump() for account in body.external_accounts],
    )
    return schemas.balances.Customer.of(made)


@router.get(
    "/customers",
    response_model=schemas.balances.CustomerPage,
    responses={303: {"description": "The customer with that `external_id` is at `Location`."}},
)
async def list_customers(
    tx: Transaction,
    limit: Limit = 50,
    offset: Offset = 0,
    cursor: str | None = None,
    external_id: str | None = None,
) -> schemas.balances.CustomerPage | Response:
    """List customers, newest first; with `external_id`, go to that one (303), or 404."""
    if external_id is not None:
        known = await customers.named(tx, customers.EXTERNAL + external_id)
        return RedirectResponse(f"/v1/customers/{known}", 303)
    pagination.one_way(offset, cursor)
    before = pagination.read_cursor("c", cursor)
    after = None if before is None else CustomerId(before)
    found = await customers.list_page(tx, limit=limit + 1, offset=offset, before=after)
    page, next_cursor = pagination.cut("c", found, limit, lambda one: one.customer_id)
    items = [schemas.balances.Customer.of(customer) for customer in page]
    return schemas.balances.CustomerPage(
        items=items, total_count=await customers.count(tx), limit=limit, offset=offset, next_cursor=next_cursor
    )


@router.get("/customers/{customer_id}")
async def get_customer(tx: Transaction, customer_id: CustomerId) -> schemas.balances.Customer:
    """One customer."""
    return schemas.balances.Customer.of(await customers.get(tx, customer_id))


@router.patch("/customers/{customer_id}", status_code=204)
async def update_customer(context: Context, customer_id: CustomerId, body: schemas.requests.UpdateCustomer) -> Response:
    """Change name, e-mail, external id, time zone or external accounts.

    Name and e-mail are changed at Stripe as well. Another customer at Stripe is taken only if the account has it, and
    if no saved card would be lost.
    """
    changes = body.model_dump(exclude_unset=True)
    stripe_id = customers.stripe_account(changes.get("external_accounts", ()))
    if stripe_id is not None and context.deps.payments is not None:
        customers.require_stripe_id(stripe_id)
        await payments.stripe_customers.require_replaceable(context.deps.payments, customer_id, stripe_id)
    async with context.deps.database.transaction() as tx:
        before, after = await customers.update(tx, customer_id, changes)
        if (before.name, before.email) != (after.name, after.email) and after.stripe_customer_id is not None:
            await jobs.defer(tx, jobs.Name.CUSTOMER, [{"customer_id": customer_id}])
        if before.time_zone != after.time_zone:
            await ledger.accounts.zone_changed(tx, customer_id)
        if before.email is not None and after.email != before.email:
            event_id = await events.emit(tx, events.Topic.CUSTOMER_EMAIL_CHANGED, customer_id, {})
            await email.send.remember_recipient(tx, customer_id, event_id, before.email)
    return Response(status_code=204)
