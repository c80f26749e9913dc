"""Refusals as RFC 9457 problems, and the request id that every answer carries."""

import functools
import logging
from collections.abc import Mapping
from typing import Any

import psycopg
import psycopg_pool
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brimful.api import docs
from brimful.core import ids
from brimful.core.errors import STATUS_BY_CODE, TITLES, Refused
from brimful.web.pages import RefusalLog

_log = logging.getLogger(__name__)
_RETRY_AFTER_S = "1"
_ERRORS_MAX = 20  # more would make of a small body a large answer


class RequestIds:
    """Gives each request an id: in its scope, in every problem, in the `Request-Id` header. Beside it stands how much
    of its key's rate limit is left, once the key is known.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        give_id(scope)

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *own_headers(scope)]
            await send(message)

        try:
            require_plain_address(scope)
        except Refused as refused:
            await problem(Request(scope), refused)(scope, receive, tagged)
            return
        await self._app(scope, receive, tagged)


def give_id(scope: Scope) -> None:
    """Give a request its id."""
    scope.setdefault("state", {})["request_id"] = ids.new("req")


def own_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What an answer says of its request: its id, and what is left of its key's rate limit."""
    state = scope["state"]
    return [(b"request-id", state["request_id"].encode()), *state.get("rate_limit", ())]


def require_plain_address(scope: Scope) -> None:
    """Refuse a NUL, which no text in the database can hold."""
    if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
        raise Refused("invalid_field", "The address holds a character that cannot be kept.")


def problem(request: Request, refused: Refused, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A refusal as application/problem+json; docs/reference/problems.md describes each code."""
    body: dict[str, Any] = {
        "type": docs.problem_path(refused.code),
        "title": TITLES[refused.code],
        "status": refused.status,
        "code": refused.code,
        "detail": refused.detail,
        "request_id": request.scope.get("state", {}).get("request_id"),
        **refused.extra,
    }
    if refused.field is not None:
        body.setdefault("errors", [{"field": refused.field, "detail": refused.detail}])
    given = dict(headers or {})
    if refused.status == 503:
        given["Retry-After"] = _RETRY_AFTER_S
    if refused.status == 429:
        given["Retry-After"] = str(refused.extra.get("retry_after_s", 1))
    if refused.status == 401:
        given["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, refused.status, given, media_type="application/problem+json")


async def _refusal(refusals: RefusalLog, request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    refusals.note(request, error)
    return problem(request, error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {
            "field": ".".join(str(part) for part in item["loc"] if part not in {"body", "query"}) or "body",
            "detail": str(item["msg"]).removeprefix("Value error, "),
        }
        for item in error.errors()[:_ERRORS_MAX]
    ]
    detail = "; ".join(f"{item['field']}: {item['detail']}" for item in errors[:3])
    amounts = [item for item in error.errors() if isinstance(item.get("ctx", {}).get("error"), Refused)]
    code = amounts[0]["ctx"]["error"].code if amounts else "invalid_field"
    return problem(request, Refused(code, detail, errors=errors))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
    code = codes.get(error.status_code, "invalid_field")
    refused = Refused(code, f"{request.method} {request.url.path[:200]}: {error.detail}")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return problem(request, refused, headers)


def _methods(request: Request) -> list[str]:
    """Every method of a path, by the routes that name it most exactly: `/wallet/charges` is no account's name.
    Starlette lists only those of the first route that has the path.
    """
    every = (*request.app.state.routes, *request.app.routes)
    routes = [route for route in every if isinstance(route, Route) and route.include_in_schema]
    fitting = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    exact = min((route.path.count("{") for route in fitting), default=0)
    return sorted({method for route in fitting if route.path.count("{") == exact for method in route.methods or ()})


DATABASE_ERRORS = (psycopg.OperationalError, psycopg_pool.PoolTimeout)


def database_problem(request: Request, error: Exception) -> JSONResponse:
    """503 with Retry-After: nobody knows whether it was written, and the same key may be sent again."""
    _log.warning("The database does not answer: %s", error)
    return problem(request, Refused("unavailable", "The database does not answer. Send this again."))


async def _database(request: Request, error: Exception) -> JSONResponse:
    return database_problem(request, error)


def bug(request: Request, error: Exception, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """500, and the log has what failed."""
    request_id = request.scope.get("state", {}).get("request_id", "")
    _log.error("%s: %s %s failed", request_id, request.method, request.url.path, exc_info=error)
    refused = Refused("internal_error", "Something failed on our side; the request id names it in the log.")
    return problem(request, refused, headers)


async def _bug(headers: Mapping[str, str], request: Request, error: Exception) -> JSONResponse:
    # Starlette answers this one outside of every middleware: what they put on it is put here.
    request_id = request.scope.get("state", {}).get("request_id", "")
    return bug(request, error, {**headers, "Request-Id": request_id})


def handlers(headers: Mapping[str, str], refusals: RefusalLog) -> dict[Any, Any]:
    """What answers for each kind of exception; `headers` are those of every answer."""
    return {
        Refused: functools.partial(_refusal, refusals),
        RequestValidationError: _invalid,
        HTTPException: _http,
        **dict.fromkeys(DATABASE_ERRORS, _database),
        Exception: functools.partial(_bug, headers),
    }


assert "internal_error" in STATUS_BY_CODE
