"""Verification: the invariants that a database can show, each as a check that can fail.

I6, I7 and I11 need somebody who remembers what was acknowledged: the demo and the tests show those. I13 is
held by lint and by how time is read (`tx.now`).
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
import psycopg.rows

from brimful.db.pool import role_conninfo
from brimful.ledger import Keyring
from brimful.ledger.chain import message

__all__ = ["Finding", "run"]

Connection = psycopg.AsyncConnection[dict[str, Any]]
_PAGE = 5000


@dataclasses.dataclass(frozen=True)
class Finding:
    """One invariant, and what was found."""

    id: str
    ok: bool
    detail: str

    def shown(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


async def run(url: str, keys: Mapping[int, bytes]) -> list[Finding]:
    """Check everything, in one snapshot of the database."""
    async with await psycopg.AsyncConnection.connect(
        role_conninfo(url, "brimful_engine"), row_factory=psycopg.rows.dict_row
    ) as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.execute("SET LOCAL statement_timeout = 0")
        findings = [await _chain(connection, Keyring(keys))]
        for name, check in _CHECKS:
            findings.append(Finding(name, *await check(connection)))
        return findings


# --- I1: the chain --------------------------------------------------------------------------------------

_ENTRIES = """
    SELECT customer_id, asset, seq, entry_id, kind, amount, balance_after, source, key, payment_id, money_minor,
        currency, occurred_at, recorded_at, mac
    FROM entries ORDER BY customer_id, asset, seq
"""
_FIELDS = (
    "customer_id", "asset", "seq", "entry_id", "kind", "amount", "balance_after", "source", "key", "payment_id",
    "money_minor", "currency", "occurred_at", "recorded_at",
)  # fmt: skip


async def _chain(connection: Connection, keyring: Keyring) -> Finding:
    """Every account's entries in order: no gap, each balance the sum so far, each mac genuine, the end as the account
    has it.
    """
    ends = await _account_ends(connection)
    count, last, tail = 0, ("", ""), (0, Decimal(0), b"")
    async with connection.cursor(name="entries") as cursor:
        cursor.itersize = _PAGE
        await cursor.execute(_ENTRIES)
        async for row in cursor:
            key = row["customer_id"], row["asset"]
            if key != last:
                if last[0] and tail != ends.pop(last, None):
                    return Finding("I1", ok=False, detail=f"{last} does not end as its account says")
                last, tail = key, (0, Decimal(0), b"")
            wrong = _break(row, tail, keyring)
            if wrong is not None:
                return Finding("I1", ok=False, detail=f"entry {row['entry_id']} of {key}: {wrong}")
            tail = row["seq"], row["balance_after"], bytes(row["mac"])
            count += 1
    if last[0] and tail != ends.pop(last, None):
        return Finding("I1", ok=False, detail=f"{last} does not end as its account says")
    odd = [key for key, end in ends.items() if end != (0, Decimal(0), b"")]
    if odd:
        return Finding("I1", ok=False, detail=f"{odd[0]} has a balance without entries")
    return Finding("I1", ok=True, detail=f"{count} entries: balances, sequence and macs hold")


async def _account_ends(connection: Connection) -> dict[tuple[str, str], tuple[int, Decimal, bytes]]:
    cursor = await connection.execute("SELECT customer_id, asset, seq, balance, mac FROM accounts")
    return {(row["customer_id"], row["asset"]): (row["seq"], row["balance"], bytes(row["mac"])) async for row in cursor}


def _break(row: Mapping[str, Any], tail: tuple[int, Decimal, bytes], keyring: Keyring) -> str | None:
    if row["seq"] != tail[0] + 1:
        return f"an entry is missing or added: {row['seq']} follows {tail[0]}"
    if row["balance_after"] != tail[1] + row["amount"]:
        return "its balance is not the sum of the entries"
    if not keyring.recognises(bytes(row["mac"]), tail[2], message(**{name: row[name] for name in _FIELDS})):
        return "it was changed after it was written"
    return None


# --- The others, each a query for what must not be ---------------------------------------------------------

_I2 = """
    WITH taken AS (
        SELECT currency, sum(amount_minor) AS minor FROM payments WHERE state = 'succeeded' GROUP BY currency
    ), credited AS (
        SELECT currency, sum(money_minor) FILTER (WHERE kind = 'top_up') AS minor FROM entries
        WHERE currency IS NOT NULL GROUP BY currency
    )
    SELECT currency, coalesce(taken.minor, 0) AS taken, coalesce(credited.minor, 0) AS credited
    FROM taken FULL JOIN credited USING (currency)
    WHERE coalesce(taken.minor, 0) <> coalesce(credited.minor, 0)
"""
_I3 = """
    SELECT customer_id, asset FROM top_ups WHERE kind = 'automatic' AND ended_at IS NULL
    GROUP BY customer_id, asset HAVING count(*) > 1
