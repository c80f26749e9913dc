"""Routes of the portal, and the way in: link, landing, cookie, session."""

import hashlib
import logging
import pathlib
from collections.abc import Awaitable, Callable
from typing import Any

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

from brimful import i18n
from brimful.auth import permissions, portal_sessions
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.portal import csrf, step_up
from brimful.portal.context import AppContext, Page
from brimful.portal.live import Hub
from brimful.portal.pages import (
    activity,
    balance_alerts,
    cards,
    overview,
    own_credits,
    pay,
    rules,
    spending_limits,
    top_up,
)
from brimful.portal.theme import Theme
from brimful.web import pages
from brimful.web.pages import AddressRateLimit, SecurityHeaders
from brimful.wiring import Deps

_log = logging.getLogger(__name__)
_HERE = pathlib.Path(__file__).parent
_FLOWS = {
    "overview": "/", "top_up": "/top-up", "auto_top_up": "/auto-top-up", "cards": "/cards", "pay": "/pay",
    "turn_off": "/turn-off",
}  # fmt: skip
_GET, _POST, _BOTH = ["GET"], ["POST"], ["GET", "POST"]


def build(deps: Deps) -> Starlette:
    """The portal, to be mounted under /billing. `state.hub.stop()` ends its streams before the process goes."""
    environment = pages.template_environment(_HERE / "templates")
    theme = Theme.of(deps.settings.portal)
    environment.globals["merchant"] = deps.settings.merchant
    environment.globals["has_logo"] = theme.logo is not None
    environment.globals["business"] = deps.settings.portal
    environment.globals["assets_version"] = _static_version()
    hub = Hub(deps.database)
    context = AppContext(deps, Jinja2Templates(env=environment), hub)
    address_limit = AddressRateLimit("the portal", deps.settings)
    app = Starlette(
        routes=[*_routes(context, address_limit), *_files(theme)],
        middleware=[Middleware(SecurityHeaders, headers=pages.page_headers(deps.settings))],
        exception_handlers={
            Refused: context.refused,
            HTTPException: context.missing,
            psycopg.OperationalError: context.database_down,
            psycopg_pool.PoolTimeout: context.database_down,
            Exception: _failed(context),
        },
    )
    app.router.redirect_slashes = False  # they would lead where the Host header says
    app.state.hub = hub
    app.state.rate_limits = [address_limit.rate_limit]
    return app


# Who may see each is in `access`.
_VIEWS: tuple[tuple[str, Callable[[Page], Awaitable[Response]]], ...] = (
    ("/", overview.overview),
    ("/live", overview.live),
    ("/language", overview.language),
    ("/leave", overview.leave),
    ("/top-up", top_up.top_up),
    ("/top-up/summary", top_up.top_up_summary),
    ("/top-ups/{top_up_id}", pay.result),
    ("/receipts/{top_up_id}", pay.receipt),
    ("/pay", pay.pay_link),
    ("/confirm/{top_up_id}", pay.confirm),
    ("/auto-top-up", rules.rule_list),
    ("/auto-top-up/{asset}", rules.rule),
    ("/auto-top-up/{asset}/terms", rules.rule_terms),
    ("/auto-top-up/{asset}/off", rules.rule_off),
    ("/alerts/{asset}", balance_alerts.alert),
    ("/alerts/{asset}/off", balance_alerts.alert_off),
    ("/turn-off", rules.turn_off),
    ("/consents/{consent_id}", rules.consent),
    ("/cards", cards.card_list),
    ("/cards/add", cards.card_add),
    ("/cards/added/{setup_id}", cards.card_added),
    ("/cards/{card_id}/remove", cards.card_remove),
    ("/cards/{card_id}/default", cards.card_default),
    ("/credits/{asset}", own_credits.credits_of),
    ("/limits/{asset}", spending_limits.spending_limits),
    ("/limits/{asset}/end", spending_limits.end_limit),
    ("/take-back/{top_up_id}", own_credits.take_back),
    ("/activity", activity.activity),
    ("/activity.csv", activity.activity_csv),
)


