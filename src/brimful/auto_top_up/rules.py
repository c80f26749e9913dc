"""Rules: the customer's own settings, written by the customer's own hand.

Every function that writes takes a `PortalSession`, and the database lets only the portal's role write.
"""

import dataclasses
import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

from brimful import assets, cards, customers, ledger
from brimful.auth import audit
from brimful.auth.portal_sessions import PortalSession
from brimful.auto_top_up import agreement, evaluate, exposure, order, pauses, thresholds
from brimful.auto_top_up.policy import Pace
from brimful.core import money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.notifications import events
from brimful.notifications.events import Topic


@dataclasses.dataclass(frozen=True)
class Rule:
    """One account's settings with the engine's state. Threshold and target in the asset, money in minor units; what the
    settings mean is with `cards.consents.Terms`. `in_force` is the threshold as it is now.
    """

    customer_id: CustomerId
    asset: str
    enabled: bool
    card_id: str
    currency: str
    threshold: Decimal
    threshold_low: Decimal | None
    in_force: Decimal
    amount_minor: int
    limit_minor: int
    charge_max_minor: int | None
    target: Decimal | None
    day_limit_minor: int | None
    rate: Decimal | None
    rate_per: Decimal | None
    lasts_days: int | None
    ask_above_minor: int | None
    ask_after: int | None
    brake: bool | None
    promotional_counts: bool | None
    backup_card_id: str | None
    consent_id: str
    terms_version: str
    version: int
    updated_at: dt.datetime
    paused_at: dt.datetime | None
    pause_reason: str | None
    wake_at: dt.datetime | None
    reason: str
    reason_at: dt.datetime

    @property
    def most_minor(self) -> int:
        """The largest single charge."""
        return self.charge_max_minor or self.amount_minor

    @property
    def agreed_rate(self) -> Fraction | None:
        """The price of one unit that was agreed to; None for a currency, and for a rule that has none."""
        return None if self.rate is None or self.rate_per is None else money.rate_of(self.rate, self.rate_per)


@dataclasses.dataclass(frozen=True)
class RuleForm:
    """What the customer filled in. `version` is that of the rule the form showed, 0 for none; `least_minor` is the
    platform's smallest payment.
    """

    asset: str
    card_id: str
    currency: str
    threshold: Decimal
    amount_minor: int
    limit_minor: int
    version: int
    turn_on: bool
    agreed: bool
    charge_max_minor: int | None = None
    target: Decimal | None = None
    day_limit_minor: int | None = None
    least_minor: int | None = None
    lasts_days: int | None = None
    ask_above_minor: int | None = None
    ask_after: int | None = None
    brake: bool = False
    promotional_counts: bool = True
    threshold_low: Decimal | None = None
    backup_card_id: str | None = None
    seen_rate: Fraction | None = None  # the price that the form showed

    @property
    def most_minor(self) -> int:
        """The largest single charge."""
        return self.charge_max_minor or self.amount_minor

    @property
    def smallest_minor(self) -> int:
        """The smallest charge to a target: the provider's, or the platform's if that is larger."""
        return max(money.least_minor(self.currency), self.least_minor or 0)

    @property
    def adds(self) -> bool:
        """Whether whole amounts are charged."""
        return self.target is None and self.lasts_days is None


_COLUMNS = """
    SELECT r.customer_id, r.asset, r.enabled, r.card_id, r.currency, r.threshold, r.threshold_low,
        s.threshold AS in_force, r.amount_minor, r.limit_minor,
        r.charge_max_minor, r.target, r.day_limit_minor, r.rate, r.rate_per, r.lasts_days, r.ask_above_minor,
        r.ask_after, r.brake, r.promotional_counts, r.backup_card_id, r.consent_id,
        c.terms_version, r.version, r.updated_at, s.paused_at, s.pause_reason, s.wake_at, s.reason, s.reason_at
    FROM rules AS r
    JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
    JOIN consents AS c ON c.customer_id = r.customer_id AND c.consent_id = r.consent_id
"""


async def get_rule(tx: Tx, customer_id: CustomerId, asset: str) -> Rule | None:
    """The rule of one account."""
    row = await tx.one(_COLUMNS + "WHERE r.customer_id = %s AND r.asset = %s", (customer_id, asset))
    return None if row is None else Rule(**row)


