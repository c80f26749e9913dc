"""Customers."""

from starlette.responses import RedirectResponse, Response

from brimful import customers, events, letters
from brimful.api import given, taken
from brimful.api.door import DoorOf, router_for
from brimful.api.paging import Limit, Offset
from brimful.errors import Refused

__all__ = ["router"]

router = router_for("Customers")


@router.post("/customers", status_code=201)
async def create_customer(door: DoorOf, body: taken.CreateCustomer) -> given.Customer:
    """Create a customer."""
    async with door.deps.database.transaction() as tx:
        made = await customers.create(
            tx,
            name=body.name,
            external_id=body.external_id,
            email=body.email,
            time_zone=body.time_zone,
            metadata=body.metadata,
            external_accounts=[account.model_dump() for account in body.external_accounts],
        )
    return given.Customer.of(made)


@router.get(
    "/customers",
    response_model=given.CustomerPage,
    responses={303: {"description": "The customer with that `external_id` is at `Location`."}},
)
async def list_customers(
    door: DoorOf, limit: Limit = 50, offset: Offset = 0, external_id: str | None = None
) -> given.CustomerPage | Response:
    """List customers, newest first; with `external_id`, go to that one (303), or 404."""
    async with door.deps.database.transaction() as tx:
        if external_id is not None:
            found = await customers.resolve_external(tx, [external_id])
            if external_id not in found:
                raise Refused("customer_not_found", "There is no customer with this external_id.")
            return RedirectResponse(f"/v1/customers/{found[external_id]}", 303)
        page, total = await customers.list_page(tx, limit=limit, offset=offset)
    items = [given.Customer.of(customer) for customer in page]
    return given.CustomerPage(items=items, total_count=total, limit=limit, offset=offset)


@router.get("/customers/{customer_id}")
async def get_customer(door: DoorOf, customer_id: str) -> given.Customer:
    """One customer."""
    async with door.deps.database.transaction() as tx:
        return given.Customer.of(await customers.get(tx, customer_id))


@router.patch("/customers/{customer_id}", status_code=204)
async def update_customer(door: DoorOf, customer_id: str, body: taken.UpdateCustomer) -> Response:
    """Change name, e-mail, external id or time zone."""
    async with door.deps.database.transaction() as tx:
        before, after = await customers.update(tx, customer_id, body.model_dump(exclude_unset=True))
        if before.email is not None and after.email != before.email:
            event_id = await events.emit(tx, events.Topic.CUSTOMER_EMAIL_CHANGED, customer_id, {})
            await letters.address_to(tx, customer_id, event_id, before.email)
    return Response(status_code=204)
