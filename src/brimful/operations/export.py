"""Exports: the books and what belongs to them, as rows for a spreadsheet or as lines of JSON."""

import dataclasses
import datetime as dt
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Literal, LiteralString

import psycopg
import psycopg.rows

from brimful import db, ledger
from brimful.core import clock, csv, money
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx

Form = Literal["csv", "jsonl"]
_PAGE = 5000


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What to export: from `since` to before `until`, of everybody or of one customer."""

    kind: str
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    customer_id: CustomerId | None = None


# kind -> its query. The columns are its head, in this order; `at` is what since and until are compared with.
_QUERIES: dict[str, LiteralString] = {
    "customers": """
        SELECT customer_id, external_id, name, email, time_zone, locale, stripe_customer_id, created_at AS at,
            metadata
        FROM customers
    """,
    "entries": """
        SELECT e.customer_id, e.asset, e.seq, 'ent_' || encode(substr(e.mac, 2), 'hex') AS entry_id, e.kind, e.amount,
            e.balance_after, e.source, e.key, e.payment_id, e.money_minor, e.currency,
            coalesce(e.occurred_at, e.recorded_at) AS occurred_at, e.recorded_at AS at, e.lot_seq, e.purpose,
            e.priority, e.effective_at, e.expires_at, n.description, n.subject, n.dimensions
        FROM entries AS e
        LEFT JOIN entry_notes AS n ON n.customer_id = e.customer_id AND n.asset = e.asset AND n.seq = e.seq
    """,
    "top-ups": """
        SELECT customer_id, top_up_id, asset, kind, state, reason, currency, amount_minor, units, rate, rate_per,
            cut, asked, card_id, consent_id, tries, needs_review, requested_at AS at, confirmed_at, ended_at
        FROM top_ups
    """,
    "payments": """
        SELECT customer_id, payment_id, top_up_id, kind, presence, state, card_id, currency, amount_minor,
            stripe_intent_id, stripe_session_id, error_code, decline_code, advice_code, created_at AS at,
            confirm_sent_at, closed_at
        FROM payments
    """,
    "refunds": """
        SELECT customer_id, refund_id, payment_id, stripe_refund_id, amount_minor, currency, state, reason, actor,
            created_at AS at, closed_at
        FROM refunds
    """,
    "disputes": """
        SELECT customer_id, dispute_id, payment_id, amount_minor, currency, status, reason, opened_at AS at, closed_at
        FROM disputes
    """,
    "consents": """
        SELECT c.customer_id, c.consent_id, c.kind, c.action, c.withdraws, c.asset, c.card_id, c.currency, c.threshold,
            c.threshold_low, c.amount_minor, c.charge_max_minor, c.target, c.lasts_days, c.limit_minor,
            c.day_limit_minor, c.exposure_day_minor, c.rate, c.rate_per, c.backup_card_id, c.ask_above_minor,
            c.ask_after, c.brake, c.promotional_counts, c.terms_version, c.locale, c.recorded_at AS at,
            e.rendered, e.address, e.agent
        FROM consents AS c
        LEFT JOIN consent_evidence AS e ON e.customer_id = c.customer_id AND e.consent_id = c.consent_id
    """,
    "budgets": """
        SELECT customer_id, budget_id, asset, tag, name, span, amount, hard, ancestors, set_by, created_at AS at,
            ended_at
        FROM budgets
    """,
    "spend": """
        SELECT customer_id, asset, day, tag, used, day::timestamp AT TIME ZONE 'UTC' AS at FROM spend_days
    """,
    "audit": "SELECT audit_id, at, actor, action, customer_id, before, after FROM audit",
}
KINDS = (*_QUERIES, "credits")
_NARROWED: LiteralString = """
    WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
        AND (%(customer_id)s::uuid IS NULL OR customer_id = %(customer_id)s)
"""
# Entries of one batch share their moment: an account's must come in the order of its chain all the same.
_ORDERS: dict[str, LiteralString] = {
    "customers": "at, customer_id", "entries": "at, customer_id, asset, seq", "top-ups": "at, top_up_id",
    "payments": "at, payment_id", "refunds": "at, refund_id", "disputes": "at, dispute_id",
    "consents": "at, consent_id", "audit": "audit_id", "budgets": "at, customer_id, budget_id",
    "spend": "day, customer_id, asset, tag",
}  # fmt: skip


async def lines(url: str, wanted: Wanted, form: Form) -> AsyncIterator[str]:
    """Every row as a line, of one snapshot, never all in memory. CSV begins with the names of its columns.

    Runs under the owner's role, which may read the evidence of consents.
    """
    async with await psycopg.AsyncConnection.connect(
        db.pool.role_conninfo(url, "brimful_owner"), row_factory=psycopg.rows.dict_row, context=db.columns.ADAPTERS
    ) as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # the reader may be slow
        if wanted.kind == "credits":
            async for line in _credits(connection, wanted, form):
                yield line
            return
        async with connection.cursor(name="export") as cursor:
            cursor.itersize = _PAGE
            kind = wanted.kind
            query: LiteralString = f"SELECT * FROM ({_QUERIES[kind]}) AS it {_NARROWED} ORDER BY {_ORDERS[kind]}"
            values = {"since": wanted.since, "until": wanted.until, "customer_id": wanted.customer_id}
            await cursor.execute(query, values)
            if form == "csv":
                yield csv.csv_row([column.name for column in cursor.description or ()])
            async for row in cursor:
                yield _line(row, form)


_ACCOUNTS = """
    SELECT a.customer_id, c.external_id, c.name, a.asset, a.seq FROM accounts AS a
    JOIN customers AS c ON c.customer_id = a.customer_id
    WHERE (%(customer_id)s::uuid IS NULL OR a.customer_id = %(customer_id)s) ORDER BY a.customer_id, a.asset
"""


async def _credits(
    connection: psycopg.AsyncConnection[dict[str, Any]], wanted: Wanted, form: Form
) -> AsyncIterator[str]:
    """What is left of each credit now, in a form that `brimful import` takes with a new batch."""
    names = ("external_id", "name", "asset", "balance", "credit", "purpose", "effective_at", "expires_at")
    if form == "csv":
        yield csv.csv_row(names)
    tx = Tx(connection, clock.Clock(), begun=True)
    for account in await tx.all(_ACCOUNTS, {"customer_id": wanted.customer_id}):
        key = account["customer_id"], account["asset"]
        for lot in await ledger.lot_store.read(tx, None, key, account["seq"]):
            purpose = "promotional" if lot.purpose == "bonus" else lot.purpose
            row = {
                "external_id": account["external_id"] or account["customer_id"], "name": account["name"],
                "asset": account["asset"], "balance": lot.left, "credit": str(lot.seq), "purpose": purpose,
                "effective_at": lot.effective_at, "expires_at": lot.expires_at,
            }  # fmt: skip
            yield _line(row, form)


def _line(row: dict[str, Any], form: Form) -> str:
    if form == "jsonl":
        return json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False) + "\n"
    return csv.csv_row(_text(_plain(value)) for value in row.values())


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return money.text(value)
    if isinstance(value, dt.datetime):
        return clock.rfc3339(value)
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
