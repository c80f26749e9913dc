"""Evaluate accounts in the transaction that changed them, and set the trigger of the hot path.

`reevaluate` is called under the accounts' locks in every transaction that starts or ends a top-up, credits,
saves a rule, pauses, or blocks or removes a card; a debit calls it when it crosses `trigger_below`. It
derives everything from the rows, so one call more never does harm.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from brimful import grants, jobs, leases, ledger, suspensions, top_ups
from brimful.auto_top_up import coming, facts, policy, thresholds
from brimful.auto_top_up.facts import RuleStatus
from brimful.auto_top_up.policy import Judgement, Pace, Reason
from brimful.core import clock, money
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.notifications import balance_alerts, events
from brimful.notifications.events import Topic

LIMIT_NEAR_PERCENT = 80  # of the month's limit


async def reevaluate(tx: Tx, keys: Iterable[ledger.accounts.AccountKey], pace: Pace) -> None:
    """Evaluate these accounts and write what follows: `trigger_below`, reasons, waits, top-ups and their jobs.

    The caller holds the accounts' locks. Balance alerts are evaluated as well, and leases, because every change of a
    balance passes here. Accounts without a rule are left alone.
    """
    keys = list(keys)
    await balance_alerts.evaluate(tx, keys)
    await _apply_rules(tx, keys, pace)
    await _evaluate_leases(tx, keys, pace)


async def _evaluate_leases(tx: Tx, keys: Sequence[ledger.accounts.AccountKey], pace: Pace) -> None:
    """The leases of these accounts, now that it is known whether a top-up comes."""
    open_leases = await leases.store.open_on(tx, keys) if keys else []
    if open_leases:
        suspended = await tx.ask(suspensions.store.SUSPENDED)
        accounts = {(lease.customer_id, lease.asset) for lease, _ in open_leases}
        comes = await coming.read(tx, accounts, pace, suspended=suspended)
        await leases.evaluate.evaluate(tx, open_leases, comes, suspended=suspended)


async def _apply_rules(tx: Tx, keys: Sequence[ledger.accounts.AccountKey], pace: Pace) -> None:
    statuses = await facts.read_facts(tx, keys)
    if not statuses:
        return
    if await _end_superseded(tx, statuses):
        statuses = await facts.read_facts(tx, [status.key for status in statuses])
    statuses = await facts.with_use(tx, statuses)
    now = await tx.now()
    evaluated = [(status, _keep_wait(status, policy.evaluate(status.facts, pace, now), now)) for status in statuses]
    await ledger.accounts.set_triggers(tx, [(status.key, verdict.trigger_below) for status, verdict in evaluated])
    await _save_reasons(tx, evaluated)
    await _request(tx, evaluated)


def _keep_wait(status: RuleStatus, verdict: Judgement, now: dt.datetime) -> Judgement:
    """Keep a wait that stands: another evaluation must not defer another job."""
    same = status.reason == verdict.reason.value and verdict.wake_at is not None
    if same and status.wake_at is not None and now < status.wake_at < verdict.wake_at:  # type: ignore[operator]
        return dataclasses.replace(verdict, wake_at=status.wake_at)
    return verdict


async def _end_superseded(tx: Tx, statuses: Sequence[RuleStatus]) -> bool:
    """Cancel top-ups that only wait when the need, the rule or the card behind them is gone."""
    ended = False
    for status in statuses:
        if not status.facts.live:
            continue
        top_up = await top_ups.store.live_by_account(tx, *status.key)
        if top_up is None or top_up.state not in top_ups.model.WAITING_STATES or top_up.rule_version is None:
            continue
        reason = policy.superseded(status.facts, top_up.rule_version)
        if reason is None and top_up.state == "action_required" and top_up.card_id != status.card_id:
            reason = Reason.CARD_UNAVAILABLE  # its card was lost while it waited: the other one is asked about
        if reason is not None:
            await top_ups.request.cancel_waiting(tx, top_up, reason.value)
            ended = True
    return ended


_KEEP = """
    UPDATE rule_states AS s SET reason = new.reason, wake_at = new.wake_at,
        reason_at = CASE WHEN s.reason = new.reason THEN s.reason_at ELSE %(now)s END
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(reasons)s::text[], %(wakes)s::timestamptz[])
        AS new (customer_id, asset, reason, wake_at)
    WHERE s.customer_id = new.customer_id AND s.asset = new.asset AND s.customer_id = ANY(%(customers)s)
        AND (s.reason, s.wake_at) IS DISTINCT FROM (new.reason, new.wake_at)
