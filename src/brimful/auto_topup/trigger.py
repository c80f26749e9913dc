"""The trigger: judges accounts in the transaction that changed them, and arms the hot path.

`rearm` is called under the accounts' locks in every transaction that starts or ends a top-up, credits,
saves a rule, pauses, or blocks or removes a card; a debit calls it when it crosses `armed_below`. It
derives everything anew from the rows, so calling it once more never does harm.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from brimful import alerts, cards, clock, jobs, money, topups, wallets
from brimful.auto_topup import policy
from brimful.auto_topup.policy import Facts, Judgement, Pace, Reason
from brimful.db import Row, Tx
from brimful.events import Topic, emit, emit_each

__all__ = [
    "Standing",
    "LIMIT_NEAR_PERCENT",
    "card_lost",
    "enabled_after",
    "judge_account",
    "overdue_waits",
    "pause",
    "pause_after_reversal",
    "read_facts",
    "rearm",
    "tell_limit_near",
    "wait_until",
]


LIMIT_NEAR_PERCENT = 80  # of the month's limit


@dataclasses.dataclass(frozen=True)
class Standing:
    """An account with a rule: the facts for the policy, and what is needed to act on its judgement."""

    customer_id: str
    asset: str
    facts: Facts
    card_id: str
    consent_id: str
    reason: str
    wake_at: dt.datetime | None

    @property
    def key(self) -> wallets.AccountKey:
        return self.customer_id, self.asset


_FACTS = """
    SELECT a.customer_id, a.asset, a.balance - a.held AS available, s.scale, s.kind = 'currency' AS is_currency,
        r.enabled, r.version, r.threshold, r.currency, r.amount_minor, r.limit_minor, r.card_id, r.consent_id,
        st.pause_reason AS paused, st.not_before, st.reason, st.wake_at, c.state = 'active' AS card_usable,
        EXISTS (
            SELECT FROM consents AS g
            WHERE g.customer_id = a.customer_id AND g.consent_id = r.consent_id AND g.kind = 'auto_top_up'
                AND g.action = 'given' AND g.asset = r.asset AND g.card_id = r.card_id AND g.currency = r.currency
                AND g.threshold = r.threshold AND g.amount_minor = r.amount_minor AND g.limit_minor = r.limit_minor
                AND NOT EXISTS (
                    SELECT FROM consents AS w WHERE w.customer_id = a.customer_id AND w.withdraws = g.consent_id)
        ) AS consent_stands,
        (
            SELECT rate FROM rates
            WHERE rates.asset = a.asset AND rates.currency = r.currency AND valid_from <= %(now)s
                AND (valid_to IS NULL OR valid_to > %(now)s)
        ) AS rate,
        (
            SELECT coalesce(sum(t.amount_minor), 0) FROM top_ups AS t
            WHERE t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic'
                AND t.currency = r.currency AND t.limit_month = %(month)s AND t.top_up_id <> %(without)s
                AND (t.state NOT IN ('failed', 'canceled') OR t.balance_after IS NOT NULL)
        )::bigint AS spent_minor,
        (
            SELECT coalesce(array_agg(t.requested_at ORDER BY t.requested_at), '{}') FROM top_ups AS t
            WHERE t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic'
                AND t.requested_at > %(hour_ago)s
        ) AS recent,
        (
            SELECT CASE WHEN coalesce(t.available_after, t.balance_after) < r.threshold THEN t.requested_at END
            FROM top_ups AS t
            WHERE t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic'
            ORDER BY t.requested_at DESC LIMIT 1
        ) AS left_below_at,
        EXISTS (
            SELECT FROM top_ups AS t
            WHERE t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic'
                AND t.ended_at IS NULL AND t.top_up_id <> %(without)s
        ) AS live
    FROM unnest(%(customers)s::text[], %(assets)s::text[]) AS wanted (customer_id, asset)
    JOIN accounts AS a ON a.customer_id = wanted.customer_id AND a.asset = wanted.asset
    JOIN rules AS r ON r.customer_id = a.customer_id AND r.asset = a.asset
    JOIN rule_states AS st ON st.customer_id = a.customer_id AND st.asset = a.asset
    JOIN cards AS c ON c.customer_id = a.customer_id AND c.card_id = r.card_id
    JOIN assets AS s ON s.code = a.asset
    WHERE a.customer_id = ANY(%(customers)s)
