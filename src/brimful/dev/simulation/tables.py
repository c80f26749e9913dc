"""Tables in memory with the schema's own rules, and transactions that can be taken back.

Rows are dicts that are replaced, never changed. The unique indexes and checks that the product leans on are
enforced here as PostgreSQL enforces them; a test runs the same histories on both.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import psycopg.errors

from brimful.core.ids import CustomerId
from brimful.top_ups.model import END_STATES

Row = dict[str, Any]
Key = tuple[Any, ...]
_KEYS = {
    "customers": ("customer_id",),
    "accounts": ("customer_id", "asset"),
    "entries": ("customer_id", "asset", "seq"),
    "cards": ("customer_id", "card_id"),
    "consents": ("customer_id", "consent_id"),
    "rules": ("customer_id", "asset"),
    "rule_states": ("customer_id", "asset"),
    "top_ups": ("customer_id", "top_up_id"),
    "payments": ("customer_id", "payment_id"),
    "refunds": ("customer_id", "refund_id"),
    "disputes": ("customer_id", "dispute_id"),
    "assets": ("code",),
    "rates": ("asset", "currency", "valid_from"),
    "aliases": ("kind", "value"),
    "card_tries": ("payment_id",),
    "stripe_events": ("event_id",),
    "outgoing_events": ("event_id",),
    "suspensions": ("kind",),
    "usage_hours": ("customer_id", "asset", "hour"),
    "threshold_changes": ("customer_id", "asset", "changed_at"),
    "credit_times": (),
    "lot_checkpoints": ("customer_id", "asset", "seq"),
    "scheduled_credits": ("customer_id", "key"),
    "holds": ("customer_id", "hold_id"),
    "offers": ("asset", "version", "place"),
    "entry_notes": ("customer_id", "asset", "seq"),
    "budgets": ("customer_id", "budget_id"),
    "budget_counters": ("customer_id", "asset", "bundle"),
    "budget_windows": ("customer_id", "budget_id", "ends_at"),
    "leases": ("customer_id", "hold_id"),
    "spend_days": ("customer_id", "asset", "day", "tag"),
}


class Tables:
    """Every table by name. `moment` is the database's clock."""

    def __init__(self, moment: Callable[[], dt.datetime]) -> None:
        self.moment = moment
        self.unknown: str | None = None  # a statement that no handler knows
        self._rows: dict[str, dict[Key, Row]] = {name: {} for name in _KEYS}
        self._by_digest: dict[tuple[CustomerId, int], Row] = {}
        self._journal: list[tuple[str, Key, Row | None]] = []

    def all(self, table: str) -> Iterator[Row]:
        """Every row, in the order of insertion."""
        return iter(list(self._rows[table].values()))

    def where(self, table: str, **wanted: Any) -> list[Row]:
        """Rows whose columns have these values."""
        items = wanted.items()
        return [row for row in self._rows[table].values() if all(row[name] == value for name, value in items)]

    def get(self, table: str, *key: Any) -> Row | None:
        return self._rows[table].get(key)

    def insert(self, table: str, row: Row) -> None:
        """A new row; raises UniqueViolation when its key is taken."""
        key = tuple(row[name] for name in _KEYS[table])
        if key in self._rows[table]:
            raise psycopg.errors.UniqueViolation(f"{table} {key}")
        self._put(table, key, row)

    def update(self, table: str, row: Row, **changes: Any) -> Row:
        """Change some columns of a row as it stands."""
        key = tuple(row[name] for name in _KEYS[table])
        after = {**self._rows[table][key], **changes}
        self._put(table, key, after)
        return after

    def delete(self, table: str, row: Row) -> None:
        key = tuple(row[name] for name in _KEYS[table])
        self._journal.append((table, key, self._rows[table].pop(key)))

    def _put(self, table: str, key: Key, row: Row) -> None:
        before = self._rows[table].get(key)
        check = _CHECKS.get(table)
        if check is not None:
            check(self, row, before)
        self._journal.append((table, key, before))
        self._rows[table][key] = row
        if table == "entries":
            self._by_digest[row["customer_id"], row["key_digest"]] = row

    def entry_at(self, customer_id: CustomerId, key_digest: int) -> Row | None:
        """The entry with this number in the index of keys."""
        return self._by_digest.get((customer_id, key_digest))

    def commit(self) -> None:
        self._journal.clear()

    def rollback(self) -> None:
        """Undo everything since the last commit."""
        for table, key, before in reversed(self._journal):
            if table == "entries":
                row = self._rows[table][key]
                self._by_digest.pop((row["customer_id"], row["key_digest"]), None)
            if before is None:
                del self._rows[table][key]
            else:
                self._rows[table][key] = before
        self._journal.clear()

    # --- the schema's rules -----------------------------------------------------------------------------

    def _others(self, table: str, row: Row, key: str) -> Iterator[Row]:
        return (other for other in self._rows[table].values() if other[key] != row[key])