def _routes(context: AppContext, address_limit: AddressRateLimit) -> list[Route]:
    page = _Pages(context, address_limit)
    listed = {path: [row.method for row in permissions.rows_of("billing") if row.path == path] for path, _ in _VIEWS}
    assert all(listed.values()), listed
    return [
        Route("/open/{token}", _Entrance(context, address_limit).handle, methods=_BOTH),
        # A stream of live balances is no visit: a page left open must not keep its session alive.
        *(Route(path, page(path, view, touch=path != "/live"), methods=listed[path]) for path, view in _VIEWS),
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


def _failed(context: AppContext) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def failed(request: Request, error: Exception) -> Response:
        reference = ids.new("req")
        _log.error("%s: %s failed", reference, request.url.path, exc_info=error)
        words = context.words(request)
        title = words.t("Something went wrong")
        text = words.t("Something failed on our side. Nothing more was charged. Reference: {reference}",
                       reference=reference)  # fmt: skip
        page = context.error(request, title, text, status=500, words=words)
        page.headers.update(pages.page_headers(context.deps.settings))
        return page

    return failed


class _Entrance:
    """The landing page and its button."""

    def __init__(self, context: AppContext, address_limit: AddressRateLimit) -> None:
        self._context = context
        self._address_limit = address_limit

    async def handle(self, request: Request) -> Response:
        self._address_limit.admit(request)
        token = request.path_params["token"]
        deps = self._context.deps
        if request.method != "POST":
            async with deps.database.transaction() as tx:
                opens = await portal_sessions.peek(tx, token)
            words = self._context.words(request, None if opens is None else opens.locale)
            status = 200 if opens else 410
            return self._context.page(request, "landing.html", {"opens": opens}, words=words, status=status)
        pages.require_same_origin(request, deps.settings)
        async with deps.database.transaction() as tx:
            opens = await portal_sessions.peek(tx, token)
            locale = i18n.words.choose(None if opens is None else opens.locale, request.headers.get("accept-language"))
            cookie = await portal_sessions.exchange(tx, token, locale=locale)
            session = await portal_sessions.load(tx, cookie, address=None, agent=None)
        assert session is not None
        target = _FLOWS[session.flow]
        if session.asset is not None and session.flow == "auto_top_up":
            target += f"/{session.asset}"
        elif session.asset is not None and session.flow == "top_up":
            target += f"?asset={session.asset}"
        response = RedirectResponse(self._context.url(target), 303)
        name = csrf.cookie_name(deps.settings)
        response.set_cookie(
            name, cookie, path="/", httponly=True, samesite="lax", secure=name.startswith("__Host-"),
            max_age=int(portal_sessions.SESSION_LIFE.total_seconds()),
        )  # fmt: skip
        return response


_WHO: dict[str, permissions.Who] = {"portal": "customer", "payment": "payment_link", "turn_off": "turn_off_link"}


def _reaches_cards(page: Page) -> bool:
    """Whether a payment keeps a card, or charges one that is kept: a link alone, which a stolen API key can make, must
    not do that.
    """
    return page.field("save_card") == "yes" or page.field("card") not in {"", "new"}


class _Pages:
    """Turns a view into a route: session first, then for a form its origin and token."""

    def __init__(self, context: AppContext, address_limit: AddressRateLimit) -> None:
        self._context = context
        self._address_limit = address_limit

    def __call__(
        self, path: str, view: Callable[[Page], Awaitable[Response]], *, touch: bool
    ) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            self._address_limit.admit(request)
            pages.refuse_nul(request)
            session = await self._session(request, touch=touch)
            if session is None:
                return self._context.page(request, "ended.html", {}, status=401)
            words = self._context.words(request, session.locale, zone=session.time_zone)
            request.state.words = words
            row = permissions.row_for("billing", request.method, path)
            permissions.authorize(row, permissions.Caller(_WHO[session.kind]))
            fields: Any = None
            if request.method == "POST":
                pages.require_same_origin(request, self._context.deps.settings)
                fields = await pages.form_fields(request)
                csrf.require_csrf(fields, session)
            page = Page(self._context, request, session, fields, words)
            asked = None
            if row.step_up or (path == "/top-up" and _reaches_cards(page)):
                asked = await step_up.interposed(page)
            return asked or await view(page)

        return handle

    async def _session(self, request: Request, *, touch: bool) -> portal_sessions.PortalSession | None:
        cookie = request.cookies.get(csrf.cookie_name(self._context.deps.settings))
        if not cookie:
            return None
        address = pages.client_address(request, self._context.deps.settings)
        agent = request.headers.get("user-agent", "")[:500]
        async with self._context.deps.database.transaction() as tx:
            return await portal_sessions.load(tx, cookie, address=address, agent=agent, touch=touch)
