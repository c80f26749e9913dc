"""Auto top-up: the customer's settings for one asset.

The consent stands in the page with the customer's own numbers, above its box. A ticked box agrees to the
text that was above it, so the form brings that text's hash: where the numbers have changed since, the page
is shown again with the new text and an empty box, and nothing is saved.
"""

import dataclasses
import hashlib
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from brimful import assets, auto_topup, cards, explain, i18n, money, topups, wallets
from brimful.auto_topup import Rule, RuleForm
from brimful.db import Tx
from brimful.errors import Refused
from brimful.portal import refusals, show
from brimful.portal.door import Page
from brimful.portal.offer import Bounds, bounds_for, currency_for, within
from brimful.portal.pages import forecast
from brimful.portal.pages.panels import panels

__all__ = ["consent", "rule", "rule_list", "rule_off", "rule_terms", "turn_off"]

_LIMIT_FACTOR = 4  # the proposed limit is this many top-ups
_FIELDS = ("threshold", "amount", "limit", "card", "in_units", "version")


@dataclasses.dataclass(frozen=True)
class Desk:
    """What the form is about: one asset, the rule there is, what can pay for it."""

    asset: assets.Asset
    name: str
    currency: str
    before: Rule | None
    cards: list[cards.Card]
    balance: Decimal
    rate: Decimal | None
    bounds: Bounds

    @property
    def active(self) -> bool:
        return self.before is not None and self.before.enabled and self.before.pause_reason is None


async def rule_list(page: Page) -> Response:
    """Every balance with its state; with a single one, straight to its settings."""
    async with page.deps.database.transaction() as tx:
        shown = await panels(page, tx)
    if len(shown) == 1:
        return page.go(f"/auto-top-up/{shown[0].asset.code}")
    return page.show("rules.html", {"panels": shown})


async def rule(page: Page) -> Response:
    """The customer's settings for one asset: shown, and saved."""
    if page.deps.till is None:
        return page.show("unavailable.html", {})
    desk = await _desk(page)
    values = _values(page, desk)
    if not page.posted:
        return await _form(page, desk, values, {})
    if page.field("action") == "preview":
        return await _form(page, desk, values, {}, preview=True)
    form, errors = await _read(page, desk)
    if form is None:
        return await _form(page, desk, values, errors)
    try:
        return await _save(page, desk, form)
    except Refused as refused:
        if refused.code in {"forbidden", "unavailable"}:
            raise
        # Numbers that nobody has seen in the consent yet: a step, not a mistake.
        unseen = refused.code == "consent_required" and refused.extra.get("unseen")
        errors = {} if unseen else {refused.field or "form": refusals.text(page.words, refused)}
        return await _form(page, desk, values, errors, check=bool(unseen), status=200 if unseen else refused.status)


async def _desk(page: Page) -> Desk:
    code = page.request.path_params["asset"]
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, code)
        before = await auto_topup.get_rule(tx, page.session.customer_id, code)
        currency = await currency_for(tx, asset, None if before is None else before.currency)
        known = await cards.list_for(tx, page.session.customer_id)
        account = await wallets.get(tx, page.session.customer_id, code)
        rate = await assets.rate_at(tx, asset, currency, await tx.now())
    return Desk(
        asset,
        page.words.asset(asset),
        currency,
        before,
        [card for card in known if card.state == "active"],
        Decimal(0) if account is None else account.available,
        rate,
        bounds_for(page.deps.settings.portal, asset, currency),
    )


