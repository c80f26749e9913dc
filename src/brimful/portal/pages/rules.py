"""Auto top-up: the customer's settings for one asset.

The consent stands in the page with the customer's own numbers, above its box. A ticked box agrees to the
text that was above it, so the form brings that text's hash: where the numbers have changed since, the page
is shown again with the new text and an empty box, and nothing is saved.
"""

import hashlib
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from brimful import assets, auto_top_up, cards, i18n, payments, suspensions, top_ups
from brimful.auto_top_up.policy import Reason
from brimful.auto_top_up.rules import RuleForm
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.portal import error_messages, presenters
from brimful.portal.context import Page
from brimful.portal.pages import forecast, panels, rule_form
from brimful.portal.pages.rule_form import RuleFormContext

_LATER = {Reason.PACE, Reason.LIMIT_REACHED, Reason.DAY_LIMIT_REACHED, Reason.NOT_BEFORE}


async def rule_list(page: Page) -> Response:
    """Every balance with its state; with a single one, straight to its settings."""
    async with page.deps.database.transaction() as tx:
        shown = await panels.panels(page, tx)
    if len(shown) == 1:
        return page.go(f"/auto-top-up/{shown[0].asset.code}")
    return page.show("rules.html", {"panels": shown})


async def rule(page: Page) -> Response:
    """The customer's settings for one asset: shown, and saved."""
    if page.deps.payments is None:
        return page.show("unavailable.html", {})
    context = await rule_form.read_context(page)
    values = rule_form.values_of(page, context)
    if not page.posted:
        return await _form(page, context, values, {})
    if page.field("action") == "preview":
        return await _form(page, context, values, {}, preview=True)
    form, errors = rule_form.read(page, context, values)
    if form is None or errors:
        return await _form(page, context, values, errors)
    try:
        return await _save(page, context, form)
    except Refused as refused:
        if refused.code in {"forbidden", "unavailable"}:
            raise
        # Numbers that nobody has seen in the consent yet: a step, not a mistake.
        unseen = refused.code == "consent_required" and refused.extra.get("unseen")
        errors = {} if unseen else {refused.field or "form": error_messages.text(page.words, refused)}
        return await _form(page, context, values, errors, check=bool(unseen), status=200 if unseen else refused.status)


async def _save(page: Page, context: RuleFormContext, form: RuleForm) -> Response:
    if not form.turn_on and (context.before is None or not context.before.enabled):
        raise Refused("invalid_field", "Auto top-up is off: press Turn on to turn it on.")
    rendered = _consent_text(page, context, form)
    if auto_top_up.agreement.needs_consent(context.before, form, context.rate) and page.field("shown") != _fingerprint(
        rendered
    ):
        # The box below another text (or none) agrees to nothing: show these numbers first.
        raise Refused("consent_required", "Check these numbers, then tick the box.", field="agreed", unseen=True)
    async with page.deps.database.transaction() as tx:
        await auto_top_up.rules.save(tx, page.session, context.asset, form, rendered=rendered, pace=page.deps.pace)
    return page.go("/", done="rule_on" if form.turn_on else "rule_saved")


def _fingerprint(text: str) -> str:
    """Ties a ticked box to the very words above it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _consent_text(page: Page, context: RuleFormContext, form: RuleForm) -> str:
    card, backup = (
        next((card for card in context.cards if card.card_id == card_id), None)
        for card_id in (form.card_id, form.backup_card_id)
    )
    assert card is not None
    label = card.label
    if backup is not None:
        label = page.words.t("{card}, or {backup} where that is declined,", card=label, backup=backup.label)
    text = i18n.consents.auto_top_up(
        page.words,
        merchant=page.deps.settings.merchant,
        card=label,
        amount=_how_much(page, context, form),
        asset=context.name,
        threshold=_below(page, context, form),
        limit=_limits(page, form),
        days=page.deps.settings.portal.notice_days,
    )
    return " ".join([text, *_asks(page, form), *_offers(page, context)])


def _offers(page: Page, context: RuleFormContext) -> list[str]:
    """What comes on top of a charge, as things stand: it is the platform's to end."""
    words, said = page.words, []
    for offer in context.offers:
        percent, start = words.percent(offer.percent), words.cash(offer.from_minor, offer.currency)
        if offer.expires_after_days is None:
            said.append(words.t("While this offer lasts, a charge of {start} or more brings {percent} on top.",
                                start=start, percent=percent))  # fmt: skip
        else:
            said.append(
                words.n(
                    "While this offer lasts, a charge of {start} or more brings {percent} on top, for {number} day.",
                    "While this offer lasts, a charge of {start} or more brings {percent} on top, for {number} days.",
                    offer.expires_after_days, start=start, percent=percent,
                )
            )  # fmt: skip
    return said


