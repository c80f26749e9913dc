"""The HTTP face: Stripe's API under /v1, Checkout and bank pages for people, /sandbox to control and inspect."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from brimful.sandbox import books, callers, calls, foreign, intents, pages, reversals, shapes, webhooks
from brimful.sandbox.calls import Answer, Calls
from brimful.sandbox.errors import ApiError
from brimful.sandbox.webhooks import Webhooks
from brimful.sandbox.world import World

Object = dict[str, Any]
_BODY_MAX = 100_000


class _Dropped(Response):
    """An answer that breaks off: the client learns nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = [(b"content-length", b"4096"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Api:
    """Stripe's API over HTTP: authorisation, slowness, then the call."""

    def __init__(self, world: World, key: str | None) -> None:
        self._world = world
        self._calls = Calls(world)
        self._key = key
        self._running: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        response.headers["Request-Id"] = shapes.new_id("req")
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        body = (await request.body())[:_BODY_MAX].decode("utf-8", "replace")
        root = request.scope.get("root_path", "")
        path = root + request.scope["path"].removeprefix(root)
        try:
            self._authorise(request)
            call, _, _ = calls.find(request.method, path)
        except ApiError as error:
            return _response(calls.refusal(error))
        text = body if request.method == "POST" else str(request.url.query)
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is not None and key in self._running:
            message = "There is currently another in-progress request using this Idempotent Key."
            return _response(
                calls.refusal(ApiError(409, message, code="idempotency_key_in_use", kind="idempotency_error"))
            )
        if key is not None:
            self._running.add(key)
        try:
            return await self._slowly(call, lambda: self._calls.answer(request.method, path, text, key))
        finally:
            self._running.discard(key or "")

    async def _slowly(self, call: str, run: Callable[[], Answer]) -> Response:
        take = self._world.switches.take
        if slow := take(call, "slow"):
            await asyncio.sleep(slow.seconds)
        answer = run()
        if late := take(call, "slow_answer"):
            await asyncio.sleep(late.seconds)
        return _response(answer)

    def _authorise(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if given.startswith("Basic "):
            with contextlib.suppress(ValueError):
                given = "Bearer " + base64.b64decode(given[6:]).decode("ascii", "replace").partition(":")[0]
        if self._key is not None and given != f"Bearer {self._key}":
            raise ApiError(401, "Invalid API Key provided: it is not this sandbox's.")


def _response(answer: Answer) -> Response:
    if answer.form == "dropped":
        return _Dropped()
    if answer.form == "page":
        page = "" if answer.status == 204 else "<!doctype html><title>Gateway</title><h1>Something went wrong</h1>"
        return HTMLResponse(page, answer.status, answer.headers)
    whole = JSONResponse(answer.body, answer.status, answer.headers)
    content = bytes(whole.body)
    if answer.form == "cut":
        return Response(content[: len(content) // 2], answer.status, media_type="application/json")
    if answer.form == "drip":
        return StreamingResponse(_drip(content, answer.seconds), answer.status, media_type="application/json")
    if answer.form == "flood":
        return StreamingResponse(_flood(), answer.status, media_type="application/json")
    return whole


async def _drip(content: bytes, seconds: float) -> AsyncIterator[bytes]:
    for byte in content:
        yield bytes((byte,))
        await asyncio.sleep(seconds)


async def _flood() -> AsyncIterator[bytes]:
    yield b'{"data": "'
    while True:
        yield b"a" * 65_536
        await asyncio.sleep(0)


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
            Route("/sandbox/payment_intents/{id}/{act}", control.act_on_payment, methods=["POST"]),
            Route("/sandbox/refunds/{id}/finish", control.finish_refund, methods=["POST"]),
            Route("/sandbox/disputes/{id}/{act}", control.act_on_dispute, methods=["POST"]),
            Route("/sandbox/foreign", control.make_foreign, methods=["POST"]),
            Route("/sandbox/payment_methods/{id}/renew", control.renew_card, methods=["POST"]),
            Route("/sandbox/clock", control.clock, methods=["POST"]),
            Route("/sandbox/books", control.books),
            *pages.routes(world),
        ],
        middleware=[Middleware(callers.LoopbackPrograms)],
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

    async def act_on_payment(self, request: Request) -> Response:
        """`finish` a processing payment, `dispute` a paid one, or `warn` of fraud."""
        acts: dict[str, Callable[[str, Object], Object]] = {
            "finish": lambda item, wanted: intents.finish(self._world, item, decline_code=wanted.get("decline_code")),
            "dispute": lambda item, wanted: reversals.open_dispute(
                self._world,
                item,
                amount=wanted.get("amount"),
                inquiry=bool(wanted.get("inquiry")),
                prefix=wanted.get("prefix", "du"),
            ),
            "warn": lambda item, _wanted: reversals.warn(self._world, item),
        }
        act = acts.get(request.path_params["act"])
        if act is None:
            return _response(calls.refusal(ApiError(404, f"A payment can {', '.join(acts)}.")))
        return await self._act(request, act)

    async def finish_refund(self, request: Request) -> Response:
        return await self._act(
            request,
            lambda item, wanted: reversals.finish_refund(self._world, item, status=wanted.get("status", "succeeded")),
        )

    async def act_on_dispute(self, request: Request) -> Response:
        """`close` one, won or lost; or `escalate` an inquiry into a dispute."""
        acts: dict[str, Callable[[str, Object], Object]] = {
            "close": lambda item, wanted: reversals.close_dispute(self._world, item, won=bool(wanted.get("won"))),
            "escalate": lambda item, _wanted: reversals.escalate_inquiry(self._world, item),
        }
        act = acts.get(request.path_params["act"])
        if act is None:
            return _response(calls.refusal(ApiError(404, f"A dispute can {', '.join(acts)}.")))
        return await self._act(request, act)

    async def make_foreign(self, request: Request) -> Response:
        """Something that another product made on the same account: `kind`, and the `metadata` it carries."""
        try:
            return JSONResponse(foreign.make(self._world, json.loads(await request.body() or b"{}")))
        except ApiError as error:
            return _response(calls.refusal(error))

    async def renew_card(self, request: Request) -> Response:
        return await self._act(request, self._world.renew_card)

    async def _act(self, request: Request, act: Callable[[str, Object], Object]) -> Response:
        try:
            return JSONResponse(act(request.path_params["id"], json.loads(await request.body() or b"{}")))
        except ApiError as error:
            return _response(calls.refusal(error))

    async def clock(self, request: Request) -> Response:
        """Move the sandbox's clock by so many seconds."""
        self._world.clock_offset_s += int(json.loads(await request.body())["seconds"])
        return JSONResponse({"now": self._world.now()})

    async def books(self, _request: Request) -> Response:
        return JSONResponse(books.books(self._world))


def _ensure_endpoint(world: World, url: str, secret: str) -> None:
    for endpoint in world.store.newest("webhook_endpoint"):
        if endpoint["url"] == url and endpoint["secret"] == secret:
            return
        if endpoint["secret"] == secret:  # the same product on another port
            endpoint["url"] = url
            world.store.save("webhook_endpoint", endpoint)
            return
    webhooks.create_endpoint(world, {"url": url}, secret)
