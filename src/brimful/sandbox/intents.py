"""PaymentIntents and SetupIntents: Stripe's state machines for cards."""

import secrets
from typing import Any

from brimful.sandbox import currencies, reversals, shapes
from brimful.sandbox.errors import ApiError
from brimful.sandbox.testcards import TEST_METHODS, TestCard
from brimful.sandbox.world import World

Object = dict[str, Any]
_CONFIRMABLE = {"requires_confirmation", "requires_payment_method", "requires_action"}
_CANCELABLE = {"requires_confirmation", "requires_payment_method", "requires_action", "processing"}


def create(world: World, params: Object) -> Object:
    """A payment, confirmed at once with `confirm`."""
    currencies.require_chargeable(params["amount"], currencies.require_known(params["currency"]))
    for kind in (*params.get("payment_method_types", []), *params.get("allowed_payment_method_types", [])):
        if kind != "card":
            raise ApiError(400, f"The payment method type {kind!r} is invalid: the sandbox has cards.",
                           param="payment_method_types")  # fmt: skip
    if "customer" in params:
        world.refer("customer", params["customer"], "customer")
    if "payment_method" in params:
        params = {**params, "payment_method": _usable(world, params["payment_method"], params.get("customer"))["id"]}
    status = "requires_confirmation" if "payment_method" in params else "requires_payment_method"
    intent = shapes.payment_intent(world.now(), params, status=status)
    world.store.save("payment_intent", intent)
    world.emit("payment_intent.created", intent)
    return confirm(world, intent["id"], params) if params.get("confirm") else intent


def _usable(world: World, method_id: str, customer: str | None) -> Object:
    if method_id in TEST_METHODS:
        return world.save_card(TEST_METHODS[method_id], None)
    method = world.refer("payment_method", method_id, "payment_method")
    if method["customer"] is None and world.store.get("used_up", method_id) is None:
        return method
    if method["customer"] is None:
        raise ApiError(
            400, "The provided PaymentMethod was previously detached from a Customer and may not be used again.",
            param="payment_method",
        )  # fmt: skip
    if method["customer"] != customer:
        raise ApiError(400, "The PaymentMethod does not belong to this Customer.", param="payment_method")
    return method


def confirm(world: World, intent_id: str, params: Object) -> Object:
    """Charge: succeeds, declines (402), asks for the customer, or stays processing."""
    intent = world.find("payment_intent", intent_id)
    if intent["status"] not in _CONFIRMABLE:
        raise _unexpected(intent, "confirm")
    method_id = params.get("payment_method") or intent["payment_method"]
    if method_id is None:
        raise ApiError(400, "You cannot confirm this PaymentIntent because it's missing a payment method.",
                       code="payment_intent_unexpected_state")  # fmt: skip
    method = _usable(world, method_id, intent["customer"])
    if method["customer"] is None:
        world.use_up(method)
    intent["payment_method"] = method["id"]
    return charge(world, intent, off_session=params.get("off_session", False), return_url=params.get("return_url"))


def charge(world: World, intent: Object, *, off_session: bool, return_url: str | None) -> Object:
    """What the card behind the intent does."""
    method = world.find("payment_method", intent["payment_method"])
    card = world.card_of(method)
    forced = world.switches.take("payment_intents.confirm", "decline")
    if forced is not None:
        _decline(world, intent, forced.decline_code or "generic_decline", "card_declined",
                 forced.advice_code)  # fmt: skip
    if card.decline_code is not None:
        _decline(world, intent, card.decline_code, card.code, card.advice_code)
    if _asks(world, card, method, off_session):
        if off_session and card.alone is not None:
            _decline(world, intent, card.alone, card.code, None)
        if off_session:
            _decline(world, intent, "authentication_required", "authentication_required", None)
        if return_url is None:
            raise ApiError(400, "A return_url is required for this payment.", param="return_url")
        intent["status"] = "requires_action"
        url = f"{world.base_url}/sandbox/authenticate/{intent['id']}"
        intent["next_action"] = {
            "type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}
        }  # fmt: skip
        world.store.save("payment_intent", intent)
        world.emit("payment_intent.requires_action", intent)
        return intent
    if world.switches.take("payment_intents.confirm", "processing"):
        intent["status"] = "processing"
        world.store.save("payment_intent", intent)
        world.emit("payment_intent.processing", intent)
        return intent
    return succeed(world, intent)


def _asks(world: World, card: TestCard, method: Object, off_session: bool) -> bool:
    if card.authentication == "always":
        return True
    if card.authentication == "unless_set_up":
        return not off_session and world.store.get("set_up", method["id"]) is None
    return False


def expand(world: World, intent: Object, params: Object) -> Object:
    """The whole charge in place of its id, where asked for."""
    if "latest_charge" in params.get("expand", []) and intent["latest_charge"] is not None:
        return {**intent, "latest_charge": world.find("charge", intent["latest_charge"])}
    return intent