def _values(page: Page, desk: Desk) -> dict[str, str]:
    """What the form shows: what was sent, else what is kept, else a proposal."""
    words, before = page.words, desk.before
    if page.posted:
        return {name: page.field(name) for name in _FIELDS}
    wanted = page.query("card")
    usable = [card.card_id for card in desk.cards]
    default_card = wanted if wanted in usable else usable[0] if usable else ""
    if before is None:
        amount = min(
            max(money.currency(desk.currency).minimum_minor * 50, desk.bounds.low_minor), desk.bounds.high_minor
        )
        return {
            "threshold": "",
            "amount": words.typed_cash(amount, desk.currency),
            "limit": words.typed_cash(amount * _LIMIT_FACTOR, desk.currency),
            "card": default_card, "in_units": "", "version": "0",
        }  # fmt: skip
    keeps = before.card_id in usable and not wanted
    return {
        "threshold": words.typed(before.threshold),
        "amount": words.typed_cash(before.amount_minor, desk.currency),
        "limit": words.typed_cash(before.limit_minor, desk.currency),
        "card": before.card_id if keeps else default_card,
        "in_units": "",
        "version": str(before.version),
    }


async def _read(page: Page, desk: Desk) -> tuple[RuleForm | None, dict[str, str]]:
    """The form's fields, each judged: the rule they make, or what is wrong with which."""
    read: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, reader in (("threshold", _threshold), ("amount", _amount), ("limit", _limit)):
        try:
            read[name] = reader(page, desk)
        except Refused as refused:
            errors[name] = refusals.text(page.words, refused)
    if page.field("card") not in {card.card_id for card in desk.cards}:
        errors["card"] = page.words.t("Choose a card, or add one.")
    if not errors and read["limit"] < read["amount"]:
        errors["limit"] = page.words.t("The monthly limit must be at least one top-up.")
    version = page.field("version")
    if not (version.isascii() and version.isdigit() and len(version) < 9):
        errors["form"] = page.words.t("This page is out of date. Go back, reload it and try again.")
    if errors:
        return None, errors
    form = RuleForm(
        asset=desk.asset.code,
        card_id=page.field("card"),
        currency=desk.currency,
        threshold=read["threshold"],
        amount_minor=read["amount"],
        limit_minor=read["limit"],
        version=int(version),
        turn_on=page.field("action") == "turn_on",
        agreed=page.field("agreed") == "yes",
    )
    return form, {}


def _threshold(page: Page, desk: Desk) -> Decimal:
    threshold = page.amount("threshold", scale=desk.asset.scale)
    if desk.bounds.threshold is not None:
        low, high = desk.bounds.threshold
        if not low <= threshold <= high:
            raise Refused(
                "amount_out_of_range", "The threshold is outside the platform's bounds.", field="threshold",
                low=page.words.amount(low, desk.asset), high=page.words.amount(high, desk.asset),
            )  # fmt: skip
    return threshold


def _amount(page: Page, desk: Desk) -> int:
    """The amount in money; units are converted, but what is kept and agreed to is the money."""
    if page.field("in_units") != "yes" or desk.asset.kind == "currency":
        amount = page.amount("amount", scale=money.currency(desk.currency).exponent)
        amount_minor = money.minor_exact(amount, desk.currency)
    elif desk.rate is None:
        raise Refused("rate_missing", f"{desk.asset.name} cannot be bought at the moment.")
    else:
        units = page.amount("amount", scale=desk.asset.scale)
        amount_minor = money.worth_minor(units, desk.currency, rate=desk.rate)
    return within(page, desk.bounds, amount_minor)


def _limit(page: Page, desk: Desk) -> int:
    limit = page.amount("limit", scale=money.currency(desk.currency).exponent)
    return money.minor_exact(limit, desk.currency, field="limit")


async def _save(page: Page, desk: Desk, form: RuleForm) -> Response:
    if not form.turn_on and (desk.before is None or not desk.before.enabled):
        raise Refused("invalid_field", "Auto top-up is off: press Turn on to turn it on.")
    rendered = _consent_text(page, desk, form)
    if auto_topup.needs_consent(desk.before, form) and page.field("shown") != _fingerprint(rendered):
        # The box below another text (or none) agrees to nothing: show these numbers first.
        raise Refused("consent_required", "Check these numbers, then tick the box.", field="agreed", unseen=True)
    async with page.deps.database.transaction() as tx:
        await auto_topup.save(tx, page.session, desk.asset, form, rendered=rendered, pace=page.deps.pace)
    return page.go("/")


