"""Routes of the console with who may use each, and the way in: name, password and code, or a trusted proxy."""

import hmac
import logging
import pathlib
from collections.abc import Awaitable, Callable

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

from brimful import suspensions
from brimful.auth import operators, permissions
from brimful.auth.operators import OperatorSession
from brimful.console import context
from brimful.console.context import BASE, AppContext, Page
from brimful.console.pages import account, audit, charging, customers, home, stripe, top_ups, webhooks
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.web import pages
from brimful.web.pages import AddressRateLimit, RefusalLog, SecurityHeaders
from brimful.wiring import Deps

_log = logging.getLogger(__name__)
_HERE = pathlib.Path(__file__).parent
View = Callable[[Page], Awaitable[Response]]


# A route that is not here does not exist; who may use each is in `access`, and a test walks every route with every
# role.
VIEWS: tuple[tuple[str, str, View], ...] = (
    ("GET", "/", home.overview),
    ("GET", "/customers", customers.search),
    ("GET", "/customers/{customer_id}", customers.customer),
    ("GET", "/customers/{customer_id}/ledger/{asset}", customers.ledger_of),
    ("POST", "/customers/{customer_id}/rules/{asset}/pause", customers.pause),
    ("POST", "/customers/{customer_id}/rules/{asset}/look", customers.lookup),
    ("POST", "/customers/{customer_id}/sign-out", customers.sign_out),
    ("GET", "/top-ups", top_ups.listed),
    ("GET", "/queue", top_ups.queue),
    ("GET", "/top-ups/{customer_id}/{top_up_id}", top_ups.one),
    ("POST", "/top-ups/{customer_id}/{top_up_id}/retry", top_ups.retry),
    ("POST", "/top-ups/{customer_id}/{top_up_id}/ask", top_ups.ask),
    ("POST", "/top-ups/{customer_id}/{top_up_id}/cancel", top_ups.cancel),
    ("POST", "/top-ups/{customer_id}/{top_up_id}/resolve", top_ups.resolve),
    ("POST", "/top-ups/{customer_id}/{top_up_id}/refund", top_ups.refund),
    ("GET", "/disputes/{dispute_id}", top_ups.dispute),
    ("GET", "/webhooks", webhooks.listed),
    ("GET", "/webhooks/events/{event_id}", webhooks.event),
    ("POST", "/webhooks/events/{event_id}/replay", webhooks.replay),
    ("POST", "/webhooks/{endpoint_id}/enable", webhooks.enable),
    ("GET", "/stripe", stripe.events),
    ("POST", "/stripe/{event_id}/again", stripe.again),
    ("POST", "/stripe/{event_id}/leave", stripe.leave),
    ("GET", "/reconciliation", stripe.reconciliation),
    ("POST", "/reconciliation/compare", stripe.compare),
    ("GET", "/charging", charging.shown),
    ("POST", "/charging/stop", charging.stop),
    ("POST", "/charging/start", charging.start),
    ("GET", "/audit", audit.audit_log),
    ("GET", "/password", account.password),
    ("POST", "/password", account.password),
)


def build(deps: Deps) -> Starlette:
    """The console, to be mounted under /console. `deps` are the engine's."""
    environment = pages.template_environment(_HERE / "templates")
    environment.globals["merchant"] = deps.settings.merchant
    environment.globals["base"] = BASE
    context = AppContext(deps, Jinja2Templates(env=environment))
    guard = _Guard(context)
    app = Starlette(
        routes=[
            Mount("/static", StaticFiles(directory=_HERE / "static")),
            Route("/sign-in", guard.sign_in, methods=["GET", "POST"]),
            Route("/sign-out", guard.sign_out, methods=["POST"]),
            *(Route(path, guard.route(method, path, view), methods=[method]) for method, path, view in VIEWS),
        ],
        middleware=[Middleware(SecurityHeaders, headers=pages.page_headers(deps.settings))],
        exception_handlers={
            Refused: guard.refused,
            HTTPException: guard.missing,
            psycopg.OperationalError: guard.down,
            psycopg_pool.PoolTimeout: guard.down,
            Exception: guard.failed,
        },
    )
    app.router.redirect_slashes = False  # they would lead where the Host header says
    app.state.rate_limits = [guard.address_limit.rate_limit]
    return app


