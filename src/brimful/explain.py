"""Why, or why not: everything that decides about one rule, at this moment, with the last judgement and its reason."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from brimful import auto_topup, cards, charging, clock, money, topups
from brimful.auto_topup import Facts, Pace, Reason
from brimful.db import Tx

__all__ = ["Explanation", "explain"]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The facts behind a rule's last judgement. Amounts of the asset are Decimal, money is minor units."""

    customer_id: str
    asset: str
    at: dt.datetime
    reason: str
    reason_at: dt.datetime
    facts: Facts
    pending: Decimal
    card: cards.Card
    card_declines: int
    holds: Sequence[charging.Hold]
    top_up: topups.TopUp | None
    pace: Pace
    next_at: dt.datetime | None

    @property
    def left_minor(self) -> int:
        """What the month's limit still allows."""
        return max(0, self.facts.limit_minor - self.facts.spent_minor)

    @property
    def sentence(self) -> str:
        """The reason in plain English, for operators and developers; the customer's words are the portal's."""
        text = _SENTENCES.get(self.reason, self.reason)
        if self.reason == Reason.PAUSED:
            text = text.format(pause=self.facts.paused)
        if self.reason in {Reason.IN_FLIGHT, Reason.TRIGGERED} and self.top_up is not None:
            text = f"A top-up is {self.top_up.state.replace('_', ' ')}"
            text += f" ({self.top_up.reason})." if self.top_up.reason else "."
        if self.holds and self.facts.enabled:
            text += " Charging is held: " + "; ".join(hold.reason for hold in self.holds) + "."
        return text

    def shown(self) -> dict[str, Any]:
        """As the API and the command line show it."""
        facts, currency = self.facts, self.facts.currency
        return {
            "customer_id": self.customer_id,
            "asset": self.asset,
            "at": clock.rfc3339(self.at),
            "reason": self.reason,
            "since": clock.rfc3339(self.reason_at),
            "explanation": self.sentence,
            "next_at": None if self.next_at is None else clock.rfc3339(self.next_at),
            "enabled": facts.enabled,
            "paused": facts.paused,
            "available": money.text(facts.available),
            "threshold": money.text(facts.threshold),
            "below": facts.below,
            "pending": money.text(self.pending),
            "amount": money.text(money.major(facts.amount_minor, currency)),
            "currency": currency,
            "rate": None if facts.rate is None else money.text(facts.rate),
            "limit": {
                "monthly": money.text(money.major(facts.limit_minor, currency)),
                "used": money.text(money.major(facts.spent_minor, currency)),
                "left": money.text(money.major(self.left_minor, currency)),
            },
            "pace": {
                "in_the_last_hour": len(facts.recent),
                "per_hour": self.pace.per_hour,
                "spacing_s": int(self.pace.spacing.total_seconds()),
            },
            "card": {
                "id": self.card.card_id,
                "brand": self.card.brand,
                "last4": self.card.last4,
                "state": self.card.state,
                "state_reason": self.card.state_reason,
                "declines_in_30_days": self.card_declines,
                "declines_max": cards.tries.DECLINES_MAX,
            },
            "consent_stands": facts.consent_stands,
            "charging": {
                "open": not self.holds,
                "holds": [
                    {"kind": hold.kind, "reason": hold.reason, "since": clock.rfc3339(hold.since)}
                    for hold in self.holds
                ],
            },
            "top_up": None if self.top_up is None else _top_up(self.top_up),
        }


def _top_up(top_up: topups.TopUp) -> dict[str, Any]:
    return {
        "id": top_up.top_up_id,
        "state": top_up.state,
        "reason": top_up.reason,
        "tries": top_up.tries,
        "needs_review": top_up.needs_review,
        "requested_at": clock.rfc3339(top_up.requested_at),
        "next_look_at": None if top_up.wake_at is None else clock.rfc3339(top_up.wake_at),
    }


_SENTENCES: dict[str, str] = {
    Reason.OFF: "The customer has turned auto top-up off.",
    Reason.ARMED: "The balance is not below the line: nothing to do.",
    Reason.TRIGGERED: "The balance is below the line: a top-up was requested.",
    Reason.IN_FLIGHT: "A top-up is under way.",
    Reason.PAUSED: "Paused ({pause}): only the customer can turn it on again, in the portal.",
    Reason.NO_CONSENT: "The consent does not cover these settings: the customer must agree again.",
    Reason.CARD_UNAVAILABLE: "The card cannot be charged: the customer must choose another.",
    Reason.NO_RATE: "The asset has no price in the rule's currency: add a rate.",
    Reason.AMOUNT_BELOW_ONE_UNIT: "The amount buys less than one unit at the present rate.",
    Reason.NOT_BEFORE: "The rule rests for a while after an odd end.",
    Reason.LIMIT_REACHED: "The month's limit is used up.",
    Reason.PACE: "Topped up as often as an hour allows, or very recently: it waits.",
}


async def explain(tx: Tx, customer_id: str, asset: str, pace: Pace) -> Explanation | None:
    """Everything that decides about one rule; None where there is none."""
    rule = await auto_topup.get_rule(tx, customer_id, asset)
    standings = await auto_topup.read_facts(tx, [(customer_id, asset)])
    if rule is None or not standings:
        return None
    [standing] = standings
    now = await tx.now()
    live = await topups.live_by_account(tx, customer_id, asset)
    card = await cards.get(tx, customer_id, standing.card_id)
    next_at = standing.wake_at
    if live is not None and live.state in {"retry_wait", "requested", "intent_created"}:
        next_at = live.wake_at
    return Explanation(
        customer_id=customer_id,
        asset=asset,
        at=now,
        reason=standing.reason,
        reason_at=rule.reason_at,
        facts=standing.facts,
        pending=await topups.pending_units(tx, customer_id, asset),
        card=card,
        card_declines=await cards.tries.count_declines(tx, card.fingerprint),
        holds=await charging.holds(tx),
        top_up=live,
        pace=pace,
        next_at=next_at,
    )
