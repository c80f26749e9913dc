"""What every route of the API needs, handed in by FastAPI."""

import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from starlette.requests import Request
from starlette.responses import Response

from brimful import customers
from brimful.api import idempotency
from brimful.api.auth import Auth
from brimful.api.json_body import ExactRoute
from brimful.auth import permissions
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
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


async def _transaction(context: Context, request: Request) -> AsyncIterator[Tx]:
    async with context.deps.database.transaction() as tx:
        if request.state.once is not None:
            await request.state.once.begin(tx, await request.body())
        yield tx


# Committed when the route returns, and before its answer is sent: no answer speaks of what was rolled back.
Transaction = Annotated[Tx, Depends(_transaction, scope="function")]


async def _known_customer(tx: Transaction, customer_id: CustomerId) -> customers.Customer:
    return await customers.get(tx, customer_id)


# The customer of the path, read in the route's own transaction; the problem `customer_not_found` if there is none.
KnownCustomer = Annotated[customers.Customer, Depends(_known_customer, scope="function")]


async def _claim(request: Request) -> None:
    """The key of a route that has no transaction of its own."""
    if request.state.once is not None and not _needs(request.scope["route"].dependant, _transaction):
        await request.state.once.claim(await request.body())


def _needs(dependant: Dependant, call: Callable[..., Any]) -> bool:
    return dependant.call is call or any(_needs(found, call) for found in dependant.dependencies)


class _Guarded(ExactRoute):
    """A route whose caller is authorized before the body is read, which refuses a query parameter that it does not
    know, and whose `Idempotency-Key` is honored.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler, known = super().get_route_handler(), _query_names(self.dependant)

        async def guarded(request: Request) -> Response:
            row = permissions.row_for("api", request.method, request.scope["route"].path)
            context = _context(request)
            caller = await context.auth.caller(request)
            permissions.authorize(row, caller)
            unknown = next((name for name in request.query_params if name not in known), None)
            if unknown is not None:
                takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
                raise Refused(
                    "invalid_field", f"{unknown[:60]!r} is no query parameter of this; {takes}.", field=unknown[:60]
                )
            await _resolve(context, request)
            once = idempotency.of(context.deps, caller.key_id, request)
            return await (handler(request) if once is None else once.around(lambda: handler(request)))

        return guarded


async def _resolve(context: AppContext, request: Request) -> None:
    """A customer whom the path names by the platform's own id gets theirs, before the route reads it."""
    name = request.path_params.get("customer_id", "")
    if name.startswith(customers.EXTERNAL):
        async with context.deps.database.transaction() as tx:
            request.scope["path_params"]["customer_id"] = await customers.named(tx, name)


def _query_names(dependant: Dependant) -> frozenset[str]:
    """What a route takes in its query, also as the fields of a model."""
    elsewhere = (params.Path, params.Header, params.Cookie)
    fields = get_flat_params(dependant)
    return frozenset(field.alias for field in fields if not isinstance(field.field_info, elsewhere))


def router_for(tag: str) -> APIRouter:
    """A router under /v1. Who may use each of its routes is in `access`."""
    return APIRouter(prefix="/v1", tags=[tag], route_class=_Guarded, dependencies=[Depends(_claim)])