class _Guard:
    """Authorizes the session before a view runs, and answers for what goes wrong."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self.address_limit = AddressRateLimit("the console", context.deps.settings)
        self._refusals = RefusalLog("console", context.deps.settings)
        self._cookie = pages.host_cookie("brimful_console", context.deps.settings)

    def route(self, method: str, path: str, view: View) -> Callable[[Request], Awaitable[Response]]:
        row = permissions.row_for("console", method, path)

        async def handle(request: Request) -> Response:
            self.address_limit.admit(request)
            pages.refuse_nul(request)
            session = await self._session(request)
            if session is None:
                if method == "GET":
                    return RedirectResponse(f"{BASE}/sign-in", 303)
                raise Refused("unauthorized", "Sign in first.")
            permissions.authorize(row, permissions.Caller(session.role))
            form = None
            if method == "POST":
                pages.require_same_origin(request, self._context.deps.settings)
                form = await pages.form_fields(request)
                context.require_csrf(form, session)
            async with self._context.deps.database.transaction() as tx:
                suspended = await suspensions.store.list_all(tx)
            return await view(Page(self._context, request, session, form, suspended))

        return handle

    async def _session(self, request: Request) -> OperatorSession | None:
        proxy = self._context.deps.settings.console_proxy
        if proxy is not None:
            vouched = request.headers.get("x-brimful-proxy-secret", "")
            if not hmac.compare_digest(vouched.encode("utf-8", "replace"), proxy.secret.encode()):
                return None
            # One and no more: what came in from outside may stand before what the proxy adds.
            named = request.headers.getlist(proxy.header)
            name = named[0].strip().lower() if len(named) == 1 else ""
            role = proxy.roles.get(name)
            return None if role is None else OperatorSession(name, role, operators.csrf_of(f"{proxy.secret}:{name}"))
        cookie = request.cookies.get(self._cookie)
        if not cookie:
            return None
        async with self._context.deps.database.transaction() as tx:
            return await operators.load(tx, cookie)

    async def sign_in(self, request: Request) -> Response:
        """Name, password and code. With a trusted proxy there is nothing to sign in to."""
        self.address_limit.admit(request)
        settings = self._context.deps.settings
        if settings.console_proxy is not None:
            raise Refused("unauthorized", "Come through the proxy that this console trusts.")
        if request.method == "GET":
            return self._context.show(request, "sign_in.html", {})
        pages.require_same_origin(request, settings)
        form = await pages.form_fields(request)
        name, password, code = (str(form.get(part, "")) for part in ("name", "password", "code"))
        database = self._context.deps.database
        try:
            address = pages.client_address(request, settings) or ""
            cookie = await operators.sign_in(database, name.strip().lower(), password, code, address=address)
        except Refused as refused:
            self._refusals.note(request, refused)
            return self._context.show(request, "sign_in.html", {"error": refused.detail}, refused.status)
        before = request.cookies.get(self._cookie)
        if before:
            async with database.transaction() as tx:
                await operators.end(tx, before)
        response = RedirectResponse(f"{BASE}/", 303)
        response.set_cookie(
            self._cookie, cookie, path="/", httponly=True, samesite="strict", secure=self._cookie.startswith("__Host-"),
            max_age=int(operators.SESSION_LIFE.total_seconds()),
        )  # fmt: skip
        return response

    async def sign_out(self, request: Request) -> Response:
        session = await self._session(request)
        if session is not None:
            pages.require_same_origin(request, self._context.deps.settings)
            context.require_csrf(await pages.form_fields(request), session)
            async with self._context.deps.database.transaction() as tx:
                await operators.sign_out(tx, session)
        response = RedirectResponse(f"{BASE}/sign-in", 303)
        response.delete_cookie(self._cookie, path="/", secure=self._cookie.startswith("__Host-"))
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        self._refusals.note(request, error)
        announced = self._context.show(request, "error.html", {"title": "Refused", "text": error.detail}, error.status)
        if "retry_after_s" in error.extra:
            announced.headers["Retry-After"] = str(error.extra["retry_after_s"])
        return announced

    async def missing(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return self._context.show(
            request, "error.html", {"title": "Not found", "text": "There is no such page."}, status
        )

    async def down(self, request: Request, _error: Exception) -> Response:
        text = "The database does not answer. Try again in a minute."
        return self._context.show(request, "error.html", {"title": "Not available", "text": text}, 503)

    async def failed(self, request: Request, error: Exception) -> Response:
        reference = ids.new("req")
        _log.error("%s: %s failed", reference, request.url.path, exc_info=error)
        text = f"Something failed on our side; {reference} names it in the log."
        page = self._context.show(request, "error.html", {"title": "Something went wrong", "text": text}, 500)
        page.headers.update(pages.page_headers(self._context.deps.settings))
        return page
