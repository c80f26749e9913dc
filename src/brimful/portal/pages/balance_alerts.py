"""A notice when one balance is low or used up. It charges nothing."""

from decimal import Decimal

from starlette.responses import Response

from brimful import customers, ledger
from brimful.core.errors import Refused
from brimful.notifications import balance_alerts
from brimful.portal import error_messages
from brimful.portal.context import Page
from brimful.portal.presenters import masked


async def alert(page: Page) -> Response:
    """The customer's notice for one balance: shown, and saved."""
    code, customer_id = page.request.path_params["asset"], page.session.customer_id
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, code)
        known = await balance_alerts.get(tx, customer_id, code)
        account = await ledger.accounts.get(tx, customer_id, code)
        address = (await customers.get(tx, customer_id)).email
    errors, typed = {}, "" if known is None else page.words.typed(known.threshold)
    if page.posted:
        typed = page.field("threshold")
        try:
            of = asset if asset.kind == "unit" else asset.code
            await _save(page, code, page.amount("threshold", scale=asset.scale, of=of))
            return page.go(f"/alerts/{code}", done="alert_saved")
        except Refused as refused:
            errors = {"threshold": error_messages.text(page.words, refused)}
    values = {
        "asset": asset,
        "name": page.words.asset(asset),
        "unit": page.words.unit(Decimal(2), asset) if asset.kind == "unit" else asset.code,
        "line": None if known is None else page.words.amount(known.threshold, asset),
        "balance": page.words.amount(Decimal(0) if account is None else account.available, asset),
        "typed": typed,
        "reached": _reached(page, address),
        "errors": errors,
    }
    return page.show("alert.html", values, status=422 if errors else 200)


def _reached(page: Page, address: str | None) -> str:
    """Who hears of it, and by which way."""
    t, merchant = page.words.t, page.deps.settings.merchant
    if page.deps.mailer is None:
        return t("{merchant} is notified when your balance drops below this amount, and again when it reaches zero.",
                 merchant=merchant)  # fmt: skip
    if address is None:
        return t("There is no email address for you: ask {merchant} to add one. Until then only {merchant} is "
                 "notified.", merchant=merchant)  # fmt: skip
    return t("We'll email {address} when your balance drops below this amount, and again when it reaches zero.",
             address=masked(address))  # fmt: skip


async def alert_off(page: Page) -> Response:
    """Turn the alert of this balance off."""
    async with page.deps.database.transaction() as tx:
        await balance_alerts.remove(tx, page.session.customer_id, page.request.path_params["asset"])
    return page.go(f"/alerts/{page.request.path_params['asset']}", done="alert_off")


async def _save(page: Page, code: str, threshold: Decimal) -> None:
    key = page.session.customer_id, code
    async with page.deps.database.transaction() as tx:
        await ledger.accounts.create_missing(tx, [key])
    async with page.deps.database.transaction() as tx:
        await balance_alerts.set_threshold(tx, *key, threshold)
