"""API, portal and console as one ASGI application, in one process or several."""

import contextlib
import os
import signal
import socket
import tempfile
import types
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from brimful import api, console, observability, portal, settings, wiring
from brimful.api.usage import HotRoute
from brimful.core import garbage
from brimful.runtime import embedded_postgres, ports
from brimful.settings.model import Settings
from brimful.web import rate_limit_sync
from brimful.web.http_limits import Bounded
from brimful.web.pages import CountResponses

_STOP_S = 15
# Longer than a proxy keeps its own end (nginx 60 s, AWS' balancers 60 s): the side that closes first must not be the
# one who cannot know that a request is under way; the proxy would answer 502 for it.
_IDLE_S = 75
# Until a new process serves; the one it replaces serves on meanwhile. As long, too, the supervisor waits for a sign of
# one that is killed just then, and gets no signal: less than the 30 s after which systemd would kill it.
_BEGIN_S = 20
_BACKLOG = 2048
_INTERNAL = "BRIMFUL_INTERNAL"  # tells a process of several which port is the internal one


class Listeners:
    """Keeps what is for the platform's own people, console and metrics, off the listener that the world reaches: there
    they do not exist. Which of our sockets a request came by cannot be said by its sender.
    """

    def __init__(self, app: ASGIApp, internal_port: int) -> None:
        self._app = app
        self._internal_port = internal_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        inside = path in {"/console", "/metrics"} or path.startswith("/console/")
        if inside and scope["server"][1] != self._internal_port:
            scope = {**scope, "path": "/not-here", "raw_path": b"/not-here"}
        await self._app(scope, receive, send)


def application(config: Settings, internal_port: int | None = None) -> HotRoute:
    """The portal under /billing, the console under /console, everything else the API, each under its own database role.
    With an `internal_port`, console and metrics exist on that one alone.
    """
    api_deps = wiring.build(config, "brimful_api")
    portal_deps = wiring.build(config, "brimful_portal")
    # The console acts for the platform's people: under the engine's role, which chooses no card and gives no consent.
    console_deps = wiring.build(config, "brimful_engine")
    api_app, portal_app, console_app = (
        api.app.build(api_deps),
        portal.app.build(portal_deps),
        console.app.build(console_deps),
    )
    rate_limits = [limit for app in (api_app, portal_app, console_app) for limit in app.state.rate_limits]
    exchange = rate_limit_sync.RateLimitSync(api_deps.database, rate_limits)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for one in (api_deps, portal_deps, console_deps):
            await wiring.open_all(one)
        _end_streams_first(portal_app)
        exchange.start()
        async with api_app.router.lifespan_context(api_app):
            yield
        await exchange.stop()
        for one in (console_deps, portal_deps, api_deps):
            await wiring.close(one)

    return mounted(api_app, portal_app, console_app, lifespan, internal_port)


def mounted(
    api_app: FastAPI,
    portal_app: Starlette,
    console_app: Starlette,
    lifespan: Lifespan[Starlette],
    internal_port: int | None = None,
) -> HotRoute:
    """The three beside one another, and the hot route before them."""

    async def to_app(request: Request) -> Response:
        return RedirectResponse(f"{request.url.path}/", 307)

    mounts = [
        Route("/billing", to_app), Route("/console", to_app),
        Mount("/billing", app=portal_app), Mount("/console", app=console_app), Mount("/", app=api_app),
    ]  # fmt: skip
    app = Starlette(routes=mounts, lifespan=lifespan, middleware=[Middleware(CountResponses)])
    app.router.redirect_slashes = False
    app.router.default = api_app  # a path with a line break in it matches no mount
    gated = app if internal_port is None else Listeners(app, internal_port)
    return HotRoute(gated, api_app.state.hot, api_app.state.headers)


def _end_streams_first(portal_app: Starlette) -> None:
    """When the process must stop: uvicorn waits for every answer, and a stream of balances has no end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def stop(received: int, frame: types.FrameType | None, before: object = before) -> None:
            portal_app.state.hub.stop()
            if callable(before):
                before(received, frame)

        signal.signal(number, stop)


def _built() -> HotRoute:
    config = settings.environment.read()
    wiring.begin(config, "brimful-api")
    internal_port = os.environ.get(_INTERNAL)
    app = application(config, None if internal_port is None else int(internal_port))
    garbage.settle()
    return app


def child() -> HotRoute:
    """The application of one process of several. Called in a new interpreter."""
    embedded_postgres.die_with_parent(signal.SIGTERM)
    observability.metrics.share_between_processes()
    return _built()


def run(*, host: str, port: int, internal_host: str, internal_port: int, workers: int = 1) -> None:
    """Serve on two listeners (on one, where both ports are the same) until SIGTERM or SIGINT. With several workers,
    processes that share them: one that dies is replaced, and on SIGHUP each is, one after the other, by one that serves
    already.

    Raises:
        ConfigurationError: a port is taken.
    """
    port = ports.require_free(host, port)
    listening = [_listening(host, port)]
    if internal_port != port:
        internal_port = ports.require_free(internal_host, internal_port)
        os.environ[_INTERNAL] = str(internal_port)
        listening.append(_listening(internal_host, internal_port))
    config = uvicorn.Config(
        "brimful.runtime.serve:child" if workers > 1 else _built,
        factory=True,
        workers=workers,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        loop="uvloop",
        http=Bounded,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_STOP_S,
        timeout_keep_alive=_IDLE_S,
        timeout_worker_healthcheck=_BEGIN_S,
        server_header=False,
        proxy_headers=False,  # whom to believe is a setting of ours (web.client_address)
    )
    if workers == 1:
        uvicorn.Server(config).run(sockets=listening)
        return
    with tempfile.TemporaryDirectory(prefix="brimful-counts-") as counts:
        os.environ[observability.metrics.TOGETHER] = counts
        Multiprocess(config, sockets=listening).run()


def _listening(host: str, port: int) -> socket.socket:
    """One socket for all: what comes while a process is replaced waits for another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named: loops turn Nagle off by it
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(_BACKLOG)
    listening.set_inheritable(True)
    return listening
