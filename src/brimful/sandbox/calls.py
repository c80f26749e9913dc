"""Stripe's API as one function: which call it is, its idempotency, the faults that are switched on, its answer.

No network here: the HTTP face and the simulation both come in by `Calls.answer`.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, Literal

from brimful.sandbox import checkout, intents, params, reversals, shapes, webhooks
from brimful.sandbox.errors import ApiError
from brimful.sandbox.testcards import TEST_METHODS
from brimful.sandbox.world import World

Object = dict[str, Any]
Handler = Callable[[World, Object, str], Object]
_KEY_MAX = 255
_KEY_LIFE_S = 24 * 3600  # Stripe forgets an idempotency key after this


def _retrieve(kind: str) -> Handler:
    return lambda world, _params, item_id: world.find(kind, item_id)


def _create_customer(world: World, wanted: Object, _id: str) -> Object:
    return world.save_customer(shapes.customer(world.now()), wanted)


def _update_customer(world: World, wanted: Object, item_id: str) -> Object:
    customer = world.find("customer", item_id)
    if customer.get("deleted"):
        raise ApiError(404, f"No such customer: '{item_id}'", code="resource_missing", param="id")
    return world.save_customer(customer, wanted)


def _retrieve_customer(world: World, _wanted: Object, item_id: str) -> Object:
    """One that was deleted is found, with nothing but that."""
    customer = world.find("customer", item_id)
    names = ("id", "object", "deleted") if customer.get("deleted") else tuple(customer)
    return {name: customer[name] for name in names}


def _list(kind: str, url: str, *names: str) -> Handler:
    return lambda world, wanted, _id: world.page(
        kind, url, wanted, lambda item: all(wanted.get(name) in {None, item.get(name)} for name in names)
    )


def _attach(world: World, wanted: Object, item_id: str) -> Object:
    world.refer("customer", wanted["customer"], "customer")
    if item_id in TEST_METHODS:
        return world.save_card(TEST_METHODS[item_id], wanted["customer"])
    return world.attach(world.find("payment_method", item_id), wanted["customer"])


def _detach(world: World, _params: Object, item_id: str) -> Object:
    method = world.find("payment_method", item_id)
    if method["customer"] is None:
        raise ApiError(400, "The payment method you provided is not attached to a customer.", param="payment_method")
    method["customer"] = None
    world.store.save("payment_method", method)
    world.emit("payment_method.detached", method)
    return method


def _create_intent(world: World, wanted: Object, _id: str) -> Object:
    return intents.create(world, wanted)


def _event_list(world: World, wanted: Object, _id: str) -> Object:
    types = {wanted["type"]} if "type" in wanted else set(wanted.get("types", []))
    return world.page("event", "/v1/events", wanted, lambda item: not types or item["type"] in types)


# (method, path, call, handler): {id} is the object's id.
_CALLS: tuple[tuple[str, str, str, Handler], ...] = (
    ("POST", "/v1/customers", "customers.create", _create_customer),
    ("POST", "/v1/customers/{id}", "customers.update", _update_customer),
    ("GET", "/v1/customers", "customers.list", _list("customer", "/v1/customers", "email")),
    ("GET", "/v1/customers/{id}", "customers.retrieve", _retrieve_customer),
    ("DELETE", "/v1/customers/{id}", "customers.delete", lambda w, _, item_id: w.delete_customer(item_id)),
    ("POST", "/v1/setup_intents", "setup_intents.create", lambda w, p, _: intents.create_setup(w, p)),
    ("GET", "/v1/setup_intents/{id}", "setup_intents.retrieve", _retrieve("setup_intent")),
    ("GET", "/v1/payment_methods", "payment_methods.list",
     _list("payment_method", "/v1/payment_methods", "customer", "type")),
    ("GET", "/v1/payment_methods/{id}", "payment_methods.retrieve", _retrieve("payment_method")),
    ("POST", "/v1/payment_methods/{id}/attach", "payment_methods.attach", _attach),
    ("POST", "/v1/payment_methods/{id}/detach", "payment_methods.detach", _detach),
    ("POST", "/v1/payment_intents", "payment_intents.create", _create_intent),
    ("GET", "/v1/payment_intents", "payment_intents.list", lambda w, p, _: intents.list_intents(w, p)),
    ("GET", "/v1/payment_intents/{id}", "payment_intents.retrieve",
     lambda w, p, item_id: intents.expand(w, w.find("payment_intent", item_id), p)),
    ("POST", "/v1/payment_intents/{id}/confirm", "payment_intents.confirm",
     lambda w, p, item_id: intents.expand(w, intents.confirm(w, item_id, p), p)),
    ("POST", "/v1/payment_intents/{id}/cancel", "payment_intents.cancel",
     lambda w, p, item_id: intents.cancel(w, item_id, p)),
    ("POST", "/v1/checkout/sessions", "checkout.sessions.create",
     lambda w, p, _: checkout.expand(w, checkout.create(w, p), p)),
    ("GET", "/v1/checkout/sessions", "checkout.sessions.list", lambda w, p, _: checkout.list_sessions(w, p)),
    ("GET", "/v1/checkout/sessions/{id}", "checkout.sessions.retrieve",
     lambda w, p, item_id: checkout.expand(w, w.find("checkout_session", item_id), p)),
    ("POST", "/v1/checkout/sessions/{id}/expire", "checkout.sessions.expire",
     lambda w, p, item_id: checkout.expand(w, checkout.expire(w, item_id), p)),
    ("POST", "/v1/refunds", "refunds.create", lambda w, p, _: reversals.create_refund(w, p)),
    ("GET", "/v1/refunds", "refunds.list", lambda w, p, _: reversals.list_refunds(w, p)),
    ("GET", "/v1/refunds/{id}", "refunds.retrieve", _retrieve("refund")),
    ("GET", "/v1/disputes", "disputes.list", lambda w, p, _: reversals.list_disputes(w, p)),
    ("POST", "/v1/disputes/{id}", "disputes.update", lambda w, p, item_id: reversals.update_dispute(w, item_id, p)),
    ("GET", "/v1/disputes/{id}", "disputes.retrieve", _retrieve("dispute")),
    ("GET", "/v1/radar/early_fraud_warnings/{id}", "radar.early_fraud_warnings.retrieve",
     _retrieve("early_fraud_warning")),
    ("GET", "/v1/events", "events.list", _event_list),
    ("GET", "/v1/events/{id}", "events.retrieve", _retrieve("event")),
    ("POST", "/v1/webhook_endpoints", "webhook_endpoints.create", lambda w, p, _: webhooks.create_endpoint(w, p)),
    ("POST", "/v1/webhook_endpoints/{id}", "webhook_endpoints.update", webhooks.update_endpoint),
    ("GET", "/v1/webhook_endpoints", "webhook_endpoints.list", webhooks.list_endpoints),
)  # fmt: skip

_ROUTES = [
    (method, re.compile(path.replace("{id}", "([A-Za-z0-9_]+)")), call, handler)
    for method, path, call, handler in _CALLS
]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What goes back, and in which form it arrives: `json` as Stripe sends it; `dropped` not at all; as a `page` of
    somebody else's; `cut` in its middle; `drip`, a byte every `seconds`; `flood`, without an end.
    """

    status: int
    body: Object
    headers: Object = dataclasses.field(default_factory=dict)
    form: Literal["json", "dropped", "page", "cut", "drip", "flood"] = "json"
    seconds: float = 0.0