"""


async def _save_reasons(tx: Tx, evaluated: Sequence[tuple[RuleStatus, Judgement]]) -> None:
    changed = [(s, j) for s, j in evaluated if (s.reason, s.wake_at) != (j.reason.value, j.wake_at)]
    if not changed:
        return
    await tx.execute(
        _KEEP,
        {
            "now": await tx.now(),
            "customers": [status.customer_id for status, _ in changed],
            "assets": [status.asset for status, _ in changed],
            "reasons": [verdict.reason.value for _, verdict in changed],
            "wakes": [verdict.wake_at for _, verdict in changed],
        },
    )
    for status, verdict in changed:
        if verdict.wake_at is not None:
            arguments = {"customer_id": status.customer_id, "asset": status.asset}
            await jobs.defer(tx, jobs.Name.EVALUATE, [arguments], at=verdict.wake_at)
        if status.reason != verdict.reason.value:
            await _announce(tx, status, verdict)


_SILENT = {
    Reason.ARMED,
    Reason.OFF,
    Reason.IN_FLIGHT,
    Reason.PAUSED,
    Reason.TRIGGERED,
}  # announced by events of their own


async def _announce(tx: Tx, status: RuleStatus, verdict: Judgement) -> None:
    """Announce a reason when it changes, not per debit."""
    if verdict.reason in _SILENT:
        return
    data: dict[str, Any] = {"asset": status.asset, "reason": verdict.reason.value}
    if verdict.wake_at is not None:
        data["until"] = clock.rfc3339(verdict.wake_at)
    topic = Topic.AUTO_TOP_UP_SKIPPED
    if verdict.reason in {Reason.LIMIT_REACHED, Reason.DAY_LIMIT_REACHED}:
        topic = Topic.AUTO_TOP_UP_LIMIT_REACHED
        spent, limit = status.facts.spent_minor, status.facts.limit_minor
        if verdict.reason is Reason.DAY_LIMIT_REACHED and status.facts.day_limit_minor is not None:
            spent, limit = sum(minor for _, minor in status.facts.day), status.facts.day_limit_minor
        data |= _used(spent, limit, status.facts.currency)
    await events.emit(tx, topic, status.customer_id, data)


def _used(spent_minor: int, limit_minor: int, currency: str) -> dict[str, Any]:
    spent, limit = (money.major_text(minor, currency) for minor in (spent_minor, limit_minor))
    return {"spent": spent, "limit": limit, "currency": currency}


async def _request(tx: Tx, evaluated: Sequence[tuple[RuleStatus, Judgement]]) -> None:
    wishes = []
    for status, verdict in evaluated:
        if verdict.charge is None:
            continue
        facts = status.facts
        assert facts.rate is not None
        bonus = await grants.offers.bonus_for(
            tx, status.asset, facts.scale, facts.currency, verdict.charge.amount_minor, verdict.charge.units
        )
        wishes.append(
            top_ups.request.AutomaticWish(
                status.customer_id, status.asset, facts.currency, verdict.charge.amount_minor, verdict.charge.units,
                facts.rate, verdict.charge.cut, status.card_id, status.consent_id, facts.version,
                None if verdict.ask is None else verdict.ask.value, bonus,
            )
        )  # fmt: skip
    made = await top_ups.request.request_automatic(tx, wishes)
    announced = [(top_up.customer_id, top_ups.model.described(top_up)) for top_up in made.values()]
    await events.emit_each(tx, Topic.AUTO_TOP_UP_TRIGGERED, announced)
    for status, _ in evaluated:
        top_up = made.get(status.key)
        if top_up is not None and top_up.asked is not None:
            await _ask(tx, status.facts, top_up)


async def _ask(tx: Tx, facts: policy.Facts, top_up: top_ups.model.TopUp) -> None:
    """Ask the customer for their approval; use that is unusual is announced by itself too, for those who watch keys."""
    assert top_up.expires_at is not None
    data = {**top_ups.model.described(top_up), "expires_at": clock.rfc3339(top_up.expires_at)}
    await events.emit(tx, Topic.AUTO_TOP_UP_APPROVAL_NEEDED, top_up.customer_id, data)
    if top_up.asked == policy.Ask.UNUSUAL_USE.value:
        figures = {"used_last_hour": money.text(facts.last_hour), "highest_hour": money.text(facts.past.highest_hour)}
        data = {"asset": top_up.asset, "top_up_id": top_up.top_up_id, **figures}
        await events.emit(tx, Topic.AUTO_TOP_UP_UNUSUAL_USE, top_up.customer_id, data)


async def announce_limit_near(tx: Tx, key: ledger.accounts.AccountKey, amount_minor: int) -> None:
    """Announce once, with the payment that crosses it, that most of the month's limit is used."""
    for status in await facts.read_facts(tx, [key]):
        spent, limit = status.facts.spent_minor, status.facts.limit_minor
        near = limit * LIMIT_NEAR_PERCENT
        if (spent - amount_minor) * 100 < near <= spent * 100:
            data = {"asset": status.asset, **_used(spent, limit, status.facts.currency)}
            await events.emit(tx, Topic.AUTO_TOP_UP_LIMIT_NEAR, status.customer_id, data)


async def evaluate_account(tx: Tx, customer_id: CustomerId, asset: str, pace: Pace) -> None:
    """Lock one account and evaluate it: when a wait has run out, or the sweep found an inconsistency."""
    await ledger.accounts.lock(tx, [(customer_id, asset)])
    await reevaluate(tx, [(customer_id, asset)], pace)


async def follow_account(tx: Tx, customer_id: CustomerId, asset: str, pace: Pace) -> None:
    """The same, with its threshold re-derived first: each hour, for rules that follow their account's use."""
    await ledger.accounts.lock(tx, [(customer_id, asset)])
    await thresholds.follow(tx, [(customer_id, asset)], "hour")
    await reevaluate(tx, [(customer_id, asset)], pace)


_ENABLED = """
    SELECT customer_id, asset FROM rules WHERE enabled AND (customer_id, asset) > (%s, %s)
    ORDER BY customer_id, asset LIMIT %s
"""


async def enabled_after(tx: Tx, key: ledger.accounts.AccountKey, *, limit: int) -> list[ledger.accounts.AccountKey]:
    """Accounts whose rule is on, in key order, beginning after one: for the slow sweep."""
    return [(row["customer_id"], row["asset"]) for row in await tx.all(_ENABLED, (*key, limit))]


_OVERDUE = "SELECT customer_id, asset FROM rule_states WHERE wake_at <= %s ORDER BY wake_at LIMIT %s"


async def overdue_waits(tx: Tx, *, limit: int) -> list[ledger.accounts.AccountKey]:
    """Accounts whose wait has run out and that no job has evaluated."""
    rows = await tx.all(_OVERDUE, (await tx.now(), limit))
    return [(row["customer_id"], row["asset"]) for row in rows]
