"""What a form of a rule needs before it is saved: settings that agree with one another, and its customer's consent."""

from fractions import Fraction
from typing import TYPE_CHECKING

from brimful import i18n

if TYPE_CHECKING:
    from brimful.auto_top_up.rules import Rule, RuleForm


def needs_consent(before: "Rule | None", form: "RuleForm", rate: Fraction | None) -> bool:
    """Whether the box must be ticked: turning on, a higher amount, limit, threshold or target, another way to say how
    much, fewer reasons to ask first, promotional credit that no longer counts, units that got dearer than was agreed
    (`rate` is today's), another card or currency, or new terms.
    """
    if before is None or form.turn_on:
        return True
    return (
        form.card_id != before.card_id
        or form.backup_card_id not in {None, before.backup_card_id}
        or form.currency != before.currency
        or before.terms_version != i18n.consents.TERMS_VERSION
        or form.amount_minor > before.amount_minor
        or form.limit_minor > before.limit_minor
        or _higher_threshold(form, before)
        or form.most_minor > before.most_minor
        or (form.target is None) != (before.target is None)
        or (form.target or 0) > (before.target or 0)
        or (form.lasts_days is None) != (before.lasts_days is None)
        or (form.lasts_days or 0) > (before.lasts_days or 0)
        or looser(form.day_limit_minor, before.day_limit_minor)
        or asks_less(form, before)
        or (before.promotional_counts is not False and not form.promotional_counts)
        or (before.agreed_rate is not None and rate is not None and rate > before.agreed_rate)
    )


def looser(after: int | None, before: int | None) -> bool:
    """Whether a bound allows more than the one before."""
    return before is not None and (after is None or after > before)


def _higher_threshold(form: "RuleForm", before: "Rule") -> bool:
    """Whether charges may come earlier than was agreed."""
    lowest = before.threshold if before.threshold_low is None else before.threshold_low
    return form.threshold > before.threshold or (form.threshold_low or form.threshold) > lowest


def asks_less(after: "RuleForm | Rule", before: "Rule") -> bool:
    """Whether fewer charges wait for an approval than before."""
    return (
        looser(after.ask_above_minor, before.ask_above_minor)
        or looser(after.ask_after, before.ask_after)
        or (bool(before.brake) and not after.brake)
    )


CONTRADICTIONS = {
    "backup": "The backup card must be another card than the first.",
    "low": "A threshold that follows the use needs a lower bound below the threshold.",
    "target": "Bring it back to more than the threshold.",
    "most": "Charge at most one top-up, or more.",
    "limit": "The monthly limit must be at least one charge.",
    "day": "The limit of a day must be at least one charge.",
    "ask_above": "Ask above at least one charge and less than the largest: otherwise every charge waits, or none.",
}


def contradiction(form: "RuleForm") -> str | None:
    """Which setting contradicts the others: `backup`, `low`, `target`, `most`, `limit`, `day` or `ask_above`; None
    where they agree.
    """
    day, asks = form.day_limit_minor, form.ask_above_minor
    smallest = form.amount_minor if form.adds else form.smallest_minor
    wrong = {
        "backup": form.backup_card_id == form.card_id,
        "low": form.threshold_low is not None and form.threshold_low >= form.threshold,
        "target": form.target is not None and form.target <= form.threshold,
        "most": form.most_minor < form.amount_minor,
        "limit": form.limit_minor < form.most_minor,
        "day": day is not None and day < form.most_minor,
        "ask_above": asks is not None and not smallest <= asks < form.most_minor,
    }
    return next((field for field, is_wrong in wrong.items() if is_wrong), None)