"""
_I4 = """
    SELECT p.customer_id, p.payment_id, count(e.seq) AS credits
    FROM payments AS p
    LEFT JOIN entries AS e ON e.customer_id = p.customer_id AND e.payment_id = p.payment_id AND e.kind = 'top_up'
    GROUP BY p.customer_id, p.payment_id, p.state
    HAVING count(e.seq) <> CASE p.state WHEN 'succeeded' THEN 1 ELSE 0 END
"""
_I5 = """
    SELECT customer_id, top_up_id FROM payments WHERE state = 'succeeded'
    GROUP BY customer_id, top_up_id HAVING count(*) > 1
"""
_I8 = """
    SELECT t.customer_id, t.top_up_id
    FROM top_ups AS t
    JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
    WHERE t.kind = 'automatic' AND t.confirmed_at IS NOT NULL
        AND (t.state NOT IN ('failed', 'canceled') OR t.balance_after IS NOT NULL)
        AND c.limit_minor < (
            SELECT sum(o.amount_minor) FROM top_ups AS o
            WHERE o.customer_id = t.customer_id AND o.asset = t.asset AND o.kind = 'automatic'
                AND o.limit_month = t.limit_month AND o.confirmed_at <= t.confirmed_at
                AND (o.state NOT IN ('failed', 'canceled') OR o.balance_after IS NOT NULL)
        )
"""
_I9 = """
    SELECT p.customer_id, p.payment_id
    FROM payments AS p
    JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
    LEFT JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id AND c.action = 'given'
        AND c.kind = 'auto_top_up' AND c.asset = t.asset
    LEFT JOIN consents AS w ON w.customer_id = c.customer_id AND w.withdraws = c.consent_id
    WHERE t.kind = 'automatic' AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL
        AND (c.consent_id IS NULL OR c.recorded_at > p.confirm_sent_at OR w.recorded_at < p.confirm_sent_at)
"""
_I10 = """
    SELECT p.customer_id, p.payment_id
    FROM payments AS p
    JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
    JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
    WHERE t.kind = 'automatic' AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL
        AND (p.card_id, p.amount_minor, p.currency) IS DISTINCT FROM (c.card_id, c.amount_minor, c.currency)
"""
# A rule that is on, below its line, with neither a live top-up nor a reason; an account that is armed otherwise than
# its rule and the engine's reason say; or a top-up nobody looks after.
_I12 = """
    SELECT r.customer_id, r.asset AS thing
    FROM rules AS r
    JOIN accounts AS a ON a.customer_id = r.customer_id AND a.asset = r.asset
    JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
    WHERE r.enabled AND a.balance < r.threshold AND s.reason IN ('armed', 'off', 'triggered', 'in_flight')
        AND NOT EXISTS (
            SELECT FROM top_ups AS t
            WHERE t.customer_id = r.customer_id AND t.asset = r.asset AND t.kind = 'automatic' AND t.ended_at IS NULL)
    UNION ALL
    SELECT a.customer_id, a.asset
    FROM accounts AS a
    LEFT JOIN rules AS r ON r.customer_id = a.customer_id AND r.asset = a.asset
    LEFT JOIN rule_states AS s ON s.customer_id = a.customer_id AND s.asset = a.asset
    LEFT JOIN top_ups AS t ON t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic'
        AND t.ended_at IS NULL
    WHERE a.armed_below IS DISTINCT FROM
        CASE WHEN r.enabled AND s.paused_at IS NULL AND s.reason = 'armed' AND t.top_up_id IS NULL THEN r.threshold END
    UNION ALL
    SELECT customer_id, top_up_id FROM top_ups
    WHERE ended_at IS NULL AND coalesce(wake_at, requested_at) < clock_timestamp() - interval '15 minutes'
"""


def _none(sql: LiteralString, good: str) -> Callable[[Connection], Awaitable[tuple[bool, str]]]:
    """A check that holds when the query finds nothing."""

    async def check(connection: Connection) -> tuple[bool, str]:
        rows = await (await connection.execute(sql)).fetchall()
        return (True, good) if not rows else (False, f"{len(rows)} wrong, first: {rows[0]}")

    return check


_CHECKS: tuple[tuple[str, Callable[[Connection], Awaitable[tuple[bool, str]]]], ...] = (
    ("I2", _none(_I2, "money taken equals money credited, per currency")),
    ("I3", _none(_I3, "no account has two live automatic top-ups")),
    ("I4", _none(_I4, "each succeeded payment is credited once, no other is")),
    ("I5", _none(_I5, "no top-up was paid twice")),
    ("I8", _none(_I8, "no monthly limit was exceeded")),
    ("I9", _none(_I9, "every automatic charge had a valid consent")),
    ("I10", _none(_I10, "every automatic charge was of the consented card and amount")),
    ("I12", _none(_I12, "every account below its line has a live top-up or a reason")),
)
