"""Objects of other products on the same account, made with one call: nothing of theirs may be touched."""

from typing import Any

from brimful.sandbox import intents, reversals, shapes
from brimful.sandbox.errors import ApiError
from brimful.sandbox.world import World

Object = dict[str, Any]
_KINDS = ("payment", "open_payment", "refund", "dispute", "warning", "customer", "card")
_VISA = "4242424242424242"


def make(world: World, wanted: Object) -> Object:
    """One object, with its events.

    Args:
        world: to make it in.
        wanted: `kind`: a `payment` that succeeded, an `open_payment` that waits to be confirmed, a `refund`, `dispute`
            or fraud `warning` of a payment, a `customer` or a saved `card`; `metadata` (default: none) of the payment
            or the customer; `customer`, `amount` (default 700) and `currency` (default usd).
    """
    unknown = set(wanted) - {"kind", "metadata", "customer", "amount", "currency"}
    if unknown or wanted.get("kind") not in _KINDS:
        raise ApiError(400, f"A foreign object is {{kind, metadata, customer, amount, currency}}; kinds: {_KINDS}")
    kind = wanted["kind"]
    customer = wanted.get("customer")
    if customer is None:
        kept = world.save_customer(shapes.customer(world.now()), {"metadata": wanted.get("metadata", {})})
        customer = kept["id"]
        if kind == "customer":
            return kept
    method = world.save_card(_VISA, customer)
    if kind == "card":
        return method
    intent = intents.create(world, {
        "amount": wanted.get("amount", 700), "currency": wanted.get("currency", "usd"), "customer": customer,
        "payment_method": method["id"], "metadata": wanted.get("metadata", {}),
    })  # fmt: skip
    if kind == "open_payment":
        return intent
    paid = intents.confirm(world, intent["id"], {"off_session": True})
    if kind == "refund":
        return reversals.create_refund(world, {"payment_intent": paid["id"]})
    if kind == "dispute":
        return reversals.open_dispute(world, paid["id"])
    return reversals.warn(world, paid["id"]) if kind == "warning" else paid
