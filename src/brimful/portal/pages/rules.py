"""Auto top-up: the customer's settings for one asset."""

import dataclasses
import hashlib
from decimal import Decimal

from starlette.responses import Response

from brimful import assets, auto_topup, cards, customers, money, wallets
from brimful.auto_topup import Rule, RuleForm
from brimful.errors import Refused
from brimful.portal import show
from brimful.portal.door import Page
from brimful.portal.offer import currency_for, shown_assets

__all__ = ["first_rule", "rule", "rule_off"]


async def first_rule(page: Page) -> Response:
    """To the settings of the only asset, or back to the overview to choose."""
    async with page.deps.database.transaction() as tx:
        shown = await shown_assets(page, tx)
    return page.go(f"/auto-top-up/{shown[0].code}" if len(shown) == 1 else "/")


async def rule(page: Page) -> Response:
    """The customer's settings for one asset: shown, and saved."""
    code = page.request.path_params["asset"]
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, code)
        before = await auto_topup.get_rule(tx, page.session.customer_id, code)
        currency = await currency_for(tx, asset, None if before is None else before.currency)
        known = await cards.list_for(tx, page.session.customer_id)
    usable = [card for card in known if card.state == "active"]
    values = _rule_values(page, before, usable, currency)
    error: Refused | None = None
    if page.posted:
        try:
            return await _save_rule(page, asset, currency, before, usable)
        except Refused as refused:
            if refused.code in {"forbidden", "unavailable"}:
                raise
            # The first press shows the consent in these numbers: a step, not a mistake.
            reviewing = refused.code == "consent_required" and not page.field("shown")
            error = None if reviewing else refused
    return await _rule_page(page, asset, currency, before, usable, values, error)


def _rule_values(page: Page, before: Rule | None, usable: list[cards.Card], currency: str) -> dict[str, str]:
    """What the form shows: what was sent, else what is kept, else a proposal."""
    if page.posted:
        names = ("threshold", "amount", "limit", "card", "in_units", "version", "agreed")
        return {name: page.field(name) for name in names}
    default_card = usable[0].card_id if usable else ""
    if before is None:
        return {"threshold": "", "amount": "25", "limit": "100", "card": default_card, "in_units": "",
                "version": "0", "agreed": ""}  # fmt: skip
    keeps = any(card.card_id == before.card_id for card in usable)
    return {
        "threshold": money.text(before.threshold),
        "amount": money.text(money.major(before.amount_minor, currency)),
        "limit": money.text(money.major(before.limit_minor, currency)),
        "card": before.card_id if keeps else default_card,
        "in_units": "",
        "version": str(before.version),
        "agreed": "",
    }


async def _save_rule(
    page: Page, asset: assets.Asset, currency: str, before: Rule | None, usable: list[cards.Card]
) -> Response:
    form = await _read_rule(page, asset, currency, before)
    card = next((card for card in usable if card.card_id == form.card_id), None)
    if card is None:
        raise Refused("card_unavailable", "Choose a card, or add one.", field="card")
    rendered = _consent_text(page, asset, card, form)
    if auto_topup.needs_consent(before, form) and page.field("shown") != _fingerprint(rendered):
        # The box below another text (or none) agrees to nothing: show these numbers first.
        raise Refused("consent_required", "Check these numbers, then tick the box to agree.", field="agreed")
    async with page.deps.database.transaction() as tx:
        await auto_topup.save(tx, page.session, asset, form, rendered=rendered, pace=page.deps.pace)
    return page.go("/")


async def _read_rule(page: Page, asset: assets.Asset, currency: str, before: Rule | None) -> RuleForm:
    exponent = money.currency(currency).exponent
    threshold = money.positive(money.parse(page.field("threshold"), scale=asset.scale, field="threshold"))
    limit = money.positive(money.parse(page.field("limit"), scale=exponent, field="limit"))
    version = page.field("version")
    if not (version.isascii() and version.isdigit() and len(version) < 9):
        raise Refused("rule_changed", "This page is out of date. Reload it and try again.")
    turn_on = page.field("action") == "turn_on"
    if not turn_on and (before is None or not before.enabled):
        raise Refused("invalid_field", "Auto top-up is off: press Turn on to turn it on.")
    return RuleForm(
        asset=asset.code,
        card_id=page.field("card"),
        currency=currency,
        threshold=threshold,
        amount_minor=await _read_amount(page, asset, currency),
        limit_minor=money.minor_exact(limit, currency, field="limit"),
        version=int(version),
        turn_on=turn_on,
        agreed=page.field("agreed") == "yes",
    )


