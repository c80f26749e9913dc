"""Money that goes back: refunds, disputes with their movements, and early fraud warnings."""

from typing import Any

from brimful.sandbox import shapes
from brimful.sandbox.errors import ApiError
from brimful.sandbox.world import World

Object = dict[str, Any]
_GONE = {"pending", "requires_action", "succeeded"}
_DISPUTED = {"needs_response", "under_review", "lost"}  # money is gone: not for an inquiry, nor after a dispute was won


def create_refund(world: World, params: Object) -> Object:
    """Money back, in whole or in part, never more than was taken, and nothing of a charge that is disputed."""
    intent = _refunded_intent(world, params)
    if any(item["payment_intent"] == intent["id"] and item["status"] in _DISPUTED
           for item in world.store.newest("dispute")):  # fmt: skip
        raise ApiError(400, f"Charge {intent['latest_charge']} has been charged back; cannot issue a refund.",
                       code="charge_disputed")  # fmt: skip
    left = intent["amount_received"] - refunded(world, intent["id"])
    amount = params.get("amount", left)
    if not 0 < amount <= left:
        raise ApiError(
            400, f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            code="charge_already_refunded" if left == 0 else None, param="amount",
        )  # fmt: skip
    made = shapes.refund(world.now(), intent, amount, params)
    if world.switches.take("refunds.create", "refund_pending"):
        made["status"] = "pending"
    world.store.save("refund", made)
    paid = _count(world, intent)
    world.emit("refund.created", made)
    world.emit("charge.refunded", paid)
    return made


def _count(world: World, intent: Object) -> Object:
    paid = world.find("charge", intent["latest_charge"])
    paid["amount_refunded"] = refunded(world, intent["id"])
    paid["refunded"] = paid["amount_refunded"] == paid["amount"]
    return world.store.save("charge", paid)


def _refunded_intent(world: World, params: Object) -> Object:
    if "payment_intent" in params:
        intent = world.refer("payment_intent", params["payment_intent"], "payment_intent")
    elif "charge" in params:
        charge = world.refer("charge", params["charge"], "charge")
        intent = world.refer("payment_intent", charge["payment_intent"], "charge")
    else:
        raise ApiError(400, "One of payment_intent or charge is required.", code="parameter_missing")
    if intent["status"] != "succeeded":
        raise ApiError(
            400, f"You cannot refund this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )  # fmt: skip
    return intent


def refunded(world: World, intent_id: str) -> int:
    """How much of a payment has gone back."""
    return sum(
        item["amount"]
        for item in world.store.newest("refund")
        if item["payment_intent"] == intent_id and item["status"] in _GONE
    )


def finish_refund(world: World, refund_id: str, *, status: str) -> Object:
    """A refund that was on its way arrives, or comes back: one that succeeded may fail days later."""
    made = world.find("refund", refund_id)
    if status not in {"succeeded", "failed", "canceled"} or made["status"] not in _GONE:
        raise ApiError(400, f"A refund that is {made['status']} cannot become {status}.")
    made["status"] = status
    if status == "failed":
        made["failure_reason"] = "lost_or_stolen_card"
    world.store.save("refund", made)
    _count(world, world.find("payment_intent", made["payment_intent"]))
    world.emit("refund.failed" if status == "failed" else "refund.updated", made)
    return made


def list_refunds(world: World, params: Object) -> Object:
    wanted = params.get("payment_intent")
    return world.page("refund", "/v1/refunds", params, lambda item: wanted in {None, item["payment_intent"]})


def open_dispute(
    world: World, intent_id: str, *, amount: int | None = None, inquiry: bool = False, prefix: str = "du"
) -> Object:
    """The cardholder's bank takes the money back; an inquiry only asks. Ids begin with `du_`, older ones with `dp_`."""
    intent = world.find("payment_intent", intent_id)
    if intent["status"] != "succeeded":
        raise ApiError(400, "Only a succeeded payment can be disputed.")
    status = "warning_needs_response" if inquiry else "needs_response"
    made = shapes.dispute(world.now(), intent, amount or intent["amount"], status=status, reason="fraudulent",
                          prefix=prefix)  # fmt: skip
    world.store.save("dispute", made)
    world.emit("charge.dispute.created", made)
    if not inquiry:
        _move(world, made, -made["amount"], "funds_withdrawn")
    return made


def escalate_inquiry(world: World, dispute_id: str) -> Object:
    """The question becomes a dispute, under the same id: now the money goes."""
    made = world.find("dispute", dispute_id)
    if made["status"] not in {"warning_needs_response", "warning_under_review"}:
        raise ApiError(400, "Only an open inquiry becomes a dispute.")
    made["status"] = "needs_response"
    world.store.save("dispute", made)
    world.emit("charge.dispute.updated", made)
    _move(world, made, -made["amount"], "funds_withdrawn")
    return made


def close_dispute(world: World, dispute_id: str, *, won: bool) -> Object:
    """The bank decides; won, the money comes back."""
    made = world.find("dispute", dispute_id)
    if made["status"] in {"won", "lost", "warning_closed"}:
        raise ApiError(400, "This dispute is closed.")
    inquiry = made["status"].startswith("warning_")
    made["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    world.store.save("dispute", made)
    if won and not inquiry:
        _move(world, made, made["amount"], "funds_reinstated")
    world.emit("charge.dispute.closed", made)
    return made


_TEXT_MAX = 20_000


def update_dispute(world: World, dispute_id: str, params: Object) -> Object:
    """Evidence is kept, and submitted once; then the bank looks at it."""
    made = world.find("dispute", dispute_id)
    if made["status"] in {"won", "lost", "warning_closed"} or made["evidence_details"]["submission_count"]:
        raise ApiError(400, "This dispute is already closed, or its evidence has been submitted.")
    given = params.get("evidence", {})
    for name, text in given.items():
        if len(text) > _TEXT_MAX:
            raise ApiError(400, f"Evidence may have at most {_TEXT_MAX} characters.", param=f"evidence[{name}]")
    made["evidence"] = {**made["evidence"], **given}
    made["evidence_details"]["has_evidence"] = bool(made["evidence"])
    if params.get("submit", True):
        made["evidence_details"]["submission_count"] += 1
        made["status"] = "warning_under_review" if made["status"].startswith("warning_") else "under_review"
    world.store.save("dispute", made)
    world.emit("charge.dispute.updated", made)
    return made


def _move(world: World, made: Object, amount: int, event: str) -> None:
    made["balance_transactions"] = [
        *made["balance_transactions"],
        shapes.movement(world.now(), made["id"], amount, made["currency"]),
    ]
    world.store.save("dispute", made)
    world.emit(f"charge.dispute.{event}", made)


def withdrawn(dispute: Object) -> int:
    """What a dispute holds back now."""
    moved: int = sum(item["amount"] for item in dispute["balance_transactions"])
    return -moved


def list_disputes(world: World, params: Object) -> Object:
    wanted = params.get("payment_intent")
    return world.page("dispute", "/v1/disputes", params, lambda item: wanted in {None, item["payment_intent"]})


def warn(world: World, intent_id: str) -> Object:
    """The issuer suspects fraud."""
    made = shapes.warning(world.now(), world.find("payment_intent", intent_id))
    world.store.save("early_fraud_warning", made)
    world.emit("radar.early_fraud_warning.created", made)
    return made
