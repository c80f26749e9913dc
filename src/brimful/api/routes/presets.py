"""Presets: what the platform proposes in a customer's form, and within which bounds they choose."""

from decimal import Decimal

from starlette.responses import Response

from brimful import assets, auto_top_up
from brimful.api import context, schemas
from brimful.api.context import KnownCustomer, Transaction
from brimful.auto_top_up.presets import Preset
from brimful.core import money
from brimful.core.errors import Refused
from brimful.core.ids import NOBODY, CustomerId
from brimful.core.text import clean
from brimful.db.pool import Tx

router = context.router_for("Auto top-up")
_NONE = "There is no such preset."


@router.get("/customers/{customer_id}/presets")
async def list_presets(tx: Transaction, customer: KnownCustomer) -> schemas.presets.Presets:
    """A customer's own presets by asset."""
    found = await auto_top_up.presets.list_for(tx, customer_id=customer.customer_id)
    return schemas.presets.Presets(items=[schemas.presets.Preset.of(one) for one in found])


@router.put("/customers/{customer_id}/presets/{asset}")
async def set_preset(
    tx: Transaction, customer: KnownCustomer, asset: str, body: schemas.requests.SetPreset
) -> schemas.presets.Preset:
    """Fill in a customer's form of auto top-up, and bound what they choose. It is never turned on by this, and a rule
    that stands does not change.
    """
    return await _put(tx, body, asset, customer_id=customer.customer_id)


@router.delete("/customers/{customer_id}/presets/{asset}", status_code=204)
async def remove_preset(tx: Transaction, customer: KnownCustomer, asset: str) -> Response:
    """Propose nothing of its own to a customer."""
    if not await auto_top_up.presets.remove(tx, customer_id=customer.customer_id, asset=asset):
        raise Refused("not_found", _NONE)
    return Response(status_code=204)


@router.get("/segments/{segment}/presets")
async def list_segment_presets(tx: Transaction, segment: str) -> schemas.presets.Presets:
    """A segment's presets by asset."""
    found = await auto_top_up.presets.list_for(tx, segment=clean(segment, "segment"))
    return schemas.presets.Presets(items=[schemas.presets.Preset.of(one) for one in found])


@router.put("/segments/{segment}/presets/{asset}")
async def set_segment_preset(
    tx: Transaction, segment: str, asset: str, body: schemas.requests.SetPreset
) -> schemas.presets.Preset:
    """The same for all customers whose metadata has this `segment` and who have no preset of their own."""
    return await _put(tx, body, asset, segment=clean(segment, "segment"))


@router.delete("/segments/{segment}/presets/{asset}", status_code=204)
async def remove_segment_preset(tx: Transaction, segment: str, asset: str) -> Response:
    """Propose nothing to a segment."""
    if not await auto_top_up.presets.remove(tx, segment=clean(segment, "segment"), asset=asset):
        raise Refused("not_found", _NONE)
    return Response(status_code=204)


async def _put(
    tx: Tx, body: schemas.requests.SetPreset, code: str, *, customer_id: CustomerId = NOBODY, segment: str = ""
) -> schemas.presets.Preset:
    asset = await assets.get(tx, code)
    currency = asset.code if asset.kind == "currency" else body.currency
    if currency is None:
        raise Refused("invalid_field", "Give the currency that pays for these units.", field="currency")

    def number(name: str, scale: int) -> Decimal | None:
        given = getattr(body, name)
        return None if given is None else money.positive(money.parse(given, scale=scale, field=name), field=name)

    minor = {
        name: None if (amount := number(name, money.currency(currency).exponent)) is None
        else money.minor_exact(amount, currency, field=name)
        for name in ("amount", "monthly_limit", "charge_at_most", "day_limit", "amount_min", "amount_max")
    }  # fmt: skip
    units = {name: number(name, asset.scale) for name in ("threshold", "threshold_min", "threshold_max")}
    kept = await auto_top_up.presets.put(
        tx,
        Preset(
            customer_id, segment, asset.code, currency, units["threshold"], minor["amount"], minor["monthly_limit"],
            minor["charge_at_most"], minor["day_limit"], units["threshold_min"], units["threshold_max"],
            minor["amount_min"], minor["amount_max"], await tx.now(),
        ),
    )  # fmt: skip
    return schemas.presets.Preset.of(kept)
