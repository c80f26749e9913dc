"""Routes of the portal, and the way in: link, landing, cookie, session."""

import hashlib
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
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from brimful import i18n, ids, sessions
from brimful.deps import Deps
from brimful.errors import Refused
from brimful.portal.door import Door, Page
from brimful.portal.live import Hub
from brimful.portal.pages import activity, alerts, cards, overview, pay, rules, top_up
from brimful.portal.security import cookie_name, require_csrf
from brimful.portal.theme import Theme
from brimful.web import SecurityHeaders, form_fields, require_plain, require_same_origin

__all__ = ["build"]

_log = logging.getLogger(__name__)
_HERE = pathlib.Path(__file__).parent
_FLOWS = {
    "overview": "/", "top_up": "/top-up", "auto_top_up": "/auto-top-up", "cards": "/cards", "pay": "/pay",
    "turn_off": "/turn-off",
}  # fmt: skip
_GET, _POST, _BOTH = ["GET"], ["POST"], ["GET", "POST"]


def build(deps: Deps) -> Starlette:
    """The portal, to be mounted under /billing. `state.hub.stop()` ends its streams before the process goes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    theme = Theme.of(deps.settings.portal)
    environment.globals["merchant"] = deps.settings.merchant
    environment.globals["has_logo"] = theme.logo is not None
    environment.globals["assets_version"] = _static_version()
    hub = Hub(deps.database)
    door = Door(deps, Jinja2Templates(env=environment), hub)
    app = Starlette(
        routes=[*_routes(door), *_files(theme)],
        middleware=[Middleware(SecurityHeaders, settings=deps.settings)],
        exception_handlers={
            Refused: door.refused,
            HTTPException: door.missing,
            psycopg.OperationalError: door.database_down,
            psycopg_pool.PoolTimeout: door.database_down,
            Exception: _failed(door),
        },
    )
    app.state.hub = hub
    return app


def _routes(door: Door) -> list[Route]:
    """Who may see a page: the whole portal; with `payment` a payment link too; with `turn_off` that link alone."""
    page = _Pages(door)
    return [
        Route("/open/{token}", _WayIn(door).handle, methods=_BOTH),
        Route("/", page(overview.overview), methods=_GET),
        Route("/live", page(overview.live, touch=False), methods=_GET),
        Route("/language", page(overview.language, payment=True, turn_off=True), methods=_POST),
        Route("/leave", page(overview.leave, payment=True, turn_off=True), methods=_POST),
        Route("/top-up", page(top_up.top_up), methods=_BOTH),
        Route("/top-up/summary", page(top_up.top_up_summary), methods=_POST),
        Route("/top-ups/{top_up_id}", page(pay.result, payment=True), methods=_GET),
        Route("/receipts/{top_up_id}", page(pay.receipt, payment=True), methods=_GET),
        Route("/pay", page(pay.pay_link, payment=True), methods=_BOTH),
        Route("/confirm/{top_up_id}", page(pay.confirm, payment=True), methods=_BOTH),
        Route("/auto-top-up", page(rules.rule_list), methods=_GET),
        Route("/auto-top-up/{asset}", page(rules.rule), methods=_BOTH),
        Route("/auto-top-up/{asset}/terms", page(rules.rule_terms), methods=_POST),
        Route("/auto-top-up/{asset}/off", page(rules.rule_off), methods=_POST),
        Route("/alerts/{asset}", page(alerts.alert), methods=_BOTH),
        Route("/alerts/{asset}/off", page(alerts.alert_off), methods=_POST),
        Route("/turn-off", page(rules.turn_off, turn_off=True), methods=_BOTH),
        Route("/consents/{consent_id}", page(rules.consent), methods=_GET),
        Route("/cards", page(cards.card_list), methods=_GET),
        Route("/cards/add", page(cards.card_add), methods=_POST),
        Route("/cards/added/{setup_id}", page(cards.card_added), methods=_GET),
        Route("/cards/{card_id}/remove", page(cards.card_remove), methods=_BOTH),
        Route("/cards/{card_id}/default", page(cards.card_default), methods=_POST),
        Route("/activity", page(activity.activity), methods=_GET),
        Route("/activity.csv", page(activity.activity_csv), methods=_GET),
    ]


def _files(theme: Theme) -> list[BaseRoute]:
    return [
        Route("/theme.css", theme.serve_css, methods=_GET),
        Route("/logo.png", theme.serve_logo, methods=_GET),
        Mount("/static", _Static(directory=_HERE / "static")),
    ]


class _Static(StaticFiles):
    """Files whose address carries their version: a browser may keep them."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


def _static_version() -> str:
    """Changes whenever a static file does."""
    digest = hashlib.sha256()
    for path in sorted((_HERE / "static").rglob("*.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def _failed(door: Door) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def failed(request: Request, error: Exception) -> Response:
        reference = ids.new("req")
        _log.error("%s: %s failed", reference, request.url.path, exc_info=error)
        words = door.words(request)
        title = words.t("Something went wrong")
        text = words.t("Something failed on our side. Nothing more was charged. Reference: {reference}",
                       reference=reference)  # fmt: skip
        return door.error(request, title, text, status=500, words=words)

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
            words = self._door.words(request, None if opens is None else opens.locale)
            status = 200 if opens else 410
            return self._door.page(request, "landing.html", {"opens": opens}, words=words, status=status)
        require_same_origin(request, deps.settings)
        async with deps.database.transaction() as tx:
            opens = await sessions.peek(tx, token)
            locale = i18n.choose(None if opens is None else opens.locale, request.headers.get("accept-language"))
            cookie = await sessions.exchange(tx, token, locale=locale)
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
        self,
        view: Callable[[Page], Awaitable[Response]],
        *,
        payment: bool = False,
        turn_off: bool = False,
        touch: bool = True,
    ) -> Callable[[Request], Awaitable[Response]]:
        kinds = {"portal"} | ({"payment"} if payment else set()) | ({"turn_off"} if turn_off else set())

        async def handle(request: Request) -> Response:
            require_plain(request)
            session = await self._session(request, touch=touch)
            if session is None:
                return self._door.page(request, "ended.html", {}, status=401)
            words = self._door.words(request, session.locale, zone=session.time_zone)
            request.state.words = words
            if session.kind not in kinds:
                raise Refused("forbidden", "This link is for one thing only.")
            fields: Any = None
            if request.method == "POST":
                require_same_origin(request, self._door.deps.settings)
                fields = await form_fields(request)
                require_csrf(fields, session)
            return await view(Page(self._door, request, session, fields, words))

        return handle

    async def _session(self, request: Request, *, touch: bool) -> sessions.PortalSession | None:
        cookie = request.cookies.get(cookie_name(self._door.deps.settings))
        if not cookie:
            return None
        address = None if request.client is None else request.client.host
        agent = request.headers.get("user-agent", "")[:500]
        async with self._door.deps.database.transaction() as tx:
            return await sessions.load(tx, cookie, address=address, agent=agent, touch=touch)
