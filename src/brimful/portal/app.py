"""Routes of the portal, and the way in: link, landing, cookie, session."""

import logging
import pathlib
from collections.abc import Awaitable, Callable
from typing import Any

import jinja2
import psycopg
import psycopg_pool
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from brimful import ids, sessions
from brimful.deps import Deps
from brimful.errors import Refused
from brimful.portal.door import Door, Page
from brimful.portal.pages import cards, overview, pay, rules
from brimful.portal.security import (
    SecurityHeaders,
    cookie_name,
    form_fields,
    require_csrf,
    require_same_origin,
)

__all__ = ["build"]

_log = logging.getLogger(__name__)
_HERE = pathlib.Path(__file__).parent
_FLOWS = {"overview": "/", "top_up": "/top-up", "auto_top_up": "/auto-top-up", "cards": "/cards", "pay": "/pay"}


def build(deps: Deps) -> Starlette:
    """The portal, to be mounted under /billing."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["merchant"] = deps.settings.merchant
    door = Door(deps, Jinja2Templates(env=environment))
    way_in = _WayIn(door)
    both, get, post = ["GET", "POST"], ["GET"], ["POST"]
    page = _Pages(door)
    return Starlette(
        routes=[
            Route("/open/{token}", way_in.handle, methods=both),
            Route("/", page(overview.overview), methods=get),
            Route("/top-up", page(pay.top_up), methods=both),
            Route("/top-ups/{top_up_id}", page(pay.result, payment=True), methods=get),
            Route("/pay", page(pay.pay_link, payment=True), methods=both),
            Route("/confirm/{top_up_id}", page(pay.confirm), methods=both),
            Route("/auto-top-up", page(rules.first_rule), methods=get),
            Route("/auto-top-up/{asset}", page(rules.rule), methods=both),
            Route("/auto-top-up/{asset}/off", page(rules.rule_off), methods=post),
            Route("/cards", page(cards.card_list), methods=get),
            Route("/cards/add", page(cards.card_add), methods=post),
            Route("/cards/added/{setup_id}", page(cards.card_added), methods=get),
            Route("/cards/{card_id}/remove", page(cards.card_remove), methods=post),
            Route("/cards/{card_id}/default", page(cards.card_default), methods=post),
            Route("/leave", page(overview.leave), methods=post),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ],
        middleware=[Middleware(SecurityHeaders, settings=deps.settings)],
        exception_handlers={
            Refused: door.refused,
            HTTPException: door.missing,
            psycopg.OperationalError: door.database_down,
            psycopg_pool.PoolTimeout: door.database_down,
            Exception: _failed(door),
        },
    )


def _failed(door: Door) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def failed(request: Request, error: Exception) -> Response:
        reference = ids.new("req")
        _log.error("%s: %s failed", reference, request.url.path, exc_info=error)
        text = f"Something failed on our side. Nothing more was charged. Reference: {reference}"
        return door.page(request, "error.html", {"title": "Something went wrong", "text": text}, status=500)

    return failed


class _WayIn:
    """The landing page and its button."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def handle(self, request: Request) -> Response:
        token = request.path_params["token"]
        deps = self._door.deps
        if request.method != "POST":
            async with deps.database.transaction() as tx:
                opens = await sessions.peek(tx, token)
            return self._door.page(request, "landing.html", {"opens": opens}, status=200 if opens else 410)
        require_same_origin(request, deps.settings)
        async with deps.database.transaction() as tx:
            cookie = await sessions.exchange(tx, token)
            session = await sessions.load(tx, cookie, address=None, agent=None)
        assert session is not None
        target = _FLOWS[session.flow]
        if session.asset is not None and session.flow == "auto_top_up":
            target += f"/{session.asset}"
        elif session.asset is not None and session.flow == "top_up":
            target += f"?asset={session.asset}"
        response = RedirectResponse(self._door.url(target), 303)
        name = cookie_name(deps.settings)
        response.set_cookie(
            name, cookie, path="/", httponly=True, samesite="lax", secure=name.startswith("__Host-"),
            max_age=int(sessions.SESSION_LIFE.total_seconds()),
        )  # fmt: skip
        return response


class _Pages:
    """Turns a view into a route: session first, then for a form its origin and token."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def __call__(
        self, view: Callable[[Page], Awaitable[Response]], *, payment: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            session = await self._session(request)
            if session is None:
                return self._door.page(request, "ended.html", {}, status=401)
            if session.kind == "payment" and not payment:
                raise Refused("forbidden", "This link is for one payment only.")
            fields: Any = None
            if request.method == "POST":
                require_same_origin(request, self._door.deps.settings)
                fields = await form_fields(request)
                require_csrf(fields, session)
            return await view(Page(self._door, request, session, fields))

        return handle

    async def _session(self, request: Request) -> sessions.PortalSession | None:
        cookie = request.cookies.get(cookie_name(self._door.deps.settings))
        if not cookie:
            return None
        address = None if request.client is None else request.client.host
        agent = request.headers.get("user-agent", "")[:500]
        async with self._door.deps.database.transaction() as tx:
            return await sessions.load(tx, cookie, address=address, agent=agent)