def _below(page: Page, context: RuleFormContext, form: RuleForm) -> str:
    """When is charged, as the consent says it after "drops below"."""
    words, below = page.words, page.words.amount(form.threshold, context.asset)
    if form.threshold_low is not None:
        low = words.amount(form.threshold_low, context.asset)
        below = words.t("a threshold that follows my use, between {low} and {high}", low=low, high=below)
    if form.promotional_counts:
        return below
    return words.t("{threshold}, promotional credit not counted", threshold=below)


def _how_much(page: Page, context: RuleFormContext, form: RuleForm) -> str:
    """How much is charged, as the consent says it."""
    words, most = page.words, _priced(page, context, form.most_minor)
    if form.target is not None:
        return words.t("what brings it back to {target}, at most {most},", most=most,
                       target=words.amount(form.target, context.asset))  # fmt: skip
    if form.lasts_days is not None:
        return words.n("what {number} day of my use costs, at most {most},",
                       "what {number} days of my use cost, at most {most},", form.lasts_days, most=most)  # fmt: skip
    amount = _priced(page, context, form.amount_minor)
    if form.most_minor == form.amount_minor:
        return amount
    most = words.cash(form.most_minor, form.currency)
    return words.t("{amount}, or several times that at once, at most {most},", amount=amount, most=most)


def _priced(page: Page, context: RuleFormContext, minor: int) -> str:
    """A sum of money; where it buys units, how many it buys at least."""
    words, amount = page.words, page.words.cash(minor, context.currency)
    if context.asset.kind != "unit" or context.rate is None:
        return amount
    units = assets.units_for(minor, context.currency, context.rate, context.asset)
    return words.t("{amount} for at least {units}", amount=amount, units=words.amount(units, context.asset))


def _asks(page: Page, form: RuleForm) -> list[str]:
    """When the customer is asked first, as the consent says it."""
    words, asks = page.words, []
    if form.ask_above_minor is not None:
        amount = words.cash(form.ask_above_minor, form.currency)
        asks.append(words.t("A charge of more than {amount} waits until I approve it.", amount=amount))
    if form.ask_after is not None:
        asks.append(words.n("After {number} charge in 24 hours, every further one waits until I approve it.",
                            "After {number} charges in 24 hours, every further one waits until I approve it.",
                            form.ask_after))  # fmt: skip
    if form.brake:
        asks.append(words.t("A charge waits until I approve it, too, while I use more than {factor} times what I used "
                            "in any hour of the 30 days before; once I approve one, I am not asked about that again "
                            "for 24 hours.",
                            factor=words.number(Decimal(auto_top_up.brake.FACTOR))))  # fmt: skip
    return asks


def _limits(page: Page, form: RuleForm) -> str:
    """The limits, as the consent says them before "per calendar month"."""
    words, month = page.words, page.words.cash(form.limit_minor, form.currency)
    if form.day_limit_minor is None:
        return month
    return words.t(
        "{day} in any 24 hours and {month}", day=words.cash(form.day_limit_minor, form.currency), month=month
    )


async def _form(
    page: Page,
    context: RuleFormContext,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    check: bool = False,
    preview: bool = False,
    status: int | None = None,
) -> Response:
    async with page.deps.database.transaction() as tx:
        state = await _state(page, tx, context)
        why = await payments.explain.explain(tx, page.session.customer_id, context.asset.code, page.deps.pace)
        usual = await forecast.usual_day(page, tx, context.asset.code)
        braked = await forecast.braked(page, tx, context.asset.code)
        draft = rule_form.draft_of(page, context, values)
        terms = await _terms(page, tx, context, draft, values["card"])
    shown = {
        **terms,
        "price": None if page.posted else _price(page, context),
        "preview": None,
        "asset": context.asset,
        "name": context.name,
        "unit": context.currency if context.asset.kind == "currency" else page.words.unit(Decimal(2), context.asset),
        "currency": context.currency,
        "rule": context.before,
        "state": state,
        "why": None if why is None else presenters.why(page.words, why, context.asset),
        "cards": context.cards,
        "save_text": i18n.consents.save_card(page.words, page.deps.settings.merchant),
        "values": values,
        "lasts": [(days, page.words.n("{number} day", "{number} days", int(days))) for days in rule_form.LASTS],
        "braked": page.words.n(
            "In your last 30 days it would have asked {number} time.",
            "In your last 30 days it would have asked {number} times.",
            braked,
        ),
        "balance": page.words.amount(context.balance, context.asset),
        "usual": page.words.amount_rounded(usual, context.asset) if usual else None,
        "low": page.words.cash(context.bounds.low_minor, context.currency),
        "high": page.words.cash(context.bounds.high_minor, context.currency),
        "threshold_bounds": None
        if context.bounds.threshold is None
        else [page.words.amount(bound, context.asset) for bound in context.bounds.threshold],
        "errors": errors,
        "check": check,
    }
    if preview:
        shown["preview"] = await forecast.read(page, context.asset, draft, context.rate, _cards_of(context, draft))
    return page.show("rule.html", shown, status=status or (422 if errors else 200))


