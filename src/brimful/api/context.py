"""What every route of the API needs, handed in by FastAPI."""

import dataclasses
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from brimful.api.auth import Auth
from brimful.api.json_body import ExactRoute
from brimful.auth import permissions
from brimful.posting.group_commit import Recorder
from brimful.wiring import Deps


@dataclasses.dataclass(frozen=True)
class AppContext:
    """Built once per application and kept in its state."""

    deps: Deps
    auth: Auth
    recorder: Recorder


def _context(request: Request) -> AppContext:
    context: AppContext = request.app.state.context
    return context


Context = Annotated[AppContext, Depends(_context)]


class _Guarded(ExactRoute):
    """A route whose caller is authorized before the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            row = permissions.row_for("api", request.method, request.scope["route"].path)
            permissions.authorize(row, await _context(request).auth.caller(request))
            return await handler(request)

        return guarded


def router_for(tag: str) -> APIRouter:
    """A router under /v1. Who may use each of its routes is in `access`."""
    return APIRouter(prefix="/v1", tags=[tag], route_class=_Guarded)