def _fingerprint(text: str) -> str:
    """Ties a ticked box to the very words above it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _consent_text(page: Page, desk: Desk, form: RuleForm) -> str:
    card = next(card for card in desk.cards if card.card_id == form.card_id)
    return i18n.consents.auto_top_up(
        page.words,
        merchant=page.deps.settings.merchant,
        card=card.label,
        amount=page.words.cash(form.amount_minor, form.currency),
        asset=desk.name,
        threshold=page.words.amount(form.threshold, desk.asset),
        limit=page.words.cash(form.limit_minor, form.currency),
        days=page.deps.settings.portal.notice_days,
    )


async def _form(
    page: Page,
    desk: Desk,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    check: bool = False,
    preview: bool = False,
    status: int | None = None,
) -> Response:
    async with page.deps.database.transaction() as tx:
        state = await _state(page, tx, desk)
        why = await explain.explain(tx, page.session.customer_id, desk.asset.code, page.deps.pace)
        usual = await forecast.usual_day(page, tx, desk.asset.code)
    shown = {
        **_terms(page, desk, _draft(page, desk, values), values["card"]),
        "preview": None,
        "asset": desk.asset,
        "name": desk.name,
        "unit": desk.currency if desk.asset.kind == "currency" else page.words.unit(Decimal(2), desk.asset),
        "currency": desk.currency,
        "rule": desk.before,
        "state": state,
        "why": None if why is None else show.why(page.words, why, desk.asset),
        "cards": desk.cards,
        "save_text": i18n.consents.save_card(page.words, page.deps.settings.merchant),
        "values": values,
        "balance": page.words.amount(desk.balance, desk.asset),
        "usual": page.words.amount_rounded(usual, desk.asset) if usual else None,
        "low": page.words.cash(desk.bounds.low_minor, desk.currency),
        "high": page.words.cash(desk.bounds.high_minor, desk.currency),
        "threshold_bounds": None
        if desk.bounds.threshold is None
        else [page.words.amount(bound, desk.asset) for bound in desk.bounds.threshold],
        "errors": errors,
        "check": check,
    }
    if preview:
        shown["preview"] = await forecast.read(page, desk.asset, _draft(page, desk, values), desk.rate)
    return page.show("rule.html", shown, status=status or (422 if errors else 200))


async def _state(page: Page, tx: Tx, desk: Desk) -> show.State:
    key = (page.session.customer_id, desk.asset.code)
    live = await topups.live_by_account(tx, *key) if desk.before is not None else None
    facts = await auto_topup.read_facts(tx, [key]) if desk.before is not None else []
    card = None
    if desk.before is not None:
        card = await cards.get(tx, page.session.customer_id, desk.before.card_id)
    spent = facts[0].facts.spent_minor if facts else 0
    return show.account_state(page.words, desk.asset, desk.before, card, live, spent)


def _draft(page: Page, desk: Desk, values: dict[str, str]) -> RuleForm | None:
    """What the fields say now, if they can be read: the page shows the consent with these numbers."""
    words, scale = page.words, money.currency(desk.currency).exponent
    try:
        threshold = words.read(values["threshold"], scale=desk.asset.scale)
        limit = money.minor_exact(words.read(values["limit"], scale=scale), desk.currency)
        if values["in_units"] == "yes" and desk.rate is not None and desk.asset.kind == "unit":
            units = words.read(values["amount"], scale=desk.asset.scale)
            amount = money.worth_minor(units, desk.currency, rate=desk.rate)
        else:
            amount = money.minor_exact(words.read(values["amount"], scale=scale), desk.currency)
    except Refused:
        return None
    if threshold <= 0 or not desk.bounds.low_minor <= amount <= desk.bounds.high_minor or limit < amount:
        return None
    turning_on = not desk.active
    return RuleForm(desk.asset.code, values["card"], desk.currency, threshold, amount, limit, 0, turn_on=turning_on,
                    agreed=False)  # fmt: skip


def _terms(page: Page, desk: Desk, draft: RuleForm | None, card_id: str) -> dict[str, Any]:
    """The worked example, the consent with its box, and the button: all in the numbers of the form."""
    card = next((card for card in desk.cards if card.card_id == card_id), None)
    values: dict[str, Any] = {"consent": None, "active": desk.active, "pays": None, "below": False}
    if draft is None or card is None:
        return values
    words = page.words
    text = _consent_text(page, desk, draft)
    units = None
    if desk.rate is not None:
        units = assets.units_for(draft.amount_minor, desk.currency, desk.rate, desk.asset)
    pays = words.cash(draft.amount_minor, desk.currency)
    return values | {
        "consent": text,
        "shown": _fingerprint(text),
        "needs_box": auto_topup.needs_consent(desk.before, draft),
        "below": desk.balance < draft.threshold,
        "pays": pays,
        "buys": words.amount(units, desk.asset) if units and desk.asset.kind == "unit" else None,
        "example": _example(page, desk, draft, units, pays),
    }


def _example(page: Page, desk: Desk, draft: RuleForm, units: Decimal | None, pays: str) -> str | None:
    """The rule at work in the customer's own numbers: two percent above the line, two percent below it."""
    if not units:
        return None
    words, asset = page.words, desk.asset
    places = min(asset.scale, 2)
    step = max(draft.threshold / 50, Decimal(1).scaleb(-places)).quantize(Decimal(1).scaleb(-places))
    before, after = draft.threshold + step, max(draft.threshold - step, Decimal(0))
    times = draft.limit_minor // draft.amount_minor
    story = words.t(
        "Balance falls from {before} to {after} → we charge {amount} → new balance {balance}.",
        before=words.amount(before, asset),
        after=words.amount(after, asset),
        amount=pays,
        balance=words.amount(after + units, asset),
    )
    most = words.n("At most {number} time a month.", "At most {number} times a month.", times)
    return f"{story} {most}"


