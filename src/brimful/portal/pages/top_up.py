"""Top up now: choose an amount and a card, see what it comes to, pay.

The button carries the amount. Without scripts the page cannot change it while the customer chooses, so the
form brings the amount its button showed: where it differs from the one chosen, the page is shown again with
the new one, and nothing is paid.
"""

import dataclasses
import re
from decimal import Decimal
from typing import Any

from starlette.responses import RedirectResponse, Response

from brimful import assets, cards, i18n, ids, money, paying, topups, wallets
from brimful.errors import Refused
from brimful.portal import refusals
from brimful.portal.door import Page
from brimful.portal.offer import Bounds, bounds_for, currency_for, shown_assets, within

__all__ = ["pay_new", "pay_saved", "top_up", "top_up_summary"]

_TOP_UP_ID = re.compile(r"top_[0-9a-f]{32}", re.ASCII)
_CHIPS = (2, 5, 10, 20)  # times Stripe's smallest amount, times ten: $10, $25, $50, $100


@dataclasses.dataclass(frozen=True)
class Offer:
    """What this page sells: an asset, paid in a currency at a rate, to cards on file or a new one."""

    asset: assets.Asset
    currency: str
    rate: Decimal
    bounds: Bounds
    cards: list[cards.Card]
    balance: Decimal
    others: list[assets.Asset]


@dataclasses.dataclass(frozen=True)
class Sum:
    """What a payment comes to."""

    amount_minor: int
    units: Decimal


async def top_up(page: Page) -> Response:
    """The form; posted, a payment or the form again with what is missing."""
    if page.deps.till is None:
        return page.show("unavailable.html", {})
    offer = await _offer(page)
    if not page.posted:
        return _form(page, offer, None, None)
    try:
        total = _total(page, offer)
        if page.field("shown") != str(total.amount_minor) or not _sure(page, offer, total):
            return _form(page, offer, total, None, again=True)
        return await _pay(page, offer, total)
    except Refused as refused:
        if refused.code == "forbidden":
            raise
        return _form(page, offer, None, refused)


async def top_up_summary(page: Page) -> Response:
    """The summary and the button for what is chosen now: scripts swap it in."""
    offer = await _offer(page)
    try:
        total, error = _total(page, offer), None
    except Refused as refused:
        total, error = None, refused
    return page.show("summary.html", _summary(page, offer, total, error))


async def _offer(page: Page) -> Offer:
    code = page.field("asset") or page.query("asset") or page.session.asset
    async with page.deps.database.transaction() as tx:
        others = await shown_assets(page, tx)
        asset = await page.deps.catalogue.get(tx, code or others[0].code)
        currency = await currency_for(tx, asset)
        rate = await assets.rate_at(tx, asset, currency, await tx.now())
        known = await cards.list_for(tx, page.session.customer_id)
        account = await wallets.get(tx, page.session.customer_id, asset.code)
    if rate is None:
        raise Refused("rate_missing", f"{asset.name} cannot be bought at the moment.")
    return Offer(
        asset,
        currency,
        rate,
        bounds_for(page.deps.settings.portal, asset, currency),
        [card for card in known if card.state == "active"],
        Decimal(0) if account is None else account.available,
        others,
    )


def _chips(offer: Offer) -> list[int]:
    """Amounts to choose from, within the bounds; never none."""
    smallest = money.currency(offer.currency).minimum_minor * 10
    bounds = offer.bounds
    chips = [smallest * factor for factor in _CHIPS if bounds.low_minor <= smallest * factor <= bounds.high_minor]
    return chips or [bounds.low_minor]


def _total(page: Page, offer: Offer) -> Sum:
    """The amount that is chosen; on the first visit, the one that is preselected."""
    chips = _chips(offer)
    if not page.posted:
        amount_minor = chips[min(1, len(chips) - 1)]
    else:
        typed = page.field("other")
        name = "other" if typed else "amount"
        exponent = money.currency(offer.currency).exponent
        if typed:
            chosen = page.amount(name, scale=exponent)
        else:
            chosen = money.positive(money.parse(page.field(name), scale=exponent))
        amount_minor = within(page, offer.bounds, money.minor_exact(chosen, offer.currency, field=name))
    units = assets.units_for(amount_minor, offer.currency, offer.rate, offer.asset)
    if not units:
        raise Refused("amount_below_one_unit", "This amount buys less than one unit.", field="amount")
    return Sum(amount_minor, units)


