"""The auditor: every invariant, after every step, from the tables and from the provider's own memory.

It shares no code with what it audits but the chain's macs, the decline table and the shapes of rows.
"""

import collections
import datetime as dt
from decimal import Decimal
from typing import Any

from brimful import auto_top_up, ledger
from brimful.dev.simulation.budget_books import BudgetBooks
from brimful.dev.simulation.tables import Row
from brimful.dev.simulation.violation import must as _must
from brimful.dev.simulation.world import SimulatedWorld
from brimful.gateway import declines

_OUT = {"failed", "canceled"}
_DAYS_30 = 30 * 86_400
_MESSAGE = (
    "customer_id", "asset", "seq", "kind", "amount", "balance_after", "source", "key", "payment_id",
    "money_minor", "currency", "occurred_at", "recorded_at",
)  # fmt: skip
_LOT = ("lot_seq", "purpose", "priority", "effective_at", "expires_at")


class _Wallet:
    """What is left of each credit of one account: a row for each, in the order of the rules."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._owed = Decimal(0)

    def left(self) -> dict[int, Decimal]:
        return {row["seq"]: row["left"] for row in self._rows if row["left"]}

    def promotional(self) -> Decimal:
        return sum((row["left"] for row in self._rows if row["promotional"]), Decimal(0))

    def take(self, entry: Row, held: Decimal | None) -> None:
        """The next entry; `held` is what open holds need then, None where nobody asks."""
        amount, at = entry["amount"], entry["recorded_at"]
        if amount > 0:
            covers = min(amount, self._owed)
            self._owed -= covers
            usual = {"top_up": "paid", "reinstatement": "paid", "adjustment": "correction", "bonus": "bonus"}
            purpose = entry["purpose"] or usual[entry["kind"]]
            place = {"paid": 50, "correction": 50, "bonus": 30, "promotional": 20}[purpose]
            never = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
            order = (
                place if entry["priority"] is None else entry["priority"], entry["expires_at"] or never,
                purpose == "paid", entry["effective_at"] or at, entry["seq"],
            )  # fmt: skip
            self._rows.append({"seq": entry["seq"], "left": amount - covers, "order": order,
                               "payment_id": entry["payment_id"], "expires_at": entry["expires_at"],
                               "promotional": purpose == "promotional"})  # fmt: skip
        if amount < 0:
            if entry["kind"] != "expiry" and held is not None:
                gone = sum(
                    row["left"] for row in self._rows if row["expires_at"] is not None and row["expires_at"] <= at
                )
                _must(gone <= held, "I16", f"entry {entry['seq']} finds {gone} that had expired, {held} are held")
            self._debit(entry, -amount)
        left = sum(self.left().values())
        _must(left == max(entry["balance_after"], 0), "I16", f"{left} is left of {entry['balance_after']}")

    def _debit(self, entry: Row, amount: Decimal) -> None:
        def own(row: dict[str, Any]) -> bool:
            same = entry["payment_id"] is not None and row["payment_id"] == entry["payment_id"]
            return bool(same or row["seq"] == entry["lot_seq"])

        for row in sorted(self._rows, key=lambda row: (not own(row), row["order"])):
            taken = min(row["left"], amount)
            row["left"] -= taken
            amount -= taken
        self._owed += amount


class Auditor:
    """Checks the invariants over one history."""

    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world
        self._tables = world.tables
        self._heads: dict[tuple[str, str], tuple[int, Decimal, bytes]] = {}
        self._seen = 0
        self._wallets: dict[tuple[str, str], _Wallet] = collections.defaultdict(_Wallet)
        self._tries_seen = 0
        self._order: dict[str, int] = {}
        self._hard_known: dict[str, dt.datetime] = {}  # since when we know that a card was declined for good
        self.acknowledged: dict[tuple[str, str, str], Decimal] = {}  # what was acknowledged to the platform
        self.covered: set[tuple[str, str, str]] = set()  # what was to be refused unless it is covered
        self._budgets = BudgetBooks(self._tables, self.covered)

    @property
    def _customers(self) -> set[str]:
        return {one.stripe_id for one in self._world.actors}

    def step(self) -> None:
        """What must hold at any moment."""
        self._chain()
        self._one_live()
        self._credits()
        self._consents()
        self._limits()
        self._exposure()
        self._triggers()
        self._tries()
        self._held()
        self._budgets.step()

    def end(self) -> None:
        """What must hold once faults are off and everything has run."""
        self.step()
        self._lots()
        self._books()
        self._hours()
        self._nothing_lost()
        self._lively()

    # I1
    def _chain(self) -> None:
        rows = list(self._tables.all("entries"))
        for row in rows[self._seen :]:
            key = row["customer_id"], row["asset"]
            seq, balance, mac = self._heads.get(key, (0, Decimal(0), b""))
            _must(row["seq"] == seq + 1, "I1", f"{key}: {row['seq']} follows {seq}")
            _must(row["balance_after"] == balance + row["amount"], "I1", f"{key}: {row['balance_after']}")
            lot = ledger.hash_chain.lot_text(*(row[name] for name in _LOT))
            content = ledger.hash_chain.message(**{name: row[name] for name in _MESSAGE}, lot=lot)
            _must(self._world.keyring.recognises(row["mac"], mac, content), "I1", f"{key}: mac of {row['seq']}")
            self._heads[key] = row["seq"], row["balance_after"], row["mac"]
            self._wallets[key].take(row, self._held_at(key, row["recorded_at"]))
        self._seen = len(rows)
        for account in self._tables.all("accounts"):
            key = account["customer_id"], account["asset"]
            head = self._heads.get(key, (0, Decimal(0), b""))
            _must((account["seq"], account["balance"], account["mac"]) == head, "I1", f"{key} ends elsewhere")

    def _held_at(self, key: tuple[str, str], at: dt.datetime) -> Decimal:
        holds = self._tables.where("holds", customer_id=key[0], asset=key[1])
        open_then = [row for row in holds if row["created_at"] <= at and (row["ended_at"] or at) >= at]
        return sum((self._most_held(row) for row in open_then), Decimal(0))

    def _most_held(self, hold: Row) -> Decimal:
        """What a hold may have set aside; a lease's amount changes with every use."""
        lease = self._tables.get("leases", hold["customer_id"], hold["hold_id"])
        amount: Decimal = hold["amount"] if lease is None else lease["chunk"]
        return amount

    # I1: what an account holds is the sum of its open holds
    def _held(self) -> None:
        held: collections.Counter[tuple[str, str]] = collections.Counter()
        for row in self._tables.where("holds", state="open"):
            held[row["customer_id"], row["asset"]] += row["amount"]
        for account in self._tables.all("accounts"):
            key = account["customer_id"], account["asset"]
            _must(account["held"] == held[key], "I1", f"{key} holds {account['held']}, not {held[key]}")

    def warned_in_time(
        self, name: str, lease: Any, good_until: dt.datetime | None, at: dt.datetime, held: Decimal | None
    ) -> None:
        """A lease that winds down hears it before the end that it was promised, and before it holds nothing."""
        if lease.state == "winding_down":
            _must(
                good_until is None or at < good_until, "leases", f"{name} was warned at {at}, good until {good_until}"
            )
            _must(bool(held), "leases", f"{name} was cut: it hears that it winds down, and holds nothing")

    def within_bridge(self, name: str, available: Decimal | None, bound: Decimal) -> None:
        """Leases take an account no further below zero than its bridge."""
        assert available is not None
        _must(available >= -bound, "leases", f"{name} took available to {available}, {bound} is the bridge")

    # I16: what is left of each credit, as each checkpoint has it; of a bonus, as much as of its payment
    def _lots(self) -> None:
        for row in self._tables.all("lot_checkpoints"):
            key = row["customer_id"], row["asset"]
            wallet = _Wallet()
            for entry in self._tables.where("entries", customer_id=key[0], asset=key[1]):
                if entry["seq"] <= row["seq"]:
                    wallet.take(entry, None)
            kept = {lot.seq: lot.left for lot in ledger.lot_store.restored(row)}
            _must(kept == wallet.left(), "I16", f"{key} at {row['seq']}: {kept}, not {wallet.left()}")
        for payment in self._tables.where("payments", state="succeeded"):
            entries = self._tables.where("entries", customer_id=payment["customer_id"])
            money = sum(row["money_minor"] for row in entries if row["payment_id"] == payment["payment_id"])
            own = [row for row in entries if row["key"].startswith(f"bonus:{payment['payment_id']}")]
            lots = {row["seq"] for row in own if row["amount"] > 0}
            expired = sum(row["amount"] for row in entries if row["kind"] == "expiry" and row["lot_seq"] in lots
                          and row["asset"] == own[0]["asset"])  # fmt: skip
            given = sum(row["amount"] for row in own)
            name = payment["payment_id"]
            _must(given + expired >= 0, "I16", f"{name}: {given} of its bonus, of which {expired} expired")
            _must(money > 0 or given + expired == 0, "I16", f"{name} went back, and {given} of its bonus did not")

    # I3
    def _one_live(self) -> None:
        live = collections.Counter(
            (row["customer_id"], row["asset"]) for row in self._tables.where("top_ups", kind="automatic", ended_at=None)
        )
        _must(all(count == 1 for count in live.values()), "I3", live)

    # I2 at any moment, I4, I5
    def _credits(self) -> None:
        paid: dict[str, Row] = {}
        by_top_up: collections.Counter[str] = collections.Counter()
        for intent in self._world.sandbox.store.newest("payment_intent"):
            if intent["status"] == "succeeded" and intent["customer"] in self._customers:
                paid[intent["metadata"]["payment_id"]] = intent
                by_top_up[intent["metadata"]["top_up_id"]] += 1
        _must(all(count == 1 for count in by_top_up.values()), "I5", by_top_up)
        left: dict[str, list[Any]] = {}
        credited: collections.Counter[str] = collections.Counter()
        for entry in self._tables.all("entries"):
            if entry["payment_id"] is None:
                continue
            sums = left.setdefault(entry["payment_id"], [0, Decimal(0)])
            sums[0] += entry["money_minor"]
            sums[1] += entry["amount"]
            credited[entry["payment_id"]] += entry["kind"] == "top_up"
            _must(entry["payment_id"] in paid, "I2", f"{entry['payment_id']} is credited and was not paid")
        _must(all(count == 1 for count in credited.values()), "I4", credited)
        for payment_id, (minor, units) in left.items():
            self._proportion(payment_id, minor, units, paid[payment_id]["amount"])

    def _proportion(self, payment_id: str, minor: int, units: Decimal, whole: int) -> None:
        payment = self._payment(payment_id)
        top_up = self._tables.get("top_ups", payment["customer_id"], payment["top_up_id"])
        assert top_up is not None
        _must(Decimal(0) <= units <= top_up["units"], "I2", f"{payment_id}: {units} of {top_up['units']} left")
        _must(minor != whole or units == top_up["units"], "I2", f"{payment_id}: whole money, {units} units")
        _must(minor > 0 or units == 0, "I2", f"{payment_id}: no money left, {units} units")

    # I9, I10
    def _consents(self) -> None:
        for payment in self._tables.where("payments", presence="off_session"):
            sent_at = payment["confirm_sent_at"]
            if sent_at is None:
                continue
            top_up = self._tables.get("top_ups", payment["customer_id"], payment["top_up_id"])
            assert top_up is not None
            given = self._tables.get("consents", payment["customer_id"], top_up["consent_id"])
            ended = self._tables.where("consents", customer_id=payment["customer_id"], withdraws=top_up["consent_id"])
            name, slack = payment["payment_id"], self._world.time.slack
            _must(given is not None and given["recorded_at"] <= sent_at + slack, "I9", name)
            _must(
                all(row["recorded_at"] >= sent_at - slack for row in ended),
                "I9",
                f"{name}: withdrawn before it was sent",
            )
            assert given is not None
            _must(payment["currency"] == given["currency"], "I10", name)
            _must(payment["card_id"] in {given["card_id"], given["backup_card_id"]}, "I10", name)
            dearer = given["rate"] is not None and top_up["rate"] > given["rate"]
            _must(not dearer, "I10", f"{name}: units at {top_up['rate']}, {given['rate']} was agreed to")
            most = given["charge_max_minor"] or given["amount_minor"]
            _must(payment["amount_minor"] <= most, "I10", f"{name}: {payment['amount_minor']} of {most}")

    # I14: no more in any 24 hours than was stated with the consent, nor without asking where that was wanted
    def _exposure(self) -> None:
        counted = [row for row in self._tables.where("top_ups", kind="automatic") if row["confirmed_at"] is not None
                   and (row["state"] not in _OUT or row["balance_after"] is not None)]  # fmt: skip
        for row in counted:
            given = self._tables.get("consents", row["customer_id"], row["consent_id"])
            assert given is not None
            since = row["confirmed_at"] - dt.timedelta(hours=24)
            charged = sum(
                one["amount_minor"] for one in counted
                if one["consent_id"] == row["consent_id"] and since < one["confirmed_at"] <= row["confirmed_at"]
            )  # fmt: skip
            stated = given["exposure_day_minor"]
            _must(charged <= stated, "I14", f"{row['top_up_id']}: {charged} in 24 hours, {stated} were stated")
            if row["asked"] is None:
                self._unasked(row, given, [one for one in counted if since < one["confirmed_at"]])
        for payment in self._tables.where("payments", presence="off_session"):
            top_up = self._tables.get("top_ups", payment["customer_id"], payment["top_up_id"])
            assert top_up is not None
            alone = top_up["asked"] is not None and payment["confirm_sent_at"] is not None
            _must(not alone, "I14", f"{payment['payment_id']} was sent without the approval that it needs")

    def _unasked(self, row: Row, given: Row, lately: list[Row]) -> None:
        name, above, after = row["top_up_id"], given["ask_above_minor"], given["ask_after"]
        _must(above is None or row["amount_minor"] <= above, "I14", f"{name} was not asked about")
        count = sum(
            one["asked"] is None and one["consent_id"] == row["consent_id"]
            and one["confirmed_at"] <= row["confirmed_at"] for one in lately
        )  # fmt: skip
        _must(after is None or count <= after, "I14", f"{name}: {count} in 24 hours without asking")

    # I15
    def _hours(self) -> None:
        for row in self._tables.all("usage_hours"):
            entries = self._tables.where("entries", customer_id=row["customer_id"], asset=row["asset"])
            used = -sum(
                one["amount"] for one in entries
                if one["kind"] in ledger.entries.SPENDING and row["first_seq"] <= one["seq"] <= row["last_seq"]
            )  # fmt: skip
            _must(used == row["used"], "I15", f"{row['customer_id']} {row['hour']}: {row['used']}, not {used}")

    # I8, by what was confirmed and not given up
    def _limits(self) -> None:
        spent: collections.Counter[tuple[Any, ...]] = collections.Counter()
        for row in self._tables.where("top_ups", kind="automatic"):
            if row["confirmed_at"] is not None:
                self._place(row["top_up_id"])
        counted = [row for row in self._tables.where("top_ups", kind="automatic") if row["confirmed_at"] is not None
                   and (row["state"] not in _OUT or row["balance_after"] is not None)]  # fmt: skip
        # In the order in which they were sent: clocks may go back. A retry keeps the place of its first try.
        for row in sorted(counted, key=lambda one: self._place(one["top_up_id"])):
            key = row["customer_id"], row["asset"], row["currency"], row["limit_month"]
            spent[key] += row["amount_minor"]
            consent = self._tables.get("consents", row["customer_id"], row["consent_id"])
            assert consent is not None
            _must(spent[key] <= consent["limit_minor"], "I8", f"{key}: {spent[key]} of {consent['limit_minor']}")

    def _place(self, top_up_id: str) -> int:
        return self._order.setdefault(top_up_id, len(self._order))

    # I12 at any moment: armed as the rule says; below the threshold there is a live top-up or a reason
    def _triggers(self) -> None:
        for account in self._tables.all("accounts"):
            key = account["customer_id"], account["asset"]
            rule, state = self._tables.get("rules", *key), self._tables.get("rule_states", *key)
            line, counts, free = None, True, Decimal(0)
            if rule is not None and state is not None:
                live = bool(self._tables.where("top_ups", customer_id=key[0], asset=key[1], kind="automatic",
                                               ended_at=None))  # fmt: skip
                if rule["enabled"] and state["paused_at"] is None and state["reason"] == "armed" and not live:
                    line = state["threshold"]
                counts = rule["promotional_counts"] is not False
                free = Decimal(0) if counts else self._wallets[key].promotional()
                silent = state["reason"] in {"armed", "off", "triggered", "in_flight"}
                below = rule["enabled"] and account["balance"] - account["held"] - free < state["threshold"]
                low = rule["threshold"] if rule["threshold_low"] is None else rule["threshold_low"]
                _must(low <= state["threshold"] <= rule["threshold"], "I12", f"{key} follows beyond its bounds")
                _must(live or not (below and silent), "I12", f"{key} is below its threshold, {state['reason']}")
            trigger = account["trigger_below"]
            same = trigger == line
            if not counts and line is not None and trigger is not None:
                same = trigger >= line + free  # used up since, it makes the trigger too high, never too low
            _must(same, "I12", f"{key} is armed at {account['trigger_below']}, not {line}")

    # F17, F18: the provider's own memory of what each card went through
    def _tries(self) -> None:
        tries = self._world.provider.tries
        for place in range(self._tries_seen, len(tries)):
            latest = tries[place]
            before = [one for one in tries[:place] if one.fingerprint == latest.fingerprint
                      and one.at > latest.at - _DAYS_30 and one.status == "requires_payment_method"]  # fmt: skip
            _must(len(before) < 8, "F17", f"{latest.fingerprint} was declined {len(before)} times in 30 days")
            sent_at = self._payment(latest.payment_id)["confirm_sent_at"]
            known = self._hard_known.get(latest.fingerprint)
            after = known is not None and sent_at > known + self._world.time.slack
            _must(not after, "F18", f"{latest.fingerprint} was sent after a hard decline was known")
        for one in tries:
            hard = one.advice in {"do_not_try_again", "confirm_card_data"}
            if hard and self._payment(one.payment_id)["decline_code"] is not None:
                self._hard_known.setdefault(one.fingerprint, self._world.time.now)
        self._tries_seen = len(tries)
        failed = [one for one in tries if one.status == "requires_payment_method"]
        soon = auto_top_up.retries.TECHNICAL_WAITS
        for most, some in (
            (3 + len(soon), failed),
            (3, [one for one in failed if one.code not in declines.TECHNICAL]),
        ):
            per_top_up = collections.Counter((one.top_up_id, one.fingerprint) for one in some)
            _must(all(count <= most for count in per_top_up.values()), "F17", per_top_up)

    def _payment(self, payment_id: str) -> Row:
        [payment] = [row for row in self._tables.all("payments") if row["payment_id"] == payment_id]
        return payment

    # I2 at the end: the provider's books and ours are the same
    def _books(self) -> None:
        from brimful.sandbox import books

        kept = books.books(self._world.sandbox)["customers"]  # of our customers: others share the account
        theirs = [kept[one.stripe_id]["USD"] for one in self._world.actors if "USD" in kept.get(one.stripe_id, {})]
        ours: collections.Counter[str] = collections.Counter()
        for entry in self._tables.all("entries"):
            if entry["payment_id"] is None:
                continue
            disputed = entry["kind"] == "dispute" or entry["key"].endswith(":reinstated")
            name = "charged" if entry["kind"] == "top_up" else "disputed" if disputed else "refunded"
            ours[name] += entry["money_minor"] if name == "charged" else -entry["money_minor"]
        for name in ("charged", "refunded", "disputed"):
            there = sum(one[name] for one in theirs)
            _must(there == ours[name], "I2", f"{name}: {there} there, {ours[name]} here")

    # I6, I7
    def _nothing_lost(self) -> None:
        for (customer_id, source, key), amount in self.acknowledged.items():
            found = [row["amount"] for row in self._tables.where("entries", customer_id=customer_id, source=source,
                                                                 key=key)]  # fmt: skip
            if source == "api":
                found += [row["amount"] for row in self._tables.where("scheduled_credits", customer_id=customer_id,
                                                                      key=key)]  # fmt: skip
            _must(found == [amount], "I6", f"{key} was acknowledged and is {found}")

    # I12 at the end
    def _lively(self) -> None:
        now = self._world.time.now
        for row in self._tables.where("top_ups", ended_at=None):
            waits = row["state"] in {"action_required", "retry_wait"} or (
                row["kind"] == "manual" and row["state"] == "requested"
            )
            _must(waits and not row["needs_review"], "I12", f"{row['top_up_id']} is still {row['state']}")
            _must(row["wake_at"] is not None and row["wake_at"] > now - dt.timedelta(hours=1), "I12", "nobody looks")
        waiting = [row["event_id"] for row in self._tables.where("stripe_events", state="received")]
        _must(not waiting, "I12", f"events {waiting} were never applied")
        open_claims = self._tables.where("card_tries", state="open")
        live = {row["payment_id"] for row in self._tables.where("payments", closed_at=None)}
        _must(all(row["payment_id"] in live for row in open_claims), "F17", f"claims left behind: {open_claims}")
