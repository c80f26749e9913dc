"""The two listeners of one process: what the internal one has does not exist on the other."""

import pytest

from brimful.runtime.serve import Listeners

PUBLIC, INTERNAL = 8000, 8081


async def seen(path, port, kind="http"):
    """The path that the application is asked for."""
    asked = []

    async def app(scope, receive, send):
        asked.append(scope.get("path"))

    scope = {"type": kind, "server": ("127.0.0.1", port)} | ({} if kind == "lifespan" else {"path": path})
    await Listeners(app, INTERNAL)(scope, None, None)
    return asked[0]


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/customers/x", "/metrics"])
async def test_console_and_metrics_are_on_the_internal_one_alone(path):
    assert await seen(path, INTERNAL) == path
    assert await seen(path, PUBLIC) == "/not-here"


@pytest.mark.parametrize("path", ["/", "/v1/customers", "/billing/", "/healthz", "/consoles", "/metrics/x"])
async def test_everything_else_is_on_both(path):
    assert {await seen(path, port) for port in (PUBLIC, INTERNAL)} == {path}


async def test_a_start_has_no_path():
    assert await seen(None, PUBLIC, kind="lifespan") is None