def succeed(world: World, intent: Object) -> Object:
    """The money moves."""
    charge_object = shapes.charge(world.now(), intent, {"id": intent["payment_method"]}, url=world.base_url)
    world.store.save("charge", charge_object)
    intent.update(
        status="succeeded", amount_received=intent["amount"], latest_charge=charge_object["id"], next_action=None,
        last_payment_error=None,
    )  # fmt: skip
    world.store.save("payment_intent", intent)
    top_up_id = intent["metadata"].get("top_up_id")
    if top_up_id:
        world.store.note_top_up(top_up_id, "succeeded_ms")
    world.emit("payment_intent.succeeded", intent)
    if world.card_of(world.find("payment_method", intent["payment_method"])).disputed:
        reversals.open_dispute(world, intent["id"])
    return intent


def _decline(world: World, intent: Object, decline_code: str, code: str, advice: str | None) -> None:
    """402 with the intent inside; it goes back to requires_payment_method and stays confirmable."""
    error = {
        "type": "card_error", "code": code, "decline_code": decline_code, "message": "Your card was declined.",
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
    }  # fmt: skip
    if advice is not None:
        error["advice_code"] = advice
    intent.update(status="requires_payment_method", payment_method=None, next_action=None, last_payment_error=error)
    world.store.save("payment_intent", intent)
    world.emit("payment_intent.payment_failed", intent)
    raise ApiError(
        402, error["message"], kind="card_error", code=code, decline_code=decline_code, advice_code=advice,
        payment_intent=dict(intent),
    )  # fmt: skip


def _unexpected(intent: Object, verb: str) -> ApiError:
    return ApiError(
        400,
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=dict(intent),
    )


def authenticate(world: World, intent: Object, *, agreed: bool) -> Object:
    """The bank's page: the customer agrees, or fails."""
    if intent["status"] != "requires_action":
        return intent
    if agreed:
        return succeed(world, intent)
    intent.update(
        status="requires_payment_method", payment_method=None, next_action=None,
        last_payment_error={
            "type": "invalid_request_error", "code": "payment_intent_authentication_failure",
            "message": "The provided PaymentMethod has failed authentication.",
        },
    )  # fmt: skip
    world.store.save("payment_intent", intent)
    world.emit("payment_intent.payment_failed", intent)
    return intent


def finish(world: World, intent_id: str, *, decline_code: str | None) -> Object:
    """End a payment that stays `processing`."""
    intent = world.find("payment_intent", intent_id)
    if intent["status"] != "processing":
        raise _unexpected(intent, "finish")
    if decline_code is None:
        return succeed(world, intent)
    try:
        _decline(world, intent, decline_code, "card_declined", None)
    except ApiError:
        return intent
    return intent


def cancel(world: World, intent_id: str, params: Object) -> Object:
    """It will never take money."""
    intent = world.find("payment_intent", intent_id)
    if intent["status"] not in _CANCELABLE or (intent["status"] == "processing"):
        raise _unexpected(intent, "cancel")
    if any(session["payment_intent"] == intent_id and session["status"] == "open"
           for session in world.store.newest("checkout_session")):  # fmt: skip
        raise _unexpected(intent, "cancel")
    intent.update(
        status="canceled", canceled_at=world.now(), cancellation_reason=params.get("cancellation_reason"),
        next_action=None,
    )  # fmt: skip
    world.store.save("payment_intent", intent)
    world.emit("payment_intent.canceled", intent)
    return intent


def list_intents(world: World, params: Object) -> Object:
    wanted = params.get("customer")
    return world.page(
        "payment_intent", "/v1/payment_intents", params, lambda item: wanted is None or item["customer"] == wanted
    )


def create_setup(world: World, params: Object) -> Object:
    """A card being saved. With a payment method and `confirm` it is done at once."""
    if "customer" in params:
        world.refer("customer", params["customer"], "customer")
    has_method = "payment_method" in params
    intent = shapes.setup_intent(
        world.now(), params, status="requires_confirmation" if has_method else "requires_payment_method"
    )
    if has_method and params.get("confirm"):
        method = world.refer("payment_method", params["payment_method"], "payment_method")
        if params.get("customer"):
            world.attach(method, params["customer"])
        set_up(world, intent, method)
    return world.store.save("setup_intent", intent)


def set_up(world: World, intent: Object, method: Object) -> None:
    """The card is saved for later use without its customer."""
    intent.update(status="succeeded", payment_method=method["id"])
    world.store.save("set_up", {"id": method["id"]})
    world.store.save("setup_intent", intent)
    world.emit("setup_intent.succeeded", intent)


def new_secret() -> str:
    """A webhook endpoint's signing secret."""
    return "whsec_" + secrets.token_hex(24)
