"""Links into the Billing Portal."""

from starlette.requests import Request

from brimful import assets, customers
from brimful.api import context, idempotency, origins, schemas
from brimful.api.context import Context, Transaction
from brimful.auth import portal_sessions
from brimful.core import clock

router = context.router_for("Billing Portal")


@router.post("/billing-portal/sessions")
async def create_portal_session(
    context: Context, request: Request, tx: Transaction, body: schemas.requests.CreateSession
) -> schemas.top_ups.PortalLink:
    """Make a link into the Billing Portal: ten minutes, one use."""
    origins.validate_urls(context.deps, body.return_url, body.failure_url)
    customer = await customers.get(tx, await customers.named(tx, body.customer_id))
    if body.asset is not None:
        await assets.get(tx, body.asset)
    link = await portal_sessions.create_link(
        tx,
        customer.customer_id,
        return_url=body.return_url,
        failure_url=body.failure_url,
        flow=body.flow,
        asset=body.asset,
        locale=body.locale,
        token=idempotency.secret(request),
    )
    url = f"{context.deps.settings.public_url}/billing/open/{link.token}"
    return schemas.top_ups.PortalLink(redirect_url=url, expires_at=clock.rfc3339(link.expires_at))
