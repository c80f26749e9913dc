"""Top up, a payment link, a confirmation, and what became of each."""

import re

from starlette.responses import RedirectResponse, Response

from brimful import assets, cards, customers, ids, money, paying, topups, wallets
from brimful.errors import Refused
from brimful.portal import show
from brimful.portal.door import Page
from brimful.portal.offer import currency_for

__all__ = ["confirm", "pay_link", "result", "top_up"]

_TOP_UP_ID = re.compile(r"top_[0-9a-f]{32}", re.ASCII)
_CHIPS = (1000, 2500, 5000, 10000)


async def top_up(page: Page) -> Response:
    """Pay now: with a saved card, or with a new one on Stripe's page."""
    code = page.field("asset") or page.request.query_params.get("asset") or page.session.asset or "USD"
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, code)
        currency = await currency_for(tx, asset)
        known = await cards.list_for(tx, page.session.customer_id)
    error: Refused | None = None
    if page.posted:
        try:
            return await _pay(page, asset, currency)
        except Refused as refused:
            if refused.code == "forbidden":
                raise
            error = refused
    return page.show(
        "top_up.html",
        {
            "asset": asset,
            "currency": currency,
            "cards": [card for card in known if card.state == "active"],
            "attempt": page.field("attempt") or ids.new("top"),
            "amount": page.field("amount"),
            "chips": [(money.text(money.major(chip, currency)), show.cash(chip, currency)) for chip in _CHIPS],
            "minimum": show.cash(money.currency(currency).minimum_minor, currency),
            "save_text": cards.consents.save_card_text(page.deps.settings.merchant),
            "available": page.deps.till is not None,
            "error": error,
        },
        status=200 if error is None else error.status,
    )


async def _pay(page: Page, asset: assets.Asset, currency: str) -> Response:
    till = page.till()
    attempt = page.field("attempt")
    if not _TOP_UP_ID.fullmatch(attempt):
        raise Refused("invalid_field", "This page is out of date. Reload it and try again.")
    chosen = page.field("other") or page.field("amount")
    amount = money.positive(money.parse(chosen, scale=money.currency(currency).exponent))
    amount_minor = money.chargeable(money.minor_exact(amount, currency), currency)
    async with page.deps.database.transaction() as tx:
        rate = await assets.rate_at(tx, asset, currency, await tx.now())
        if rate is None:
            raise Refused("rate_missing", f"{asset.name} cannot be bought at the moment.")
        units = money.units_bought(amount_minor, currency, rate=rate, scale=asset.scale)
        if not units:
            raise Refused("amount_below_one_unit", f"This amount buys less than one unit of {asset.name}.")
        await wallets.create_missing(tx, [(page.session.customer_id, asset.code)])
        wish = await topups.request_manual(
            tx, customer_id=page.session.customer_id, asset=asset.code, currency=currency, amount_minor=amount_minor,
            units=units, rate=rate, top_up_id=attempt,
        )  # fmt: skip
    if not wish.live or (wish.asset, wish.amount_minor) != (asset.code, amount_minor):
        return page.go(f"/top-ups/{attempt}")
    if page.field("card") not in {"", "new"}:
        return await _pay_saved(page, till, attempt, page.field("card"))
    return await _pay_new(page, till, attempt)


async def _pay_saved(page: Page, till: paying.Till, top_up_id: str, card_id: str) -> Response:
    back = page.door.url(f"/top-ups/{top_up_id}")
    done = await paying.pay_present(till, page.session, top_up_id, card_id, lambda _payment_id: back)
    if done.state == "action_required":
        async with page.deps.database.transaction() as tx:
            payment = await topups.open_payment(tx, done)
        if payment is not None and payment.redirect_url is not None:
            return RedirectResponse(payment.redirect_url, 303)
    return page.go(f"/top-ups/{top_up_id}")


async def _pay_new(page: Page, till: paying.Till, top_up_id: str) -> Response:
    back = page.door.url(f"/top-ups/{top_up_id}")
    url = await paying.open_checkout(
        till,
        page.session,
        top_up_id,
        save_card=page.field("save_card") == "yes",
        per_hour=page.deps.settings.cards_per_hour,
        urls=lambda _payment_id: (back, back),
    )
    return RedirectResponse(url, 303)


async def result(page: Page) -> Response:
    """What became of a top-up; while it is open, Stripe is read once more."""
    top_up_id = page.request.path_params["top_up_id"]
    if page.session.kind == "payment" and top_up_id != page.session.top_up_id:
        raise Refused("top_up_not_found", "There is no such top-up.")
    async with page.deps.database.transaction() as tx:
        found = await topups.get(tx, page.session.customer_id, top_up_id)
    if found.live and page.deps.till is not None:
        await paying.pay(page.deps.till, page.session.customer_id, top_up_id)
    async with page.deps.database.transaction() as tx:
        found = await topups.get(tx, page.session.customer_id, top_up_id)
        payment = await topups.open_payment(tx, found)
        asset = await page.deps.catalogue.get(tx, found.asset)
    waits = found.live and found.state not in {"action_required", "requested", "retry_wait"}
    back = page.session.return_url if found.state == "succeeded" else page.session.failure_url
    return page.show(
        "result.html",
        {
            "top_up": found,
            "sentence": show.top_up_sentence(found, asset),
            "waits": waits,
            "page_url": None if payment is None or not found.live else payment.redirect_url,
            "amount": show.cash(found.amount_minor, found.currency),
            "back": back,
        },
    )


async def pay_link(page: Page) -> Response:
    """A payment link: this one top-up, by a new card, or by its own card when the bank asked for its customer."""
    top_up_id = page.session.top_up_id
    if top_up_id is None:
        return page.go("/")
    async with page.deps.database.transaction() as tx:
        found = await topups.get(tx, page.session.customer_id, top_up_id)
    if found.kind == "automatic":
        return await _confirm(page, top_up_id)
    if not found.live or found.state not in {"requested", "action_required"}:
        return page.go(f"/top-ups/{top_up_id}")
    if page.posted:
        return await _pay_new(page, page.till(), top_up_id)
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, found.asset)
    return page.show(
        "pay_link.html",
        {
            "amount": show.cash(found.amount_minor, found.currency),
            "units": show.asset_amount(found.units, asset),
            "asset": asset,
            "description": found.description,
            "save_text": cards.consents.save_card_text(page.deps.settings.merchant),
        },
    )


async def confirm(page: Page) -> Response:
    """A payment that the bank wants its customer to confirm."""
    return await _confirm(page, page.request.path_params["top_up_id"])


async def _confirm(page: Page, top_up_id: str) -> Response:
    async with page.deps.database.transaction() as tx:
        found = await topups.get(tx, page.session.customer_id, top_up_id)
    if found.state != "action_required" or found.card_id is None:
        return page.go(f"/top-ups/{top_up_id}")
    if page.posted:
        return await _pay_saved(page, page.till(), top_up_id, found.card_id)
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, found.asset)
        card = await cards.get(tx, page.session.customer_id, found.card_id)
        customer = await customers.get(tx, page.session.customer_id)
    assert found.expires_at is not None
    return page.show(
        "confirm.html",
        {
            "amount": show.cash(found.amount_minor, found.currency),
            "asset": asset,
            "units": show.asset_amount(found.units, asset),
            "card": card.label,
            "until": show.day_time(found.expires_at, customer.time_zone),
        },
    )
