"""Holds, leases and budgets."""

import datetime as dt
from decimal import Decimal
from typing import Any

from brimful import budgets, leases, ledger
from brimful.dev.simulation.statements import registry
from brimful.dev.simulation.tables import Row, Tables
from brimful.top_ups import bridges

_NOTHING = Decimal(0)

# --- holds --------------------------------------------------------------------------------------------------


@registry.on(ledger.holds._FIND)
def _find_holds(t: Tables, p: Any) -> list[Row]:
    found = (t.get("holds", *key) for key in registry.columns(p, "customers", "ids"))
    return [row for row in found if row is not None]


_BEGUN = {
    "customer_id": "customers", "hold_id": "ids", "asset": "assets", "amount": "amounts",
    "description": "descriptions", "expires_at": "expiries", "subject": "subjects", "dimensions": "dimensions",
    "counted": "counted", "leased": "leased",
}  # fmt: skip


@registry.on(ledger.holds._BEGIN)
def _begin_holds(t: Tables, p: Any) -> int:
    for values in registry.columns(p, *_BEGUN.values()):
        given = dict(zip(_BEGUN, map(registry.plain, values), strict=True))
        t.insert("holds", {**given, "state": "open", "captured": None, "created_at": p["now"], "ended_at": None})
    return len(p["ids"])


