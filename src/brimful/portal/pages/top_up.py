"""Top up now: choose an amount and a card, see what it comes to, pay.

The button carries the amount. Without scripts the page cannot change it while the customer chooses, so the
form brings the amount its button showed: where it differs from the one chosen, the page is shown again with
the new one, and nothing is paid.
"""

import dataclasses
import datetime as dt
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from starlette.responses import Response

from brimful import assets, cards, grants, i18n, ledger, payments, top_ups
from brimful.cards.store import Card
from brimful.core import ids, money
from brimful.core.errors import Refused
from brimful.portal import error_messages, limits
from brimful.portal.context import Page
from brimful.portal.limits import Bounds

_TOP_UP_ID = re.compile(r"top_[0-9a-f]{32}", re.ASCII)
_CHIPS = (2, 5, 10, 20)  # times Stripe's smallest amount, times ten: $10, $25, $50, $100


@dataclasses.dataclass(frozen=True)
class TopUpFormContext:
    """What this page sells: an asset, paid in a currency at a rate, to cards on file or a new one."""

    asset: assets.Asset
    currency: str
    rate: Fraction
    bounds: Bounds
    cards: list[Card]
    balance: Decimal
    others: list[assets.Asset]
    offers: grants.offers.OfferList
    now: dt.datetime


@dataclasses.dataclass(frozen=True)
class Sum:
    """What a payment comes to."""

    amount_minor: int
    units: Decimal
    bonus: top_ups.model.Bonus | None = None


async def top_up(page: Page) -> Response:
    """The form; posted, a payment or the form again with what is missing."""
    if page.deps.payments is None:
        return page.show("unavailable.html", {})
    context = await _form_context(page)
    if not page.posted:
        return _form(page, context, None, None)
    try:
        total = _total(page, context)
        if page.field("shown") != str(total.amount_minor) or not _confirmed(page, context, total):
            return _form(page, context, total, None, again=True)
        return await _pay(page, context, total)
    except Refused as refused:
        if refused.code == "forbidden":
            raise
        return _form(page, context, None, refused)


async def top_up_summary(page: Page) -> Response:
    """The summary and the button for what is chosen now: scripts swap it in."""
    context = await _form_context(page)
    try:
        total, error = _total(page, context), None
    except Refused as refused:
        total, error = None, refused
    return page.show("summary.html", _summary(page, context, total, error))


async def _form_context(page: Page) -> TopUpFormContext:
    code = page.field("asset") or page.query("asset") or page.session.asset
    async with page.deps.database.transaction() as tx:
        others = await limits.shown_assets(page, tx)
        asset = await page.deps.catalogue.get(tx, code or others[0].code)
        currency = await limits.currency_for(tx, asset)
        rate = await assets.rate_at(tx, asset, currency, await tx.now())
        known = await cards.store.list_for(tx, page.session.customer_id)
        account = await ledger.accounts.get(tx, page.session.customer_id, asset.code)
        offers, now = await grants.offers.newest(tx, asset.code), await tx.now()
    if rate is None:
        raise Refused("rate_missing", f"{asset.name} cannot be bought at the moment.")
    return TopUpFormContext(
        asset,
        currency,
        rate,
        limits.bounds_for(page.deps.settings.portal, asset, currency),
        [card for card in known if card.state == "active"],
        Decimal(0) if account is None else account.available,
        others,
        offers,
        now,
    )


def _chips(context: TopUpFormContext) -> list[int]:
    """Amounts to choose from, within the bounds; never none."""
    smallest = money.currency(context.currency).usual_minor * 10
    bounds = context.bounds
    chips = [smallest * factor for factor in _CHIPS if bounds.low_minor <= smallest * factor <= bounds.high_minor]
    return chips or [bounds.low_minor]


def _total(page: Page, context: TopUpFormContext) -> Sum:
    """The amount that is chosen; on the first visit, the one that is preselected."""
    chips = _chips(context)
    if not page.posted:
        amount_minor = chips[min(1, len(chips) - 1)]
    else:
        typed = page.field("other")
        name = "other" if typed else "amount"
        exponent = money.currency(context.currency).exponent
        if typed:
            chosen = page.amount(name, scale=exponent, of=context.currency)
        else:
            chosen = money.positive(money.parse(page.field(name), scale=exponent))
        amount_minor = limits.within(page, context.bounds, money.minor_exact(chosen, context.currency, field=name))
    units = assets.units_for(amount_minor, context.currency, context.rate, context.asset)
    if not units:
        raise Refused("amount_below_one_unit", "This amount buys less than one unit.", field="amount")
    offer = context.offers.applying(context.currency, amount_minor, context.now)
    bonus = None if offer is None else offer.bonus(units, context.asset.scale, context.offers.version)
    return Sum(amount_minor, units, bonus)


def _large(context: TopUpFormContext, total: Sum) -> bool:
    above = context.bounds.confirm_above_minor
    return above is not None and total.amount_minor > above


