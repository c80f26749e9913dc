"""What every page that we serve carries, and what every form must bring: the portal's and the console's."""

import ipaddress
import logging
import pathlib
import urllib.parse
from collections.abc import Mapping

import jinja2
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brimful import observability
from brimful.core.errors import Refused
from brimful.settings.model import Settings
from brimful.web import rate_limit

_log = logging.getLogger(__name__)
_LINES_PER_S = 10
_LOGGED = frozenset({"unauthorized", "forbidden", "customer_only", "link_expired", "too_many_requests"})
_BODY_MAX = 256 * 1024
_FIELDS_MAX = 50
_FIELD_LENGTH_MAX = 2000
_STRIPE_PAGES = ("https://checkout.stripe.com", "https://hooks.stripe.com")


def page_headers(settings: Settings) -> dict[str, str]:
    """The content security policy of a page, and its companions."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"form-action 'self' {' '.join(form_targets(settings))}; base-uri 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Cross-Origin-Opener-Policy": "same-origin", **plain_headers(settings)}


def form_targets(settings: Settings) -> tuple[str, ...]:
    """Where a form may lead: browsers apply form-action to redirects, and a payment leads to Stripe's pages."""
    return (origin_of(settings.checkout_url),) if settings.checkout_url else _STRIPE_PAGES


def plain_headers(settings: Settings) -> dict[str, str]:
    """What every answer carries, page or not."""
    headers = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    if settings.public_url.startswith("https://"):
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers


class SecurityHeaders:
    """Puts headers on every answer that has not its own; Starlette's own 500 is made outside of it."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(item for item in self._headers if item[0] not in own)]
            await send(message)

        await self._app(scope, receive, guarded)


def template_environment(directory: pathlib.Path) -> jinja2.Environment:
    """Templates that escape everything and fail at a name that is not there."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def host_cookie(name: str, settings: Settings) -> str:
    """`__Host-` wherever pages are served over https; plain only in sandbox mode over http, where programs that are no
    browsers would not return a Secure cookie.
    """
    if settings.sandbox and settings.public_url.startswith("http://"):
        return name
    return f"__Host-{name}"


def origin_of(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def require_same_origin(request: Request, settings: Settings) -> None:
    """A form must come from our own pages: by Sec-Fetch-Site, and by Origin where the browser sends it."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign_site = site is not None and site not in {"same-origin", "none"}
    # "null" is what a browser sends under our own no-referrer policy; Sec-Fetch-Site was checked.
    foreign_origin = origin not in {None, "null", origin_of(settings.public_url)}
    if foreign_site or foreign_origin or (origin == "null" and site is None):
        raise Refused("forbidden", "This form was not sent from the page itself. Open the page again.")


def client_address(request: Request, settings: Settings) -> str | None:
    """Who is on the other side: the nearest hop that is no proxy of ours. What stands further out could be made up."""
    if request.client is None:
        return None
    hops = [part.strip() for line in request.headers.getlist("x-forwarded-for") for part in line.split(",")]
    address = request.client.host
    while hops and _trusted(address, settings.trusted_proxies):
        address = hops.pop()
    return address[:100]


def _trusted(address: str, proxies: tuple[str, ...]) -> bool:
    try:
        there = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(there in ipaddress.ip_network(network, strict=False) for network in proxies)


class AddressRateLimit:
    """How many requests one address may make to an application: for pages, and with unknown keys."""

    def __init__(self, surface: str, settings: Settings) -> None:
        self._settings = settings
        self.rate_limit = rate_limit.RateLimit(settings.address_rate, f"address at {surface}")
        self._warned = False

    def admit(self, request: Request) -> None:
        """Count a request; refuse one too many."""
        address = client_address(request, self._settings) or ""
        left, reset_s = self.rate_limit.take(rate_limit.network_of(address))
        if left >= 0:
            return
        if not self._warned and "x-forwarded-for" in request.headers:
            self._warned = True
            _log.warning(
                "many requests come from %s, which forwards others: if it is a proxy of yours, name it in "
                "BRIMFUL_TRUSTED_PROXIES, or all requests through it count as one address",
                address,
            )
        raise Refused(
            "too_many_requests", f"Too many requests come from here: go on in {reset_s} s.", retry_after_s=reset_s
        )


def refuse_nul(request: Request) -> None:
    """No NUL in an address: no page has one, and no text of the database can."""
    if any("\x00" in value for value in (*request.path_params.values(), *request.query_params.values())):
        raise HTTPException(404)


def header(request: Request, name: bytes) -> str | None:
    """The first header of this name, in small letters. For the hot path: Starlette's own way decodes them all."""
    for one, value in request.scope["headers"]:
        if one == name:
            text: str = value.decode("latin-1")
            return text
    return None


async def read_bounded(request: Request, limit: int = _BODY_MAX) -> bytes:
    """The body; refuses a longer one before it is read whole."""
    declared = header(request, b"content-length") or "0"
    chunks, size = [], int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 12 else 0
    if size <= limit:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            chunks.append(chunk)
            if size > limit:
                break
    if size > limit:
        raise Refused("body_too_large", f"The body may have at most {limit // 1024} KB.")
    return b"".join(chunks)


async def form_fields(request: Request) -> FormData:
    """The form, bounded: plain fields only, none of them long, no NUL; encoded as our own pages do."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"application/x-www-form-urlencoded", ""}:
        raise Refused("invalid_field", "A form is sent as application/x-www-form-urlencoded.")
    request._body = await read_bounded(request)  # noqa: SLF001 - starlette bounds fields, not what is between them
    try:
        form = await request.form(max_fields=_FIELDS_MAX, max_files=0, max_part_size=_FIELD_LENGTH_MAX)
    except (MultiPartException, HTTPException):  # the second is what starlette makes of the first inside an application
        raise Refused("invalid_field", "A field of this form cannot be used.") from None
    for _, value in form.multi_items():
        if not isinstance(value, str) or len(value) > _FIELD_LENGTH_MAX or "\x00" in value:
            raise Refused("invalid_field", "A field of this form cannot be used.")
    return form


class RefusalLog:
    """Log who was refused what: a few lines a second at most."""

    def __init__(self, surface: str, settings: Settings) -> None:
        self._surface = surface
        self._settings = settings
        self._rate_limit = rate_limit.RateLimit(_LINES_PER_S)

    def note(self, request: Request, refused: Refused) -> None:
        """A line, if it is a refusal that somebody who watches wants to know of."""
        if refused.code in _LOGGED and self._rate_limit.take("")[0] >= 0:
            address = client_address(request, self._settings)
            path = request.url.path
            _log.warning("%s refused %s %s from %s: %s", self._surface, request.method, path, address, refused.code)


class CountResponses:
    """Count the answers of a whole process, by application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["path"].removeprefix("/").partition("/")[0]
        surface = head if head in {"billing", "console"} else "api"

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                observability.metrics.HTTP.labels(surface, message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counting)
