"""The HTTP face: Stripe's API under /v1, Checkout and bank pages for people, /sandbox to control and inspect."""

import asyncio
import base64
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from brimful.sandbox import checkout, intents, pages, params, shapes
from brimful.sandbox.books import books
from brimful.sandbox.errors import ApiError
from brimful.sandbox.testcards import TEST_METHODS
from brimful.sandbox.webhooks import Webhooks, create_endpoint
from brimful.sandbox.world import World

__all__ = ["build"]

Object = dict[str, Any]
Handler = Callable[[World, Object, str], Object]
_BODY_MAX = 100_000


def _retrieve(kind: str) -> Handler:
    return lambda world, _params, item_id: world.find(kind, item_id)


def _create_customer(world: World, wanted: Object, _id: str) -> Object:
    return world.store.save("customer", shapes.customer(world.now(), wanted))


def _list(kind: str, url: str, *names: str) -> Handler:
    return lambda world, wanted, _id: world.page(
        kind, url, wanted, lambda item: all(wanted.get(name) in {None, item.get(name)} for name in names)
    )


def _attach(world: World, wanted: Object, item_id: str) -> Object:
    world.find("customer", wanted["customer"], "customer")
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
    ("GET", "/v1/customers", "customers.list", _list("customer", "/v1/customers", "email")),
    ("GET", "/v1/customers/{id}", "customers.retrieve", _retrieve("customer")),
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
    ("POST", "/v1/refunds", "refunds.create", lambda w, p, _: intents.create_refund(w, p)),
    ("GET", "/v1/refunds", "refunds.list", lambda w, p, _: intents.list_refunds(w, p)),
    ("GET", "/v1/refunds/{id}", "refunds.retrieve", _retrieve("refund")),
    ("GET", "/v1/events", "events.list", _event_list),
    ("GET", "/v1/events/{id}", "events.retrieve", _retrieve("event")),
    ("POST", "/v1/webhook_endpoints", "webhook_endpoints.create", lambda w, p, _: create_endpoint(w, p)),
    ("GET", "/v1/webhook_endpoints", "webhook_endpoints.list", _list("webhook_endpoint", "/v1/webhook_endpoints")),
)  # fmt: skip

_ROUTES = [
    (method, re.compile(path.replace("{id}", "([A-Za-z0-9_]+)")), call, handler)
    for method, path, call, handler in _CALLS
]


