"""What every page that we serve carries, and what every form must bring: the portal's and the console's."""

import ipaddress
import pathlib
import urllib.parse

import jinja2
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brimful import measures
from brimful.errors import Refused
from brimful.settings import Settings

__all__ = [
    "Counted",
    "SecurityHeaders",
    "client_address",
    "form_fields",
    "host_cookie",
    "origin_of",
    "require_plain",
    "require_same_origin",
    "template_environment",
]

_FIELDS_MAX = 50
_FIELD_LENGTH_MAX = 2000
_STRIPE_PAGES = ("https://checkout.stripe.com", "https://hooks.stripe.com")


class SecurityHeaders:
    """Sets the content security policy and its companions on every answer."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        pages = (origin_of(settings.checkout_url),) if settings.checkout_url else _STRIPE_PAGES
        # Browsers apply form-action to redirects: a payment form may lead to Stripe's pages.
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            f"form-action 'self' {' '.join(pages)}; base-uri 'none'; frame-ancestors 'none'"
        )
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]
        if settings.public_url.startswith("https://"):
            self._headers.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *self._headers]
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
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
    # "null" is what a browser sends under our own no-referrer policy; Sec-Fetch-Site has judged it.
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


def require_plain(request: Request) -> None:
    """No NUL in an address: no page has one, and no text of the database can."""
    if any("\x00" in value for value in (*request.path_params.values(), *request.query_params.values())):
        raise HTTPException(404)


async def form_fields(request: Request) -> FormData:
    """The form, bounded: plain fields only, none of them long, no NUL; encoded as our own pages do."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"application/x-www-form-urlencoded", ""}:
        raise Refused("invalid_field", "A form is sent as application/x-www-form-urlencoded.")
    form = await request.form(max_fields=_FIELDS_MAX, max_files=0, max_part_size=_FIELD_LENGTH_MAX)
    for _, value in form.multi_items():
        if not isinstance(value, str) or len(value) > _FIELD_LENGTH_MAX or "\x00" in value:
            raise Refused("invalid_field", "A field of this form cannot be used.")
    return form


class Counted:
    """Counts the answers of a whole application, by door."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["path"].removeprefix("/").partition("/")[0]
        door = head if head in {"billing", "console"} else "api"

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                measures.HTTP.labels(door, message["status"]).inc()
            await send(message)

        await self._app(scope, receive, counting)