def _large(offer: Offer, total: Sum) -> bool:
    above = offer.bounds.confirm_above_minor
    return above is not None and total.amount_minor > above


def _sure(page: Page, offer: Offer, total: Sum) -> bool:
    return not _large(offer, total) or page.field("sure") == "yes"


def _summary(page: Page, offer: Offer, total: Sum | None, error: Refused | None) -> dict[str, Any]:
    words = page.words
    values: dict[str, Any] = {"total": None, "error": None if error is None else refusals.text(words, error)}
    if total is None:
        return values
    return values | {
        "total": total,
        "pays": words.cash(total.amount_minor, offer.currency),
        "receives": words.amount(total.units, offer.asset),
        "after": words.amount(offer.balance + total.units, offer.asset),
        "large": _large(offer, total),
    }


def _form(page: Page, offer: Offer, total: Sum | None, error: Refused | None, *, again: bool = False) -> Response:
    words, bounds = page.words, offer.bounds
    if not page.posted:
        total = _total(page, offer)
    chosen = (
        page.field("amount")
        if page.posted
        else money.text(money.major(total.amount_minor, offer.currency))
        if total
        else ""
    )
    values = {
        **_summary(page, offer, total, error),
        "asset": offer.asset,
        "name": words.asset(offer.asset),
        "assets": [(asset.code, words.asset(asset)) for asset in offer.others],
        "currency": offer.currency,
        "cards": offer.cards,
        "card": page.field("card") or (offer.cards[0].card_id if offer.cards else "new"),
        "attempt": page.field("attempt") or ids.new("top"),
        "amount": chosen,
        "other": page.field("other"),
        "save_card": page.field("save_card") == "yes",
        "chips": [(money.text(money.major(chip, offer.currency)), words.cash(chip, offer.currency))
                  for chip in _chips(offer)],
        "low": words.cash(bounds.low_minor, bounds.currency),
        "high": words.cash(bounds.high_minor, bounds.currency),
        "example": words.typed_cash(_chips(offer)[-1], offer.currency),
        "balance": words.amount(offer.balance, offer.asset),
        "save_text": i18n.consents.save_card(words, page.deps.settings.merchant),
        "again": again,
    }  # fmt: skip
    return page.show("top_up.html", values, status=200 if error is None else error.status)


async def _pay(page: Page, offer: Offer, total: Sum) -> Response:
    till, attempt = page.till(), page.field("attempt")
    if not _TOP_UP_ID.fullmatch(attempt):
        raise Refused("invalid_field", "This page is out of date. Reload it and try again.")
    async with page.deps.database.transaction() as tx:
        await wallets.create_missing(tx, [(page.session.customer_id, offer.asset.code)])
        wish = await topups.request_manual(
            tx, customer_id=page.session.customer_id, asset=offer.asset.code, currency=offer.currency,
            amount_minor=total.amount_minor, units=total.units, rate=offer.rate, top_up_id=attempt,
        )  # fmt: skip
    if not wish.live or (wish.asset, wish.amount_minor) != (offer.asset.code, total.amount_minor):
        return page.go(f"/top-ups/{attempt}")
    if page.field("card") not in {"", "new"}:
        return await pay_saved(page, till, attempt, page.field("card"))
    return await pay_new(page, till, attempt)


async def pay_saved(page: Page, till: paying.Till, top_up_id: str, card_id: str) -> Response:
    """Charge a card on file, the customer present: Stripe's page only if the bank asks."""
    back = page.door.url(f"/top-ups/{top_up_id}")
    done = await paying.pay_present(till, page.session, top_up_id, card_id, lambda _payment_id: back)
    if done.state == "action_required":
        async with page.deps.database.transaction() as tx:
            payment = await topups.open_payment(tx, done)
        if payment is not None and payment.redirect_url is not None:
            return RedirectResponse(payment.redirect_url, 303)
    return page.go(f"/top-ups/{top_up_id}")


async def pay_new(page: Page, till: paying.Till, top_up_id: str) -> Response:
    """To Stripe's page for a new card."""
    back = page.door.url(f"/top-ups/{top_up_id}")
    save_text = i18n.consents.save_card(page.words, page.deps.settings.merchant)
    url = await paying.open_checkout(
        till,
        page.session,
        top_up_id,
        save_card=save_text if page.field("save_card") == "yes" else None,
        limits=page.card_limits,
        urls=lambda _payment_id: (back, back),
    )
    return RedirectResponse(url, 303)
