"""Assets, their rates, and quotes."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

from starlette.responses import Response

from brimful import assets, auto_top_up
from brimful.api import context, pagination, schemas
from brimful.api.context import Transaction
from brimful.api.pagination import Limit, Offset
from brimful.core import clock, money
from brimful.core.errors import Refused

router = context.router_for("Assets")
_UNITS_MAX = 10**12  # for one of the currency: a dearer one would have no price at 12 decimals


@router.post("/assets", status_code=201)
async def create_asset(tx: Transaction, body: schemas.requests.CreateAsset) -> schemas.balances.CreatedAsset:
    """Create an asset: a currency of Stripe's, or a unit of your own with prices."""
    asset = await assets.create(
        tx, code=body.code, name=body.name, scale=body.precision, label=body.label, symbol=body.symbol
    )
    for starting in body.rates:
        await assets.add_rate(tx, asset, currency=starting.source, rate=_rate(starting))
    if body.hold_bridge is not None:
        await assets.set_bridge(tx, asset, money.parse(body.hold_bridge, scale=asset.scale, field="hold_bridge"))
    return schemas.balances.CreatedAsset(code=asset.code, created_at=clock.rfc3339(asset.created_at))


@router.get("/assets")
async def list_assets(
    tx: Transaction, limit: Limit = 50, offset: Offset = 0, cursor: str | None = None
) -> schemas.balances.AssetPage:
    """List assets by code."""
    pagination.one_way(offset, cursor)
    found = await assets.list_page(tx, limit=limit + 1, offset=offset, after=pagination.read_cursor("a", cursor))
    page, next_cursor = pagination.cut("a", found, limit, lambda asset: asset.code)
    items = [schemas.balances.AssetItem(code=asset.code, name=asset.name) for asset in page]
    return schemas.balances.AssetPage(
        items=items, total_count=await assets.count(tx), limit=limit, offset=offset, next_cursor=next_cursor
    )


@router.get("/assets/{code}")
async def get_asset(tx: Transaction, code: str) -> schemas.balances.Asset:
    """One asset with its rates."""
    asset = await assets.get(tx, code)
    return schemas.balances.Asset.of(asset, await assets.rates_of(tx, asset.code))


@router.patch("/assets/{code}")
async def update_asset(tx: Transaction, code: str, body: schemas.requests.UpdateAsset) -> schemas.balances.Asset:
    """Set how far below zero holds may take an account while a top-up that covers them is in flight."""
    asset = await assets.get(tx, code)
    bridge = money.parse(body.hold_bridge, scale=asset.scale, field="hold_bridge")
    asset = await assets.set_bridge(tx, asset, bridge)
    return schemas.balances.Asset.of(asset, await assets.rates_of(tx, asset.code))


_HELD = {"description": "How many rules wait at this price until their customers agree.", "schema": {"type": "integer"}}


@router.post("/assets/{code}/rates", status_code=204, responses={204: {"headers": {"Brimful-Rules-Held": _HELD}}})
async def add_rate(tx: Transaction, code: str, body: schemas.requests.AddRate) -> Response:
    """Set the price of one unit, from now or from a time on.

    The standing price ends then, and goes on after `valid_to`; a planned price of the same moment is replaced. The
    answer's header `Brimful-Rules-Held` says how many rules wait at this price until their customers agree to it: plan
    ahead, and tell them.
    """
    asset, rate = await assets.get(tx, code), _rate(body)
    await assets.add_rate(
        tx, asset, currency=body.source, rate=rate, valid_from=body.valid_from, valid_to=body.valid_to
    )
    held = await auto_top_up.prices.held(tx, asset, body.source, rate)
    return Response(status_code=204, headers={"Brimful-Rules-Held": str(held)})


@router.delete("/assets/{code}/rates", status_code=204)
async def withdraw_rate(tx: Transaction, code: str, source: str, valid_from: dt.datetime) -> Response:
    """Take back a planned price, before it begins."""
    await assets.withdraw_rate(tx, await assets.get(tx, code), source, valid_from)
    return Response(status_code=204)


@router.post("/assets/{code}/quote")
async def quote_asset(tx: Transaction, code: str, body: schemas.requests.QuoteRequest) -> schemas.balances.Quote:
    """How many units an amount of a currency buys."""
    asset = await assets.get(tx, code)
    shape = money.currency(body.source)
    amount = money.positive(money.parse(body.amount, scale=shape.exponent))
    rate = await assets.rate_at(tx, asset, body.source, body.exchange_at or await tx.now())
    if rate is None:
        raise Refused("rate_missing", f"{asset.code} has no price in {body.source} at that time.")
    units = money.units_bought(money.minor_exact(amount, body.source), body.source, rate=rate, scale=asset.scale)
    return schemas.balances.Quote(
        source=body.source,
        source_amount=money.text(amount),
        destination=asset.code,
        destination_amount=money.text(units),
        rate=money.rate_rounded(rate),
        inverse_rate=schemas.balances.inverse(rate),
    )


def _rate(given: schemas.requests.UnitRate) -> Fraction:
    """The price of one unit, exactly as it was given. Refuses none, both, zero and less, and too many for one."""
    if (given.rate is None) == (given.inverse_rate is None):
        raise Refused("invalid_field", "Give either rate or inverse_rate.", field="rate")
    if given.rate is not None:
        return money.rate_of(money.positive(Decimal(given.rate), field="rate"), Decimal(1))
    units = money.positive(Decimal(given.inverse_rate or "0"), field="inverse_rate")
    if units > _UNITS_MAX:
        raise Refused("amount_out_of_range", f"inverse_rate may be at most {_UNITS_MAX}.", field="inverse_rate")
    return money.rate_of(Decimal(1), units)
