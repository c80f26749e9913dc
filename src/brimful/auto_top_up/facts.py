"""The facts about an account's rule, read under the account's lock."""

import dataclasses
import datetime as dt
import decimal
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from brimful import ledger
from brimful.auto_top_up import brake, charges
from brimful.auto_top_up.policy import Facts
from brimful.core import clock, money
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx
from brimful.ledger.accounts import AccountKey

_HOUR = dt.timedelta(hours=1)
_FINEST = Decimal(1).scaleb(-12)


@dataclasses.dataclass(frozen=True)
class RuleStatus:
    """An account with a rule: the facts for the policy, and what acting on its judgement needs."""

    customer_id: CustomerId
    asset: str
    facts: Facts
    card_id: str
    consent_id: str
    reason: str
    wake_at: dt.datetime | None

    @property
    def key(self) -> AccountKey:
        return self.customer_id, self.asset


# A distributed database asks one node when each table says whose rows it wants: a join says nothing of the other's.
_FACTS = """
    SELECT a.customer_id, a.asset, a.seq, a.balance - a.held AS available, r.promotional_counts,
        s.scale, s.kind = 'currency' AS is_currency,
        r.enabled, r.version, st.threshold, r.currency, r.amount_minor, r.limit_minor, r.charge_max_minor, r.target,
        r.lasts_days, r.ask_above_minor, r.ask_after, coalesce(r.brake, false) AS brake,
        r.least_minor,
        CASE WHEN c.state <> 'active' AND b.state = 'active' THEN b.card_id ELSE c.card_id END AS card_id, r.consent_id,
        least(r.day_limit_minor, k.exposure_day_minor) AS day_limit_minor,
        st.pause_reason AS paused, st.not_before, st.reason, st.wake_at,
        c.state = 'active' OR coalesce(b.state = 'active', false) AS card_usable,
        EXISTS (
            SELECT FROM consents AS g
            WHERE g.customer_id = ANY(%(customers)s) AND g.customer_id = a.customer_id
                AND g.consent_id = r.consent_id AND g.kind = 'auto_top_up' AND g.action = 'given' AND g.asset = r.asset
                AND g.card_id = r.card_id AND g.currency = r.currency AND g.threshold = r.threshold
                AND g.amount_minor = r.amount_minor AND g.limit_minor = r.limit_minor
                AND (g.charge_max_minor, g.target, g.day_limit_minor, g.rate, g.rate_per, g.lasts_days,
                        g.ask_above_minor, g.ask_after, g.brake, g.threshold_low, g.backup_card_id,
                        g.promotional_counts)
                    IS NOT DISTINCT FROM (r.charge_max_minor, r.target, r.day_limit_minor, r.rate, r.rate_per,
                        r.lasts_days, r.ask_above_minor, r.ask_after, r.brake, r.threshold_low,
                        r.backup_card_id, r.promotional_counts)
                AND NOT EXISTS (
                    SELECT FROM consents AS w
                    WHERE w.customer_id = ANY(%(customers)s) AND w.customer_id = a.customer_id
                        AND w.withdraws = g.consent_id)
        ) AS consent_stands,
        p.rate, p.rate_per, r.rate AS agreed_rate, r.rate_per AS agreed_per,
        (
            SELECT coalesce(sum(t.amount_minor), 0) FROM top_ups AS t
            WHERE t.customer_id = ANY(%(customers)s) AND t.customer_id = a.customer_id AND t.asset = a.asset
                AND t.kind = 'automatic' AND t.currency = r.currency AND t.limit_month = %(month)s
                AND t.top_up_id <> %(without)s
                AND (t.state NOT IN ('failed', 'canceled') OR t.balance_after IS NOT NULL)
        )::bigint AS spent_minor,
        (
            SELECT coalesce(array_agg(t.requested_at ORDER BY t.requested_at), '{}') FROM top_ups AS t
            WHERE t.customer_id = ANY(%(customers)s) AND t.customer_id = a.customer_id AND t.asset = a.asset
                AND t.kind = 'automatic' AND t.requested_at > %(hour_ago)s
        ) AS recent,
        coalesce(d.moments, '{}') AS day_moments, coalesce(d.amounts, '{}') AS day_amounts,
        coalesce(d.unasked, 0) AS day_unasked, coalesce(d.approved_unusual, false) AS approved_unusual,
        (
            SELECT CASE WHEN NOT t.cut AND coalesce(t.available_after, t.balance_after) < st.threshold
                THEN t.requested_at END
            FROM top_ups AS t
            WHERE t.customer_id = ANY(%(customers)s) AND t.customer_id = a.customer_id AND t.asset = a.asset
                AND t.kind = 'automatic'
            ORDER BY t.requested_at DESC LIMIT 1
        ) AS left_below_at,
        EXISTS (
            SELECT FROM top_ups AS t
            WHERE t.customer_id = ANY(%(customers)s) AND t.customer_id = a.customer_id AND t.asset = a.asset
                AND t.kind = 'automatic' AND t.ended_at IS NULL AND t.top_up_id <> %(without)s
        ) AS live
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[]) AS wanted (customer_id, asset)
    JOIN accounts AS a ON a.customer_id = wanted.customer_id AND a.asset = wanted.asset
    JOIN rules AS r ON r.customer_id = a.customer_id AND r.asset = a.asset
    JOIN rule_states AS st ON st.customer_id = a.customer_id AND st.asset = a.asset
    JOIN consents AS k ON k.customer_id = a.customer_id AND k.consent_id = r.consent_id
    JOIN cards AS c ON c.customer_id = a.customer_id AND c.card_id = r.card_id
    LEFT JOIN cards AS b ON b.customer_id = ANY(%(customers)s) AND b.customer_id = a.customer_id
        AND b.card_id = r.backup_card_id
    JOIN assets AS s ON s.code = a.asset
    LEFT JOIN rates AS p ON p.asset = a.asset AND p.currency = r.currency AND p.valid_from <= %(now)s
        AND (p.valid_to IS NULL OR p.valid_to > %(now)s)
    LEFT JOIN LATERAL (
        SELECT array_agg(one.at ORDER BY one.at, one.amount_minor) AS moments,
            array_agg(one.amount_minor ORDER BY one.at, one.amount_minor) AS amounts,
            count(*) FILTER (WHERE one.asked IS NULL) AS unasked,
            bool_or(one.asked = 'unusual_use' AND one.balance_after IS NOT NULL) AS approved_unusual
        FROM (
            SELECT coalesce(t.confirmed_at, t.requested_at) AS at, t.amount_minor, t.asked, t.balance_after
            FROM top_ups AS t
            WHERE t.customer_id = ANY(%(customers)s) AND t.customer_id = a.customer_id AND t.asset = a.asset
                AND t.kind = 'automatic' AND t.currency = r.currency AND t.top_up_id <> %(without)s
                AND (t.state NOT IN ('failed', 'canceled') OR t.balance_after IS NOT NULL)
        ) AS one
        WHERE one.at > %(day_ago)s
    ) AS d ON true
    WHERE a.customer_id = ANY(%(customers)s) AND r.customer_id = ANY(%(customers)s)
        AND st.customer_id = ANY(%(customers)s) AND k.customer_id = ANY(%(customers)s)
        AND c.customer_id = ANY(%(customers)s)
"""


