"""The form of a rule: what it shows, and the rule that its values make.

The consent, the example, the preview and what is saved all come from one reading.
"""

import dataclasses
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from brimful import assets, auto_top_up, cards, customers, grants, ledger
from brimful.auto_top_up.presets import Preset
from brimful.auto_top_up.rules import Rule, RuleForm
from brimful.cards.store import Card
from brimful.core import money
from brimful.core.errors import Refused
from brimful.i18n.words import Unit
from brimful.portal import error_messages, limits
from brimful.portal.context import Page
from brimful.portal.limits import Bounds

_LIMIT_FACTOR = 4  # the proposed limit is this many top-ups
_CHARGES_MAX = 1000  # more than a month has, of the largest that there is: no limit need be higher
FIELDS = (
    "threshold", "low", "amount", "limit", "card", "in_units", "version", "how", "target", "lasts", "most", "day_on",
    "day", "ask_above", "ask_after", "brake", "backup", "paid_only",
)  # fmt: skip
LASTS = ("1", "3", "7")  # days
_ASK_AFTER_MAX = 1000
_DAY_FACTOR = 3  # the proposed limit of a day is this many of the largest charges


Reader = Callable[[Page, "RuleFormContext", Mapping[str, str]], Any]


@dataclasses.dataclass(frozen=True)
class RuleFormContext:
    """What the form is about: one asset, the rule there is, what can pay for it."""

    asset: assets.Asset
    name: str
    currency: str
    before: Rule | None
    cards: list[Card]
    balance: Decimal
    rate: Fraction | None
    bounds: Bounds
    least_minor: int  # of a charge to a target: the platform's for everybody, never a preset's
    preset: Preset | None
    offers: list[grants.offers.Offer]  # those that apply now to payments in this currency

    @property
    def active(self) -> bool:
        return self.before is not None and self.before.enabled and self.before.pause_reason is None


async def read_context(page: Page) -> RuleFormContext:
    """What the form of the page's asset is about."""
    code = page.request.path_params["asset"]
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, code)
        before = await auto_top_up.rules.get_rule(tx, page.session.customer_id, code)
        currency = await limits.currency_for(tx, asset, None if before is None else before.currency)
        known = await cards.store.list_for(tx, page.session.customer_id)
        account = await ledger.accounts.get(tx, page.session.customer_id, code)
        rate = await assets.rate_at(tx, asset, currency, await tx.now())
        customer = await customers.get(tx, page.session.customer_id)
        preset = await auto_top_up.presets.that_applies(tx, customer, code)
        offers = (await grants.offers.newest(tx, code)).in_force(currency, await tx.now())
    bounds = limits.bounds_for(page.deps.settings.portal, asset, currency)
    return RuleFormContext(
        asset,
        page.words.asset(asset),
        currency,
        before,
        [card for card in known if card.state == "active"],
        Decimal(0) if account is None else account.available,
        rate,
        limits.narrowed(bounds, preset),
        bounds.low_minor,
        preset if preset is not None and preset.currency == currency else None,
        offers,
    )


def values_of(page: Page, context: RuleFormContext) -> dict[str, str]:
    """What the form shows: what was sent, else what is kept, else a proposal."""
    words, before = page.words, context.before
    if page.posted:
        return {name: page.field(name) for name in FIELDS}
    wanted = page.query("card")
    usable = [card.card_id for card in context.cards]
    default_card = wanted if wanted in usable else usable[0] if usable else ""
    if before is None:
        amount = min(
            max(money.currency(context.currency).usual_minor * 50, context.bounds.low_minor),
            context.bounds.high_minor,
        )
        amount = (context.preset and context.preset.amount_minor) or amount
        return {
            "threshold": "", "low": "",
            "amount": words.typed_cash(amount, context.currency),
            "limit": words.typed_cash(amount * _LIMIT_FACTOR, context.currency),
            "card": default_card, "in_units": "", "version": "0", "how": "add", "target": "", "lasts": "1", "most": "",
            "day_on": "yes", "day": "", "ask_above": "", "ask_after": "", "brake": "yes", "backup": "",
            "paid_only": "",
            **_proposed(page, context),
        }  # fmt: skip
    keeps = before.card_id in usable and not wanted
    return {
        "threshold": words.typed(before.threshold),
        "low": "" if before.threshold_low is None else words.typed(before.threshold_low),
        "amount": words.typed_cash(before.amount_minor, context.currency),
        "limit": words.typed_cash(before.limit_minor, context.currency),
        "card": before.card_id if keeps else default_card,
        "in_units": "",
        "version": str(before.version),
        "how": "lasts" if before.lasts_days is not None else "add" if before.target is None else "target",
        "lasts": str(before.lasts_days or 1),
        "target": "" if before.target is None else words.typed(before.target),
        "most": "" if before.charge_max_minor is None else words.typed_cash(before.charge_max_minor, context.currency),
        "day_on": "" if before.day_limit_minor is None else "yes",
        "day": "" if before.day_limit_minor is None else words.typed_cash(before.day_limit_minor, context.currency),
        "ask_above": ""
        if before.ask_above_minor is None
        else words.typed_cash(before.ask_above_minor, context.currency),
        "ask_after": "" if before.ask_after is None else str(before.ask_after),
        "brake": "yes" if before.brake else "",
        "paid_only": "yes" if before.promotional_counts is False else "",
        "backup": before.backup_card_id if before.backup_card_id in usable else "",
    }


