"""How states read to a person: one sentence each, with who charges, how much, when, and what to do."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Literal

from brimful import assets, auto_top_up, cards, i18n, payments, top_ups
from brimful.auto_top_up.policy import Reason
from brimful.i18n.words import Words

StateName = Literal["off", "on", "charging", "waiting", "limit", "confirm", "paused", "unavailable"]


@dataclasses.dataclass(frozen=True)
class State:
    """What auto top-up does for a balance now. `charges` while it works or will by itself."""

    name: StateName
    text: str

    @property
    def tone(self) -> str:
        """The colour of its dot: on, wait, stop or off."""
        return {"on": "on", "charging": "on", "waiting": "wait", "limit": "wait", "off": "off"}.get(self.name, "stop")


def account_state(
    words: Words,
    asset: assets.Asset,
    rule: auto_top_up.rules.Rule | None,
    card: cards.store.Card | None,
    live: top_ups.model.TopUp | None,
    spent_minor: int,
) -> State:
    """The state of one balance's auto top-up, in a sentence."""
    t = words.t
    if rule is None or not rule.enabled:
        return State("off", t("Auto top-up is off."))
    label = t("your card") if card is None else card.label
    if rule.pause_reason is not None:
        why = i18n.reasons.paused(words, rule.pause_reason, label)
        rest = t("Nothing is charged until you choose a card and turn it on again.")
        if rule.pause_reason in {"operator", "not_approved"}:
            rest = t("Nothing is charged until you turn it on again.")
        return State("paused", f"{why} {rest}")
    if live is not None:
        return being_paid(words, live)
    return _rule(words, asset, rule, label, spent_minor)


def being_paid(words: Words, live: top_ups.model.TopUp) -> State:
    """What a payment that has not ended waits for."""
    amount = words.cash(live.amount_minor, live.currency)
    if live.awaits_approval:
        return State("confirm", words.t("A top-up of {amount} waits for your approval.", amount=amount))
    if live.state == "action_required":
        return State("confirm", words.t("Your bank wants you to confirm {amount}.", amount=amount))
    if live.state == "retry_wait" and live.wake_at is not None:
        why, until = i18n.reasons.failed(words, live.reason), words.moment(live.wake_at)
        return State("waiting", words.t("{why} We try again at {until}.", why=why, until=until))
    if live.state == "unknown":
        return State("charging", words.t("We're checking {amount} with your bank. Don't pay again.", amount=amount))
    return State("charging", words.t("A top-up of {amount} is on its way.", amount=amount))


def _rule(words: Words, asset: assets.Asset, rule: auto_top_up.rules.Rule, label: str, spent_minor: int) -> State:
    limit, spent = words.cash(rule.limit_minor, rule.currency), words.cash(spent_minor, rule.currency)
    waits = None if rule.wake_at is None else _waits(words, rule, rule.wake_at, spent, limit)
    if waits is not None:
        return waits
    lacks = _lacks(words, rule.reason, asset, label)
    if lacks is not None:
        return State("unavailable", lacks)
    if rule.lasts_days is not None:
        text = words.n(
            "Auto top-up is on: we add what {number} day of your use costs when your balance drops below {line}, "
            "charged to {card}; {spent} of {limit} used this month.",
            "Auto top-up is on: we add what {number} days of your use cost when your balance drops below {line}, "
            "charged to {card}; {spent} of {limit} used this month.",
            rule.lasts_days,
            line=words.amount(rule.in_force, asset),
            card=label,
            spent=spent,
            limit=limit,
        )
        return State("on", text)
    if rule.target is not None:
        text = words.t(
            "Auto top-up is on: we bring your balance back to {target} when it drops below {line}, charged to {card}; "
            "{spent} of {limit} used this month.",
            target=words.amount(rule.target, asset),
            line=words.amount(rule.in_force, asset),
            card=label,
            spent=spent,
            limit=limit,
        )
        return State("on", text)
    text = words.t(
        "Auto top-up is on: we add {amount} when your balance drops below {line}, charged to {card}; {spent} of "
        "{limit} used this month.",
        amount=words.cash(rule.amount_minor, rule.currency),
        line=words.amount(rule.in_force, asset),
        card=label,
        spent=spent,
        limit=limit,
    )
    return State("on", text)


def _waits(words: Words, rule: auto_top_up.rules.Rule, until: dt.datetime, spent: str, limit: str) -> State | None:
    """What only time ends."""
    t = words.t
    if rule.reason == Reason.LIMIT_REACHED:
        day = words.short_day(until)
        if rule.target is None and rule.lasts_days is None:
            amount = words.cash(rule.amount_minor, rule.currency)
            another = t("Another {amount} would pass your monthly limit of {limit}: {spent} used so far. Auto top-up "
                        "resumes on {day}.", amount=amount, limit=limit, spent=spent, day=day)  # fmt: skip
            return State("limit", another)
        another = t("The next top-up would pass your monthly limit of {limit}: {spent} used so far. Auto top-up "
                    "resumes on {day}.", limit=limit, spent=spent, day=day)  # fmt: skip
        return State("limit", another)
    if rule.reason == Reason.DAY_LIMIT_REACHED:
        return State("limit", t("Paused until {until}: the limit of 24 hours is used up.", until=words.moment(until)))
    if rule.reason in {Reason.PACE, Reason.NOT_BEFORE}:
        return State("waiting", t("Auto top-up waits until {until}.", until=words.moment(until)))
    return None


