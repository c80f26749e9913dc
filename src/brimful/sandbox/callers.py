"""Who may call the sandbox: programs and people on this machine, and no web page.

Any page that a developer has open may send requests to loopback, and by DNS rebinding read the answers under a name of
its own. So the `Host` must be loopback's, a request that names another `Origin` is refused, and JSON must say that it
is JSON, which a page cannot do without being asked for permission first.
"""

import urllib.parse

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_JSON = "/sandbox/"  # the control API takes JSON; Stripe's own takes forms
_FORMS = "/sandbox/authenticate/"  # but for the bank's page


class LoopbackPrograms:
    """Middleware that refuses everybody else, before anything is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, message = refusal
        body = {"error": {"type": "invalid_request_error", "message": message}}
        await JSONResponse(body, status)(scope, receive, send)


def _refusal(scope: Scope) -> tuple[int, str] | None:
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if _name(f"//{host}") not in _LOOPBACK:
        return 403, "The sandbox serves this machine only: call it at 127.0.0.1 or localhost."
    origin = headers.get("origin")
    if origin is not None and origin != f"{scope.get('scheme', 'http')}://{host}":
        return 403, "The sandbox takes no calls from web pages."
    path = scope["path"]
    if scope["method"] == "POST" and path.startswith(_JSON) and not path.startswith(_FORMS):
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        if kind != "application/json" and not empty:
            return 415, "Send JSON here, with `Content-Type: application/json`."
    return None


def _name(address: str) -> str | None:
    try:
        return urllib.parse.urlsplit(address).hostname
    except ValueError:
        return None
