"""Links into the Billing Portal."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from brimful import assets, customers
from brimful.api import context, idempotency, origins, schemas
from brimful.api.context import Context
from brimful.auth import portal_sessions
from brimful.core import clock
from brimful.db.pool import Tx

router = context.router_for("Billing Portal")


@router.post("/billing-portal/sessions", response_model=schemas.top_ups.PortalLink)
async def create_session(context: Context, request: Request, body: schemas.requests.CreateSession) -> JSONResponse:
    """Make a link into the Billing Portal: ten minutes, one use."""
    origins.validate_urls(context.deps, body.return_url, body.failure_url)

    async def run(tx: Tx, secret: str) -> dict[str, Any]:
        await customers.get(tx, body.customer_id)
        if body.asset is not None:
            await assets.get(tx, body.asset)
        link = await portal_sessions.create_link(
            tx,
            body.customer_id,
            return_url=body.return_url,
            failure_url=body.failure_url,
            flow=body.flow,
            asset=body.asset,
            locale=body.locale,
            token=secret,
        )
        url = f"{context.deps.settings.public_url}/billing/open/{link.token}"
        return schemas.top_ups.PortalLink(redirect_url=url, expires_at=clock.rfc3339(link.expires_at)).model_dump()

    return await idempotency.once(context.deps, request, "POST /v1/billing-portal/sessions", 200, run)
