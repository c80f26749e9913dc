"""Checkout Sessions: the page on which a customer gives a card, here by a button per test card."""

from typing import Any

from brimful.sandbox import currencies, intents, shapes
from brimful.sandbox.errors import ApiError
from brimful.sandbox.testcards import TEST_CARDS
from brimful.sandbox.world import World

Object = dict[str, Any]
_PENDING = "checkout_card"  # the card that waits for its authentication


def create(world: World, params: Object) -> Object:
    """A session with its page."""
    if "customer" in params:
        world.refer("customer", params["customer"], "customer")
    if params["mode"] == "payment":
        _validate_lines(params)
    elif "currency" in params:
        currencies.require_known(params["currency"])
    for name in ("success_url", "cancel_url"):
        if not params.get(name, "").startswith(("http://", "https://")):
            raise ApiError(400, f"Not a valid URL: {name}", code="url_invalid", param=name)
    expires_at = params.get("expires_at", world.now() + 86400)
    if not world.now() + 1800 <= expires_at <= world.now() + 86400:
        raise ApiError(400, "expires_at must be between 30 minutes and 24 hours from now", param="expires_at")
    session_id = shapes.new_id("cs_test")
    session = shapes.checkout_session(
        world.now(), params, url=f"{world.base_url}/c/pay/{session_id}", session_id=session_id
    )
    world.store.save("checkout_params", {"id": session_id, "params": params})
    return world.store.save("checkout_session", session)


def _validate_lines(params: Object) -> None:
    lines = params.get("line_items") or []
    if not lines or not all("quantity" in line and "unit_amount" in line.get("price_data", {}) for line in lines):
        raise ApiError(
            400, "line_items with quantity and price_data[unit_amount] are required in payment mode.",
            code="parameter_missing", param="line_items",
        )  # fmt: skip
    codes = {currencies.require_known(line["price_data"].get("currency", "")) for line in lines}
    if len(codes) > 1:
        raise ApiError(400, "All prices must use one currency.", param="line_items")
    total = sum(line["quantity"] * line["price_data"]["unit_amount"] for line in lines)
    currencies.require_chargeable(total, codes.pop(), "line_items")


def submit(world: World, session_id: str, number: str) -> Object | str:
    """The customer's button. Returns the session when it is complete, `authenticate` when the bank asks first;
    raises the decline, after which the page stays open.
    """
    session = _open(world, session_id)
    card = TEST_CARDS.get(number)
    if card is None:
        raise ApiError(400, "The sandbox takes test cards only.", code="incorrect_number")
    if not card.saves or (session["mode"] == "payment" and card.decline_code is not None):
        code = card.decline_code or "generic_decline"
        if session["mode"] == "setup":
            _set_up_failed(world, session)
        raise ApiError(402, "Your card was declined.", kind="card_error", code="card_declined", decline_code=code)
    if card.authentication != "never":
        world.store.save(_PENDING, {"id": session_id, "number": number})
        return "authenticate"
    return _complete(world, session, number)


def authenticated(world: World, session_id: str, *, agreed: bool) -> Object:
    """Back from the bank's page."""
    session = _open(world, session_id)
    pending = world.find(_PENDING, session_id)
    if not agreed:
        raise ApiError(402, "We are unable to authenticate your card.", kind="card_error", code="card_declined")
    return _complete(world, session, pending["number"])


def _open(world: World, session_id: str) -> Object:
    session = world.find("checkout_session", session_id)
    expire_old(world, session)
    if session["status"] != "open":
        raise ApiError(400, f"This Checkout Session is {session['status']}.", code="checkout_session_not_open")
    return session


def _set_up_failed(world: World, session: Object) -> None:
    """Stripe sends an event for each card that could not be saved; the page stays open."""
    intent = intents.create_setup(world, {"customer": session["customer"], "metadata": {}})
    world.emit("setup_intent.setup_failed", intent)


def _complete(world: World, session: Object, number: str) -> Object:
    params = world.find("checkout_params", session["id"])["params"]
    if session["mode"] == "setup":
        method = world.save_card(number, session["customer"])
        setup = intents.create_setup(
            world,
            {"customer": session["customer"], "metadata": params.get("setup_intent_data", {}).get("metadata", {})},
        )
        intents.set_up(world, setup, method)
        session["setup_intent"] = setup["id"]
    else:
        _pay(world, session, params.get("payment_intent_data", {}), number)
    session["status"] = "complete"
    session["url"] = None
    world.store.save("checkout_session", session)
    world.emit("checkout.session.completed", session)
    return session


def _pay(world: World, session: Object, data: Object, number: str) -> None:
    keep = "setup_future_usage" in data
    method = world.save_card(number, session["customer"] if keep else None)
    intent = shapes.payment_intent(
        world.now(),
        {
            "amount": session["amount_total"],
            "currency": session["currency"],
            "customer": session["customer"],
            "payment_method": method["id"],
            **data,
        },
        status="requires_confirmation",
    )
    if keep:
        world.store.save("set_up", {"id": method["id"]})
    session["payment_intent"] = intent["id"]
    session["payment_status"] = "paid"
    intents.succeed(world, intent)


def expire(world: World, session_id: str) -> Object:
    """It can never be completed."""
    session = world.find("checkout_session", session_id)
    if session["status"] != "open":
        raise ApiError(
            400, 'Only Checkout Sessions with a status in ["open"] can be expired.', code="checkout_session_not_open"
        )  # fmt: skip
    return _expire(world, session)


def expire_old(world: World, session: Object) -> Object:
    """Expire a session whose time is up when it is read."""
    if session["status"] == "open" and session["expires_at"] <= world.now():
        return _expire(world, session)
    return session


def _expire(world: World, session: Object) -> Object:
    session.update(status="expired", url=None)
    world.store.save("checkout_session", session)
    world.emit("checkout.session.expired", session)
    return session


def list_sessions(world: World, params: Object) -> Object:
    def matches(item: Object) -> bool:
        return all(
            params.get(name) in {None, item[name]} for name in ("customer", "payment_intent", "status")
        )  # fmt: skip

    page = world.page("checkout_session", "/v1/checkout/sessions", params, matches)
    return {**page, "data": [expand(world, item, params) for item in page["data"]]}


def expand(world: World, session: Object, params: Object) -> Object:
    """The whole SetupIntent or PaymentIntent in place of its id, where asked for."""
    expire_old(world, session)
    wanted = {name.removeprefix("data.") for name in params.get("expand", [])}
    shown = dict(session)
    for name in ("setup_intent", "payment_intent", "customer"):
        if name in wanted and session[name] is not None:
            shown[name] = world.find(name, session[name])
    return shown
