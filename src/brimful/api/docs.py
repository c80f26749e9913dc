"""GET /docs: the API's reference to read and to try, from files of our own server."""

import pathlib

import fastapi_offline
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

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


def build() -> Starlette:
    """The page with its files, to be mounted under /docs."""
    return Starlette(
        routes=[
            Route("/", _page),
            Route("/start.js", _start),
            Mount("/files", StaticFiles(directory=_FILES)),
        ]
    )


async def _page(_request: Request) -> Response:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


async def _start(_request: Request) -> Response:
    return Response(_START, media_type="text/javascript")