async def list_rules(tx: Tx, customer_id: CustomerId) -> list[Rule]:
    """Every rule of a customer."""
    rows = await tx.all(_COLUMNS + "WHERE r.customer_id = %s ORDER BY r.asset", (customer_id,))
    return [Rule(**row) for row in rows]


_UPSERT = """
    INSERT INTO rules (customer_id, asset, enabled, card_id, currency, threshold, amount_minor, limit_minor,
        charge_max_minor, target, day_limit_minor, least_minor, rate, rate_per, lasts_days, ask_above_minor, ask_after,
        brake, promotional_counts, threshold_low, backup_card_id, consent_id, version, updated_at)
    VALUES (%(customer_id)s, %(asset)s, %(enabled)s, %(card_id)s, %(currency)s, %(threshold)s, %(amount_minor)s,
        %(limit_minor)s, %(charge_max_minor)s, %(target)s, %(day_limit_minor)s, %(least_minor)s, %(rate)s,
        %(rate_per)s, %(lasts_days)s, %(ask_above_minor)s, %(ask_after)s, %(brake)s, %(promotional_counts)s,
        %(threshold_low)s, %(backup_card_id)s, %(consent_id)s, 1, %(now)s)
    ON CONFLICT (customer_id, asset) DO UPDATE SET enabled = excluded.enabled, card_id = excluded.card_id,
        currency = excluded.currency, threshold = excluded.threshold, amount_minor = excluded.amount_minor,
        limit_minor = excluded.limit_minor, charge_max_minor = excluded.charge_max_minor, target = excluded.target,
        day_limit_minor = excluded.day_limit_minor, least_minor = excluded.least_minor,
        rate = excluded.rate, rate_per = excluded.rate_per, lasts_days = excluded.lasts_days,
        ask_above_minor = excluded.ask_above_minor, ask_after = excluded.ask_after, brake = excluded.brake,
        promotional_counts = excluded.promotional_counts,
        threshold_low = excluded.threshold_low, backup_card_id = excluded.backup_card_id,
        consent_id = excluded.consent_id, version = rules.version + 1, updated_at = excluded.updated_at
"""
_STATE = """
    INSERT INTO rule_states (customer_id, asset, threshold, reason, reason_at)
    VALUES (%(customer_id)s, %(asset)s, coalesce(%(threshold_low)s::numeric, %(threshold)s), 'off', %(now)s)
    ON CONFLICT (customer_id, asset) DO UPDATE SET threshold = CASE
        WHEN %(threshold_low)s::numeric IS NULL THEN %(threshold)s
        ELSE least(greatest(rule_states.threshold, %(threshold_low)s), %(threshold)s) END
"""
_RESUME = """
    UPDATE rule_states SET paused_at = NULL, pause_reason = NULL, not_before = NULL
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s
"""


async def save(
    tx: Tx, session: PortalSession, asset: assets.Asset, form: RuleForm, *, rendered: str, pace: Pace
) -> Rule:
    """Save what the customer filled in, with the consent it needs, and evaluate the account at once.

    Args:
        tx: under the portal's role.
        session: the customer's own.
        asset: the account's asset.
        form: validated for form, not yet for sense.
        rendered: the consent text, word for word as the page showed it.
        pace: how often an account may be topped up.

    Turning on ends a pause and clears waits; saving alone never turns a rule on. Refuses a stale version,
    a card that cannot be charged, amounts Stripe cannot take, a limit below the amount, less than one unit,
    and a missing tick.
    """
    _require_portal(session)
    key = (session.customer_id, form.asset)
    await ledger.accounts.create_missing(tx, [key])
    await ledger.accounts.lock(tx, [key])
    before = await get_rule(tx, *key)
    rate = await _validate(tx, session, asset, form, before)
    price, per = (None, None) if asset.kind == "currency" else money.rate_parts(rate)
    stated = exposure.exposure(form.most_minor, form.limit_minor, form.day_limit_minor, pace)
    terms = cards.consents.Terms(
        form.asset, form.card_id, form.currency, form.threshold, form.amount_minor, form.limit_minor,
        form.charge_max_minor, form.target, form.day_limit_minor, stated.day_minor, price, per, form.lasts_days,
        form.ask_above_minor, form.ask_after, form.brake, form.threshold_low,
        form.backup_card_id, form.promotional_counts,
    )  # fmt: skip
    at = await order.moment(tx, key)
    consent_id = await cards.consents.give(tx, session, rendered=rendered, terms=terms, at=at)
    if before is not None:
        await cards.consents.withdraw(tx, session, before.consent_id, at=at)
    enabled = form.turn_on or (before is not None and before.enabled)
    values = {
        **dataclasses.asdict(terms),
        "customer_id": session.customer_id,
        "enabled": enabled,
        "consent_id": consent_id,
        "least_minor": form.least_minor,
        "now": await tx.now(),
    }
    await tx.execute(_UPSERT, values)
    await tx.execute(_STATE, values)
    if form.turn_on:
        await tx.execute(_RESUME, values)
    after = await get_rule(tx, *key)
    assert after is not None
    await _announce(tx, session, before, after, stated)
    await thresholds.follow(tx, [key], "saved")
    await evaluate.reevaluate(tx, [key], pace)
    return after


