"""What a customer can hold and buy here, and within which bounds."""

import dataclasses
from decimal import Decimal

from brimful import assets, ledger
from brimful.auto_top_up.presets import Preset
from brimful.core import money
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.portal.context import Page
from brimful.settings.model import PortalSettings

_ANY = Decimal(10) ** 15  # as good as no bound
_AMOUNT_FACTOR_MAX = 2000  # largest amount as a multiple of half a dollar's worth, where the platform set none


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Least and most: amounts in minor units of `currency`, the threshold in the asset (None: no bound)."""

    currency: str
    low_minor: int
    high_minor: int
    threshold: tuple[Decimal, Decimal] | None
    confirm_above_minor: int | None


def bounds_for(settings: PortalSettings, asset: assets.Asset, currency: str) -> Bounds:
    """The platform's bounds for an asset, never wider than what Stripe can charge."""
    shape = money.currency(currency)
    low = shape.usual_minor if shape.minimum_minor is None else shape.minimum_minor
    high = shape.usual_minor * _AMOUNT_FACTOR_MAX
    if asset.code in settings.amounts:
        least, most = settings.amounts[asset.code]
        low = max(low, money.minor_exact(least, currency))
        high = money.minor_exact(most, currency)
    above = settings.confirm_above.get(currency)
    return Bounds(
        currency,
        low,
        min(high, shape.maximum_minor),
        settings.thresholds.get(asset.code),
        None if above is None else money.minor_exact(above, currency),
    )


def narrowed(bounds: Bounds, preset: Preset | None) -> Bounds:
    """The same with what the platform set for this customer in place of its own; never wider than Stripe's."""
    if preset is None or preset.currency != bounds.currency:
        return bounds
    shape = money.currency(bounds.currency)
    low, high = preset.amount_min_minor or bounds.low_minor, preset.amount_max_minor or bounds.high_minor
    threshold = bounds.threshold
    if preset.threshold_min is not None or preset.threshold_max is not None:
        least, most = bounds.threshold or (Decimal(0), _ANY)
        threshold = (preset.threshold_min or least, preset.threshold_max or most)
    return dataclasses.replace(
        bounds,
        low_minor=max(low, shape.minimum_minor or 1),
        high_minor=min(max(low, high), shape.maximum_minor),
        threshold=threshold,
    )


def within(page: Page, bounds: Bounds, amount_minor: int, *, field: str = "amount") -> int:
    """The amount itself; refuses one outside the bounds."""
    if not bounds.low_minor <= amount_minor <= bounds.high_minor:
        raise Refused(
            "amount_out_of_range", "The amount is outside the platform's bounds.", field=field,
            low=page.words.cash(bounds.low_minor, bounds.currency),
            high=page.words.cash(bounds.high_minor, bounds.currency),
        )  # fmt: skip
    return money.chargeable(amount_minor, bounds.currency, field=field)


async def shown_assets(page: Page, tx: Tx) -> list[assets.Asset]:
    """What the customer holds, what the platform sells in units now, and what the link named; never nothing."""
    codes = [account.asset for account in await ledger.accounts.list_for(tx, page.session.customer_id)]
    codes += sorted(await assets.units_for_sale(tx, await tx.now()))
    if page.session.asset is not None:
        codes.append(page.session.asset)
    shown = [await page.deps.catalogue.get(tx, code) for code in dict.fromkeys(codes or ["USD"])]
    return sorted(shown, key=lambda asset: (asset.kind != "currency", asset.code))


async def currency_for(tx: Tx, asset: assets.Asset, kept: str | None = None) -> str:
    """The currency that pays for an asset: its own; or `kept`, or else the first, in which a unit has a price now."""
    if asset.kind == "currency":
        return asset.code
    now = await tx.now()
    priced = [
        rate.currency
        for rate in await assets.rates_of(tx, asset.code)
        if rate.valid_from <= now and (rate.valid_to is None or rate.valid_to > now)
    ]
    if priced:
        return kept if kept in priced else priced[0]
    raise Refused("rate_missing", f"{asset.name} cannot be bought at the moment. Your settings are kept.")
