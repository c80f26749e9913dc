"""The sandbox's own books: what it took and gave back, for others to compare theirs with."""

from typing import Any

from brimful.sandbox import reversals
from brimful.sandbox.world import World


def books(world: World) -> dict[str, Any]:
    """Succeeded payments, refunds and disputes by customer and currency (minor units, upper-case codes), and per
    `metadata.top_up_id` the times (epoch milliseconds) of the first request and of the success.
    """
    customers: dict[str, dict[str, dict[str, int]]] = {}
    totals: dict[str, dict[str, int]] = {"charged": {}, "refunded": {}, "disputed": {}}

    def add(name: str, customer: str | None, currency: str, amount: int) -> None:
        code = currency.upper()
        of_customer = customers.setdefault(customer or "none", {}).setdefault(
            code, {"charged": 0, "refunded": 0, "disputed": 0}
        )
        of_customer[name] += amount
        totals[name][code] = totals[name].get(code, 0) + amount

    succeeded: dict[str, list[str]] = {}
    for intent in world.store.newest("payment_intent"):
        if intent["status"] == "succeeded":
            add("charged", intent["customer"], intent["currency"], intent["amount_received"])
            succeeded.setdefault(intent["metadata"].get("top_up_id", ""), []).append(intent["id"])
    for refund in world.store.newest("refund"):
        if refund["status"] in {"pending", "requires_action", "succeeded"}:
            add("refunded", refund["customer"], refund["currency"], refund["amount"])
    for dispute in world.store.newest("dispute"):
        if held := reversals.withdrawn(dispute):
            intent = world.find("payment_intent", dispute["payment_intent"])
            add("disputed", intent["customer"], dispute["currency"], held)
    return {
        **totals,
        "customers": customers,
        "top_ups": {
            top_up_id: {**times, "succeeded_intents": succeeded.get(top_up_id, [])}
            for top_up_id, times in world.store.top_ups.items()
        },
    }