def _check(ok: bool, what: str) -> None:
    if not ok:
        raise psycopg.errors.CheckViolation(what)


def _top_up(tables: Tables, row: Row, _before: Row | None) -> None:
    ended = row["ended_at"] is not None
    _check(ended == (row["state"] in END_STATES), "ended_at goes with an end")
    _check((row["next_state"] is not None) == (row["state"] == "canceling"), "next_state goes with canceling")
    _check(not (ended and row["wake_at"] is not None), "an end never wakes")
    if row["kind"] == "manual":
        return
    _check(None not in (row["card_id"], row["consent_id"], row["rule_version"], row["limit_month"]), "automatic")
    if ended:
        return
    for other in tables._others("top_ups", row, "top_up_id"):
        same = (other["customer_id"], other["asset"]) == (row["customer_id"], row["asset"])
        if same and other["kind"] == "automatic" and other["ended_at"] is None:
            raise psycopg.errors.UniqueViolation("top_ups_one_live_automatic")


_CLOSED = {"succeeded", "canceled", "expired", "abandoned"}


def _payment(tables: Tables, row: Row, _before: Row | None) -> None:
    _check((row["closed_at"] is not None) == (row["state"] in _CLOSED), "closed_at goes with an end")
    _check(row["state"] != "abandoned" or row["confirm_sent_at"] is None, "abandoned was never sent")
    if row["closed_at"] is not None:
        return
    for other in tables._others("payments", row, "payment_id"):
        same = (other["customer_id"], other["top_up_id"]) == (row["customer_id"], row["top_up_id"])
        if same and other["closed_at"] is None:
            raise psycopg.errors.UniqueViolation("payments_one_open")


def _entry(tables: Tables, row: Row, before: Row | None) -> None:
    _check(before is None, "an entry is never changed")
    if tables.entry_at(row["customer_id"], row["key_digest"]) is not None:
        raise psycopg.errors.UniqueViolation("entries_customer_id_key_digest_key")
    amount, minor = row["amount"], row["money_minor"]
    signs = {
        "usage": amount < 0,
        "charge": amount < 0,
        "adjustment": amount != 0,
        "top_up": amount > 0 and (minor or 0) > 0,
        "refund": amount <= 0 and (minor or 0) < 0,
        "dispute": amount <= 0 and (minor or 0) < 0,
        "reinstatement": amount >= 0 and (minor or 0) > 0,
        "bonus": amount != 0 and (amount > 0) == (row["purpose"] is not None) and minor is None,
        "expiry": amount < 0 and row["lot_seq"] is not None and minor is None,
    }
    _check(signs[row["kind"]], "entries_sign")


def _refund(_tables: Tables, row: Row, _before: Row | None) -> None:
    closed = row["state"] in {"succeeded", "failed", "canceled", "refused"}
    _check((row["closed_at"] is not None) == closed, "a refund's end")
    _check(row["stripe_refund_id"] is not None or row["state"] in {"requested", "refused"}, "a refund's id")


_CHECKS: dict[str, Callable[[Tables, Row, Row | None], None]] = {
    "top_ups": _top_up,
    "payments": _payment,
    "entries": _entry,
    "refunds": _refund,
}