def _proposed(page: Page, context: RuleFormContext) -> dict[str, str]:
    """What the platform proposes to this customer, of what it says anything about."""
    preset, words = context.preset, page.words
    if preset is None:
        return {}
    cash = {"limit": preset.limit_minor, "most": preset.charge_max_minor, "day": preset.day_limit_minor}
    values = {name: words.typed_cash(minor, preset.currency) for name, minor in cash.items() if minor is not None}
    return values if preset.threshold is None else {**values, "threshold": words.typed(preset.threshold)}


def read(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> tuple[RuleForm | None, dict[str, str]]:
    """Read the form's values: the rule they make, and what is wrong with which.

    The consent, the example, the preview and what is saved all come from here. Where only the card or the page's
    version is at fault, there is a rule to show as well.
    """
    words, errors = page.words, {}
    numbers: dict[str, Any] = {}
    readers: list[tuple[str, Reader]] = [
        ("threshold", _threshold), ("low", _low), ("limit", _limit), ("most", _most), ("day", _day),
        ("ask_above", _ask_above), ("ask_after", _ask_after),
    ]  # fmt: skip
    readers.insert(1, _HOW.get(values["how"], ("amount", _amount)))
    for name, reader in readers:
        try:
            numbers[name] = reader(page, context, values)
        except Refused as refused:
            errors[name] = error_messages.text(words, refused)
    if not errors:
        _complete(context, numbers, day_on=values["day_on"] == "yes")
        if numbers["most"] is None:
            errors["most"] = words.t("Enter the largest single charge.")
    readable = not errors
    known = {card.card_id for card in context.cards}
    wrong = [name for name, allowed in (("card", known), ("backup", {*known, ""})) if values[name] not in allowed]
    errors |= dict.fromkeys(wrong, words.t("Choose a card, or add one."))
    version = values["version"]
    numbered = version.isascii() and version.isdigit() and len(version) < 9
    if not numbered:
        errors["form"] = words.t("This page is out of date. Go back, reload it and try again.")
    if not readable:
        return None, errors
    adds = "target" not in numbers and "lasts" not in numbers
    form = RuleForm(
        asset=context.asset.code,
        card_id=values["card"],
        currency=context.currency,
        threshold=numbers["threshold"],
        threshold_low=numbers["low"],
        amount_minor=numbers["amount"],
        limit_minor=numbers["limit"],
        charge_max_minor=None if numbers["most"] == numbers["amount"] and adds else numbers["most"],
        target=numbers.get("target"),
        lasts_days=numbers.get("lasts"),
        ask_above_minor=numbers["ask_above"],
        ask_after=numbers["ask_after"],
        brake=values["brake"] == "yes",
        promotional_counts=values["paid_only"] != "yes",
        backup_card_id=values["backup"] or None,
        day_limit_minor=numbers["day"],
        least_minor=context.least_minor,
        version=int(version) if numbered else 0,
        turn_on=page.field("action") == "turn_on",
        agreed=page.field("agreed") == "yes",
        seen_rate=context.rate,
    )
    found = _contradiction(page, form)
    return (None, errors | found) if found else (form, errors)


def _complete(context: RuleFormContext, numbers: dict[str, Any], *, day_on: bool) -> None:
    """Fill in what was left open: "charge at most" is one amount, or what lies between threshold and target; unless
    whole amounts are added it is also the amount that is agreed to. A day's limit is three of those, or the month's.
    """
    if "target" in numbers:
        if numbers["most"] is None and context.rate is not None:
            lowest = numbers["threshold"] if numbers["low"] is None else numbers["low"]
            between = max(numbers["target"] - lowest, Decimal(0))
            worth = money.worth_minor(between, context.currency, rate=context.rate)
            numbers["most"] = max(worth, context.bounds.low_minor)
        numbers["amount"] = numbers["most"]
    elif "lasts" in numbers:
        numbers["amount"] = numbers["most"]
    elif numbers["most"] is None:
        numbers["most"] = numbers["amount"]
    if numbers["day"] is None and day_on and numbers["most"] is not None:
        numbers["day"] = min(numbers["limit"], numbers["most"] * _DAY_FACTOR)


def _contradiction(page: Page, form: RuleForm) -> dict[str, str]:
    """What the room would refuse, in the customer's words, by its field."""
    t = page.words.t
    field = auto_top_up.agreement.contradiction(form)
    texts = {
        "backup": t("Choose another card than the first."),
        "low": t("Enter less than the balance below which we charge at the latest."),
        "target": t("Bring it back to more than the balance below which we charge."),
        "most": t("Charge at most one top-up, or more."),
        "limit": t("The monthly limit must be at least one top-up."),
        "day": t("The limit of a day must be at least one top-up."),
        "ask_above": t("Enter at least one top-up and less than the largest: otherwise we ask always, or never."),
    }
    return {} if field is None else {field: texts[field]}


def _target(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> Decimal:
    return _balance(page, context, values, "target")


def _lasts(_page: Page, _context: RuleFormContext, values: Mapping[str, str]) -> int:
    return int(values["lasts"]) if values["lasts"] in LASTS else 1


_HOW: dict[str, tuple[str, Reader]] = {"target": ("target", _target), "lasts": ("lasts", _lasts)}


def _ask_above(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> int | None:
    return _money(page, context, values, "ask_above") if values["ask_above"].strip() else None


def _ask_after(page: Page, _context: RuleFormContext, values: Mapping[str, str]) -> int | None:
    if not values["ask_after"].strip():
        return None
    number = int(_number(page, values, "ask_after", 0))
    if number > _ASK_AFTER_MAX:
        raise Refused("amount_out_of_range", "That many charges never happen.", field="ask_after",
                      low=page.words.number(Decimal(1)), high=page.words.number(Decimal(_ASK_AFTER_MAX)))  # fmt: skip
    return number


def _most(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> int | None:
    if not values["most"].strip():
        return None
    return limits.within(page, context.bounds, _money(page, context, values, "most"), field="most")


def _day(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> int | None:
    return _money(page, context, values, "day") if values["day_on"] == "yes" and values["day"].strip() else None


def _threshold(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> Decimal:
    return _within(page, context, _balance(page, context, values, "threshold"), "threshold")


def _low(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> Decimal | None:
    if not values["low"].strip():
        return None
    return _within(page, context, _balance(page, context, values, "low"), "low")


def _within(page: Page, context: RuleFormContext, threshold: Decimal, field: str) -> Decimal:
    if context.bounds.threshold is not None:
        low, high = context.bounds.threshold
        if not low <= threshold <= high:
            raise Refused(
                "amount_out_of_range", "The threshold is outside the platform's bounds.", field=field,
                low=page.words.amount(low, context.asset), high=page.words.amount(high, context.asset),
            )  # fmt: skip
    return threshold


def _balance(page: Page, context: RuleFormContext, values: Mapping[str, str], name: str) -> Decimal:
    """Of a currency people see its own decimals, and mean no others."""
    asset = context.asset
    if asset.kind == "unit":
        return _number(page, values, name, asset.scale, of=asset)
    return _number(page, values, name, money.currency(asset.code).exponent, of=asset.code)


def _amount(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> int:
    """The amount in money; units are converted, but what is kept and agreed to is the money."""
    if values["in_units"] != "yes" or context.asset.kind == "currency":
        amount_minor = _money(page, context, values, "amount")
    elif context.rate is None:
        raise Refused("rate_missing", f"{context.asset.name} cannot be bought at the moment.")
    else:
        units = _number(page, values, "amount", context.asset.scale, of=context.asset)
        amount_minor = money.worth_minor(units, context.currency, rate=context.rate)
    return limits.within(page, context.bounds, amount_minor)


def _limit(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> int:
    limit_minor = _money(page, context, values, "limit")
    most = money.currency(context.currency).maximum_minor * _CHARGES_MAX
    if limit_minor > most:
        raise Refused(
            "amount_out_of_range", "The limit is beyond what could be charged.", field="limit",
            low=page.words.cash(context.bounds.low_minor, context.currency),
            high=page.words.cash(most, context.currency),
        )  # fmt: skip
    return limit_minor


def _money(page: Page, context: RuleFormContext, values: Mapping[str, str], name: str) -> int:
    amount = _number(page, values, name, money.currency(context.currency).exponent, of=context.currency)
    return money.minor_exact(amount, context.currency, field=name)


def _number(page: Page, values: Mapping[str, str], name: str, scale: int, of: Unit | str | None = None) -> Decimal:
    return money.positive(page.words.read(values[name], scale=scale, of=of, field=name), field=name)


def draft_of(page: Page, context: RuleFormContext, values: Mapping[str, str]) -> RuleForm | None:
    """The rule that the form's values make now, as the page shows it: nothing is agreed to yet."""
    form, _ = read(page, context, values)
    return None if form is None else dataclasses.replace(form, turn_on=not context.active, agreed=False)
