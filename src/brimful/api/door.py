"""What every route of the JSON door needs, handed in by FastAPI."""

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

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


def router_for(tag: str) -> APIRouter:
    """A router under /v1. Who may use each of its routes is in `access`."""

    async def allowed(request: Request, door: DoorOf) -> None:
        row = access.find("api", request.method, request.scope["route"].path)
        access.judge(row, await door.auth.caller(request))

    return APIRouter(prefix="/v1", tags=[tag], route_class=ExactRoute, dependencies=[Depends(allowed)])
