"""Top-ups that the platform asks for: a link to pay."""

from typing import Literal

from starlette.requests import Request

from brimful import assets, customers, grants, ledger, payments, top_ups
from brimful.api import context, idempotency, origins, pagination, schemas
from brimful.api.context import Context, Transaction
from brimful.api.pagination import Limit
from brimful.auth import portal_sessions
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.wiring import Deps

router = context.router_for("Top-ups")
refund_router = context.router_for("Top-ups")


@router.post("/top-ups", status_code=201)
async def create_top_up(
    context: Context, request: Request, tx: Transaction, body: schemas.requests.CreateTopUp
) -> schemas.top_ups.PaymentLink:
    """Make a link by which the customer can pay once, within 24 hours."""
    origins.validate_urls(context.deps, body.return_url, body.failure_url)
    if body.credit_expires_at is not None and body.credit_expires_at <= await tx.now() + top_ups.request.MANUAL_LIFE:
        detail = "credit_expires_at must lie more than 24 hours ahead: the link may be paid until then."
        raise Refused("invalid_field", detail, field="credit_expires_at")
    destination = body.destination or schemas.requests.Destination(asset=body.currency)
    if destination.account_name not in {None, "default"} or destination.exchange_rate is not None:
        raise Refused("invalid_field", "Only the default account at the current rate.", field="destination")
    return await _make_top_up(context.deps, tx, body, destination.asset, idempotency.secret(request))


@router.get("/top-ups")
async def list_top_ups(
    tx: Transaction,
    customer_id: str | None = None,
    asset: str | None = None,
    kind: Literal["automatic", "manual"] | None = None,
    state: top_ups.model.State | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> schemas.top_ups.TopUps:
    """Top-ups, newest first: a customer's, or everybody's."""
    owner = None
    if customer_id is not None:
        owner = (await customers.get(tx, await customers.named(tx, customer_id))).customer_id
    before = pagination.read_cursor("t", cursor)
    found = await top_ups.store.list_page(
        tx, owner, limit=limit + 1, asset=asset, kind=kind, state=state, before=before
    )
    next_cursor = pagination.cursor_after("t", found[limit - 1].top_up_id) if len(found) > limit else None
    return schemas.top_ups.TopUps(
        items=[schemas.top_ups.TopUp.of(top_up) for top_up in found[:limit]], next_cursor=next_cursor
    )


@router.get("/top-ups/{top_up_id}")
async def get_top_up(tx: Transaction, top_up_id: str) -> schemas.top_ups.TopUp:
    """One top-up."""
    customer_id = await _owner(tx, top_up_id)
    return schemas.top_ups.TopUp.of(await top_ups.store.get(tx, customer_id, top_up_id))


@refund_router.post("/top-ups/{top_up_id}/refunds", status_code=201)
async def create_refund(
    context: Context, request: Request, tx: Transaction, top_up_id: str, body: schemas.requests.CreateRefund
) -> schemas.top_ups.Refund:
    """Give money of a paid top-up back through Stripe. Its units leave the wallet, and its rules pause."""
    principal = await context.auth.principal(request)
    if request.headers.get("idempotency-key") is None:
        raise Refused("invalid_field", "Send an Idempotency-Key: a refund sends money away.")
    customer_id = await _owner(tx, top_up_id)
    top_up = await top_ups.store.get(tx, customer_id, top_up_id)
    amount_minor = None
    if body.amount is not None:
        exponent = money.currency(top_up.currency).exponent
        amount = money.positive(money.parse(body.amount, scale=exponent))
        amount_minor = money.minor_exact(amount, top_up.currency)
    refund = await payments.reversals.request_refund(
        tx, customer_id, top_up_id, amount_minor=amount_minor, actor=principal.key_id
    )
    return schemas.top_ups.Refund.of(refund)


async def _owner(tx: Tx, top_up_id: str) -> CustomerId:
    found = await customers.find_alias(tx, "top_up", top_up_id)
    customer_id = found[0] if found is not None else await top_ups.store.owner_of(tx, top_up_id)
    if customer_id is None:
        raise Refused("top_up_not_found", "There is no such top-up.")
    return customer_id


async def _make_top_up(
    deps: Deps, tx: Tx, body: schemas.requests.CreateTopUp, asset_code: str, secret: str
) -> schemas.top_ups.PaymentLink:
    customer_id = (await customers.get(tx, await customers.named(tx, body.customer_id))).customer_id
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
    await ledger.accounts.create_missing(tx, [(customer_id, asset.code)])
    top_up = await top_ups.request.request_manual(
        tx,
        customer_id=customer_id,
        asset=asset.code,
        currency=body.currency,
        amount_minor=amount_minor,
        units=units,
        rate=rate,
        return_url=body.return_url,
        failure_url=body.failure_url,
        description=body.description,
        metadata=body.metadata,
        credit_expires_at=body.credit_expires_at,
        bonus=await grants.offers.bonus_for(tx, asset.code, asset.scale, body.currency, amount_minor, units),
    )
    link = await portal_sessions.create_link(
        tx,
        customer_id,
        top_up_id=top_up.top_up_id,
        return_url=body.return_url,
        failure_url=body.failure_url,
        token=secret,
    )
    return schemas.top_ups.PaymentLink(
        id=top_up.top_up_id,
        status=top_ups.model.credyt_status(top_up),
        redirect_url=f"{deps.settings.public_url}/billing/open/{link.token}",
        created_at=clock.rfc3339(top_up.requested_at),
        expires_at=clock.rfc3339(link.expires_at),
    )