"""


async def read_facts(tx: Tx, keys: Iterable[wallets.AccountKey], *, without: str = "") -> list[Standing]:
    """Facts of those accounts that have a rule. `without` names a top-up to leave out of the month's sum."""
    customers, assets = ([key[i] for key in keys] for i in (0, 1)) if (keys := sorted(set(keys))) else ([], [])
    now = await tx.now()
    rows = await tx.all(
        _FACTS,
        {
            "customers": customers,
            "assets": assets,
            "now": now,
            "month": clock.month_start(now),
            "hour_ago": now - dt.timedelta(hours=1),
            "without": without,
        },
    )
    return [_standing(row) for row in rows]


def _standing(row: Row) -> Standing:
    rate = row["rate"]
    if row["is_currency"]:
        rate = money.ONE if row["asset"] == row["currency"] else None
    facts = Facts(
        available=row["available"],
        scale=row["scale"],
        enabled=row["enabled"],
        version=row["version"],
        threshold=row["threshold"],
        currency=row["currency"],
        amount_minor=row["amount_minor"],
        limit_minor=row["limit_minor"],
        paused=row["paused"],
        not_before=row["not_before"],
        consent_stands=row["consent_stands"],
        card_usable=row["card_usable"],
        rate=rate,
        spent_minor=row["spent_minor"],
        recent=tuple(row["recent"]),
        left_below_at=row["left_below_at"],
        live=row["live"],
    )
    return Standing(
        row["customer_id"], row["asset"], facts, row["card_id"], row["consent_id"], row["reason"], row["wake_at"]
    )


async def rearm(tx: Tx, keys: Iterable[wallets.AccountKey], pace: Pace) -> None:
    """Judge these accounts and write what follows: `armed_below`, reasons, waits, top-ups and their jobs.

    The caller holds the accounts' locks. Alerts are judged as well: whatever moves a balance comes by here. Accounts
    without a rule are left alone.
    """
    keys = list(keys)
    await alerts.judge(tx, keys)
    standings = await read_facts(tx, keys)
    if not standings:
        return
    if await _end_superseded(tx, standings):
        standings = await read_facts(tx, [standing.key for standing in standings])
    now = await tx.now()
    judged = [(standing, _steady(standing, policy.judge(standing.facts, pace, now), now)) for standing in standings]
    await wallets.set_armed(tx, [(standing.key, verdict.armed_below) for standing, verdict in judged])
    await _keep_reasons(tx, judged)
    await _request(tx, judged)


def _steady(standing: Standing, verdict: Judgement, now: dt.datetime) -> Judgement:
    """A wait that stands is kept: judging it anew must not start another job each time."""
    same = standing.reason == verdict.reason.value and verdict.wake_at is not None
    if same and standing.wake_at is not None and now < standing.wake_at < verdict.wake_at:  # type: ignore[operator]
        return dataclasses.replace(verdict, wake_at=standing.wake_at)
    return verdict


async def _end_superseded(tx: Tx, standings: Sequence[Standing]) -> bool:
    """Top-ups that merely wait give way when the need, the rule or the card behind them is gone."""
    ended = False
    for standing in standings:
        if not standing.facts.live:
            continue
        top_up = await topups.live_by_account(tx, *standing.key)
        if top_up is None or top_up.state not in topups.WAITING_STATES or top_up.rule_version is None:
            continue
        reason = policy.superseded(standing.facts, top_up.rule_version)
        if reason is not None:
            await topups.cancel_waiting(tx, top_up, reason.value)
            ended = True
    return ended


_KEEP = """
    UPDATE rule_states AS s SET reason = new.reason, wake_at = new.wake_at,
        reason_at = CASE WHEN s.reason = new.reason THEN s.reason_at ELSE %(now)s END
    FROM unnest(%(customers)s::text[], %(assets)s::text[], %(reasons)s::text[], %(wakes)s::timestamptz[])
        AS new (customer_id, asset, reason, wake_at)
    WHERE s.customer_id = new.customer_id AND s.asset = new.asset AND s.customer_id = ANY(%(customers)s)
        AND (s.reason, s.wake_at) IS DISTINCT FROM (new.reason, new.wake_at)
"""