def _cards_of(context: RuleFormContext, draft: RuleForm | None) -> list[str]:
    """The cards that are charged, in the order in which they are tried."""
    wanted = [] if draft is None else [draft.card_id, draft.backup_card_id]
    labels = {card.card_id: card.label for card in context.cards}
    return [labels[card_id] for card_id in wanted if card_id in labels]


def _price(page: Page, context: RuleFormContext) -> str | None:
    """What a dearer price means, in what the usual amount buys; None where the price is the one agreed to, or lower."""
    before, words = context.before, page.words
    if before is None or not context.active or before.agreed_rate is None or context.rate is None:
        return None
    if context.rate <= before.agreed_rate:
        return None
    now, then = (
        words.amount(assets.units_for(before.amount_minor, before.currency, rate, context.asset), context.asset)
        for rate in (context.rate, before.agreed_rate)
    )
    amount = words.cash(before.amount_minor, before.currency)
    return words.t("{amount} buys {now} now; you agreed to {then}.", amount=amount, now=now, then=then)


async def _state(page: Page, tx: Tx, context: RuleFormContext) -> presenters.State:
    key = (page.session.customer_id, context.asset.code)
    live = await top_ups.store.live_by_account(tx, *key) if context.before is not None else None
    facts = await auto_top_up.facts.read_facts(tx, [key]) if context.before is not None else []
    card = None
    if context.before is not None:
        card = await cards.store.get(tx, page.session.customer_id, context.before.card_id)
    spent = facts[0].facts.spent_minor if facts else 0
    return presenters.account_state(page.words, context.asset, context.before, card, live, spent)


async def _terms(page: Page, tx: Tx, context: RuleFormContext, draft: RuleForm | None, card_id: str) -> dict[str, Any]:
    """The worked example, the consent with its box, and the button: all in the numbers of the form."""
    card = next((card for card in context.cards if card.card_id == card_id), None)
    values: dict[str, Any] = {"consent": None, "active": context.active, "pays": None, "now": None, "follows": ""}
    if draft is None or card is None:
        return values
    words = page.words
    text = _consent_text(page, context, draft)
    units = None
    if context.rate is not None and draft.adds:
        units = assets.units_for(draft.amount_minor, context.currency, context.rate, context.asset)
    pays = None if not draft.adds else words.cash(draft.amount_minor, context.currency)
    return values | {
        "exposure": _exposure(page, context, draft),
        "consent": text,
        "shown": _fingerprint(text),
        "needs_box": auto_top_up.agreement.needs_consent(context.before, draft, context.rate),
        "pays": pays,
        **await _follows(page, tx, context, draft),
        "buys": words.amount(units, context.asset) if units and context.asset.kind == "unit" else None,
        "example": await _example(page, tx, context, draft),
    }


def _exposure(page: Page, context: RuleFormContext, draft: RuleForm) -> str:
    """The most that these settings can charge, in a sentence. Two months may meet in 24 hours: without a limit of the
    day, those say nothing that the month's does not.
    """
    words = page.words
    most = auto_top_up.exposure.exposure(
        draft.most_minor, draft.limit_minor, draft.day_limit_minor, page.deps.pace,
        ask_above_minor=draft.ask_above_minor, ask_after=draft.ask_after,
    )  # fmt: skip
    day, month = (words.cash(minor, context.currency) for minor in (most.day_minor, most.month_minor))
    text = words.t("In any case at most {day} in any 24 hours and {month} in a month.", day=day, month=month)
    if most.day_minor >= most.month_minor:
        text = words.t("In any case at most {month} in a month.", month=month)
    if most.unasked_day_minor >= most.day_minor:
        return text
    unasked = words.cash(most.unasked_day_minor, context.currency)
    return f"{text} " + words.t("Without asking you first, at most {amount} in any 24 hours.", amount=unasked)


