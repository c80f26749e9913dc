"""What every route of the JSON door needs, handed in by FastAPI."""

import dataclasses
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from brimful import access
from brimful.api.auth import Auth
from brimful.api.body import ExactRoute
from brimful.deps import Deps
from brimful.usage import Recorder

__all__ = ["Door", "DoorOf", "router_for"]


@dataclasses.dataclass(frozen=True)
class Door:
    """Built once per application and kept in its state."""

    deps: Deps
    auth: Auth
    recorder: Recorder


def _door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


DoorOf = Annotated[Door, Depends(_door)]


class _Guarded(ExactRoute):
    """A route that is judged before its body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            row = access.find("api", request.method, request.scope["route"].path)
            access.judge(row, await _door(request).auth.caller(request))
            return await handler(request)

        return guarded


def router_for(tag: str) -> APIRouter:
    """A router under /v1. Who may use each of its routes is in `access`."""
    return APIRouter(prefix="/v1", tags=[tag], route_class=_Guarded)