async def _keep_reasons(tx: Tx, judged: Sequence[tuple[Standing, Judgement]]) -> None:
    changed = [(s, j) for s, j in judged if (s.reason, s.wake_at) != (j.reason.value, j.wake_at)]
    if not changed:
        return
    await tx.execute(
        _KEEP,
        {
            "now": await tx.now(),
            "customers": [standing.customer_id for standing, _ in changed],
            "assets": [standing.asset for standing, _ in changed],
            "reasons": [verdict.reason.value for _, verdict in changed],
            "wakes": [verdict.wake_at for _, verdict in changed],
        },
    )
    for standing, verdict in changed:
        if verdict.wake_at is not None:
            arguments = {"customer_id": standing.customer_id, "asset": standing.asset}
            await jobs.defer(tx, jobs.Name.JUDGE, [arguments], at=verdict.wake_at)
        if standing.reason != verdict.reason.value:
            await _tell(tx, standing, verdict)


_SILENT = {Reason.ARMED, Reason.OFF, Reason.IN_FLIGHT, Reason.PAUSED, Reason.TRIGGERED}  # told by their own events


async def _tell(tx: Tx, standing: Standing, verdict: Judgement) -> None:
    """A reason is told when it changes, not per debit."""
    if verdict.reason in _SILENT:
        return
    data: dict[str, Any] = {"asset": standing.asset, "reason": verdict.reason.value}
    if verdict.wake_at is not None:
        data["until"] = clock.rfc3339(verdict.wake_at)
    topic = Topic.AUTO_TOP_UP_SKIPPED
    if verdict.reason is Reason.LIMIT_REACHED:
        topic = Topic.AUTO_TOP_UP_LIMIT_REACHED
        data |= {"spent_minor": standing.facts.spent_minor, "limit_minor": standing.facts.limit_minor,
                 "currency": standing.facts.currency}  # fmt: skip
    await emit(tx, topic, standing.customer_id, data)


async def _request(tx: Tx, judged: Sequence[tuple[Standing, Judgement]]) -> None:
    wishes = []
    for standing, verdict in judged:
        if verdict.units is None:
            continue
        facts = standing.facts
        assert facts.rate is not None
        wishes.append(
            topups.AutomaticWish(
                standing.customer_id, standing.asset, facts.currency, facts.amount_minor, verdict.units, facts.rate,
                standing.card_id, standing.consent_id, facts.version,
            )
        )  # fmt: skip
    made = await topups.request_automatic(tx, wishes)
    by_key: Mapping[wallets.AccountKey, topups.AutomaticWish] = {(w.customer_id, w.asset): w for w in wishes}
    told = [(by_key[key].customer_id, _told(by_key[key], top_up_id)) for key, top_up_id in made.items()]
    await emit_each(tx, Topic.AUTO_TOP_UP_TRIGGERED, told)


def _told(wish: topups.AutomaticWish, top_up_id: str) -> dict[str, Any]:
    return {
        "asset": wish.asset,
        "top_up_id": top_up_id,
        "amount_minor": wish.amount_minor,
        "currency": wish.currency,
        "units": money.text(wish.units),
    }


_PAUSE = """
    UPDATE rule_states SET paused_at = %(now)s, pause_reason = %(reason)s
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND paused_at IS NULL
        AND EXISTS (
            SELECT FROM rules
            WHERE rules.customer_id = rule_states.customer_id AND rules.asset = rule_states.asset
                AND rules.card_id = coalesce(%(card_id)s::text, rules.card_id))
"""


async def pause(tx: Tx, customer_id: str, asset: str, reason: str, *, card_id: str | None = None) -> None:
    """Stop a rule until the customer turns it on again; with `card_id`, only while it uses that card. The caller
    rearms.
    """
    values = {"now": await tx.now(), "reason": reason, "customer_id": customer_id, "asset": asset, "card_id": card_id}
    if await tx.execute(_PAUSE, values):
        await emit(tx, Topic.AUTO_TOP_UP_PAUSED, customer_id, {"asset": asset, "reason": reason})


