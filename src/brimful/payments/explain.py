"""Why, or why not: everything that decides about one rule, at this moment, with the last evaluation and its reason."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from brimful import auto_top_up, cards, ledger, suspensions, top_ups
from brimful.auto_top_up.policy import Facts, Pace, Reason
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The facts behind a rule's last evaluation. Amounts of the asset are Decimal, money is minor units."""

    customer_id: CustomerId
    asset: str
    at: dt.datetime
    reason: str
    reason_at: dt.datetime
    facts: Facts
    rule: auto_top_up.rules.Rule
    pending: Decimal
    card: cards.store.Card
    card_declines: int
    suspensions: Sequence[suspensions.store.Suspension]
    top_up: top_ups.model.TopUp | None
    pace: Pace
    next_at: dt.datetime | None
    runs_dry_at: dt.datetime | None

    @property
    def left_minor(self) -> int:
        """What the month's limit still allows."""
        return max(0, self.facts.limit_minor - self.facts.spent_minor)

    @property
    def runs_dry_before_next(self) -> bool:
        """Whether available is gone before anything is tried again."""
        return self.next_at is not None and self.runs_dry_at is not None and self.runs_dry_at < self.next_at

    @property
    def sentence(self) -> str:
        """The reason in plain English, for operators and developers; the customer's words are the portal's."""
        text = _SENTENCES.get(self.reason, self.reason)
        if self.reason == Reason.PAUSED:
            text = text.format(pause=self.facts.paused)
        if self.reason in {Reason.IN_FLIGHT, Reason.TRIGGERED} and self.top_up is not None:
            text = f"A top-up is {self.top_up.state.replace('_', ' ')}"
            text += f" ({self.top_up.reason})." if self.top_up.reason else "."
        if self.suspensions and self.facts.enabled:
            text += " Charging is suspended: " + "; ".join(one.reason for one in self.suspensions) + "."
        return text


_SENTENCES: dict[str, str] = {
    Reason.OFF: "The customer has turned auto top-up off.",
    Reason.ARMED: "The balance is not below the threshold: nothing to do.",
    Reason.TRIGGERED: "The balance is below the threshold: a top-up was requested.",
    Reason.IN_FLIGHT: "A top-up is under way.",
    Reason.PAUSED: "Paused ({pause}): only the customer can turn it on again, in the portal.",
    Reason.NO_CONSENT: "The consent does not cover these settings: the customer must agree again.",
    Reason.CARD_UNAVAILABLE: "The card cannot be charged: the customer must choose another.",
    Reason.NO_RATE: "The asset has no price in the rule's currency: add a rate.",
    Reason.AMOUNT_BELOW_ONE_UNIT: "The amount buys less than one unit at the present rate.",
    Reason.NOT_BEFORE: "Paused for one hour after a payment ended unexpectedly.",
    Reason.LIMIT_REACHED: "The month's limit is used up.",
    Reason.DAY_LIMIT_REACHED: "The limit of the last 24 hours is used up.",
    Reason.PRICE_CHANGED: "Units cost more than the customer agreed to: they are asked to confirm the price.",
    Reason.PACE: "Topped up as often as an hour allows, or very recently: it waits.",
}


async def explain(tx: Tx, customer_id: CustomerId, asset: str, pace: Pace) -> Explanation | None:
    """Everything that decides about one rule; None where there is none."""
    rule = await auto_top_up.rules.get_rule(tx, customer_id, asset)
    statuses = await auto_top_up.facts.read_facts(tx, [(customer_id, asset)])
    if rule is None or not statuses:
        return None
    [status] = statuses
    now = await tx.now()
    live = await top_ups.store.live_by_account(tx, customer_id, asset)
    card = await cards.store.get(tx, customer_id, status.card_id)
    account = await ledger.accounts.get(tx, customer_id, asset)
    burn = None if account is None else await ledger.runway.read(tx, account)
    next_at = status.wake_at
    if live is not None and live.state in {"retry_wait", "requested", "intent_created"}:
        next_at = live.wake_at
    return Explanation(
        customer_id=customer_id,
        asset=asset,
        at=now,
        reason=status.reason,
        reason_at=rule.reason_at,
        facts=status.facts,
        rule=rule,
        pending=await top_ups.store.pending_units(tx, customer_id, asset),
        card=card,
        card_declines=await cards.decline_budget.count_declines(tx, card.fingerprint),
        suspensions=await suspensions.store.list_all(tx),
        top_up=live,
        pace=pace,
        next_at=next_at,
        runs_dry_at=None if burn is None else ledger.runway.runs_dry_at(status.facts.available, burn, now),
    )