async def read_facts(tx: Tx, keys: Iterable[AccountKey], *, without: str = "") -> list[RuleStatus]:
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
            "day_ago": now - charges.DAY,
            "without": without,
        },
    )
    return [_status(row, await _promotional(tx, row)) for row in rows]


async def _promotional(tx: Tx, row: Row) -> Decimal:
    """What is left of promotional credit, for a rule that does not count it."""
    if row["promotional_counts"] is not False:
        return Decimal(0)
    return await promotional_of(tx, (row["customer_id"], row["asset"]), row["seq"])


async def promotional_of(tx: Tx, key: AccountKey, seq: int) -> Decimal:
    """What is left of an account's promotional credit after the entry `seq`."""
    return (await ledger.lot_store.read(tx, None, key, seq)).left_for("promotional")


async def with_use(tx: Tx, statuses: Sequence[RuleStatus]) -> list[RuleStatus]:
    """The same with what each account uses, for those whose rule needs it to say how much, or whether to ask first."""
    return [
        dataclasses.replace(status, facts=await use_of(tx, status.key, status.facts))
        if _needs_use(status.facts)
        else status
        for status in statuses
    ]


def _needs_use(facts: Facts) -> bool:
    wanted = facts.lasts_days is not None or (facts.brake and not facts.approved_unusual)
    return wanted and facts.enabled and facts.below and not facts.live


async def use_of(tx: Tx, key: AccountKey, facts: Facts) -> Facts:
    """The same facts with what the account uses."""
    account = await ledger.accounts.get(tx, *key)
    if account is None:
        return facts
    use = await read_use(tx, account)
    return dataclasses.replace(facts, used_per_day=use.per_day, last_hour=use.last_hour, past=use.past)


@dataclasses.dataclass(frozen=True)
class Use:
    """What an account uses, in the asset: in a day, in the last hour, and its past."""

    per_day: Decimal
    last_hour: Decimal
    past: brake.Past


async def read_use(tx: Tx, account: ledger.accounts.Account) -> Use:
    """Lately from the account's chain, before that from its hours. A day is the average one of the last 30, of which
    there has been at least one.
    """
    now, lately = await tx.now(), await ledger.runway.read(tx, account)
    hours = await ledger.usage_hours.read(tx, account.key, *brake.begins(now))
    past = brake.past_of(hours)
    used = lately.usual_hour * 24 + sum(one.used for one in hours if one.hour + _HOUR <= now - charges.DAY)
    days = max(Fraction(0 if past.first is None else int((now - past.first).total_seconds()), 86_400), Fraction(1))
    per_day = (used * days.denominator / days.numerator).quantize(_FINEST, rounding=decimal.ROUND_HALF_EVEN)
    return Use(per_day, lately.last_hour, past)


def _status(row: Row, promotional: Decimal) -> RuleStatus:
    rate = None if row["rate"] is None else money.rate_of(row["rate"], row["rate_per"])
    if row["is_currency"]:
        rate = money.ONE if row["asset"] == row["currency"] else None
    facts = Facts(
        available=row["available"] - promotional,
        promotional=promotional,
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
        charge_max_minor=row["charge_max_minor"] or row["amount_minor"],
        target=row["target"],
        least_minor=max(money.least_minor(row["currency"]), row["least_minor"] or 0),
        day_limit_minor=row["day_limit_minor"],
        agreed_rate=None if row["agreed_rate"] is None else money.rate_of(row["agreed_rate"], row["agreed_per"]),
        day=tuple(zip(row["day_moments"], row["day_amounts"], strict=True)),
        lasts_days=row["lasts_days"],
        ask_above_minor=row["ask_above_minor"],
        ask_after=row["ask_after"],
        day_unasked=row["day_unasked"],
        brake=row["brake"],
        approved_unusual=row["approved_unusual"],
    )
    return RuleStatus(
        row["customer_id"], row["asset"], facts, row["card_id"], row["consent_id"], row["reason"], row["wake_at"]
    )
