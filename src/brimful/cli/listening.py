"""`brimful listen`: an endpoint of its own for as long as it runs, which shows and forwards what comes."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import httpx
import uvicorn
from standardwebhooks import WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from brimful import runtime
from brimful_client import webhooks
from brimful_client.client import AsyncClient

_HOST = "127.0.0.1"
_FORWARD_S = 15
_PASSED_ON = ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature")


async def listen_until(
    stop: asyncio.Event,
    url: str,
    key: str,
    *,
    forward_to: str | None,
    topics: Sequence[str],
    count: int | None,
    say: Callable[[str], None],
) -> None:
    """Receive events until `stop` is set, or `count` have come; then take the endpoint away again."""
    port = runtime.ports.require_free(_HOST, 0)
    async with AsyncClient(url, key) as api, httpx.AsyncClient(timeout=_FORWARD_S, trust_env=False) as forwarder:
        made = await api.create_webhook(url=f"http://{_HOST}:{port}/", topics=topics)
        try:
            say(f"Listening. Secret {made.secret}")
            receiver = _Receiver(made.secret, forwarder, forward_to, say, stop, count)
            await _serve(receiver, port, stop)
        finally:
            await api.delete_webhook(made.id)


class _Receiver:
    def __init__(
        self,
        secret: str,
        forwarder: httpx.AsyncClient,
        forward_to: str | None,
        say: Callable[[str], None],
        stop: asyncio.Event,
        count: int | None,
    ) -> None:
        self._secret = secret
        self._forwarder = forwarder
        self._forward_to = forward_to
        self._say = say
        self._stop = stop
        self._left = count

    async def __call__(self, request: Request) -> Response:
        body = await request.body()
        try:
            event = webhooks.verify_webhook(self._secret, request.headers, body)
        except (WebhookVerificationError, ValueError) as error:
            self._say(f"not verified: {error}")
            return Response(status_code=400)
        status = await self._forward(request, body)
        shown = " ".join(f"{name}={value}" for name, value in event.data.items())
        self._say(f"{event.id}  {event.type:<28} {'' if self._forward_to is None else f'[{status}] '}{shown}")
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._stop.set()
        return Response(status_code=status)

    async def _forward(self, request: Request, body: bytes) -> int:
        """Pass it on as it came; what your endpoint answers is the answer."""
        if self._forward_to is None:
            return 204
        headers = {name: request.headers[name] for name in _PASSED_ON}
        try:
            return (await self._forwarder.post(self._forward_to, content=body, headers=headers)).status_code
        except httpx.HTTPError as error:
            self._say(f"{self._forward_to} does not answer: {type(error).__name__}")
            return 502


async def _serve(receiver: _Receiver, port: int, stop: asyncio.Event) -> None:
    async def endpoint(request: Request) -> Response:
        return await receiver(request)

    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])])
    config = uvicorn.Config(app, host=_HOST, port=port, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign] # the caller has them
    task = asyncio.create_task(server.serve())
    await stop.wait()
    server.should_exit = True
    await task
