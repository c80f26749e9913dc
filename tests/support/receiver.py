"""A platform's webhook endpoint for stories, and what a story does around it."""

import asyncio
import contextlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from brimful_client.webhooks import verify_webhook
from support.harness import reserved_port, served

__all__ = ["Receiver", "deliveries", "low", "receiving", "subscribe"]


class Receiver:
    """A platform's endpoint: remembers what came, answers as it is told."""

    def __init__(self):
        self.requests = []
        self.answers = []
        self.status = 204
        self.headers = {}
        self.delay_s = 0
        self.url = ""

    async def __call__(self, request: Request):
        self.requests.append((dict(request.headers), await request.body()))
        await asyncio.sleep(self.delay_s)
        status = self.answers.pop(0) if self.answers else self.status
        return Response(status_code=status, headers=self.headers)

    def events(self, secret):
        return [verify_webhook(secret, headers, body) for headers, body in self.requests]


@contextlib.asynccontextmanager
async def receiving():
    """A receiver behind a real port."""
    receiver, port = Receiver(), reserved_port()
    receiver.url = f"http://127.0.0.1:{port}/hook"

    async def endpoint(request):
        return await receiver(request)

    async with served(Starlette(routes=[Route("/hook", endpoint, methods=["POST"])]), port):
        yield receiver


async def subscribe(harness, url, *topics):
    body = {"url": url, **({"topics": list(topics)} if topics else {})}
    return await harness.call("POST", "/webhooks", body, expect=201)


async def low(harness, name="Ada"):
    """Something that is told: a balance below its alert."""
    customer_id = await harness.customer(name)
    await harness.give(customer_id, 1)
    await harness.call("PUT", f"/customers/{customer_id}/alerts/USD", {"threshold": "5"}, expect=200)
    return customer_id


async def deliveries(harness, **params):
    return (await harness.call("GET", "/webhooks/events", params=params, expect=200))["models"]
