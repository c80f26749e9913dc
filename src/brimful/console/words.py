"""What codes mean, at three in the morning: invariants by name, states and reasons as sentences, and who did it."""

from collections.abc import Mapping
from typing import Any

from brimful import operations, top_ups

INVARIANTS: Mapping[str, str] = {
    "I1": "Balances are the sum of their entries, and every chain holds",
    "I2": "Money taken is money credited",
    "I3": "One live automatic top-up for each account",
    "I4": "One credit for each payment",
    "I5": "One payment for each top-up",
    "I8": "Monthly limits are never exceeded",
    "I9": "Every automatic charge was agreed to",
    "I10": "The card that was charged is the card that was chosen",
    "I12": "Below its threshold an account has a top-up or a reason",
    "I14": "No charge goes beyond what was stated",
    "I15": "Hours of use are the sum of their entries",
}
_STATES: Mapping[str, str] = {
    "requested": "Requested; a worker takes it within a second",
    "intent_created": "Made at Stripe, not confirmed yet",
    "confirming": "Sent to the card's bank; the answer is awaited",
    "processing": "The bank takes its time",
    "unknown": "Outcome unknown; Stripe is asked until it says",
    "action_required": "Waits for the customer",
    "retry_wait": "Declined; tried again later",
    "canceling": "Being canceled at Stripe",
    "succeeded": "Paid, and credited",
    "failed": "Failed for good; nothing was charged",
    "canceled": "Taken back; nothing was charged",
}
_REASONS: Mapping[str, str] = {
    "approval_needed": "The customer wanted to be asked first",
    "not_approved": "The customer did not approve it in time",
    "authentication_required": "The bank wants the customer to confirm it",
    "confirmation_expired": "The customer did not confirm it in time",
    "link_expired": "The link was not paid in time",
    "expired": "The page to pay on ran out",
    "not_sent": "It was never sent to the bank",
    "canceled_at_stripe": "Somebody canceled it at Stripe",
    "gone_at_stripe": "Stripe does not know it any more",
    "customer_gone_at_stripe": "The customer was deleted at Stripe",
    "card_budget": "The card was declined too often lately, and was not asked again",
    "card_unavailable": "The card cannot be charged any more",
    "other_card": "Goes on with the other card",
    "no_longer_needed": "The balance was back above its threshold",
    "rule_changed": "The customer changed the rule meanwhile",
    "off": "The customer turned the rule off",
    "paused": "The rule was paused meanwhile",
    "no_consent": "The customer withdrew their consent",
    "limit_reached": "The limit of the month leaves no room",
    "day_limit_reached": "The limit of 24 hours leaves no room",
    "price_changed": "The units cost more than was agreed to",
    "unusual_use": "The use is far beyond the account's own past",
}


def invariant(name: str) -> str:
    """Its name with its number, which the documents use."""
    return f"{INVARIANTS[name]} ({name})" if name in INVARIANTS else name


def state(code: str) -> str:
    """A top-up's state as a sentence, with its code."""
    return f"{_STATES[code]} ({code})" if code in _STATES else code


def reason(code: str | None) -> str:
    """Why a top-up stands as it does: ours as a sentence with its code; a decline's code is the bank's own words."""
    if code is None:
        return ""
    return f"{_REASONS[code]} ({code})" if code in _REASONS else code.replace("_", " ")


def review(top_up: top_ups.model.TopUp | operations.lookup.TopUpLine) -> str:
    """Why a top-up waits for somebody."""
    if top_up.ended_at is not None and top_up.balance_after is not None and top_up.state != "succeeded":
        return "Its payment succeeded after it had ended: the money was credited, and the customer may not expect it."
    if top_up.ended_at is None and top_up.failures:
        return f"Working on it failed {top_up.failures} times with an error of ours; the worker's log has it."
    return "Reconciliation found that it differs from what Stripe has: see Reconciliation."


def who(actor: str) -> str:
    """Who did it, of those who can: the customer, an operator, the platform, Stripe, or Brimful itself."""
    kind, _, name = actor.partition(":")
    if kind == "operator" and name:
        return f"Operator {name}"
    if actor.startswith(("ses_", "set_")):
        return "Customer, in the portal"
    if actor.startswith("key_"):
        return f"Platform, by API ({actor})"
    named = {"stripe": "Stripe", "command line": "Operator, at the command line", "operator": "Operator",
             "engine": "Brimful", "reconcile": "Brimful, reconciling"}  # fmt: skip
    return named.get(actor, actor)


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """What changed, a line each: `amount 25 → 50`; what was made or went has one side."""
    old, new = before or {}, after or {}
    lines = []
    for name in sorted({*old, *new}):
        sides = [_plain(side[name]) for side in (old, new) if name in side]
        if len(set(sides)) == 2 or (len(sides) == 1 and sides != ["none"]):
            lines.append(f"{name} {' → '.join(sides)}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)
