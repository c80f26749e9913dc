"""Top-ups, payments, the inbox."""

import dataclasses
import datetime as dt
from typing import Any

from brimful import payments, suspensions, top_ups
from brimful.dev.simulation.statements import registry
from brimful.dev.simulation.tables import Row, Tables

# --- top-ups and payments --------------------------------------------------------------------------------------


def _top_up(row: Row | None) -> list[Row]:
    return [] if row is None else [registry.only(row, top_ups.model.TopUp)]


@registry.on(top_ups.store._GET, top_ups.store._LOCK)
def _get_top_up(t: Tables, p: Any) -> list[Row]:
    return _top_up(t.get("top_ups", *p))


@registry.on(top_ups.store._LIVE)
def _live(t: Tables, p: Any) -> list[Row]:
    found = t.where("top_ups", customer_id=p[0], asset=p[1], kind="automatic", ended_at=None)
    return _top_up(found[0]) if found else []


@registry.on(top_ups.store._LIVE_OF_CUSTOMERS)
def _live_of_customers(t: Tables, p: Any) -> list[Row]:
    rows = t.where("top_ups", kind="automatic", ended_at=None)
    return [found for row in rows if row["customer_id"] in p[0] for found in _top_up(row)]


@registry.on(top_ups.store._MOVE)
def _move(t: Tables, p: Any) -> int:
    row = t.get("top_ups", p["customer_id"], p["top_up_id"])
    fenced = row is not None and (row["state"], row["fence"]) == (p["from_state"], p["fence"])
    if row is None or not fenced or row["ended_at"] is not None:
        return 0
    names = ("state", "next_state", "reason", "tries", "polls", "failures", "needs_review", "wake_at", "expires_at",
             "limit_month", "confirmed_at", "ended_at", "balance_after", "available_after", "card_id")  # fmt: skip
    t.update("top_ups", row, fence=p["new_fence"], **{name: p[name] for name in names})
    return 1


@registry.on(top_ups.store._DUE)
def _due(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.all("top_ups") if row["wake_at"] is not None and row["wake_at"] <= p[0]]
    return sorted(rows, key=lambda row: row["wake_at"])[: p[1]]


@registry.on(top_ups.review._FAILED)
def _top_up_failed(t: Tables, p: Any) -> list[Row]:
    row = t.get("top_ups", p["customer_id"], p["top_up_id"])
    if row is None or row["ended_at"] is not None:
        return []
    failures = row["failures"] + 1
    review = row["needs_review"] or failures >= p["most"]
    return [t.update("top_ups", row, failures=failures, wake_at=p["wake_at"], needs_review=review)]


def _payment(row: Row | None) -> list[Row]:
    return [] if row is None else [registry.only(row, top_ups.model.Payment)]


@registry.on(top_ups.store._OPEN)
def _open_payment(t: Tables, p: Any) -> list[Row]:
    found = t.where("payments", customer_id=p[0], top_up_id=p[1], closed_at=None)
    return _payment(found[0]) if found else []


@registry.on(top_ups.store._FIND_PAYMENT, top_ups.store._FIND_PAYMENT + " FOR NO KEY UPDATE")
def _find_payment(t: Tables, p: Any) -> list[Row]:
    return _payment(t.get("payments", *p))


@registry.on("SELECT count(*) AS n FROM payments WHERE customer_id = %s AND top_up_id = %s")
def _count_payments(t: Tables, p: Any) -> list[Row]:
    return [{"n": len(t.where("payments", customer_id=p[0], top_up_id=p[1]))}]


@registry.on(top_ups.store._SUCCEEDED)
def _succeeded(t: Tables, p: Any) -> list[Row]:
    rows = t.where("payments", customer_id=p[0], top_up_id=p[1], state="succeeded")
    return [registry.only(row, top_ups.model.Payment) for row in rows]


_PAYMENT_FIELDS = [field.name for field in dataclasses.fields(top_ups.model.Payment)]


@registry.on(top_ups.store._INSERT_PAYMENT)
def _insert_payment(t: Tables, p: Any) -> int:
    t.insert("payments", {**{name: p[name] for name in _PAYMENT_FIELDS}, "request": None})
    return 1


@registry.on(top_ups.store._KEEP_REQUEST)
def _keep_request(t: Tables, p: Any) -> list[Row]:
    row = t.get("payments", p["customer_id"], p["payment_id"])
    assert row is not None
    kept = row["request"] or p["request"].obj
    return [t.update("payments", row, request=kept)]


