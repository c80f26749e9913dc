"""I17: the budgets of a history, counted again from its entries and holds. It shares no code with the product."""

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from brimful.dev.simulation.tables import Row, Tables
from brimful.dev.simulation.violation import must

_DAY = dt.timedelta(hours=24)
_QUARTER = dt.timedelta(minutes=15)


class BudgetBooks:
    """Checks budgets after every step. `covered` are the keys of debits that a budget may refuse."""

    def __init__(self, tables: Tables, covered: set[tuple[str, str, str]]) -> None:
        self._tables = tables
        self._covered = covered
        self._seen = 0
        self._uses: list[tuple[Row, list[Row]]] = []  # an entry, and the budgets that it counts in
        self._amounts: dict[tuple[str, str], Decimal] = {}  # the highest so far
        self._standing: list[Row] = []  # budgets, as they stood after the step before
        self._holds_seen: set[tuple[str, str]] = set()

    def step(self) -> None:
        """What must hold at any moment."""
        budgets = list(self._tables.all("budgets"))
        for row in budgets:
            name = row["customer_id"], row["budget_id"]
            self._amounts[name] = max(self._amounts.get(name, row["amount"]), row["amount"])
        entries = list(self._tables.all("entries"))
        for entry in entries[self._seen :]:
            found = self._counted_in(entry, budgets)
            self._uses.append((entry, found))
            for row in found:
                self._covered_debit(entry, row)
        self._seen = len(entries)
        for row in budgets:
            self._sums(row)
        for hold in self._tables.where("holds", state="open"):
            self._set_aside(hold, budgets)
        self._standing = budgets

    def _set_aside(self, hold: Row, budgets: Sequence[Row]) -> None:
        """A new hold counts in each budget that it is for."""
        name = hold["customer_id"], hold["hold_id"]
        if name in self._holds_seen or "/" in hold["hold_id"]:
            return
        self._holds_seen.add(name)
        before = {row["budget_id"] for row in self._standing if row["ended_at"] is None}
        own = [row for row in budgets if (row["customer_id"], row["asset"]) == (hold["customer_id"], hold["asset"])]
        matched = [row for row in own if row["ended_at"] is None and self._matches(row["tag"], hold)]
        wanted = {row["budget_id"] for row in matched} | {above for row in matched for above in row["ancestors"]}
        counted = {budget_id for budget_id, _ in hold["counted"] or ()}
        must(wanted & before <= counted, "I17", f"{name} is set aside in {counted}, not in {wanted & before}")

    def _counted_in(self, entry: Row, budgets: Sequence[Row]) -> list[Row]:
        if entry["kind"] not in {"usage", "charge"}:
            return []
        note = self._tables.get("entry_notes", entry["customer_id"], entry["asset"], entry["seq"])
        own = [row for row in budgets if (row["customer_id"], row["asset"]) == (entry["customer_id"], entry["asset"])]
        if entry["source"] == "hold":
            names = set((note or {}).get("counted") or ())
            return [row for row in own if row["budget_id"] in names]
        standing = [
            row for row in own
            if row["since_seq"] < entry["seq"] and (row["until_seq"] is None or row["until_seq"] >= entry["seq"])
        ]  # fmt: skip
        matched = [row for row in standing if self._matches(row["tag"], note or {})]
        names = {row["budget_id"] for row in matched} | {name for row in matched for name in row["ancestors"]}
        return [row for row in own if row["budget_id"] in names]

    @staticmethod
    def _matches(tag: str, note: dict[str, Any]) -> bool:
        wanted = json.loads(tag)
        if not wanted:
            return True
        if len(wanted) == 1:
            return bool(note.get("subject") == wanted[0])
        return bool((note.get("dimensions") or {}).get(wanted[0]) == wanted[1])

    def _covered_debit(self, entry: Row, row: Row) -> None:
        """A debit that a hard budget may refuse passes only where the window's sum stays within the amount."""
        if not row["hard"] or (entry["customer_id"], entry["source"], entry["key"]) not in self._covered:
            return
        begins = self._begins(row, entry["recorded_at"])
        used = -sum(
            one["amount"] for one, counted in self._uses
            if one["source"] != "hold" and begins <= one["recorded_at"] <= entry["recorded_at"]
            and any(other["budget_id"] == row["budget_id"] and other["customer_id"] == row["customer_id"]
                    for other in counted)
        )  # fmt: skip
        most = self._amounts[row["customer_id"], row["budget_id"]]
        must(used <= most, "I17", f"{row['budget_id']}: {used} of {most}, with {entry['key']}")

    @staticmethod
    def _begins(row: Row, at: dt.datetime) -> dt.datetime:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        begins: dict[str, dt.datetime] = {
            "day": midnight,
            "week": midnight - dt.timedelta(days=at.weekday()),
            "month": midnight.replace(day=1),
            "rolling_24h": at - _DAY,
            "total": dt.datetime.min.replace(tzinfo=dt.UTC),
        }
        return begins[row["span"]]

    def _amount(self, entry: Row, name: str) -> Decimal:
        """How much of an entry counts in a budget: of what was captured of a hold, what its note says."""
        if entry["source"] != "hold":
            return Decimal(-entry["amount"])
        note = self._tables.get("entry_notes", entry["customer_id"], entry["asset"], entry["seq"])
        return Decimal((note or {})["counted"][name])

    def _windows(self, row: Row) -> list[dict[str, Any]]:
        """Those that count now, and those that have ended."""
        found = self._tables.where("budget_windows", customer_id=row["customer_id"], budget_id=row["budget_id"])
        names = ("used", "held", "beyond", "most")
        for kept in self._tables.where("budget_counters", customer_id=row["customer_id"], asset=row["asset"]):
            for budget_id, _, ends_at, _, *figures, _ in json.loads(kept["windows"]):
                if budget_id == row["budget_id"]:
                    figured = dict(zip(names, map(Decimal, figures), strict=True))
                    found.append({"ends_at": dt.datetime.fromtimestamp(ends_at, dt.UTC), **figured})
        return found

    def _sums(self, row: Row) -> None:
        """Every window's sums together are those of the entries and of the open holds; none exceeds the budget but for
        what was recorded after the fact.
        """
        customer_id, name = row["customer_id"], row["budget_id"]
        windows = self._windows(row)
        used = sum(
            (self._amount(entry, name) for entry, counted in self._uses
             if any((one["customer_id"], one["budget_id"]) == (customer_id, name) for one in counted)),
            Decimal(0),
        )  # fmt: skip
        counted_used = sum(window["used"] for window in windows)
        must(counted_used == used, "I17", f"{name} counted {counted_used}, {used} was used")
        held = sum(
            hold["amount"] for hold in self._tables.where("holds", customer_id=customer_id, state="open")
            if name in {counted for counted, _ in hold["counted"] or ()}
        )  # fmt: skip
        counted_held = sum(window["held"] for window in windows)
        must(counted_held == held, "I17", f"{name} counted {counted_held} set aside, {held} is")
        if not row["hard"]:
            return
        for window in windows:
            together = [window]
            if row["span"] == "rolling_24h":
                begins = window["ends_at"] - _DAY - _QUARTER
                together = [one for one in windows if begins < one["ends_at"] <= window["ends_at"]]
            sums = sum(one["used"] + one["held"] - one["beyond"] for one in together)
            most = max(one["most"] for one in together)
            must(sums <= most, "I17", f"{name} until {window['ends_at']}: {sums} of {most}")