_SERVER_ERROR = {"error": {"type": "api_error", "message": "An unknown error occurred."}}
_GARBLED: Object = {"object": "unheard_of"}


def _page(status: int) -> Answer:
    """What a proxy, a firewall or a sign-in page answers; a redirect leads back here."""
    return Answer(status, {}, {"Location": "/"} if 300 <= status < 400 else {}, form="page")


def refusal(error: ApiError) -> Answer:
    return Answer(error.status, error.body)


def find(method: str, path: str) -> tuple[str, Handler, str]:
    """The call behind a request: its name, its handler, the object's id."""
    for wanted, pattern, call, handler in _ROUTES:
        match = pattern.fullmatch(path)
        if match is not None and method == wanted:
            return call, handler, match.group(1) if match.groups() else ""
    raise ApiError(404, f"Unrecognized request URL ({method}: {path}).")


class Calls:
    """Answers calls on one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, method: str, path: str, text: str, key: str | None) -> Answer:
        """One call, begun and finished. `text` is the form or the query; `key` its idempotency key."""
        self._world.calls += 1
        try:
            call, handler, item_id = find(method, path)
        except ApiError as error:
            return refusal(error)
        if key is not None and len(key) > _KEY_MAX:
            return refusal(ApiError(400, f"An idempotency key has at most {_KEY_MAX} characters."))
        if key is None:
            return self._faulty(call, lambda: self._run(call, handler, item_id, text))
        fingerprint = hashlib.sha256(f"{path}\n{text}".encode()).hexdigest()
        kept = self._world.store.answer(key)
        if kept is not None and kept["at"] + _KEY_LIFE_S > self._world.now():
            if kept["fingerprint"] != fingerprint:
                message = "Keys for idempotent requests can only be used with the same parameters."
                return refusal(ApiError(400, message, kind="idempotency_error"))
            return Answer(kept["status"], kept["body"], {"Idempotent-Replayed": "true"})

        def keep(status: int, body: Object) -> None:
            at = self._world.now()
            self._world.store.keep_answer(key, {"fingerprint": fingerprint, "status": status, "body": body, "at": at})

        return self._faulty(call, lambda: self._run(call, handler, item_id, text), keep)

    def _run(self, call: str, handler: Handler, item_id: str, text: str) -> tuple[int, Object, bool]:
        """The call itself: status, body, and whether it ran (a refused parameter did not)."""
        try:
            wanted = params.decode(call, text)
        except ApiError as error:
            return error.status, error.body, False
        if call == "payment_intents.create" and wanted.get("metadata", {}).get("top_up_id"):
            self._world.store.note_top_up(wanted["metadata"]["top_up_id"], "first_request_ms")
        try:
            return 200, json.loads(json.dumps(handler(self._world, wanted, item_id))), True
        except ApiError as error:
            return error.status, error.body, error.status == 402

    def _faulty(
        self,
        call: str,
        run: Callable[[], tuple[int, Object, bool]],
        keep: Callable[[int, Object], None] = lambda _status, _body: None,
    ) -> Answer:
        take = self._world.switches.take
        if early := self._before(call, keep):
            return early
        status, body, ran = run()
        failing = bool(take(call, "error_after"))
        if failing:
            status, body = 500, _SERVER_ERROR
        if ran or failing:
            keep(status, body)
        if take(call, "garbled"):
            return Answer(200, _GARBLED)
        if page := take(call, "proxy_after"):
            return _page(page.status)
        if take(call, "drop_after"):
            return Answer(status, body, form="dropped")
        if slow := take(call, "drip"):
            return Answer(status, body, form="drip", seconds=slow.seconds)
        cut, flood = take(call, "cut"), take(call, "flood")
        return Answer(status, body, form="cut" if cut else "flood" if flood else "json")

    def _before(self, call: str, keep: Callable[[int, Object], None]) -> Answer | None:
        """Faults that keep the call from running. 429 and 403 come before the idempotency layer."""
        take = self._world.switches.take
        if take(call, "drop_before"):
            return Answer(200, {}, form="dropped")
        if page := take(call, "proxy"):
            return _page(page.status)
        if take(call, "error_before"):
            keep(500, _SERVER_ERROR)
            return Answer(500, _SERVER_ERROR)
        if take(call, "forbidden"):
            return refusal(ApiError(403, "The provided key does not have the required permissions."))
        if take(call, "lock_timeout"):
            return refusal(ApiError(429, "This object cannot be accessed right now.", code="lock_timeout"))
        retry = take(call, "busy_retry")
        if retry or take(call, "busy"):
            busy = refusal(ApiError(429, "Too many requests.", code="rate_limit"))
            return dataclasses.replace(busy, headers={"Stripe-Should-Retry": "true"}) if retry else busy
        return None