async def _read_amount(page: Page, asset: assets.Asset, currency: str) -> int:
    """The amount in money; units are converted, but what is kept and agreed to is the money."""
    if page.field("in_units") != "yes" or asset.kind == "currency":
        amount = money.parse(page.field("amount"), scale=money.currency(currency).exponent)
        return money.minor_exact(money.positive(amount), currency)
    units = money.positive(money.parse(page.field("amount"), scale=asset.scale))
    async with page.deps.database.transaction() as tx:
        rate = await assets.rate_at(tx, asset, currency, await tx.now())
    if rate is None:
        raise Refused("rate_missing", f"{asset.name} cannot be bought at the moment.")
    return money.worth_minor(units, currency, rate=rate)


def _fingerprint(text: str) -> str:
    """Ties a ticked box to the very words above it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _consent_text(page: Page, asset: assets.Asset, card: cards.Card, form: RuleForm) -> str:
    return cards.consents.auto_top_up_text(
        merchant=page.deps.settings.merchant,
        card=card.label,
        amount=show.cash(form.amount_minor, form.currency),
        asset=asset.name,
        threshold=show.asset_amount(form.threshold, asset),
        limit=show.cash(form.limit_minor, form.currency),
    )


async def _rule_page(
    page: Page,
    asset: assets.Asset,
    currency: str,
    before: Rule | None,
    usable: list[cards.Card],
    values: dict[str, str],
    error: Refused | None,
) -> Response:
    """The form; once its fields make sense, with the consent in the customer's own numbers."""
    customer_id = page.session.customer_id
    consent, below = None, False
    async with page.deps.database.transaction() as tx:
        customer = await customers.get(tx, customer_id)
        account = await wallets.get(tx, customer_id, asset.code)
        rate = await assets.rate_at(tx, asset, currency, await tx.now())
    balance = Decimal(0) if account is None else account.balance
    draft = _draft(asset, currency, values, rate)
    card = next((card for card in usable if card.card_id == values["card"]), None)
    if draft is not None and card is not None:
        consent = _consent_text(page, asset, card, draft)
        below = balance < draft.threshold
    return page.show(
        "rule.html",
        {
            "asset": asset,
            "currency": currency,
            "rule": before,
            "active": before is not None and before.enabled and before.pause_reason is None,
            "sentence": show.account_sentence(before, card, asset, customer.time_zone),
            "cards": usable,
            "save_text": cards.consents.save_card_text(page.deps.settings.merchant),
            "values": values,
            "consent": consent,
            "shown": None if consent is None else _fingerprint(consent),
            "needs_box": draft is not None and (before is None or _asks_again(before, draft)),
            "below": below,
            "pays": None if draft is None else show.cash(draft.amount_minor, currency),
            "buys": None
            if draft is None or rate is None or asset.kind == "currency"
            else show.asset_amount(
                money.units_bought(draft.amount_minor, currency, rate=rate, scale=asset.scale), asset
            ),
            "balance": show.asset_amount(balance, asset),
            "minimum": show.cash(money.currency(currency).minimum_minor, currency),
            "error": error,
        },
        status=200 if error is None else error.status,
    )


def _asks_again(before: Rule, draft: RuleForm) -> bool:
    turning_on = not before.enabled or before.pause_reason is not None
    return auto_topup.needs_consent(before, dataclasses.replace(draft, turn_on=turning_on))


def _draft(asset: assets.Asset, currency: str, values: dict[str, str], rate: Decimal | None) -> RuleForm | None:
    """What the fields say now, if they can be read: the page shows the consent with these numbers."""
    exponent = money.currency(currency).exponent
    try:
        threshold = money.parse(values["threshold"], scale=asset.scale)
        limit = money.minor_exact(money.parse(values["limit"], scale=exponent), currency)
        if values["in_units"] == "yes" and rate is not None:
            amount = money.worth_minor(money.parse(values["amount"], scale=asset.scale), currency, rate=rate)
        else:
            amount = money.minor_exact(money.parse(values["amount"], scale=exponent), currency)
    except Refused:
        return None
    return RuleForm(asset.code, values["card"], currency, threshold, amount, limit, 0, turn_on=False, agreed=False)


async def rule_off(page: Page) -> Response:
    """Off: one click, at once."""
    async with page.deps.database.transaction() as tx:
        await auto_topup.turn_off(tx, page.session, page.request.path_params["asset"], page.deps.pace)
    return page.go("/")