async def turn_off(tx: Tx, session: PortalSession, asset: str, pace: Pace) -> None:
    """Off at once, for every charge not yet sent. Needs no confirmation and no reason."""
    _require_portal(session, turning_off=asset)
    key = (session.customer_id, asset)
    await ledger.accounts.lock(tx, [key])
    before = await get_rule(tx, *key)
    if before is None or not before.enabled:
        return
    await _disable(tx, session, before)
    await evaluate.reevaluate(tx, [key], pace)


async def remove_card(tx: Tx, session: PortalSession, card_id: str, pace: Pace) -> cards.store.Card:
    """Take a card away. Rules that use it are turned off: nothing is charged to another card unasked.

    Returns the card, which the caller detaches at Stripe after the commit.
    """
    _require_portal(session)
    await customers.lock(tx, session.customer_id)
    await ledger.accounts.lock_wallet(tx, session.customer_id)
    using = [rule for rule in await list_rules(tx, session.customer_id) if rule.card_id == card_id and rule.enabled]
    keys = [(rule.customer_id, rule.asset) for rule in using]
    card = await cards.store.get(tx, session.customer_id, card_id)
    if await cards.store.detach(tx, session.customer_id, card_id, "removed_by_customer"):
        for rule in using:
            await _disable(tx, session, rule)
        await events.emit(tx, Topic.CARD_REMOVED, session.customer_id, {"card_id": card_id, "last4": card.last4})
        await audit.record(
            tx, actor=session.session_id, action="card.removed", customer_id=session.customer_id,
            before={"card_id": card_id},
        )  # fmt: skip
        await evaluate.reevaluate(tx, keys, pace)
        await pauses.card_lost(tx, card, "card_removed", pace)  # rules that had it as their backup
    return card


_TURN_OFF = """
    UPDATE rules SET enabled = false, version = version + 1, updated_at = %s WHERE customer_id = %s AND asset = %s
"""


async def disable_all(tx: Tx, customer_id: CustomerId) -> list[ledger.accounts.AccountKey]:
    """Turn every rule of a customer off who is erased: no rule outlives the person who agreed to it. Under the owner's
    role, for no other may; the caller holds the locks, and reevaluates.
    """
    on = [rule for rule in await list_rules(tx, customer_id) if rule.enabled]
    for rule in on:
        await tx.execute(_TURN_OFF, (await tx.now(), customer_id, rule.asset))
        await events.emit(tx, Topic.AUTO_TOP_UP_DISABLED, customer_id, {"asset": rule.asset})
    return [(customer_id, rule.asset) for rule in on]


async def _disable(tx: Tx, session: PortalSession, rule: Rule) -> None:
    await tx.execute(_TURN_OFF, (await tx.now(), rule.customer_id, rule.asset))
    at = await order.moment(tx, (rule.customer_id, rule.asset))
    await cards.consents.withdraw(tx, session, rule.consent_id, at=at)
    withdrawn = {"consent_id": rule.consent_id, "asset": rule.asset}
    await events.emit(tx, Topic.CONSENT_WITHDRAWN, rule.customer_id, withdrawn)
    await events.emit(tx, Topic.AUTO_TOP_UP_DISABLED, rule.customer_id, {"asset": rule.asset})
    await audit.record(
        tx, actor=session.session_id, action="rule.turned_off", customer_id=rule.customer_id, before=_shown(rule)
    )


def _require_portal(session: PortalSession, *, turning_off: str | None = None) -> None:
    """Only the whole portal may change settings; a turn-off link may turn its own rule off."""
    off = session.kind == "turn_off" and turning_off is not None and session.asset == turning_off
    if session.kind != "portal" and not off:
        raise Refused("forbidden", "This link is for one payment only: open billing to change settings.")


