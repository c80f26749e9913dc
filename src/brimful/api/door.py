"""What every route of the JSON door needs, handed in by FastAPI."""

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request

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


def router_for(tag: str, scope: str) -> APIRouter:
    """A router under /v1 whose every route asks for a key with that scope."""

    async def allowed(request: Request, door: DoorOf) -> None:
        await door.auth.require(request, scope)

    return APIRouter(prefix="/v1", tags=[tag], route_class=ExactRoute, dependencies=[Depends(allowed)])