def _confirmed(page: Page, context: TopUpFormContext, total: Sum) -> bool:
    return not _large(context, total) or page.field("sure") == "yes"


def _summary(page: Page, context: TopUpFormContext, total: Sum | None, error: Refused | None) -> dict[str, Any]:
    words = page.words
    values: dict[str, Any] = {"total": None, "error": None if error is None else error_messages.text(words, error)}
    if total is None:
        return values
    return values | {
        "total": total,
        "pays": words.cash(total.amount_minor, context.currency),
        "receives": words.amount(total.units, context.asset),
        "bonus": None if total.bonus is None else bonus_text(page, context.asset, total.bonus),
        "after": words.amount(context.balance + total.units + _given(total), context.asset),
        "large": _large(context, total),
    }


def _given(total: Sum) -> Decimal:
    return Decimal(0) if total.bonus is None else total.bonus.units


def bonus_text(page: Page, asset: assets.Asset, bonus: top_ups.model.Bonus) -> str:
    """What comes on top, and for how long."""
    words, amount = page.words, page.words.amount(bonus.units, asset)
    if bonus.days is None:
        return amount
    return words.n("{amount}, for {number} day", "{amount}, for {number} days", bonus.days, amount=amount)


def _form(
    page: Page, context: TopUpFormContext, total: Sum | None, error: Refused | None, *, again: bool = False
) -> Response:
    words, bounds = page.words, context.bounds
    if not page.posted:
        total = _total(page, context)
    chosen = (
        page.field("amount")
        if page.posted
        else money.text(money.major(total.amount_minor, context.currency))
        if total
        else ""
    )
    values = {
        **_summary(page, context, total, error),
        "asset": context.asset,
        "name": words.asset(context.asset),
        "assets": [(asset.code, words.asset(asset)) for asset in context.others],
        "currency": context.currency,
        "cards": context.cards,
        "card": page.field("card") or (context.cards[0].card_id if context.cards else "new"),
        "attempt": page.field("attempt") or ids.new("top"),
        "amount": chosen,
        "other": page.field("other"),
        "save_card": page.field("save_card") == "yes",
        "chips": [(money.text(money.major(chip, context.currency)), words.cash(chip, context.currency))
                  for chip in _chips(context)],
        "low": words.cash(bounds.low_minor, bounds.currency),
        "high": words.cash(bounds.high_minor, bounds.currency),
        "example": words.typed_cash(_chips(context)[-1], context.currency),
        "balance": words.amount(context.balance, context.asset),
        "save_text": i18n.consents.save_card(words, page.deps.settings.merchant),
        "again": again,
    }  # fmt: skip
    return page.show("top_up.html", values, status=200 if error is None else error.status)


async def _pay(page: Page, context: TopUpFormContext, total: Sum) -> Response:
    payment_context, attempt = page.payment_context(), page.field("attempt")
    if not _TOP_UP_ID.fullmatch(attempt):
        raise Refused("invalid_field", "This page is out of date. Reload it and try again.")
    async with page.deps.database.transaction() as tx:
        await ledger.accounts.create_missing(tx, [(page.session.customer_id, context.asset.code)])
        wish = await top_ups.request.request_manual(
            tx, customer_id=page.session.customer_id, asset=context.asset.code, currency=context.currency,
            amount_minor=total.amount_minor, units=total.units, rate=context.rate, top_up_id=attempt,
            bonus=total.bonus,
        )  # fmt: skip
    if not wish.live or (wish.asset, wish.amount_minor) != (context.asset.code, total.amount_minor):
        return page.go(f"/top-ups/{attempt}")
    if page.field("card") not in {"", "new"}:
        return await pay_saved(page, payment_context, attempt, page.field("card"))
    return await pay_new(page, payment_context, attempt)


async def pay_saved(
    page: Page, payment_context: payments.context.PaymentContext, top_up_id: str, card_id: str
) -> Response:
    """Charge a card on file, the customer present: Stripe's page only if the bank asks."""
    back = page.context.url(f"/top-ups/{top_up_id}")
    done = await payments.advance.pay_on_session(
        payment_context, page.session, top_up_id, card_id, lambda _payment_id: back
    )
    if done.state == "action_required":
        async with page.deps.database.transaction() as tx:
            payment = await top_ups.store.open_payment(tx, done)
        if payment is not None and payment.redirect_url is not None:
            return page.away(payment.redirect_url)
    return page.go(f"/top-ups/{top_up_id}")


async def pay_new(page: Page, payment_context: payments.context.PaymentContext, top_up_id: str) -> Response:
    """To Stripe's page for a new card."""
    back = page.context.url(f"/top-ups/{top_up_id}")
    save_text = i18n.consents.save_card(page.words, page.deps.settings.merchant)
    url = await payments.checkout.open_checkout(
        payment_context,
        page.session,
        top_up_id,
        save_card=save_text if page.field("save_card") == "yes" else None,
        limits=page.card_limits,
        urls=lambda _payment_id: (back, back),
    )
    return page.away(url)
