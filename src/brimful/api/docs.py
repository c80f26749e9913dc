"""GET /docs: the API's reference to read and to try, and a page about each problem, from files of our own server."""

import html
import pathlib

import fastapi_offline
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from brimful.core.errors import PROBLEMS, TITLES

# Swagger UI as that package brings it; nothing is loaded from elsewhere.
_FILES = pathlib.Path(fastapi_offline.__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Brimful API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/files/swagger-ui.css">
<main id="reference"></main>
<script src="/docs/files/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#reference", deepLinking: true, validatorUrl: null, docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
"""


_TEXT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/page.css">
<main>{body}</main>
</html>
"""
_STYLE = """:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 }
main { max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
code { font-size: .95em; overflow-wrap: anywhere }
td, th { text-align: start; vertical-align: top; padding: .25rem 1rem .25rem 0 }
"""
_PROBLEMS = "/problems"


def problem_path(code: str) -> str:
    """Where the page about a problem is: its `type` (RFC 9457, section 3.1.1: a relative one has its full path)."""
    return f"/docs{_PROBLEMS}/{code}"


def build() -> Starlette:
    """The page with its files, to be mounted under /docs."""
    return Starlette(
        routes=[
            Route("/", _page),
            Route("/start.js", _start),
            Route("/page.css", _style),
            Route(_PROBLEMS, _problems),
            Route(_PROBLEMS + "/{code}", _problem),
            Mount("/files", StaticFiles(directory=_FILES)),
        ]
    )


async def _page(_request: Request) -> Response:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


async def _start(_request: Request) -> Response:
    return Response(_START, media_type="text/javascript")


async def _style(_request: Request) -> Response:
    return Response(_STYLE, media_type="text/css")


async def _problems(_request: Request) -> Response:
    rows = "".join(
        f'<tr><td><a href="{problem_path(code)}"><code>{code}</code></a><td>{status}<td>{_html(TITLES[code])}'
        for code, (status, _) in PROBLEMS.items()
    )
    head = "<h1>Problems</h1><p>What the API refuses, and with which code. A refusal changes nothing.</p>"
    return _text("Problems", f"{head}<table><tr><th>Code<th>Status<th>Meaning{rows}</table>")


async def _problem(request: Request) -> Response:
    code = request.path_params["code"]
    if code not in PROBLEMS:
        return _text("Problems", f'<h1>There is no such code</h1><p><a href="/docs{_PROBLEMS}">All codes</a></p>', 404)
    status, meaning = PROBLEMS[code]
    facts = (
        f"<p>Code <code>{code}</code>, HTTP status {status}. A refusal changes nothing; the same key may be sent again."
    )
    return _text(
        code,
        f'<h1>{_html(TITLES[code])}</h1><p>{_html(meaning)}</p>{facts}</p><p><a href="/docs{_PROBLEMS}">All codes</a>',
    )


def _html(text: str) -> str:
    """Text with `code` in it."""
    parts = html.escape(text).split("`")
    return "".join(part if number % 2 == 0 else f"<code>{part}</code>" for number, part in enumerate(parts))


def _text(title: str, body: str, status: int = 200) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(_TEXT.format(title=html.escape(title), body=body), status, headers)
