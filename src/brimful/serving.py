"""Both doors that people and programs knock on, as one ASGI application, in one process or several."""

import contextlib
import gc
import os
import signal
import socket
import tempfile
import types
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from uvicorn.supervisors import Multiprocess

from brimful import api, console, deps, measures, portal, settings, sharing
from brimful.db import embedded
from brimful.ports import require_free
from brimful.settings import Settings
from brimful.web import Counted
from brimful.wire import Bounded

__all__ = ["application", "child", "run"]

_STOP_S = 15
# Longer than a proxy keeps its own end (nginx 60 s, AWS' balancers 60 s): whoever closes first must not be the one
# who cannot know that a request is under way; the proxy would answer 502 for it.
_IDLE_S = 75
# Until a new process serves; the one it replaces serves on meanwhile. As long, too, the supervisor waits for a sign of
# one that is killed just then, and hears no signal: less than the 30 s after which systemd would kill it.
_BEGIN_S = 20
_BACKLOG = 2048


def application(config: Settings) -> Starlette:
    """The portal under /billing, everything else the API. Each runs under its own database role."""
    api_deps = deps.build(config, "brimful_api")
    portal_deps = deps.build(config, "brimful_portal")
    # The console acts for the platform's people: under the engine's role, which chooses no card and gives no consent.
    console_deps = deps.build(config, "brimful_engine")
    json_door, html_door, desk_door = api.build(api_deps), portal.build(portal_deps), console.build(console_deps)
    quotas = [quota for door in (json_door, html_door, desk_door) for quota in door.state.quotas]
    exchange = sharing.Exchange(api_deps.database, quotas)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        for one in (api_deps, portal_deps, console_deps):
            await deps.open_deps(one)
        _end_streams_first(html_door)
        exchange.start()
        async with json_door.router.lifespan_context(json_door):
            yield
        await exchange.stop()
        for one in (console_deps, portal_deps, api_deps):
            await deps.close(one)

    async def to_door(request: Request) -> Response:
        return RedirectResponse(f"{request.url.path}/", 307)

    doors = [
        Route("/billing", to_door), Route("/console", to_door),
        Mount("/billing", app=html_door), Mount("/console", app=desk_door), Mount("/", app=json_door),
    ]  # fmt: skip
    app = Starlette(routes=doors, lifespan=lifespan, middleware=[Middleware(Counted)])
    app.router.redirect_slashes = False
    app.router.default = json_door  # a path with a line break in it matches no mount
    return app


def _end_streams_first(html_door: Starlette) -> None:
    """When the process is told to stop: uvicorn waits for every answer, and a stream of balances has no end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def stop(received: int, frame: types.FrameType | None, before: object = before) -> None:
            html_door.state.hub.stop()
            if callable(before):
                before(received, frame)

        signal.signal(number, stop)


def _built() -> Starlette:
    config = settings.read()
    deps.begin(config, "brimful-api")
    app = application(config)
    # What was built lives as long as the process: a collection that walks it all stops every request for 50 ms.
    gc.collect()
    gc.freeze()
    return app


def child() -> Starlette:
    """The application of one process of several. Called in a new interpreter."""
    embedded.die_with_parent(signal.SIGTERM)
    measures.count_together()
    return _built()


def run(*, host: str, port: int, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT. With several workers, processes that share a port: one that dies is replaced, and
    on SIGHUP each is, one after the other, by one that serves already.

    Raises:
        ConfigurationError: the port is taken.
    """
    config = uvicorn.Config(
        "brimful.serving:child" if workers > 1 else _built,
        factory=True,
        workers=workers,
        host=host,
        port=require_free(host, port),
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
        uvicorn.Server(config).run()
        return
    with tempfile.TemporaryDirectory(prefix="brimful-counts-") as counts:
        os.environ[measures.TOGETHER] = counts
        Multiprocess(config, sockets=[_listening(config)]).run()


def _listening(config: uvicorn.Config) -> socket.socket:
    """One socket for all: what comes while a process is replaced waits for another."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((config.host, config.port))
    listening.set_inheritable(True)
    return listening