async def _validate(
    tx: Tx, session: PortalSession, asset: assets.Asset, form: RuleForm, before: Rule | None
) -> Fraction:
    """Refuse what cannot be, or was not agreed to. Returns the price of one unit now."""
    if form.version != (0 if before is None else before.version):
        raise Refused("rule_changed", "These settings were changed in another window. Review and save again.")
    money.positive(form.threshold, field="threshold")
    money.chargeable(form.amount_minor, form.currency)
    money.chargeable(form.most_minor, form.currency, field="most")
    field = agreement.contradiction(form)
    if field is not None:
        raise Refused("amount_out_of_range", agreement.CONTRADICTIONS[field], field=field)
    await _validate_cards(tx, session, form)
    rate = await assets.rate_at(tx, asset, form.currency, await tx.now())
    if rate is None:
        raise Refused("rate_missing", f"{asset.name} cannot be bought with {form.currency} at the moment.")
    if not money.units_bought(form.amount_minor, form.currency, rate=rate, scale=asset.scale):
        raise Refused("amount_below_one_unit", f"This amount buys less than one unit of {asset.name}.", field="amount")
    if form.seen_rate is not None and rate > form.seen_rate:
        raise Refused("rule_changed", "The price has changed meanwhile. Review these settings and save again.")
    if agreement.needs_consent(before, form, rate) and not form.agreed:
        raise Refused("consent_required", "Tick the box to agree to these charges.", field="agreed")
    return rate


async def _validate_cards(tx: Tx, session: PortalSession, form: RuleForm) -> None:
    plastics = []
    for field, card_id in (("card", form.card_id), ("backup", form.backup_card_id)):
        if card_id is None:
            continue
        card = await cards.store.get(tx, session.customer_id, card_id)
        if card.state != "active":
            raise Refused("card_unavailable", "This card cannot be charged: choose another or add one.", field=field)
        if card.fingerprint in plastics:
            raise Refused("card_unavailable", "Both are the same card: choose another as backup.", field=field)
        plastics.append(card.fingerprint)


async def _announce(
    tx: Tx, session: PortalSession, before: Rule | None, after: Rule, stated: exposure.Exposure
) -> None:
    turned_on = after.enabled and (before is None or not before.enabled or before.paused_at is not None)
    topic = Topic.AUTO_TOP_UP_ENABLED if turned_on else Topic.AUTO_TOP_UP_UPDATED
    rose = before is not None and (
        after.most_minor > before.most_minor
        or after.limit_minor > before.limit_minor
        or agreement.looser(after.day_limit_minor, before.day_limit_minor)
        or agreement.asks_less(after, before)
    )
    data = {"asset": after.asset, **_shown(after), "exposure_day": money.major_text(stated.day_minor, after.currency),
            "rose": rose}  # fmt: skip
    await events.emit(tx, topic, after.customer_id, data)
    agreed = {"asset": after.asset, "consent_id": after.consent_id}
    await events.emit(tx, Topic.CONSENT_RECORDED, after.customer_id, agreed)
    await audit.record(
        tx, actor=session.session_id, action="rule.saved", customer_id=after.customer_id,
        before=None if before is None else _shown(before), after=_shown(after),
    )  # fmt: skip


def _shown(rule: Rule) -> dict[str, Any]:
    cash, code = money.major_text, rule.currency
    return {
        "enabled": rule.enabled,
        "card_id": rule.card_id,
        "backup_card_id": rule.backup_card_id,
        "currency": rule.currency,
        "threshold": money.text(rule.threshold),
        "threshold_low": None if rule.threshold_low is None else money.text(rule.threshold_low),
        "amount": cash(rule.amount_minor, code),
        "monthly_limit": cash(rule.limit_minor, code),
        "charge_at_most": cash(rule.charge_max_minor, code),
        "bring_back_to": None if rule.target is None else money.text(rule.target),
        "day_limit": cash(rule.day_limit_minor, code),
        "lasts_days": rule.lasts_days,
        "ask_above": cash(rule.ask_above_minor, code),
        "ask_after": rule.ask_after,
        "brake": bool(rule.brake),
        "promotional_counts": rule.promotional_counts is not False,
        "version": rule.version,
    }