def _lacks(words: Words, reason: str, asset: assets.Asset, label: str) -> str | None:
    """What is missing, and who can bring it."""
    t = words.t
    if reason == Reason.PRICE_CHANGED:
        return t("{asset} cost more than you agreed to. Open the settings to agree to the new price.",
                 asset=words.asset(asset))  # fmt: skip
    if reason == Reason.NO_CONSENT:
        return t("Auto top-up needs your agreement again. Open its settings.")
    if reason == Reason.CARD_UNAVAILABLE:
        return t("{card} cannot be charged. Choose another card.", card=label)
    if reason == Reason.NO_RATE:
        return t("{asset} cannot be bought at the moment. Auto top-up goes on when it can.", asset=words.asset(asset))
    if reason == Reason.AMOUNT_BELOW_ONE_UNIT:
        return t("Your top-up amount buys less than one unit now. Open the settings to raise it.")
    return None


def masked(address: str) -> str:
    """An e-mail address as its owner recognizes it, and nobody else learns it."""
    head, _, domain = address.partition("@")
    return f"{head[:1]}···@{domain}"


def why(words: Words, found: payments.explain.Explanation, asset: assets.Asset) -> list[tuple[str, str]]:
    """Why it charges, or not: what decides about a rule now."""
    t, facts = words.t, found.facts
    rows = [
        (t("Available"), words.amount(facts.available, asset)),
        (t("Your threshold"), words.amount(facts.threshold, asset)),
    ]
    if found.pending:
        rows.append((t("On its way"), words.amount(found.pending, asset)))
    rows += [
        (t("Left this month"), words.cash(found.left_minor, facts.currency)),
        (t("Last looked at"), words.moment(found.reason_at)),
    ]
    if found.runs_dry_at is not None and found.runs_dry_at > found.at:
        rows.append((t("Lasts until about"), words.moment(found.runs_dry_at)))
    if found.next_at is not None:
        rows.append((t("Not before"), words.moment(found.next_at)))
    if found.suspensions:
        rows.append((t("Payments"), t("Held for now. Nothing is charged.")))
    return rows


def outcome(
    words: Words, top_up: top_ups.model.TopUp, asset: assets.Asset, payment: top_ups.model.Payment | None
) -> tuple[str, str]:
    """What became of a top-up: a heading and a sentence. `payment` is the one that is open."""
    t, amount = words.t, words.cash(top_up.amount_minor, top_up.currency)
    if top_up.state == "succeeded" and top_up.balance_after is not None:
        added = words.amount(top_up.units, asset)
        balance = words.amount(top_up.balance_after, asset)
        return t("{units} added", units=added), t("{units} added. New balance {balance}.", units=added, balance=balance)
    if top_up.state == "failed":
        return t("Not paid"), i18n.reasons.failed(words, top_up.reason)
    if top_up.state == "canceled":
        if top_up.reason in {"expired", "link_expired", "confirmation_expired", "not_approved"}:
            return t("Time is up"), t("This payment was not made in time. Nothing was charged.")
        return t("Canceled"), t("This top-up has ended. Nothing was charged.")
    return _open(words, top_up, amount, payment)


def _open(
    words: Words, top_up: top_ups.model.TopUp, amount: str, payment: top_ups.model.Payment | None
) -> tuple[str, str]:
    """The same while it is not over."""
    t = words.t
    if top_up.state == "unknown":
        return amount, t("We're checking with your bank. Don't pay again.")
    if top_up.state == "retry_wait" and top_up.wake_at is not None:
        why = i18n.reasons.failed(words, top_up.reason)
        return amount, t("{why} We try again at {until}.", why=why, until=words.moment(top_up.wake_at))
    unpaid = t("Not paid yet"), t("This top-up has not been paid. Nothing was charged.")
    if top_up.state == "action_required" and top_up.kind == "manual" and not (payment and payment.kind == "intent"):
        return unpaid  # Stripe's page was left, or another card is to be chosen: no bank has asked for anything
    if top_up.awaits_approval:
        return t("Approve {amount}", amount=amount), i18n.reasons.asked(words, top_up.asked)
    if top_up.state == "action_required":
        return t("Confirm {amount}", amount=amount), t("Your bank wants you to confirm this payment.")
    if top_up.state == "requested" and top_up.kind == "manual":
        return unpaid
    return amount, t("Your payment is being processed. This can take up to a minute. You won't be charged twice.")


def vessel(balance: Decimal, line: Decimal | None, full: Decimal) -> tuple[int, int | None]:
    """How full the vessel is and where the threshold crosses it, in per mille of its width. `full` is what a top-up
    makes of the balance.
    """
    brim = max(balance, full, (line or Decimal(0)) * 2, Decimal(1).scaleb(-6)) * Decimal("1.05")
    filled = int(max(balance, Decimal(0)) / brim * 1000)
    return filled, None if line is None else int(line / brim * 1000)


def activity(words: Words, kind: str, amount: Decimal) -> str:
    """What an entry is, where the platform gave it no description."""
    t = words.t
    names = {
        "usage": t("Usage"),
        "charge": t("Charge"),
        "adjustment": t("Credit") if amount > 0 else t("Correction"),
        "top_up": t("Top-up"),
        "refund": t("Refund"),
        "dispute": t("Payment disputed"),
        "reinstatement": t("Dispute returned"),
        "bonus": t("Bonus") if amount > 0 else t("Bonus taken back"),
        "expiry": t("Credit expired"),
    }
    return names[kind]


def span(words: Words, length: dt.timedelta) -> str:
    """A length of time in its largest unit."""
    seconds = int(length.total_seconds())
    if seconds < 60:
        return words.n("{number} second", "{number} seconds", max(seconds, 1))
    if seconds < 5400:
        return words.n("{number} minute", "{number} minutes", seconds // 60)
    if seconds < 172_800:
        return words.n("{number} hour", "{number} hours", seconds // 3600)
    return words.n("{number} day", "{number} days", seconds // 86_400)
