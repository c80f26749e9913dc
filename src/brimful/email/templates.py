"""The text of each e-mail. One function per kind of event; None where there is nothing to send."""

import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from brimful import assets, auto_top_up, cards, customers, i18n, top_ups
from brimful.auth import portal_sessions
from brimful.db.pool import Tx
from brimful.notifications.events import Topic


@dataclasses.dataclass(frozen=True)
class Email:
    """The content of an e-mail. `action` is a button; `turn_off` the link that every receipt carries."""

    at: dt.datetime
    subject: str
    paragraphs: tuple[str, ...]
    facts: tuple[tuple[str, str], ...] = ()
    action: tuple[str, str] | None = None
    turn_off: tuple[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class Sources:
    """What an e-mail is composed from."""

    tx: Tx
    words: i18n.words.Words
    merchant: str
    public_url: str
    customer: customers.Customer
    at: dt.datetime

    async def asset(self, data: Mapping[str, Any]) -> assets.Asset:
        return await assets.get(self.tx, data["asset"] if "asset" in data else data["destination"]["asset"])

    def cash(self, data: Mapping[str, Any], name: str) -> str:
        """A sum that an event carries, as `$25.00`."""
        return self.words.currency(Decimal(data[name]), data["currency"])

    async def card(self, card_id: str | None) -> str:
        """`Visa ···· 4242`, or words for a card that is not known."""
        if card_id is None:
            return self.words.t("your card")
        return (await cards.store.get(self.tx, self.customer.customer_id, card_id)).label

    async def link(self, **more: Any) -> str:
        link = await portal_sessions.create_link(self.tx, self.customer.customer_id, locale=self.words.language, **more)
        return f"{self.public_url}/billing/open/{link.token}"

    def mail(self, subject: str, *paragraphs: str, **more: Any) -> Email:
        return Email(self.at, subject, paragraphs, **more)


async def compose(sources: Sources, topic: str, data: Mapping[str, Any]) -> Email | None:
    """The e-mail about an event, or None."""
    writer = _WRITERS.get(topic)
    return None if writer is None else await writer(sources, data)


async def _receipt(s: Sources, data: Mapping[str, Any]) -> Email:
    t, asset = s.words.t, await s.asset(data)
    top_up = await top_ups.store.get(s.tx, s.customer.customer_id, data["id"])
    payment = await top_ups.store.paid_by(s.tx, top_up)
    card = await s.card(None if payment is None else payment.card_id)
    amount = s.cash(data, "amount")
    facts = [
        (t("You paid"), amount),
        (t("You received"), s.words.amount(top_up.units, asset)),
        (t("Balance afterwards"), s.words.amount(Decimal(data["balance_after"]), asset)),
        (t("Card"), card),
        (t("Date"), s.words.moment(s.at)),
        (t("Reference"), top_up.top_up_id),
    ]
    turn_off = None
    if top_up.kind == "automatic":
        text = t("Auto top-up for {asset} is on. Turn it off", asset=s.words.asset(asset))
        turn_off = (text, await s.link(flow="turn_off", asset=asset.code))
        opening = t("Your balance dropped below your threshold, so we topped it up as you asked us to.")
    else:
        opening = t("Thank you. Your payment has arrived.")
    action = None
    if payment is not None and payment.receipt_url is not None:
        action = (t("See Stripe's receipt"), payment.receipt_url)
    subject = t("Receipt from {merchant}: {amount}", merchant=s.merchant, amount=amount)
    return s.mail(subject, opening, facts=tuple(facts), turn_off=turn_off, action=action)


async def _failed(s: Sources, data: Mapping[str, Any]) -> Email | None:
    if data["kind"] != "automatic" or data["state"] != "failed":
        return None
    rule = await auto_top_up.rules.get_rule(s.tx, s.customer.customer_id, data["destination"]["asset"])
    if rule is None or rule.pause_reason is not None:
        return None  # the e-mail about the pause says it
    amount = s.cash(data, "amount")
    t, asset = s.words.t, await s.asset(data)
    return s.mail(
        t("A top-up of {amount} did not work", amount=amount),
        i18n.reasons.failed(s.words, data["reason"]),
        t("Nothing was charged. Your {asset} balance has not changed.", asset=s.words.asset(asset)),
    )


async def _confirm(s: Sources, data: Mapping[str, Any]) -> Email | None:
    top_up = await top_ups.store.get(s.tx, s.customer.customer_id, data["id"])
    if top_up.state != "action_required" or top_up.expires_at is None:
        return None
    t, asset = s.words.t, await s.asset(data)
    amount = s.words.cash(top_up.amount_minor, top_up.currency)
    link = await s.link(top_up_id=top_up.top_up_id, flow="pay")
    return s.mail(
        t("Please confirm a payment of {amount}", amount=amount),
        t("Your bank wants you to confirm this payment. Nothing has been charged yet."),
        t("It keeps your {asset} balance funded.", asset=s.words.asset(asset)),
        facts=(
            (t("To"), s.merchant),
            (t("Amount"), amount),
            (t("Card"), await s.card(top_up.card_id)),
            (t("Until"), s.words.moment(top_up.expires_at)),
        ),
        action=(t("Confirm {amount}", amount=amount), link),
    )


async def _approve(s: Sources, data: Mapping[str, Any]) -> Email | None:
    top_up = await top_ups.store.get(s.tx, s.customer.customer_id, data["id"])
    if not top_up.awaits_approval or top_up.expires_at is None:
        return None
    t, asset = s.words.t, await s.asset(data)
    amount = s.words.cash(top_up.amount_minor, top_up.currency)
    return s.mail(
        t("Please approve a top-up of {amount}", amount=amount),
        t("This top-up waits for you. Nothing has been charged yet."),
        i18n.reasons.asked(s.words, top_up.asked),
        t("If you do nothing, nothing is charged, and auto top-up pauses."),
        facts=(
            (t("To"), s.merchant),
            (t("For"), f"{s.words.asset(asset)}: {s.words.amount(top_up.units, asset)}"),
            (t("Card"), await s.card(top_up.card_id)),
            (t("Until"), s.words.moment(top_up.expires_at)),
        ),
        action=(t("Review it"), await s.link(top_up_id=top_up.top_up_id, flow="pay")),
    )


async def _settings(s: Sources, data: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The asset's name and the settings as facts."""
    t, asset = s.words.t, await s.asset(data)
    facts = [
        (t("When the balance drops below"), s.words.amount(Decimal(data["threshold"]), asset)),
        (t("We charge"), s.cash(data, "amount")),
        (t("At most in a calendar month"), s.cash(data, "monthly_limit")),
        (t("Card"), await s.card(data["card_id"])),
    ]
    if data.get("threshold_low") is not None:
        low, high = (s.words.amount(Decimal(data[name]), asset) for name in ("threshold_low", "threshold"))
        facts[0] = (t("When the balance drops below"), t("{low} to {high}, as you use it", low=low, high=high))
    if data.get("bring_back_to") is not None:
        facts[1] = (t("We bring it back to"), s.words.amount(Decimal(data["bring_back_to"]), asset))
    if data.get("day_limit") is not None:
        facts.insert(2, (t("At most in 24 hours"), s.cash(data, "day_limit")))
    if data.get("charge_at_most") is not None:
        facts.insert(2, (t("At most at once"), s.cash(data, "charge_at_most")))
    if data.get("lasts_days") is not None:
        days = s.words.n(
            "what {number} day of your use costs", "what {number} days of your use cost", data["lasts_days"]
        )
        facts[1] = (t("We charge"), days)
    if data.get("backup_card_id") is not None:
        facts.append((t("Backup card"), await s.card(data["backup_card_id"])))
    return s.words.asset(asset), (*facts, *_asking(s, data))


def _asking(s: Sources, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """When the customer is asked first, and the most that is charged in any case. Older events say neither."""
    t, facts = s.words.t, []
    if data.get("ask_above") is not None:
        facts.append((t("You are asked first above"), s.cash(data, "ask_above")))
    if data.get("ask_after") is not None:
        number = s.words.number(Decimal(data["ask_after"]))
        facts.append((t("You are asked first after"), t("{number} charges in 24 hours", number=number)))
    if data.get("brake"):
        facts.append((t("You are asked first"), t("when your use is far beyond what is usual for you")))
    if data.get("exposure_day") is not None:
        facts.append((t("In 24 hours, in any case at most"), s.cash(data, "exposure_day")))
    return facts


async def _enabled(s: Sources, data: Mapping[str, Any]) -> Email:
    name, facts = await _settings(s, data)
    t = s.words.t
    return s.mail(
        t("Auto top-up is on for {asset}", asset=name),
        t("You turned on auto top-up. This is what you agreed to:"),
        _not_you(s),
        facts=facts,
        turn_off=(t("Turn it off"), await s.link(flow="turn_off", asset=data["asset"])),
    )


async def _updated(s: Sources, data: Mapping[str, Any]) -> Email:
    name, facts = await _settings(s, data)
    t = s.words.t
    subject = t("Your auto top-up settings for {asset} have changed", asset=name)
    if data.get("rose"):
        subject = t("Security notice: your auto top-up for {asset} may charge more", asset=name)
    return s.mail(subject, t("These settings are in force now:"), _not_you(s), facts=facts)


async def _disabled(s: Sources, data: Mapping[str, Any]) -> Email:
    name, t = s.words.asset(await s.asset(data)), s.words.t
    return s.mail(
        t("Auto top-up is off for {asset}", asset=name),
        t("Auto top-up is off. Nothing more is charged automatically."),
        _not_you(s),
    )


async def _paused(s: Sources, data: Mapping[str, Any]) -> Email | None:
    rule = await auto_top_up.rules.get_rule(s.tx, s.customer.customer_id, data["asset"])
    if rule is None:
        return None
    t, name = s.words.t, s.words.asset(await s.asset(data))
    return s.mail(
        t("Auto top-up is paused for {asset}", asset=name),
        i18n.reasons.paused(s.words, data["reason"], await s.card(rule.card_id)),
        t("Nothing is charged until you choose a card and turn it on again."),
        t("Open billing at {merchant} to do so.", merchant=s.merchant),
    )


async def _limit_near(s: Sources, data: Mapping[str, Any]) -> Email:
    t, name = s.words.t, s.words.asset(await s.asset(data))
    spent, limit = (s.cash(data, key) for key in ("spent", "limit"))
    share = s.words.percent(auto_top_up.evaluate.LIMIT_NEAR_PERCENT)
    return s.mail(
        t("{percent} of your monthly limit for {asset} is used", percent=share, asset=name),
        t("Auto top-up has used {spent} of {limit} this month (UTC).", spent=spent, limit=limit),
        t("At the limit it stops until the next month. You can raise the limit in your auto top-up settings."),
    )


async def _limit_reached(s: Sources, data: Mapping[str, Any]) -> Email:
    t, name = s.words.t, s.words.asset(await s.asset(data))
    spent, limit = (s.cash(data, key) for key in ("spent", "limit"))
    until = s.words.moment(dt.datetime.fromisoformat(data["until"]))
    if data["reason"] == "day_limit_reached":
        return s.mail(
            t("Your 24-hour limit for {asset} is reached", asset=name),
            t("Auto top-up has used {spent} of {limit} in 24 hours.", spent=spent, limit=limit),
            t("It goes on at {until}. Until then, top up by hand or raise the limit.", until=until),
        )
    return s.mail(
        t("Your monthly limit for {asset} is reached", asset=name),
        t("Auto top-up has used {spent} of {limit} this month (UTC).", spent=spent, limit=limit),
        t("It goes on at {until}. Until then, top up by hand or raise the limit.", until=until),
    )


async def _skipped(s: Sources, data: Mapping[str, Any]) -> Email | None:
    """Only where the customer can end it: units that cost more than they agreed to."""
    if data["reason"] != "price_changed":
        return None
    t, asset = s.words.t, await s.asset(data)
    return s.mail(
        t("{asset} cost more now: please agree to the new price", asset=s.words.asset(asset)),
        t("Auto top-up waits: the price is higher than the one you agreed to. Nothing is charged until you agree."),
        t("Cheaper prices need nothing from you."),
        action=(t("Open the settings"), await s.link(flow="auto_top_up", asset=data["asset"])),
    )


async def _balance_low(s: Sources, data: Mapping[str, Any]) -> Email:
    t, asset = s.words.t, await s.asset(data)
    left, line = (s.words.amount(Decimal(data[key]), asset) for key in ("available", "threshold"))
    return s.mail(
        t("Your {asset} balance is low", asset=s.words.asset(asset)),
        t("{left} is left. You asked for an alert below {line}.", left=left, line=line),
        t("Open billing at {merchant} to top up.", merchant=s.merchant),
    )


async def _balance_depleted(s: Sources, data: Mapping[str, Any]) -> Email:
    t, asset = s.words.t, await s.asset(data)
    return s.mail(
        t("Your {asset} balance is used up", asset=s.words.asset(asset)),
        t("What needs it may stop until there is more."),
        t("Open billing at {merchant} to top up.", merchant=s.merchant),
    )


async def _limit(s: Sources, data: Mapping[str, Any]) -> Email | None:
    if data["set_by"] != "customer":
        return None  # the platform's budgets are the platform's to watch
    t, asset = s.words.t, await s.asset(data)
    used, limit = (s.words.amount(Decimal(data[name]), asset) for name in ("used", "amount"))
    reached = Decimal(data["used"]) >= Decimal(data["amount"])
    what = data["subject"] or t("All spending")
    near = t("Most of your limit of {limit} is used", limit=limit)
    subject = t("Your limit of {limit} is reached", limit=limit) if reached else near
    after = t("Further spending is stopped until it begins anew, or you change it.")
    return s.mail(
        subject,
        t("{what}: {used} of {limit} is used.", what=what, used=used, limit=limit),
        *((after,) if reached and data["hard"] else ()),
        action=(t("See your limits"), await s.link(flow="overview")),
    )


async def _credit_expiring(s: Sources, data: Mapping[str, Any]) -> Email:
    t, asset = s.words.t, await s.asset(data)
    left, until = s.words.amount(Decimal(data["amount"]), asset), dt.datetime.fromisoformat(data["expires_at"])
    return s.mail(
        t("{left} of your credit expires soon", left=left),
        t("{left} of your {asset} credit expires on {until}.", left=left, asset=s.words.asset(asset),
          until=s.words.moment(until)),
        t("It is used before credit that does not expire. What you use until then is not lost."),
        action=(t("See your credits"), await s.link(flow="overview")),
    )  # fmt: skip


async def _credit_expired(s: Sources, data: Mapping[str, Any]) -> Email:
    t, asset = s.words.t, await s.asset(data)
    gone, at = s.words.amount(Decimal(data["amount"]), asset), dt.datetime.fromisoformat(data["expires_at"])
    return s.mail(
        t("{gone} of your credit has expired", gone=gone),
        t("{gone} of your {asset} credit expired on {at}.", gone=gone, asset=s.words.asset(asset),
          at=s.words.moment(at)),
        t("The rest of your balance has not changed."),
    )  # fmt: skip


async def _card_added(s: Sources, data: Mapping[str, Any]) -> Email:
    t, card = s.words.t, await s.card(data["card_id"])
    return s.mail(
        t("Security notice: a card was added"),
        t(
            "{card} was saved. It is charged only for top-ups you start and for auto top-up that you turn on.",
            card=card,
        ),
        _not_you(s),
    )


async def _card_removed(s: Sources, data: Mapping[str, Any]) -> Email:
    t, card = s.words.t, await s.card(data["card_id"])
    return s.mail(t("A card was removed"), t("{card} was removed and cannot be charged.", card=card), _not_you(s))


async def _card_expiring(s: Sources, data: Mapping[str, Any]) -> Email:
    t, card = s.words.t, await s.card(data["card_id"])
    return s.mail(
        t("Your card is about to expire"),
        t("{card} expires at the end of {month}/{year}.", card=card, month=data["exp_month"], year=data["exp_year"]),
        t("Auto top-up uses it. Open billing at {merchant} to add the new card.", merchant=s.merchant),
    )


async def _email_changed(s: Sources, _data: Mapping[str, Any]) -> Email:
    t = s.words.t
    return s.mail(
        t("Security notice: your e-mail address was changed"),
        t("Messages about your billing with {merchant} go to another address from now on.", merchant=s.merchant),
        _not_you(s),
    )


def _not_you(s: Sources) -> str:
    return s.words.t("If this was not you, contact {merchant}.", merchant=s.merchant)


_WRITERS: Mapping[str, Callable[[Sources, Mapping[str, Any]], Awaitable[Email | None]]] = {
    Topic.TOP_UP_SUCCEEDED: _receipt,
    Topic.TOP_UP_FAILED: _failed,
    Topic.TOP_UP_ACTION_REQUIRED: _confirm,
    Topic.AUTO_TOP_UP_ENABLED: _enabled,
    Topic.AUTO_TOP_UP_UPDATED: _updated,
    Topic.AUTO_TOP_UP_DISABLED: _disabled,
    Topic.AUTO_TOP_UP_PAUSED: _paused,
    Topic.AUTO_TOP_UP_APPROVAL_NEEDED: _approve,
    Topic.AUTO_TOP_UP_SKIPPED: _skipped,
    Topic.AUTO_TOP_UP_LIMIT_NEAR: _limit_near,
    Topic.AUTO_TOP_UP_LIMIT_REACHED: _limit_reached,
    Topic.BALANCE_LOW: _balance_low,
    Topic.BALANCE_DEPLETED: _balance_depleted,
    Topic.BUDGET_NEAR: _limit,
    Topic.BUDGET_REACHED: _limit,
    Topic.CREDIT_EXPIRING: _credit_expiring,
    Topic.CREDIT_EXPIRED: _credit_expired,
    Topic.CARD_ADDED: _card_added,
    Topic.CARD_REMOVED: _card_removed,
    Topic.CARD_EXPIRING: _card_expiring,
    Topic.CUSTOMER_EMAIL_CHANGED: _email_changed,
}
