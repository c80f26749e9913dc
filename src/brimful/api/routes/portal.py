"""Links into the Billing Portal."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from brimful import assets, clock, customers, sessions
from brimful.api import given, taken
from brimful.api.door import DoorOf, router_for
from brimful.api.idempotency import once
from brimful.api.origins import judge_urls
from brimful.db import Tx

__all__ = ["router"]

router = router_for("Billing Portal")


@router.post("/billing-portal/sessions", response_model=given.PortalLink)
async def create_session(door: DoorOf, request: Request, body: taken.CreateSession) -> JSONResponse:
    """Make a link into the Billing Portal: ten minutes, one use."""
    judge_urls(door.deps, body.return_url, body.failure_url)

    async def run(tx: Tx, secret: str) -> dict[str, Any]:
        await customers.get(tx, body.customer_id)
        if body.asset is not None:
            await assets.get(tx, body.asset)
        link = await sessions.create_link(
            tx,
            body.customer_id,
            return_url=body.return_url,
            failure_url=body.failure_url,
            flow=body.flow,
            asset=body.asset,
            locale=body.locale,
            token=secret,
        )
        url = f"{door.deps.settings.public_url}/billing/open/{link.token}"
        return given.PortalLink(redirect_url=url, expires_at=clock.rfc3339(link.expires_at)).model_dump()

    return await once(door.deps, request, "POST /v1/billing-portal/sessions", 200, run)