@registry.on(top_ups.review._FLAG)
def _flag_for_review(t: Tables, p: Any) -> int:
    row = t.get("top_ups", *p)
    assert row is not None
    t.update("top_ups", row, needs_review=True)
    return 1


@registry.on(payments.ownership._KEY)
def _installation(_t: Tables, _p: Any) -> list[Row]:
    return [{"key": "ins_simulated"}]


@registry.on(top_ups.store._SAVE_PAYMENT)
def _save_payment(t: Tables, p: Any) -> int:
    row = t.get("payments", p["customer_id"], p["payment_id"])
    if row is None or row["state"] != p["from_state"]:
        return 0
    names = ("state", "stripe_intent_id", "stripe_session_id", "redirect_url", "error_code", "decline_code",
             "advice_code", "confirm_sent_at", "closed_at", "receipt_url")  # fmt: skip
    t.update("payments", row, **{name: p[name] for name in names})
    return 1


@registry.on("UPDATE payments SET state = 'succeeded' WHERE customer_id = %s AND payment_id = %s")
def _succeeded_late(t: Tables, p: Any) -> int:
    row = t.get("payments", *p)
    assert row is not None
    t.update("payments", row, state="succeeded")
    return 1


@registry.on("UPDATE top_ups SET needs_review = true, balance_after = %s WHERE customer_id = %s AND top_up_id = %s")
def _flag(t: Tables, p: Any) -> int:
    row = t.get("top_ups", p[1], p[2])
    assert row is not None
    t.update("top_ups", row, needs_review=True, balance_after=p[0])
    return 1


_TOP_UP_FIELDS = [field.name for field in dataclasses.fields(top_ups.model.TopUp)]
_FRESH: Row = {**dict.fromkeys(_TOP_UP_FIELDS), "state": "requested", "fence": 0, "tries": 0, "polls": 0,
               "failures": 0, "needs_review": False, "metadata": {}, "cut": False, "bonus_units": None,
               "bonus_days": None, "offer_version": None}  # fmt: skip


@registry.on(top_ups.request._INSERT_AUTOMATIC)
def _insert_automatic(t: Tables, p: Any) -> list[Row]:
    made = []
    names = ("customer_id", "top_up_id", "asset", "currency", "amount_minor", "units", "rate", "rate_per", "cut",
             "card_id", "consent_id", "rule_version", "asked",
             "bonus_units", "bonus_days", "offer_version")  # fmt: skip
    arrays = ("customers", "top_ups", "assets", "currencies", "amounts", "units", "rates", "pers", "cuts",
               "cards", "consents", "versions", "asks", "bonuses", "bonus_days", "offers")  # fmt: skip
    for values in registry.columns(p, *arrays):
        row = {**_FRESH, **dict(zip(names, values, strict=True)), "kind": "automatic", "limit_month": p["month"],
               "wake_at": p["now"], "requested_at": p["now"]}  # fmt: skip
        if row["asked"] is not None:
            row |= {"state": "action_required", "reason": "approval_needed", "wake_at": p["until"],
                    "expires_at": p["until"]}  # fmt: skip
        same = {"customer_id": row["customer_id"], "asset": row["asset"], "kind": "automatic", "ended_at": None}
        if not t.where("top_ups", **same):
            t.insert("top_ups", row)
            made.append(row)
    return made


@registry.on(top_ups.timing._READ)
def _slowest(t: Tables, _p: Any) -> list[Row]:
    return list(t.all("credit_times"))  # nobody measures here


@registry.on(top_ups.store._OWNER)
def _owner(t: Tables, p: Any) -> list[Row]:
    return [{"customer_id": row["customer_id"]} for row in t.where("top_ups", top_up_id=p[0])]


@registry.on(top_ups.request._INSERT_MANUAL)
def _insert_manual(t: Tables, p: Any) -> int:
    if t.get("top_ups", p["customer_id"], p["top_up_id"]) is not None:
        return 0
    names = ("customer_id", "top_up_id", "asset", "currency", "amount_minor", "units", "rate", "rate_per", "expires_at",
             "return_url", "failure_url", "description", "credit_expires_at", "bonus_units", "bonus_days",
             "offer_version")  # fmt: skip
    t.insert("top_ups", {**_FRESH, **{name: p[name] for name in names}, "kind": "manual", "wake_at": p["expires_at"],
                         "requested_at": p["now"]})  # fmt: skip
    return 1