async def _follows(page: Page, tx: Tx, context: RuleFormContext, draft: RuleForm) -> dict[str, Any]:
    """What the button does at once besides saving, and what comes after it. Asked of the engine's own policy."""
    words = page.words
    found = await auto_top_up.foresee.foresee(
        tx, page.session.customer_id, context.asset, draft, rate=context.rate, pace=page.deps.pace
    )
    allowed, judgement, follows = await suspensions.store.charging_allowed(tx), found.judgement, []
    amount = words.cash(found.amount_minor, context.currency)
    if judgement.reason in _LATER and found.below and judgement.wake_at is not None:
        follows.append(words.t("Saved now. {amount} is charged at {moment} at the earliest.",
                               amount=amount, moment=words.moment(judgement.wake_at)))  # fmt: skip
    if judgement.reason is Reason.IN_FLIGHT and found.below:
        follows.append(words.t("A payment is on its way. Nothing more is charged now."))
    if found.asks_now:
        follows.append(words.t("Saved now. {amount} then waits for your approval.", amount=amount))
    if found.pays_now and not allowed:
        follows.append(words.t("Payments are held for now. {amount} is charged when they go on.", amount=amount))
    if found.count > 1:
        follows.append(words.t("One payment of {amount} does not reach your threshold. Payments one after another: "
                               "{count}.", amount=amount, count=words.number(Decimal(found.count))))  # fmt: skip
    return {"now": amount if found.pays_now and allowed else None, "follows": " ".join(follows)}


async def _example(page: Page, tx: Tx, context: RuleFormContext, draft: RuleForm) -> str | None:
    """The rule at work in the customer's own numbers: two percent above the threshold, two percent below it."""
    if context.rate is None:
        return None
    words, asset = page.words, context.asset
    places = min(asset.scale, 2)
    step = max(draft.threshold / 50, Decimal(1).scaleb(-places)).quantize(Decimal(1).scaleb(-places))
    before, after = draft.threshold + step, max(draft.threshold - step, Decimal(0))
    used = await auto_top_up.foresee.used_per_day(tx, (page.session.customer_id, asset.code))
    charge = auto_top_up.foresee.charge_at(draft, asset, context.rate, after, used)
    if not charge.units:
        return None
    story = words.t(
        "Balance falls from {before} to {after} → we charge {amount} → new balance {balance}.",
        before=words.amount(before, asset),
        after=words.amount(after, asset),
        amount=words.cash(charge.amount_minor, draft.currency),
        balance=words.amount(after + charge.units, asset),
    )
    if not draft.adds or draft.most_minor != draft.amount_minor:
        return story
    times = draft.limit_minor // draft.amount_minor
    most = words.n("At most {number} time a month.", "At most {number} times a month.", times)
    return f"{story} {most}"


async def rule_terms(page: Page) -> Response:
    """The consent and the preview for what the form says now: scripts swap them in."""
    context = await rule_form.read_context(page)
    values = {name: page.field(name) for name in rule_form.FIELDS}
    draft = rule_form.draft_of(page, context, values)
    async with page.deps.database.transaction() as tx:
        terms = await _terms(page, tx, context, draft, values["card"])
    shown = {
        **terms,
        "asset": context.asset,
        "preview": await forecast.read(page, context.asset, draft, context.rate, _cards_of(context, draft)),
        "check": False,
        "errors": {},
    }
    return page.show("rule_terms.html", shown)


async def rule_off(page: Page) -> Response:
    """Off: one click, at once."""
    async with page.deps.database.transaction() as tx:
        await auto_top_up.rules.turn_off(tx, page.session, page.request.path_params["asset"], page.deps.pace)
    return page.go("/", done="rule_off")


async def turn_off(page: Page) -> Response:
    """From an e-mail: this one rule, one button, nothing else."""
    if page.session.asset is None or page.session.kind != "turn_off":
        return page.go("/")
    async with page.deps.database.transaction() as tx:
        if page.posted:
            await auto_top_up.rules.turn_off(tx, page.session, page.session.asset, page.deps.pace)
        asset = await page.deps.catalogue.get(tx, page.session.asset)
        before = await auto_top_up.rules.get_rule(tx, page.session.customer_id, asset.code)
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