class _Dropped(Response):
    """An answer that breaks off: the client learns nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = [(b"content-length", b"4096"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Api:
    """Stripe's API: authorisation, idempotency, faults, then the call itself."""

    def __init__(self, world: World, key: str | None) -> None:
        self._world = world
        self._key = key
        self._running: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        response.headers["Request-Id"] = shapes.new_id("req")
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        body = (await request.body())[:_BODY_MAX].decode("utf-8", "replace")
        try:
            self._authorise(request)
            call, handler, item_id = _find(request)
        except ApiError as error:
            return JSONResponse(error.body, error.status)
        text = body if request.method == "POST" else str(request.url.query)
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is None:
            return await self._faulty(call, lambda: self._run(call, handler, item_id, text))
        return await self._idempotent(key, f"{request.url.path}\n{text}", call, handler, item_id, text)

    def _authorise(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if given.startswith("Basic "):
            with contextlib.suppress(ValueError):
                given = "Bearer " + base64.b64decode(given[6:]).decode("ascii", "replace").partition(":")[0]
        if self._key is not None and given != f"Bearer {self._key}":
            raise ApiError(401, "Invalid API Key provided: it is not this sandbox's.")

    async def _idempotent(
        self, key: str, content: str, call: str, handler: Handler, item_id: str, text: str
    ) -> Response:
        fingerprint = hashlib.sha256(content.encode()).hexdigest()
        if key in self._running:
            message = "There is currently another in-progress request using this Idempotent Key."
            return _error(ApiError(409, message, code="idempotency_key_in_use", kind="idempotency_error"))
        kept = self._world.store.answer(key)
        if kept is not None:
            if kept["fingerprint"] != fingerprint:
                message = "Keys for idempotent requests can only be used with the same parameters."
                return _error(ApiError(400, message, kind="idempotency_error"))
            return JSONResponse(kept["body"], kept["status"], {"Idempotent-Replayed": "true"})
        self._running.add(key)

        def keep(status: int, body: Object) -> None:
            self._world.store.keep_answer(key, {"fingerprint": fingerprint, "status": status, "body": body})

        try:
            return await self._faulty(call, lambda: self._run(call, handler, item_id, text), keep)
        finally:
            self._running.discard(key)

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

    async def _faulty(
        self,
        call: str,
        run: Callable[[], tuple[int, Object, bool]],
        keep: Callable[[int, Object], None] = lambda _status, _body: None,
    ) -> Response:
        take = self._world.switches.take
        if slow := take(call, "slow"):
            await asyncio.sleep(slow.seconds)
        if early := self._before(call, keep):
            return early
        status, body, ran = run()
        failing = bool(take(call, "error_after"))
        if failing:
            status, body = 500, _SERVER_ERROR
        if ran or failing:
            keep(status, body)
        if late := take(call, "slow_answer"):
            await asyncio.sleep(late.seconds)
        return _Dropped() if take(call, "drop_after") else JSONResponse(body, status)

    def _before(self, call: str, keep: Callable[[int, Object], None]) -> Response | None:
        """Faults that keep the call from running. 429 and 403 come before the idempotency layer."""
        take = self._world.switches.take
        if take(call, "drop_before"):
            return _Dropped()
        if take(call, "error_before"):
            keep(500, _SERVER_ERROR)
            return JSONResponse(_SERVER_ERROR, 500)
        if take(call, "forbidden"):
            return _error(ApiError(403, "The provided key does not have the required permissions."))
        if take(call, "lock_timeout"):
            return _error(ApiError(429, "This object cannot be accessed right now.", code="lock_timeout"))
        retry = take(call, "busy_retry")
        if retry or take(call, "busy"):
            response = _error(ApiError(429, "Too many requests.", code="rate_limit"))
            if retry:
                response.headers["Stripe-Should-Retry"] = "true"
            return response
        return None


_SERVER_ERROR = {"error": {"type": "api_error", "message": "An unknown error occurred."}}


def _error(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body, error.status)


def _find(request: Request) -> tuple[str, Handler, str]:
    path = request.scope.get("root_path", "") + request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    for method, pattern, call, handler in _ROUTES:
        match = pattern.fullmatch(path)
        if match is not None and method == request.method:
            return call, handler, match.group(1) if match.groups() else ""
    raise ApiError(404, f"Unrecognized request URL ({request.method}: {path}).")


def build(world: World, *, key: str | None = None, webhook: tuple[str, str] | None = None) -> Starlette:
    """The sandbox as an ASGI application.

    Args:
        world: its state.
        key: the only API key it takes; None takes any.
        webhook: address and secret of an endpoint to have from the start.
    """
    webhooks = Webhooks(world)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if webhook is not None:
            _ensure_endpoint(world, *webhook)
        webhooks.start()
        yield
        await webhooks.stop()

    control = Control(world)
    return Starlette(
        routes=[
            Mount("/v1", app=Api(world, key)),
            Route("/sandbox/switches", control.switches, methods=["GET", "POST", "DELETE"]),
            Route("/sandbox/payment_intents/{id}/finish", control.finish, methods=["POST"]),
            Route("/sandbox/books", control.books),
            *pages.routes(world),
        ],
        lifespan=lifespan,
    )


class Control:
    """What a test or a developer steers and inspects."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def switches(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._world.switches.clear()
        elif request.method == "POST":
            try:
                self._world.switches.set(json.loads(await request.body()))
            except (ApiError, ValueError, TypeError) as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(self._world.switches.shown())

    async def finish(self, request: Request) -> Response:
        wanted = json.loads(await request.body() or b"{}")
        try:
            done = intents.finish(self._world, request.path_params["id"], decline_code=wanted.get("decline_code"))
        except ApiError as error:
            return _error(error)
        return JSONResponse(done)

    async def books(self, _request: Request) -> Response:
        return JSONResponse(books(self._world))


def _ensure_endpoint(world: World, url: str, secret: str) -> None:
    for endpoint in world.store.newest("webhook_endpoint"):
        if endpoint["url"] == url and endpoint["secret"] == secret:
            return
        if endpoint["secret"] == secret:  # the same product on another port
            endpoint["url"] = url
            world.store.save("webhook_endpoint", endpoint)
            return
    create_endpoint(world, {"url": url}, secret)