@registry.on(ledger.holds._RENEW)
def _renew_holds(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, hold_id, amount, expires_at, counted in registry.columns(
        p, "customers", "ids", "amounts", "expiries", "counted"
    ):
        row = t.get("holds", customer_id, hold_id)
        if row is not None and row["state"] == "open":
            t.update("holds", row, amount=amount, expires_at=expires_at, counted=registry.plain(counted))
            changed += 1
    return changed


@registry.on(ledger.holds._END)
def _end_holds(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, hold_id, state, captured in registry.columns(p, "customers", "ids", "states", "captured"):
        row = t.get("holds", customer_id, hold_id)
        if row is not None and row["state"] == "open":
            t.update("holds", row, state=state, captured=captured, ended_at=p["now"])
            changed += 1
    return changed


def _due(t: Tables, now: dt.datetime, **of: Any) -> list[Row]:
    return [row for row in t.where("holds", state="open", **of) if row["expires_at"] <= now]


@registry.on(ledger.holds._ACCOUNTS_DUE)
def _accounts_due(t: Tables, p: Any) -> list[Row]:
    keys = sorted({(row["customer_id"], row["asset"]) for row in _due(t, p[0])})
    return [{"customer_id": customer_id, "asset": asset} for customer_id, asset in keys[: p[1]]]


@registry.on(ledger.holds._DUE)
def _due_of(t: Tables, p: Any) -> list[Row]:
    return _due(t, p[2], customer_id=p[0], asset=p[1])


@registry.on(bridges._BRIDGES)
def _bridges(t: Tables, p: Any) -> list[Row]:
    found = []
    for customer_id, asset in registry.columns(p, "customers", "assets"):
        live = t.where("top_ups", customer_id=customer_id, asset=asset, kind="automatic", ended_at=None)
        in_flight = sum((row["units"] for row in live if row["state"] in bridges.COMING_STATES), _NOTHING)
        kept = t.get("assets", asset)
        assert kept is not None
        found.append({"customer_id": customer_id, "asset": asset, "bound": kept["bridge_max"], "in_flight": in_flight})
    return found


# --- leases -------------------------------------------------------------------------------------------------


@registry.on(leases.store._FIND)
def _find_leases(t: Tables, p: Any) -> list[Row]:
    found = (t.get("leases", *key) for key in registry.columns(p, "customers", "ids"))
    return [row for row in found if row is not None]


@registry.on(leases.store._OPEN)
def _open_leases(t: Tables, p: Any) -> list[Row]:
    wanted = set(registry.columns(p, "customers", "assets"))
    found = []
    for row in t.all("leases"):
        hold = t.get("holds", row["customer_id"], row["hold_id"])
        if (row["customer_id"], row["asset"]) in wanted and row["state"] != "ended" and hold is not None:
            found.append({**row, "held": hold["amount"]})
    return sorted(found, key=lambda row: (row["used_at"], row["customer_id"], row["hold_id"]))


@registry.on(leases.store._WAITING)
def _waiting(t: Tables, p: Any) -> list[Row]:
    latest: dict[tuple[Any, str], dt.datetime] = {}
    for row in t.all("leases"):
        soon = row["good_until"] is not None and (
            row["good_until"] - dt.timedelta(seconds=2 * row["wind_down_s"] + 120) < p["now"]
        )
        if row["state"] == "winding_down" or (row["state"] != "ended" and soon):
            key = row["customer_id"], row["asset"]
            latest[key] = max(latest.get(key, row["used_at"]), row["used_at"])
    keys = sorted(latest, key=lambda key: latest[key], reverse=True)[: p["limit"]]
    return [{"customer_id": customer_id, "asset": asset} for customer_id, asset in keys]


@registry.on(leases.store._INSERT)
def _insert_lease(t: Tables, p: Any) -> int:
    t.insert("leases", {**p, "used": _NOTHING, "recent_units": _NOTHING, "recent_s": _NOTHING,
                        "interval_s": _NOTHING, "why": None, "good_until": None})  # fmt: skip
    return 1


_CHANGED = {
    "used": "used", "recent_units": "units", "recent_s": "seconds", "interval_s": "intervals", "used_at": "used_at",
    "state": "states", "why": "whys", "good_until": "good",
}  # fmt: skip


@registry.on(leases.store._UPDATE)
def _update_leases(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, hold_id, *values in registry.columns(p, "customers", "ids", *_CHANGED.values()):
        row = t.get("leases", customer_id, hold_id)
        if row is not None and row["state"] != "ended":
            t.update("leases", row, **dict(zip(_CHANGED, values, strict=True)))
            changed += 1
    return changed


@registry.on(leases.store._END)
def _end_leases(t: Tables, p: Any) -> int:
    changed = 0
    for customer_id, hold_id in registry.columns(p, "customers", "ids"):
        row = t.get("leases", customer_id, hold_id)
        if row is not None and row["state"] != "ended":
            t.update("leases", row, state="ended", why=None, good_until=None)
            changed += 1
    return changed


# --- budgets ------------------------------------------------------------------------------------------------

_BUDGET = budgets.model.Budget._fields


def _named(row: Row) -> Row:
    return {**{name: row[name] for name in _BUDGET}, "time_zone": "UTC"}


@registry.on(budgets.definitions._FIND)
def _find_budgets(t: Tables, p: Any) -> list[Row]:
    found = []
    for customer_id, asset, tag in registry.columns(p, "customers", "assets", "tags"):
        for row in t.where("budgets", customer_id=customer_id, asset=asset, tag=tag, ended_at=None):
            above = (t.get("budgets", customer_id, name) for name in row["ancestors"])
            found += [{**_named(one), "for_tag": tag} for one in (row, *above) if one is not None]
    return found


@registry.on(budgets.definitions._BY_ID)
def _budgets_by_id(t: Tables, p: Any) -> list[Row]:
    found = (t.get("budgets", *key) for key in registry.columns(p, "customers", "ids"))
    return [_named(row) for row in found if row is not None]


@registry.on(budgets.windows._BUNDLES)
def _bundles(t: Tables, p: Any) -> list[Row]:
    found = (t.get("budget_counters", *key) for key in registry.columns(p, "customers", "assets", "bundles"))
    return [row for row in found if row is not None]


@registry.on(budgets.windows._SAVE)
def _save_bundles(t: Tables, p: Any) -> int:
    names = ("customer_id", "asset", "bundle", "windows")
    for values in registry.columns(p, "customers", "assets", "bundles", "windows"):
        row = dict(zip(names, values, strict=True))
        known = t.get("budget_counters", *values[:3])
        if known is None:
            t.insert("budget_counters", row)
        else:
            t.update("budget_counters", known, windows=row["windows"])
    return len(p["bundles"])


@registry.on(budgets.windows._CLOSED)
def _closed(t: Tables, p: Any) -> list[Row]:
    found = (t.get("budget_windows", *key) for key in registry.columns(p, "customers", "ids", "ends"))
    return [row for row in found if row is not None]


_WINDOW = ("starts_at", "ends_at", "used", "held", "beyond", "most", "announced")


@registry.on(budgets.windows._SAVE_CLOSED)
def _save_windows(t: Tables, p: Any) -> int:
    names = ("customer_id", "budget_id", *_WINDOW)
    columns = ("customers", "ids", "starts", "ends", "used", "held", "beyond", "most", "announced")
    for values in registry.columns(p, *columns):
        row = dict(zip(names, values, strict=True))
        known = t.get("budget_windows", row["customer_id"], row["budget_id"], row["ends_at"])
        if known is None:
            t.insert("budget_windows", row)
        else:
            t.update("budget_windows", known, **{**row, "starts_at": known["starts_at"]})
    return len(p["ids"])


@registry.on(budgets.store._FILLED)
def _filled(t: Tables, p: Any) -> list[Row]:
    found: dict[int, Row] = {}
    for row in t.where("budgets", customer_id=p[1], asset=p[2]):
        empty = {"bundle": row["bundle"], "filled": 0, "rolling": False, "parents": None if p[0] is None else False}
        one = found.setdefault(row["bundle"], empty)
        one["filled"] += row["ended_at"] is None
        one["rolling"] = one["rolling"] or row["span"] == "rolling_24h"
        if p[0] is not None:
            one["parents"] = one["parents"] or row["budget_id"] == p[0]
    return [found[number] for number in sorted(found)]


@registry.on(budgets.store._INSERT)
def _insert_budget(t: Tables, p: Any) -> int:
    names = ("customer_id", "budget_id", "asset", "tag", "name", "span", "amount", "hard", "ancestors", "set_by",
             "since_seq", "bundle")  # fmt: skip
    if t.get("budgets", p["customer_id"], p["budget_id"]) is not None:
        return 0
    t.insert("budgets", {**{name: p[name] for name in names}, "created_at": p["now"], "ended_at": None,
                         "until_seq": None})  # fmt: skip
    return 1


@registry.on(budgets.store._UPDATE)
def _update_budget(t: Tables, p: Any) -> int:
    row = t.get("budgets", p["customer_id"], p["budget_id"])
    if row is None:
        return 0
    t.update("budgets", row, name=p["name"], amount=p["amount"], hard=p["hard"])
    return 1


@registry.on(budgets.store._END)
def _end_budget(t: Tables, p: Any) -> int:
    row = t.get("budgets", p["customer_id"], p["budget_id"])
    if row is None or row["ended_at"] is not None:
        return 0
    t.update("budgets", row, ended_at=p["now"], until_seq=p["seq"])
    return 1


@registry.on(budgets.store._ANY)
def _any_budget(t: Tables, p: Any) -> list[Row]:
    row = t.get("budgets", *p)
    return [] if row is None else [{name: row[name] for name in _BUDGET}]


@registry.on(budgets.store._CHILDREN)
def _children(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.where("budgets", customer_id=p[0], ended_at=None) if row["ancestors"][:1] == [p[1]]]
    return [{"budget_id": min(row["budget_id"] for row in rows)}] if rows else []


@registry.on(budgets.store._ALIKE)
def _alike(t: Tables, p: Any) -> list[Row]:
    rows = t.where("budgets", customer_id=p["customer_id"], asset=p["asset"], ended_at=None)
    own = [row for row in rows if row["set_by"] == p["set_by"]]
    alike = sum(row["tag"] == p["tag"] for row in own)
    return [{"standing": len(rows), "total": len(own), "alike": alike}]