async def rule_terms(page: Page) -> Response:
    """The consent and the preview for what the form says now: scripts swap them in."""
    desk = await _desk(page)
    values = {name: page.field(name) for name in _FIELDS}
    draft = _draft(page, desk, values)
    shown = {
        **_terms(page, desk, draft, values["card"]),
        "asset": desk.asset,
        "preview": await forecast.read(page, desk.asset, draft, desk.rate),
        "check": False,
        "errors": {},
    }
    return page.show("rule_terms.html", shown)


async def rule_off(page: Page) -> Response:
    """Off: one click, at once."""
    async with page.deps.database.transaction() as tx:
        await auto_topup.turn_off(tx, page.session, page.request.path_params["asset"], page.deps.pace)
    return page.go("/")


async def turn_off(page: Page) -> Response:
    """From a letter: this one rule, one button, nothing else to see."""
    if page.session.asset is None or page.session.kind != "turn_off":
        return page.go("/")
    async with page.deps.database.transaction() as tx:
        if page.posted:
            await auto_topup.turn_off(tx, page.session, page.session.asset, page.deps.pace)
        asset = await page.deps.catalogue.get(tx, page.session.asset)
        before = await auto_topup.get_rule(tx, page.session.customer_id, asset.code)
    on = before is not None and before.enabled
    return page.show("turn_off.html", {"name": page.words.asset(asset), "on": on})


async def consent(page: Page) -> Response:
    """What the customer agreed to, word for word."""
    async with page.deps.database.transaction() as tx:
        found = await cards.consents.read(tx, page.session.customer_id, page.request.path_params["consent_id"])
    words = page.words
    facts = [
        (words.t("Agreed on"), words.moment(found.recorded_at)),
        (words.t("Version of the terms"), found.terms_version),
        (words.t("Language"), found.locale),
        (words.t("Address"), found.address or "-"),
        (words.t("Browser"), found.agent or "-"),
        (words.t("Fingerprint of the text"), found.text_hash.hex()[:16]),
    ]
    if found.withdrawn_at is not None:
        facts.append((words.t("Ended on"), words.moment(found.withdrawn_at)))
    return page.show("consent.html", {"consent": found, "facts": facts})
