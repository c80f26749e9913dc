"""A refusal in the customer's words: what to do next, without codes and without blame."""

import datetime as dt
from decimal import Decimal

from brimful.core.errors import Refused
from brimful.i18n.words import Words

_EXAMPLE, _WHOLE = Decimal("12.5"), Decimal(25)


def text(words: Words, refused: Refused) -> str:
    """What the customer reads."""
    t = words.t
    if refused.code == "amount_invalid":
        return _unreadable(words, refused)
    if refused.code == "invalid_field" and refused.field == "subject":
        return t("Enter up to 128 plain characters.")
    if refused.code == "amount_out_of_range":
        return _range(words, refused)
    if refused.code == "too_many_requests" and "retry_after_s" in refused.extra:
        return t("Too many requests come from here. Try again in a moment.")
    if refused.code == "not_refundable":
        return _not_taken_back(words, refused.extra.get("why", ""))
    if refused.code == "too_many_payments":
        until = dt.datetime.fromisoformat(refused.extra["until"])
        return t("You have paid as often as is allowed in 24 hours. You can pay again at {until}.",
                 until=words.moment(until))  # fmt: skip
    known = {
        "too_many_budgets": t("There are too many limits like this one. Remove one first."),
        "budget_not_found": t("This limit was removed in another window."),
        "budget_ended": t("This limit was removed in another window."),
        "budget_not_yours": t("You can change your own limits only."),
        "rule_changed": t("These settings were changed in another window. Review and save again."),
        "card_unavailable": t("This card cannot be charged. Choose another card or add one."),
        "consent_required": t("Tick the box to agree."),
        "rate_missing": t("This cannot be bought at the moment. Your settings are kept."),
        "amount_below_one_unit": t("This amount buys less than one unit. Enter a larger amount."),
        "too_many_requests": t("Too many tries in the last hour. Nothing was changed. Try again later."),
        "payments_unavailable": t("Payments are not available at the moment. Nothing was charged. Try again later."),
        "top_up_not_payable": t("This top-up has been paid or has ended. Nothing was charged."),
        "link_expired": t("This link has expired or was already used. Go back and open billing again."),
        "forbidden": t("This page is out of date. Go back, reload it and try again."),
        "not_found": t("There is no such page."),
        "asset_not_found": t("There is no such balance."),
        "top_up_not_found": t("There is no such top-up."),
    }
    return known.get(refused.code, t("This did not work. Nothing was changed."))


def _not_taken_back(words: Words, why: str) -> str:
    t = words.t
    known = {
        "not_automatic": t("Only an automatic top-up can be taken back here. Ask for a refund of this one."),
        "too_late": t("The time in which this top-up could be taken back has passed."),
        "taken_back": t("You have taken this top-up back already."),
        "disputed": t("This payment is questioned by its bank: it is decided there."),
        "refund_on_its_way": t("A refund of this top-up is on its way: try again once it has been made."),
        "nothing_left": t("Nothing is left of this top-up."),
    }
    return known.get(why, t("This did not work. Nothing was changed."))


def _unreadable(words: Words, refused: Refused) -> str:
    decimals = refused.extra.get("decimals")
    if decimals is None:
        return words.t("Enter an amount greater than zero.")
    if decimals == 0:
        return words.t("Enter a whole number, such as {example}.", example=words.typed(_WHOLE))
    return words.n("Enter an amount with up to {number} decimal, such as {example}.",
                   "Enter an amount with up to {number} decimals, such as {example}.", decimals,
                   example=words.typed(_EXAMPLE))  # fmt: skip


def _range(words: Words, refused: Refused) -> str:
    if refused.field == "limit":
        return words.t("The monthly limit must be at least one top-up.")
    low, high = refused.extra.get("low"), refused.extra.get("high")
    if low is None or high is None:
        return words.t("This amount is too small or too large.")
    return words.t("Enter an amount between {low} and {high}.", low=low, high=high)