_TOUCHED = """
    SELECT r.asset, r.card_id IS NOT DISTINCT FROM %(card_id)s AS by_card, a.balance - a.held < r.threshold AS below
    FROM rules AS r JOIN accounts AS a ON a.customer_id = r.customer_id AND a.asset = r.asset
    WHERE r.customer_id = %(customer_id)s AND r.enabled ORDER BY r.asset
"""


async def pause_after_reversal(tx: Tx, customer_id: str, card_id: str | None, reason: str, pace: Pace) -> None:
    """Money went back, or may: pause every rule that uses that card, or that is below its line now, so that what was
    given back is not taken again unasked. The caller holds the locks of the customer's accounts.
    """
    rows = await tx.all(_TOUCHED, {"customer_id": customer_id, "card_id": card_id})
    for row in rows:
        if row["by_card"] or row["below"]:
            await pause(tx, customer_id, row["asset"], reason)
    await rearm(tx, [(customer_id, row["asset"]) for row in rows], pace)


async def tell_limit_near(tx: Tx, key: wallets.AccountKey, amount_minor: int) -> None:
    """Tell once, with the payment that crosses it, that most of the month's limit is used."""
    for standing in await read_facts(tx, [key]):
        spent, limit = standing.facts.spent_minor, standing.facts.limit_minor
        near = limit * LIMIT_NEAR_PERCENT
        if (spent - amount_minor) * 100 < near <= spent * 100:
            data = {"asset": standing.asset, "spent_minor": spent, "limit_minor": limit,
                    "currency": standing.facts.currency}  # fmt: skip
            await emit(tx, Topic.AUTO_TOP_UP_LIMIT_NEAR, standing.customer_id, data)


async def wait_until(tx: Tx, customer_id: str, asset: str, moment: dt.datetime) -> None:
    """Let a rule rest until that time. The caller rearms."""
    await tx.execute(
        "UPDATE rule_states SET not_before = greatest(not_before, %s) WHERE customer_id = %s AND asset = %s",
        (moment, customer_id, asset),
    )


_USING = "SELECT customer_id, asset FROM rules WHERE customer_id = %s AND card_id = %s AND enabled ORDER BY asset"


async def card_lost(tx: Tx, card: cards.Card, reason: str, pace: Pace) -> None:
    """A card can no longer be charged: pause the rules that use it and judge their accounts."""
    keys = [(row["customer_id"], row["asset"]) for row in await tx.all(_USING, (card.customer_id, card.card_id))]
    if not keys:
        return
    await wallets.lock(tx, keys)
    for customer_id, asset in keys:
        await pause(tx, customer_id, asset, reason)
    await rearm(tx, keys, pace)


async def judge_account(tx: Tx, customer_id: str, asset: str, pace: Pace) -> None:
    """Lock one account and judge it: when a wait has run out, or the sweep found something odd."""
    await wallets.lock(tx, [(customer_id, asset)])
    await rearm(tx, [(customer_id, asset)], pace)


_ENABLED = """
    SELECT customer_id, asset FROM rules WHERE enabled AND (customer_id, asset) > (%s, %s)
    ORDER BY customer_id, asset LIMIT %s
"""


async def enabled_after(tx: Tx, key: wallets.AccountKey, *, limit: int) -> list[wallets.AccountKey]:
    """Accounts whose rule is on, in key order, beginning after one: for the slow sweep."""
    return [(row["customer_id"], row["asset"]) for row in await tx.all(_ENABLED, (*key, limit))]


_OVERDUE = "SELECT customer_id, asset FROM rule_states WHERE wake_at <= %s ORDER BY wake_at LIMIT %s"


async def overdue_waits(tx: Tx, *, limit: int) -> list[wallets.AccountKey]:
    """Accounts whose wait has run out without a job having judged them."""
    rows = await tx.all(_OVERDUE, (await tx.now(), limit))
    return [(row["customer_id"], row["asset"]) for row in rows]