@registry.on(top_ups.store._DECLINES)
def _declines_of(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.where("payments", customer_id=p[0], top_up_id=p[1])
            if (row["error_code"] or row["decline_code"]) and not (row["error_code"] or "").startswith("refused:")
            and row["error_code"] != "not_created"]  # fmt: skip
    return sorted(rows, key=lambda row: (row["created_at"], row["payment_id"]))


@registry.on(top_ups.request._PAID_BY_HAND)
def _paid_by_hand(t: Tables, p: Any) -> list[Row]:
    manual = {row["top_up_id"] for row in t.where("top_ups", customer_id=p["customer_id"], kind="manual")}
    found = [row for row in t.where("payments", customer_id=p["customer_id"], presence="on_session")
             if row["top_up_id"] in manual - {p["top_up_id"]} and row["created_at"] > p["since"]
             and (row["state"] == "succeeded" or row["closed_at"] is None)]  # fmt: skip
    return [{"created_at": row["created_at"]} for row in sorted(found, key=lambda row: row["created_at"])]


# --- suspensions, the inbox -----------------------------------------------------------------------


@registry.on(
    "SELECT kind FROM suspensions LIMIT 1", "SELECT kind, reason, since, actor FROM suspensions ORDER BY since, kind"
)
def _holds(t: Tables, _p: Any) -> list[Row]:
    return list(t.all("suspensions"))


@registry.on("SELECT kind FROM suspensions WHERE kind = %s")
def _hold_of(t: Tables, p: Any) -> list[Row]:
    return registry.maybe(t.get("suspensions", p[0]))


@registry.on("SELECT has_table_privilege('suspensions', 'UPDATE') AS may")
def _may(_t: Tables, _p: Any) -> list[Row]:
    return [{"may": True}]


@registry.on(suspensions.store._STANDS)
def _stands(t: Tables, _p: Any) -> list[Row]:
    return [{"suspended": any(t.all("suspensions")), "turned": False}]  # a history has one server


@registry.on(suspensions.store._PROBE)
def _probe(t: Tables, p: Any) -> list[Row]:
    row = t.get("suspensions", "key")
    others = [other for other in t.all("suspensions") if other["kind"] != "key"]
    if row is None or others or row["probed_at"] >= p["now"] - dt.timedelta(seconds=30):
        return []
    return [t.update("suspensions", row, probed_at=p["now"])]


@registry.on(suspensions.store._SUSPEND)
def _hold(t: Tables, p: Any) -> int:
    if t.get("suspensions", p[0]) is not None:
        return 0
    t.insert("suspensions", dict(zip(("kind", "reason", "since", "probed_at", "actor"), p, strict=True)))
    return 1


@registry.on("DELETE FROM suspensions WHERE kind = %s")
def _lift(t: Tables, p: Any) -> int:
    row = t.get("suspensions", p[0])
    if row is None:
        return 0
    t.delete("suspensions", row)
    return 1


@registry.on(payments.stripe_events._INSERT)
def _insert_event(t: Tables, p: Any) -> int:
    if t.get("stripe_events", p[0]) is not None:
        return 0
    names = ("event_id", "type", "object_id", "intent_id", "installation", "livemode", "created_at", "received_at")
    t.insert("stripe_events", {**dict(zip(names, p, strict=True)), "state": "received", "outcome": None,
                               "processed_at": None, "failures": 0})  # fmt: skip
    return 1


@registry.on(payments.stripe_events._GET)
def _get_event(t: Tables, p: Any) -> list[Row]:
    row = t.get("stripe_events", p[0])
    return registry.maybe(row if row is not None and row["state"] == "received" else None)


@registry.on(payments.stripe_events._DONE)
def _done(t: Tables, p: Any) -> int:
    row = t.get("stripe_events", p[3])
    assert row is not None
    t.update("stripe_events", row, state=p[0], outcome=p[1], processed_at=p[2])
    return 1


@registry.on(payments.stripe_events._WAITING)
def _waiting(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.where("stripe_events", state="received") if row["received_at"] < p[0]]
    return rows[: p[1]]


@registry.on(payments.stripe_events._FAILED)
def _event_failed(t: Tables, p: Any) -> list[Row]:
    row = t.get("stripe_events", p["event_id"])
    if row is None or row["state"] != "received":
        return []
    failures = row["failures"] + 1
    state = "quarantined" if failures >= p["most"] else row["state"]
    return [t.update("stripe_events", row, failures=failures, state=state, outcome=p["outcome"])]
