"""The API as one FastAPI application."""

import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from brimful import payments
from brimful.api import docs, openapi, problems, usage
from brimful.api.auth import Auth
from brimful.api.context import AppContext
from brimful.api.metrics import Metrics
from brimful.api.problems import RequestIds
from brimful.api.rate_limit_headers import KeyRateLimit
from brimful.api.routes import ROUTERS, balance_tokens
from brimful.auth import permissions
from brimful.core.errors import Refused
from brimful.db.pool import Database
from brimful.gateway.stripe import adapter
from brimful.posting.group_commit import PLANS, Recorder
from brimful.web import pages
from brimful.web.pages import AddressRateLimit, RefusalLog, SecurityHeaders
from brimful.wiring import Deps

_log = logging.getLogger(__name__)
_REJECTIONS_EVERY_S = 1.0
_POLICY = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"  # JSON is no page, also in a browser


def build(deps: Deps) -> FastAPI:
    """The application. Its lifespan runs the recorder; the caller opens and closes `deps`."""
    settings = deps.settings
    refusals = RefusalLog("api", settings)
    headers = {"Content-Security-Policy": _POLICY, **pages.plain_headers(settings)}
    keys, address_limit = KeyRateLimit(settings.api_rate), AddressRateLimit("the API", settings)
    auth = Auth(deps.database, deps.keyring, keys, address_limit)
    # Connections of its own: no reader can keep debits waiting for one, and their plans are fixed.
    posting = Database(
        settings.database_url,
        deps.database.role,
        direct_url=settings.database_url_direct,
        pool_min=settings.writers,
        pool_max=settings.writers + 2,  # one for what waits for a locked account, one to ask where customers lie
        clock=deps.database.clock,
        options=PLANS,
    )
    recorder = Recorder(
        posting,
        deps.keyring,
        deps.pace,
        batch_max=settings.batch_max,
        queue_max=settings.queue_max,
        writers=settings.writers,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await posting.open()
        recorder.start()
        yield
        await recorder.stop()
        await posting.close()

    app = FastAPI(
        title="Brimful",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=openapi.operation_id,
        redirect_slashes=False,  # they would lead where the Host header says, by http
        exception_handlers=problems.handlers(headers, refusals),
    )
    app.state.context = AppContext(deps, auth, recorder)
    app.state.rate_limits = [keys.rate_limit, address_limit.rate_limit]
    app.state.routes = [route for router in ROUTERS for route in router.routes]
    for router in ROUTERS:
        app.include_router(router)
    app.state.hot = usage.UsageRoute(auth, deps, recorder, refusals)
    app.state.headers = headers
    app.router.routes.append(Route("/v1/stripe/webhooks", _StripeWebhooks(deps).__call__, methods=["POST"]))
    app.router.routes.append(Route("/metrics", Metrics(deps).__call__))
    app.router.routes.append(Route("/healthz", _healthz))
    app.router.routes.append(Route("/readyz", _Ready(deps).__call__))
    app.router.routes.append(Route("/docs", _to_docs))
    app.mount("/docs", docs.build())
    for route in [*app.state.routes, *(item for item in app.router.routes if isinstance(item, Route))]:
        for method in route.methods or ():
            permissions.row_for("api", method, route.path)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    app.add_middleware(SecurityHeaders, headers=headers)
    app.add_middleware(_AnyOrigin)
    app.add_middleware(RequestIds)  # the last one added is the outermost
    return app


class _AnyOrigin:
    """Lets pages of any origin read balances: who may is said by the token, and no cookie counts here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app, allow_origins=("*",), allow_methods=("GET",), allow_headers=("Authorization",), max_age=7200
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shared = scope["type"] == "http" and scope["path"] == balance_tokens.PATH
        await (self._open if shared else self._app)(scope, receive, send)


class _StripeWebhooks:
    """POST /v1/stripe/webhooks: signed events, answered as soon as they are stored."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._rejected = 0
        self._noted_s = -math.inf

    async def __call__(self, request: Request) -> Response:
        try:
            payload = await pages.read_bounded(request)
        except Refused as refused:
            return problems.problem(request, refused)
        signature, secrets = request.headers.get("stripe-signature"), self._deps.settings.stripe_webhook_secrets
        if await payments.stripe_events.receive(self._deps.database, payload, signature, secrets):
            return JSONResponse({"received": True})
        if adapter.claims_to_be_fresh(signature):
            await self._reject()
        detail = "The signature, its time or the event's form is wrong."
        return JSONResponse({"code": "bad_signature", "detail": detail}, 400)

    async def _reject(self) -> None:
        """Count it; a row is written once in a while, however many come."""
        self._rejected += 1
        if time.monotonic() - self._noted_s < _REJECTIONS_EVERY_S:
            return
        self._noted_s, count, self._rejected = time.monotonic(), self._rejected, 0
        _log.warning("%d events of Stripe came with a wrong signature: is STRIPE_WEBHOOK_SECRET the endpoint's?", count)
        async with self._deps.database.transaction() as tx:
            await payments.stripe_events.count_rejections(tx, count)


async def _to_docs(_request: Request) -> Response:
    return RedirectResponse("/docs/", 307)


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok")


class _Ready:
    """GET /readyz: whether the database answers."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def __call__(self, _request: Request) -> Response:
        async with self._deps.database.transaction() as tx:
            await tx.one("SELECT 1")
        return PlainTextResponse("ready")
