"""Refunds and disputes."""

from typing import Any

from brimful import payments
from brimful.dev.simulation.statements import registry
from brimful.dev.simulation.tables import Row, Tables


def _refund(row: Row | None) -> list[Row]:
    return [] if row is None else [registry.only(row, payments.refunds.Refund)]


@registry.on(payments.refunds._GET)
def _get_refund(t: Tables, p: Any) -> list[Row]:
    return _refund(t.get("refunds", *p))


@registry.on(payments.refunds._FIND)
def _find_refund(t: Tables, p: Any) -> list[Row]:
    found = [row for row in t.where("refunds", customer_id=p[0])
             if row["stripe_refund_id"] == p[1] or row["refund_id"] == p[2]]  # fmt: skip
    return _refund(found[0]) if found else []


@registry.on(payments.refunds._LIST)
def _list_refunds(t: Tables, p: Any) -> list[Row]:
    return [
        registry.only(row, payments.refunds.Refund) for row in t.where("refunds", customer_id=p[0], payment_id=p[1])
    ]


_FRESH_REFUND: Row = {
    "stripe_refund_id": None,
    "read_at": None,
    "reason": None,
    "wake_at": None,
    "polls": 0,
    "closed_at": None,
    "loss": None,
}


@registry.on(payments.refunds._INSERT)
def _insert_refund(t: Tables, p: Any) -> int:
    if t.get("refunds", p["customer_id"], p["refund_id"]) is not None:
        return 0
    names = ("customer_id", "refund_id", "payment_id", "amount_minor", "currency", "actor")
    t.insert("refunds", {**_FRESH_REFUND, **{name: p[name] for name in names}, "state": "requested",
                         "wake_at": p["now"], "created_at": p["now"]})  # fmt: skip
    return 1


@registry.on(payments.refunds._MEET)
def _meet_refund(t: Tables, p: Any) -> int:
    names = ("customer_id", "refund_id", "payment_id", "stripe_refund_id", "amount_minor", "currency")
    t.insert("refunds", {**_FRESH_REFUND, **{name: p[name] for name in names}, "state": "pending", "actor": "stripe",
                         "created_at": p["now"]})  # fmt: skip
    return 1


@registry.on(payments.refunds._NOTE)
def _note_refund(t: Tables, p: Any) -> int:
    row = t.get("refunds", p["customer_id"], p["refund_id"])
    if row is None or row["state"] in {"failed", "canceled"}:
        return 0
    names = ("state", "stripe_refund_id", "reason", "closed_at", "wake_at")
    t.update("refunds", row, **{name: p[name] for name in names})
    return 1


@registry.on(payments.refunds._READ)
def _refund_read(t: Tables, p: Any) -> int:
    row = t.get("refunds", p[1], p[2])
    assert row is not None
    t.update("refunds", row, read_at=p[0])
    return 1


@registry.on(payments.refunds._KEEP_LOSS)
def _refund_loss(t: Tables, p: Any) -> int:
    rows = t.where("refunds", customer_id=p[1], stripe_refund_id=p[2])
    for row in rows:
        t.update("refunds", row, loss=p[0])
    return len(rows)


@registry.on(payments.reversals._KEEP_LOSS)
def _dispute_loss(t: Tables, p: Any) -> int:
    row = t.get("disputes", p[1], p[2])
    assert row is not None
    t.update("disputes", row, loss=p[0])
    return 1


@registry.on(payments.refunds._DISPUTED)
def _disputed(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.where("entries", customer_id=p[0], payment_id=p[1])
            if row["kind"] == "dispute" or row["key"].endswith(":reinstated")]  # fmt: skip
    return [{"minor": -sum(row["money_minor"] for row in rows)}]


@registry.on(payments.refunds._REFUSE)
def _refuse_refund(t: Tables, p: Any) -> int:
    row = t.get("refunds", p[2], p[3])
    if row is None or row["state"] != "requested":
        return 0
    t.update("refunds", row, state="refused", reason=p[0], closed_at=p[1], wake_at=None)
    return 1


@registry.on(payments.refunds._LATER)
def _refund_later(t: Tables, p: Any) -> int:
    row = t.get("refunds", p[1], p[2])
    if row is None or row["closed_at"] is not None:
        return 0
    t.update("refunds", row, polls=row["polls"] + 1, wake_at=p[0])
    return 1


@registry.on(payments.refunds._DUE)
def _refunds_due(t: Tables, p: Any) -> list[Row]:
    rows = [row for row in t.all("refunds") if row["wake_at"] is not None and row["wake_at"] <= p[0]]
    return sorted(rows, key=lambda row: row["wake_at"])[: p[1]]


@registry.on(payments.reversals._NOTE_DISPUTE)
def _note_dispute(t: Tables, p: Any) -> int:
    if t.get("disputes", p["customer_id"], p["dispute_id"]) is not None:
        return 0
    names = ("customer_id", "dispute_id", "payment_id", "amount_minor", "currency", "status", "reason")
    t.insert("disputes", {**{name: p[name] for name in names}, "opened_at": p["now"], "closed_at": None,
                            "read_at": None, "evidence_due_at": p["due"], "loss": None})  # fmt: skip
    return 1


@registry.on(payments.reversals._OF)
def _disputes_of(t: Tables, p: Any) -> list[Row]:
    found = []
    for row in t.where("disputes", customer_id=p[0]):
        payment = t.get("payments", p[0], row["payment_id"])
        assert payment is not None
        if p[1] is None or payment["top_up_id"] == p[1]:
            found.append({**row, "top_up_id": payment["top_up_id"]})
    return sorted(found, key=lambda row: row["opened_at"], reverse=True)


@registry.on(payments.reversals._STANDING)
def _dispute_end(t: Tables, p: Any) -> list[Row]:
    return registry.maybe(t.get("disputes", *p))


@registry.on(payments.reversals._UPDATE_DISPUTE)
def _update_dispute(t: Tables, p: Any) -> int:
    row = t.get("disputes", p["customer_id"], p["dispute_id"])
    assert row is not None
    closed_at = (row["closed_at"] or p["now"]) if p["closed"] else None
    t.update(
        "disputes",
        row,
        status=p["status"],
        amount_minor=p["amount_minor"],
        closed_at=closed_at,
        read_at=p["now"],
        evidence_due_at=p["due"],
    )
    return 1
