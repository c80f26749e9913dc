"""What a customer can hold and buy here."""

from brimful import assets, wallets
from brimful.db import Tx
from brimful.errors import Refused
from brimful.portal.door import Page

__all__ = ["currency_for", "shown_assets"]


async def shown_assets(page: Page, tx: Tx) -> list[assets.Asset]:
    """What the customer holds, what the platform sells in units, and what the link named; never nothing."""
    codes = [account.asset for account in await wallets.list_for(tx, page.session.customer_id)]
    everything, _ = await assets.list_page(tx, limit=100, offset=0)
    codes += [asset.code for asset in everything if asset.kind == "unit"]
    if page.session.asset is not None:
        codes.append(page.session.asset)
    return [await page.deps.catalogue.get(tx, code) for code in dict.fromkeys(codes or ["USD"])]


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
