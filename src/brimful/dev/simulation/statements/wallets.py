"""Customers, assets, balances, entries."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

from brimful import assets, budgets, cards, customers, grants, ledger, posting
from brimful.auth import audit
from brimful.db.citus import shards
from brimful.dev.simulation.statements import registry
from brimful.dev.simulation.tables import Row, Tables
from brimful.notifications import balance_alerts, events

# --- customers, assets, events ----------------------------------------------------------------------------


@registry.on(customers._GET, customers._LOCK)
def _customer(t: Tables, p: Any) -> list[Row]:
    return registry.maybe(t.get("customers", p[0]))


@registry.on("INSERT INTO aliases (kind, value, customer_id, target_id) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING")
def _add_alias(t: Tables, p: Any) -> int:
    if t.get("aliases", p[0], p[1]) is not None:
        return 0
    t.insert("aliases", {"kind": p[0], "value": p[1], "customer_id": p[2], "target_id": p[3]})
    return 1


@registry.on("SELECT customer_id, target_id FROM aliases WHERE kind = %s AND value = %s")
def _find_alias(t: Tables, p: Any) -> list[Row]:
    return registry.maybe(t.get("aliases", p[0], p[1]))


@registry.on(assets._GET)
def _asset(t: Tables, p: Any) -> list[Row]:
    return registry.maybe(t.get("assets", p[0]))


def rate_of(t: Tables, asset: str, currency: str, at: dt.datetime) -> Row | None:
    for row in t.where("rates", asset=asset, currency=currency):
        if row["valid_from"] <= at and (row["valid_to"] is None or row["valid_to"] > at):
            return row
    return None


@registry.on(assets._RATE_AT)
def _rate_at(t: Tables, p: Any) -> list[Row]:
    return registry.maybe(rate_of(t, p["asset"], p["currency"], p["at"]))


@registry.on(events._INSERT)
def _event(t: Tables, p: Any) -> int:
    for event_id, customer_id in zip(p["ids"], p["customers"], strict=True):
        row = {"event_id": event_id, "customer_id": customer_id, "type": p["type"], "created_at": p["now"]}
        t.insert("outgoing_events", row)
    return len(p["ids"])


@registry.on(events._DELIVER)
def _deliver(_t: Tables, _p: Any) -> int:
    return 0  # no endpoints


@registry.on(audit._INSERT, cards.consents._INSERT_EVIDENCE)
def _beside_the_point(_t: Tables, _p: Any) -> int:
    return 1


_NOTES = ("customer_id", "asset", "seq", "description", "metadata", "subject", "dimensions", "counted")


@registry.on(ledger.entries._INSERT_NOTES)
def _insert_notes(t: Tables, p: Any) -> int:
    rows = [dict(zip(_NOTES, map(registry.plain, values), strict=True)) for values in zip(*p, strict=True)]
    for row in rows:
        t.insert("entry_notes", row)
    return len(rows)


# --- wallets and ledger --------------------------------------------------------------------------------------


@registry.on(shards._CITUS)
def _one_machine(_t: Tables, _p: Any) -> list[Row]:
    return [{"here": False}]


@registry.on(ledger.accounts._LOCK)
def _lock(t: Tables, p: Any) -> list[Row]:
    found = [row for row in t.all("accounts") if row["customer_id"] in p[0] and row["asset"] in p[1]]
    return sorted(found, key=lambda row: (row["customer_id"], row["asset"]))


@registry.on(ledger.accounts._THERE, ledger.accounts._FREE)
def _names(t: Tables, p: Any) -> list[Row]:
    return [
        {"customer_id": row["customer_id"], "asset": row["asset"]}
        for row in t.all("accounts")
        if row["customer_id"] in p[0] and row["asset"] in p[1]
    ]


@registry.on(ledger.accounts._LOCK_WALLET, ledger.accounts._LIST)
def _wallet(t: Tables, p: Any) -> list[Row]:
    return sorted(t.where("accounts", customer_id=p[0]), key=lambda row: row["asset"])


@registry.on(ledger.accounts._GET)
def _account(t: Tables, p: Any) -> list[Row]:
    return registry.maybe(t.get("accounts", *p))


@registry.on(ledger.accounts._CREATE)
def _create_accounts(t: Tables, p: Any) -> int:
    made = 0
    for customer_id, asset in sorted(registry.columns(p, "customers", "assets")):
        if t.get("customers", customer_id) is not None and t.get("accounts", customer_id, asset) is None:
            t.insert("accounts", {"customer_id": customer_id, "asset": asset, "balance": Decimal(0), "seq": 0,
                                  "mac": b"", "held": Decimal(0), "lots_due_at": None, "budgeted": False,
                                  "budgets_version": 0,
                                  "trigger_below": None, "alert_below": None, "erased": False,
                                  "created_at": p["now"]})  # fmt: skip
            made += 1
    return made


@registry.on(ledger.accounts._UPDATE_HEADS)
def _heads(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, asset, balance, seq, mac in registry.columns(p, "customers", "assets", "balances", "seqs", "macs"):
        row = t.get("accounts", customer_id, asset)
        if row is not None:
            t.update("accounts", row, balance=balance, seq=seq, mac=mac)
            changed += 1
    return changed


@registry.on(ledger.accounts._SET_TRIGGERS)
def _triggers(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, asset, line in registry.columns(p, "customers", "assets", "lines"):
        row = t.get("accounts", customer_id, asset)
        if row is not None and row["trigger_below"] != line:
            t.update("accounts", row, trigger_below=line)
            changed += 1
    return changed


@registry.on(ledger.accounts._MISSED)
def _missed(t: Tables, p: Any) -> list[Row]:
    rows = [
        row
        for row in t.all("accounts")
        if row["trigger_below"] is not None and row["balance"] - row["held"] < row["trigger_below"]
    ]
    return rows[: p[0]]


@registry.on(balance_alerts._FACTS)
def _no_alerts(_t: Tables, _p: Any) -> list[Row]:
    return []


_ENTRY = (
    "customer_id", "seq", "key_digest", "recorded_at", "occurred_at", "money_minor", "asset", "kind", "source",
    "amount", "balance_after", "key", "payment_id", "currency", "mac",
)  # fmt: skip


_LOT = ("lot_seq", "purpose", "priority", "effective_at", "expires_at")
_NO_LOT: Row = dict.fromkeys(_LOT)


@registry.on(ledger.entries._INSERT, ledger.entries._INSERT_LOTS)
def _insert_entries(t: Tables, p: Any) -> int:
    names = (*_ENTRY, *_LOT)[: len(p)]
    rows = [{**_NO_LOT, **dict(zip(names, values, strict=True))} for values in zip(*p, strict=True)]
    for row in rows:
        t.insert("entries", row)
    return len(rows)


@registry.on(ledger.keys._FIND)
def _known(t: Tables, p: Any) -> list[Row]:
    found = [t.entry_at(customer_id, digest) for customer_id, digest in registry.columns(p, "customers", "digests")]
    return [row for row in found if row is not None]  # no two keys of a history share their digest


@registry.on(ledger.entries._REMAINING)
def _left(t: Tables, p: Any) -> list[Row]:
    rows = t.where("entries", customer_id=p[0], payment_id=p[1])
    if not rows:
        return [{"money_minor": None, "units": None}]
    return [{"money_minor": sum(row["money_minor"] for row in rows), "units": sum(row["amount"] for row in rows)}]


# --- lots ----------------------------------------------------------------------------------------------------


@registry.on(ledger.accounts._LOTS_DUE_BY)
def _lots_due_by(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, asset, at in registry.columns(p, "customers", "assets", "moments"):
        row = t.get("accounts", customer_id, asset)
        if row is not None:
            t.update("accounts", row, lots_due_at=at if row["lots_due_at"] is None else min(at, row["lots_due_at"]))
            changed += 1
    return changed


@registry.on(ledger.accounts._SET_LOTS_DUE)
def _set_lots_due(t: Tables, p: Any) -> int:
    row = t.get("accounts", p[1], p[2])
    if row is None:
        return 0
    t.update("accounts", row, lots_due_at=p[0])
    return 1


@registry.on(ledger.accounts._SET_BUDGETED)
def _set_budgeted(t: Tables, p: Any) -> int:
    row = t.get("accounts", p[1], p[2])
    if row is None:
        return 0
    t.update("accounts", row, budgeted=p[0], budgets_version=row["budgets_version"] + 1)
    return 1


@registry.on(ledger.accounts._LOTS_DUE)
def _lots_due(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.all("accounts") if row["lots_due_at"] is not None and row["lots_due_at"] <= p[0]
            and (row["customer_id"], row["asset"]) > (p[1], p[2])]  # fmt: skip
    rows.sort(key=lambda row: (row["customer_id"], row["asset"]))
    return [{"customer_id": row["customer_id"], "asset": row["asset"]} for row in rows[: p[3]]]


@registry.on(ledger.lot_store._CHECKPOINT)
def _checkpoint(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.where("lot_checkpoints", customer_id=p[0], asset=p[1]) if row["seq"] <= p[2]]
    latest = max(rows, key=lambda row: row["seq"], default=None)
    return [] if latest is None else [{name: latest[name] for name in ("seq", "state", "mac")}]


@registry.on(ledger.lot_store._ONWARD)
def _onward(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.where("entries", customer_id=p[0], asset=p[1]) if p[2] < row["seq"] <= p[3]]
    rows.sort(key=lambda row: row["seq"])
    return [{name: row[name] for name in ledger.lots.Movement._fields} for row in rows[: p[4]]]


@registry.on(ledger.lot_store._SAVE)
def _save_checkpoint(t: Tables, p: Any) -> int:
    if t.get("lot_checkpoints", *p[:3]) is not None:
        return 0
    t.insert("lot_checkpoints", dict(zip(("customer_id", "asset", "seq", "state", "mac"), p, strict=True)))
    return 1


@registry.on(ledger.lot_store._BEHIND)
def _lots_behind(t: Tables, p: Any) -> list[Row]:
    found = []
    for row in sorted(t.all("accounts"), key=lambda one: (one["customer_id"], one["asset"])):
        kept = t.where("lot_checkpoints", customer_id=row["customer_id"], asset=row["asset"])
        behind = row["seq"] - max((one["seq"] for one in kept), default=0) >= p["step"]
        if behind and (row["customer_id"], row["asset"]) > (p["customer_id"], p["asset"]):
            found.append({name: row[name] for name in ("customer_id", "asset", "seq")})
    return found[: p["limit"]]


@registry.on(ledger.accounts._UPDATE_HELD)
def _held(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, asset, held in registry.columns(p, "customers", "assets", "held"):
        row = t.get("accounts", customer_id, asset)
        if row is not None:
            t.update("accounts", row, held=held)
            changed += 1
    return changed


@registry.on(posting.batch._LOCK_KEYS)
def _lock_keys(_t: Tables, p: Any) -> list[Row]:
    return [{"pg_advisory_xact_lock": ""} for _ in p[0]]  # transactions do not overlap here


_SCHEDULED = [field.name for field in dataclasses.fields(grants.scheduled.Scheduled)]


@registry.on(grants.scheduled._SCHEDULE)
def _schedule(t: Tables, p: Any) -> int:
    t.insert("scheduled_credits", {**{name: p[name] for name in _SCHEDULED}, "metadata": None})
    return 1


@registry.on(grants.scheduled._OF_ACCOUNT)
def _scheduled_of(t: Tables, p: Any) -> list[Row]:
    rows = t.where("scheduled_credits", customer_id=p[0], asset=p[1])
    return sorted(rows, key=lambda row: (row["effective_at"], row["key"]))


@registry.on(grants.scheduled._BY_KEYS)
def _scheduled_by_keys(t: Tables, p: Any) -> list[Row]:
    return [row for row in t.all("scheduled_credits") if row["customer_id"] in p[0] and row["key"] in p[1]]


@registry.on(grants.scheduled._BEGUN)
def _begun(t: Tables, p: Any) -> int:
    row = t.get("scheduled_credits", *p)
    if row is None:
        return 0
    t.delete("scheduled_credits", row)
    return 1


@registry.on(ledger.entries._MACS)
def _macs(t: Tables, p: Any) -> list[Row]:
    rows = t.where("entries", customer_id=p[0], asset=p[1])
    return [{"seq": row["seq"], "mac": row["mac"]} for row in rows if row["seq"] in p[2]]


@registry.on(ledger.entries._FIND_BY_KEY)
def _find_by_key(t: Tables, p: Any) -> list[Row]:
    rows = t.where("entries", customer_id=p["customer_id"], source=p["source"], key=p["key"])
    return [{**row, "description": None, "metadata": None} for row in rows]


@registry.on(grants.bonuses._SINCE)
def _bonus_since(t: Tables, p: Any) -> list[Row]:
    rows = t.where("entries", customer_id=p["customer_id"], asset=p["asset"])
    own = [row for row in rows if row["kind"] == "bonus" and row["key"][: p["length"]] == p["key"]]
    lots = {row["seq"] for row in own if row["amount"] > 0}
    expired = -sum(row["amount"] for row in rows if row["kind"] == "expiry" and row["lot_seq"] in lots)
    return [{"given": sum(row["amount"] for row in own), "expired": Decimal(expired)}]


@registry.on(grants.offers._NEWEST)
def _offers(t: Tables, p: Any) -> list[Row]:
    rows = t.where("offers", asset=p["asset"])
    newest = max((row["version"] for row in rows), default=0)
    names = ("version", "currency", "from_minor", "percent", "expires_after_days", "valid_from", "valid_to")
    return [{name: row[name] for name in names} for row in rows if row["version"] == newest]


@registry.on(ledger.statements._BELOW_SINCE)
def _below_since(t: Tables, p: Any) -> list[Row]:
    chain = t.where("entries", customer_id=p["customer_id"], asset=p["asset"])
    left = [row["seq"] for row in chain if row["seq"] <= p["seq"] and row["balance_after"] >= 0]
    return [{"recorded_at": row["recorded_at"]} for row in chain if row["seq"] == 1 + max(left, default=0)]


@registry.on(ledger.statements._PLACES)
def _places(t: Tables, p: Any) -> list[Row]:
    """By bisection too: a clock that stepped back leaves times that do not rise."""
    account = t.get("accounts", p["customer_id"], p["asset"])
    if account is None:
        return []
    chain = {row["seq"]: row for row in t.where("entries", customer_id=p["customer_id"], asset=p["asset"])}
    found = []
    for at in p["times"]:
        low, high = 0, account["seq"]
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if chain[middle]["recorded_at"] < at else (low, middle - 1)
        found.append({"at": at, "seq": low, "balance": chain[low]["balance_after"] if low else Decimal(0)})
    return sorted(found, key=lambda row: row["at"])


@registry.on(ledger.statements._ADDITIONS)
def _additions(t: Tables, p: Any) -> list[Row]:
    chain = t.where("entries", customer_id=p["customer_id"], asset=p["asset"])
    return [row for row in chain if row["source"] in {"api", "stripe", "system"} and row["kind"] != "charge"
            and row["recorded_at"] >= p["since"]]  # fmt: skip


@registry.on(ledger.usage_hours._LOCK)
def _alone(_t: Tables, _p: Any) -> int:
    return 1  # transactions do not overlap here


@registry.on(ledger.usage_hours._BEHIND)
def _behind(t: Tables, p: Any) -> list[Row]:
    found = []
    for row in sorted(t.all("accounts"), key=lambda one: (one["customer_id"], one["asset"])):
        hours = t.where("usage_hours", customer_id=row["customer_id"], asset=row["asset"])
        latest = max(hours, key=lambda one: one["hour"], default=None)
        seq = 0 if latest is None else latest["last_seq"]
        if (row["customer_id"], row["asset"]) > (p["customer_id"], p["asset"]) and row["seq"] > seq:
            hour = None if latest is None else latest["hour"]
            found.append({**row, "head": row["seq"], "seq": seq, "hour": hour})
    return found[: p["limit"]]


@registry.on(ledger.spend.ROLL_UP)
def _roll_up_spend(t: Tables, p: Any) -> int:
    spent: dict[tuple[Any, ...], Decimal] = {}
    for customer_id, asset, after, through in registry.columns(p, "customers", "assets", "after", "through"):
        for row in t.where("entries", customer_id=customer_id, asset=asset):
            note = t.get("entry_notes", customer_id, asset, row["seq"])
            if note is None or not after < row["seq"] <= through or row["kind"] not in ledger.entries.SPENDING:
                continue
            for tag in budgets.tags.of(note["subject"], note["dimensions"])[1:]:
                key = customer_id, asset, row["recorded_at"].date(), tag
                spent[key] = spent.get(key, Decimal(0)) - row["amount"]
    for key, used in spent.items():
        known = t.get("spend_days", *key)
        if known is None:
            t.insert("spend_days", dict(zip(("customer_id", "asset", "day", "tag", "used"), (*key, used), strict=True)))
        else:
            t.update("spend_days", known, used=known["used"] + used)
    return len(spent)


@registry.on(ledger.usage_hours._ROLL_UP)
def _roll_up(t: Tables, p: Any) -> int:
    touched = set()
    for customer_id, asset, after, through, hour in registry.columns(
        p, "customers", "assets", "after", "through", "hours"
    ):
        for entry in t.where("entries", customer_id=customer_id, asset=asset):
            if not after < entry["seq"] <= through:
                continue
            begins = entry["recorded_at"].replace(minute=0, second=0, microsecond=0)
            hour = begins if hour is None else max(hour, begins)  # noqa: PLW2901 - it only rises
            used = -entry["amount"] if entry["kind"] in ledger.entries.SPENDING else Decimal(0)
            row = t.get("usage_hours", customer_id, asset, hour)
            if row is None:
                t.insert("usage_hours", {"customer_id": customer_id, "asset": asset, "hour": hour, "used": used,
                                         "first_seq": entry["seq"], "last_seq": entry["seq"]})  # fmt: skip
            else:
                t.update("usage_hours", row, used=row["used"] + used, last_seq=entry["seq"])
            touched.add((customer_id, asset, hour))
    return len(touched)


@registry.on(ledger.usage_hours._READ)
def _hours(t: Tables, p: Any) -> list[Row]:
    rows = t.where("usage_hours", customer_id=p["customer_id"], asset=p["asset"])
    wanted = [row for row in rows if p["since"] <= row["hour"] < p["until"]]
    return [{"hour": row["hour"], "used": row["used"]} for row in sorted(wanted, key=lambda row: row["hour"])]
