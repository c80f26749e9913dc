"""Both doors that people and programs knock on, as one ASGI application."""

import contextlib
import gc
import types
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from brimful import api, console, deps, portal
from brimful.ports import require_free
from brimful.settings import Settings
from brimful.web import Counted
from brimful.wire import Bounded

__all__ = ["application", "run"]

_STOP_S = 15
# Longer than a proxy keeps its own end (nginx 60 s, AWS' balancers 60 s): whoever closes first must not be the one
# who cannot know that a request is under way; the proxy would answer 502 for it.
_IDLE_S = 75


def application(settings: Settings) -> Starlette:
    """The portal under /billing, everything else the API. Each runs under its own database role."""
    api_deps = deps.build(settings, "brimful_api")
    portal_deps = deps.build(settings, "brimful_portal")
    # The console acts for the platform's people: under the engine's role, which chooses no card and gives no consent.
    console_deps = deps.build(settings, "brimful_engine")
    json_door = api.build(api_deps)
    html_door = portal.build(portal_deps)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await deps.open_deps(api_deps)
        await deps.open_deps(portal_deps)
        await deps.open_deps(console_deps)
        async with json_door.router.lifespan_context(json_door):
            yield
        await deps.close(console_deps)
        await deps.close(portal_deps)
        await deps.close(api_deps)

    async def to_door(request: Request) -> Response:
        return RedirectResponse(f"{request.url.path}/", 307)

    doors = [
        Route("/billing", to_door), Route("/console", to_door),
        Mount("/billing", app=html_door), Mount("/console", app=console.build(console_deps)), Mount("/", app=json_door),
    ]  # fmt: skip
    app = Starlette(routes=doors, lifespan=lifespan, middleware=[Middleware(Counted)])
    app.router.redirect_slashes = False
    app.router.default = json_door  # a path with a line break in it matches no mount
    app.state.hub = html_door.state.hub
    return app


class _Server(uvicorn.Server):
    """Ends the portal's streams when it is told to stop: uvicorn would wait for them."""

    def __init__(self, config: uvicorn.Config, app: Starlette) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
        self._app.state.hub.stop()
        super().handle_exit(sig, frame)


def run(settings: Settings, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the port is taken.
    """
    app = application(settings)
    # What was built lives as long as the process: a collection that walks it all stops every request for 50 ms.
    gc.collect()
    gc.freeze()
    _Server(
        uvicorn.Config(
            app,
            host=host,
            port=require_free(host, port),
            log_config=None,
            access_log=False,
            loop="uvloop",
            http=Bounded,
            timeout_graceful_shutdown=_STOP_S,
            timeout_keep_alive=_IDLE_S,
            server_header=False,
            proxy_headers=False,  # whom to believe is a setting of ours (web.client_address)
        ),
        app,
    ).run()
