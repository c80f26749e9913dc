"""Top-ups that the platform asks for: a link to pay."""

from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse

from brimful import assets, clock, customers, money, paying, sessions, topups, wallets
from brimful.api import given, taken
from brimful.api.door import DoorOf, router_for
from brimful.api.idempotency import once
from brimful.api.origins import judge_urls
from brimful.api.paging import Limit, cursor_after, read_cursor
from brimful.db import Tx
from brimful.deps import Deps
from brimful.errors import Refused

__all__ = ["refund_router", "router"]

router = router_for("Top-ups")
refund_router = router_for("Top-ups")


@router.post("/top-ups", status_code=201, response_model=given.PaymentLink)
async def create_top_up(door: DoorOf, request: Request, body: taken.CreateTopUp) -> JSONResponse:
    """Make a link by which the customer can pay once, within 24 hours."""
    judge_urls(door.deps, body.return_url, body.failure_url)
    if body.credit_expires_at is not None:
        raise Refused("invalid_field", "Credits do not expire.", field="credit_expires_at")
    destination = body.destination or taken.Destination(asset=body.currency)
    if destination.account_name not in {None, "default"} or destination.exchange_rate is not None:
        raise Refused("invalid_field", "Only the default account at the current rate.", field="destination")

    async def run(tx: Tx, secret: str) -> dict[str, Any]:
        return await _make_top_up(door.deps, tx, body, destination.asset, secret)

    return await once(door.deps, request, "POST /v1/top-ups", 201, run)


@router.get("/top-ups")
async def list_top_ups(
    door: DoorOf,
    customer_id: str,
    asset: str | None = None,
    kind: Literal["automatic", "manual"] | None = None,
    state: topups.State | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> given.TopUps:
    """A customer's top-ups, newest first."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        before = read_cursor("t", cursor)
        found = await topups.list_page(
            tx, customer_id, limit=limit + 1, asset=asset, kind=kind, state=state, before=before
        )
    next_cursor = cursor_after("t", found[limit - 1].top_up_id) if len(found) > limit else None
    return given.TopUps(items=[given.TopUp.of(top_up) for top_up in found[:limit]], next_cursor=next_cursor)


@router.get("/top-ups/{top_up_id}")
async def get_top_up(door: DoorOf, top_up_id: str) -> given.TopUp:
    """One top-up."""
    async with door.deps.database.transaction() as tx:
        customer_id = await _owner(tx, top_up_id)
        return given.TopUp.of(await topups.get(tx, customer_id, top_up_id))


@refund_router.post("/top-ups/{top_up_id}/refunds", status_code=201, response_model=given.Refund)
async def create_refund(door: DoorOf, request: Request, top_up_id: str, body: taken.CreateRefund) -> JSONResponse:
    """Give money of a paid top-up back through Stripe. Its units leave the wallet, and its rules pause."""
    principal = await door.auth.principal(request)
    if request.headers.get("idempotency-key") is None:
        raise Refused("invalid_field", "Send an Idempotency-Key: a refund sends money away.")

    async def run(tx: Tx, _secret: str) -> dict[str, Any]:
        customer_id = await _owner(tx, top_up_id)
        top_up = await topups.get(tx, customer_id, top_up_id)
        amount_minor = None
        if body.amount is not None:
            exponent = money.currency(top_up.currency).exponent
            amount = money.positive(money.parse(body.amount, scale=exponent))
            amount_minor = money.minor_exact(amount, top_up.currency)
        refund = await paying.request_refund(
            tx, customer_id, top_up_id, amount_minor=amount_minor, actor=principal.key_id
        )
        return given.Refund.of(refund).model_dump()

    return await once(door.deps, request, f"POST /v1/top-ups/{top_up_id}/refunds", 201, run)


async def _owner(tx: Tx, top_up_id: str) -> str:
    found = await customers.find_alias(tx, "top_up", top_up_id)
    customer_id = found[0] if found is not None else await topups.owner_of(tx, top_up_id)
    if customer_id is None:
        raise Refused("top_up_not_found", "There is no such top-up.")
    return customer_id


async def _make_top_up(deps: Deps, tx: Tx, body: taken.CreateTopUp, asset_code: str, secret: str) -> dict[str, Any]:
    await customers.get(tx, body.customer_id)
    asset = await assets.get(tx, asset_code)
    shape = money.currency(body.currency)
    amount = money.positive(money.parse(body.amount, scale=shape.exponent))
    amount_minor = money.chargeable(money.minor_exact(amount, body.currency), body.currency)
    rate = await assets.rate_at(tx, asset, body.currency, await tx.now())
    if rate is None:
        raise Refused("rate_missing", f"{asset.code} has no price in {body.currency}: add one first.", field="currency")
    units = money.units_bought(amount_minor, body.currency, rate=rate, scale=asset.scale)
    if not units:
        raise Refused("amount_below_one_unit", f"This buys less than one unit of {asset.code}.", field="amount")
    await wallets.create_missing(tx, [(body.customer_id, asset.code)])
    top_up = await topups.request_manual(
        tx,
        customer_id=body.customer_id,
        asset=asset.code,
        currency=body.currency,
        amount_minor=amount_minor,
        units=units,
        rate=rate,
        return_url=body.return_url,
        failure_url=body.failure_url,
        description=body.description,
        metadata=body.metadata,
    )
    link = await sessions.create_link(
        tx,
        body.customer_id,
        top_up_id=top_up.top_up_id,
        return_url=body.return_url,
        failure_url=body.failure_url,
        token=secret,
    )
    return given.PaymentLink(
        id=top_up.top_up_id,
        status=topups.credyt_status(top_up),
        redirect_url=f"{deps.settings.public_url}/billing/open/{link.token}",
        created_at=clock.rfc3339(top_up.requested_at),
        expires_at=clock.rfc3339(link.expires_at),
    ).model_dump()
