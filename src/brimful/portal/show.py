"""How amounts, cards and states read to a person."""

import datetime as dt
import zoneinfo
from decimal import Decimal

import babel.dates
import babel.numbers

from brimful import assets, auto_topup, cards, money, payments, topups

__all__ = ["account_sentence", "asset_amount", "cash", "day_time", "reason_text", "top_up_sentence", "vessel"]

_LOCALE = "en_US"


def cash(minor: int, currency: str) -> str:
    """Minor units as `$25.00`."""
    return _currency(money.major(minor, currency), currency)


def _currency(amount: Decimal, currency: str) -> str:
    # Without quantization: $0.0034 must not read as $0.00.
    text: str = babel.numbers.format_currency(amount, currency, locale=_LOCALE, decimal_quantization=False)
    return text


def asset_amount(amount: Decimal, asset: assets.Asset) -> str:
    """`$31.40`, or `1,250 tokens`."""
    plain = Decimal(money.text(amount))
    if asset.kind == "currency":
        return _currency(plain, asset.code)
    number: str = babel.numbers.format_decimal(plain, locale=_LOCALE, decimal_quantization=False)
    return f"{asset.symbol or ''}{number} {asset.label or asset.code}"


def day_time(moment: dt.datetime, zone: str) -> str:
    """In the customer's own time zone."""
    local = moment.astimezone(zoneinfo.ZoneInfo(zone))
    text: str = babel.dates.format_datetime(local, "d MMM y, HH:mm", locale=_LOCALE)
    return text


_PAUSES = {
    "declined": "was declined several times",
    "card_declined": "was declined",
    "card_budget": "has been declined too often in the last 30 days",
    "card_removed": "was removed",
    "confirmation_expired": "needed your confirmation, which did not come in time",
}


def account_sentence(rule: auto_topup.Rule | None, card: cards.Card | None, asset: assets.Asset, zone: str) -> str:
    """What auto top-up does for this balance, in a sentence."""
    if rule is None or not rule.enabled:
        return "Auto top-up is off."
    label = "the card" if card is None else card.label
    if rule.pause_reason is not None:
        why = _PAUSES.get(rule.pause_reason, "could not be charged")
        return f"Auto top-up is paused: {label} {why}. Nothing is charged until you turn it on again."
    until = "" if rule.wake_at is None else day_time(rule.wake_at, zone)
    waits = {
        "limit_reached": f"Auto top-up has reached your limit of {cash(rule.limit_minor, rule.currency)}. "
        f"It goes on at {until}.",
        "pace": f"Auto top-up waits until {until}: there have been several in a short time.",
        "not_before": f"Auto top-up waits until {until}.",
        "no_rate": f"{asset.name} cannot be bought at the moment. Auto top-up goes on when it can.",
        "amount_below_one_unit": f"Your top-up amount buys less than one unit of {asset.name} now.",
        "card_unavailable": f"{label} cannot be charged. Choose another card.",
        "no_consent": "Auto top-up needs your agreement again. Open its settings.",
    }
    if rule.reason in waits:
        return waits[rule.reason]
    amount, line = cash(rule.amount_minor, rule.currency), asset_amount(rule.threshold, asset)
    return f"Auto top-up is on: we add {amount} when your balance drops below {line}. {label}."


def top_up_sentence(top_up: topups.TopUp, asset: assets.Asset) -> str:
    """What became of a top-up."""
    amount = cash(top_up.amount_minor, top_up.currency)
    if top_up.state == "succeeded" and top_up.balance_after is not None:
        return f"{asset_amount(top_up.units, asset)} added. New balance {asset_amount(top_up.balance_after, asset)}."
    if top_up.state == "failed":
        return reason_text(top_up.reason)
    if top_up.state == "canceled":
        return "This top-up is over. Nothing was charged."
    if top_up.state == "unknown":
        return "We're checking with your bank. Don't pay again."
    if top_up.state in {"action_required", "requested"}:
        return f"Your bank wants you to confirm this payment of {amount}."
    return f"Your payment of {amount} is being processed. This can take up to a minute. You won't be charged twice."


def reason_text(reason: str | None) -> str:
    """A failed payment, mapped: never the raw code."""
    if reason is not None and reason.startswith("refused:"):
        return "This payment could not be made. Nothing was charged."
    if reason == "not_sent":
        return "Temporary problem. Nothing was charged; try again."
    return payments.customer_text(reason)


def vessel(balance: Decimal, line: Decimal | None, amount: Decimal | None) -> tuple[int, int | None]:
    """How full the vessel is and where the line crosses it, in per mille of its width."""
    brim = max(balance, (line or Decimal(0)) + (amount or Decimal(0)), Decimal(1)) * Decimal("1.15")
    filled = int(max(balance, Decimal(0)) / brim * 1000)
    return filled, None if line is None else int(line / brim * 1000)
