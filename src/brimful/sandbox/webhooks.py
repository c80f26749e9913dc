"""Webhooks: signed events to the endpoints that want them, tried again when they are not taken."""

import asyncio
import contextlib
import hmac
import json
import logging
import time
from typing import Any

import httpx

from brimful.sandbox import intents, shapes
from brimful.sandbox.world import World

_log = logging.getLogger(__name__)
_WAITS_S = (0.5, 2, 5, 10, 30, 60, 300, 900, 3600)
_TIMEOUT_S = 10
Object = dict[str, Any]


def create_endpoint(world: World, params: Object, secret: str | None = None) -> Object:
    """An endpoint; its secret is shown this once."""
    return world.store.save(
        "webhook_endpoint", shapes.webhook_endpoint(world.now(), params, secret or intents.new_secret())
    )


def update_endpoint(world: World, params: Object, item_id: str) -> Object:
    """Change one. Its secret is not shown again."""
    endpoint = world.find("webhook_endpoint", item_id)
    status = {True: "disabled", False: "enabled", None: endpoint["status"]}[params.get("disabled")]
    changes = {name: value for name, value in params.items() if name != "disabled"}
    changes["metadata"] = shapes.merged_metadata(endpoint["metadata"], params.get("metadata", {}))
    return _shown(world.store.save("webhook_endpoint", {**endpoint, **changes, "status": status}))


def list_endpoints(world: World, params: Object, _id: str) -> Object:
    """Each without its secret."""
    page = world.page("webhook_endpoint", "/v1/webhook_endpoints", params, lambda _item: True)
    return {**page, "data": [_shown(item) for item in page["data"]]}


def _shown(endpoint: Object) -> Object:
    return {name: value for name, value in endpoint.items() if name != "secret"}


class Webhooks:
    """Delivers. What was not delivered when the process ended is delivered by the next."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_S)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: asyncio.Event | None = None

    def start(self) -> None:
        self._world.on_event = self.publish
        for pending in list(self._world.store.newest("delivery")):
            if not pending["done"]:
                self._spawn(pending)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def publish(self, event: Object) -> None:
        """Note a delivery per endpoint and begin."""
        mode = self._world.switches.webhooks
        if mode == "off":
            return
        for endpoint in self._world.store.newest("webhook_endpoint"):
            wanted = endpoint["enabled_events"]
            if endpoint["status"] != "enabled" or ("*" not in wanted and event["type"] not in wanted):
                continue
            for copy in range(2 if mode == "duplicated" else 1):
                delivery = {
                    "id": f"{event['id']}:{endpoint['id']}:{copy}",
                    "event": event["id"],
                    "endpoint": endpoint["id"],
                    "done": False,
                    "delay_s": self._world.switches.webhook_delay_s if mode == "late" else 0.0,
                }
                self._spawn(self._world.store.save("delivery", delivery))

    def _spawn(self, delivery: Object) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Object) -> None:
        body = json.dumps(self._world.find("event", delivery["event"])).encode()
        await asyncio.sleep(delivery["delay_s"])
        mode, endpoint = self._world.switches.webhooks, self._world.find("webhook_endpoint", delivery["endpoint"])
        if mode == "reordered":
            await self._let_the_next_go_first()
        if mode == "forged":
            await self._send({**endpoint, "secret": intents.new_secret()}, body)
            await self._send(endpoint, body, signed=body[:-1] + b" }")
        for wait_s in (*_WAITS_S, None):
            if await self._send(self._world.find("webhook_endpoint", delivery["endpoint"]), body):
                delivery["done"] = True
                self._world.store.save("delivery", delivery)
                return
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        _log.warning("gave up on event %s", delivery["event"])

    async def _let_the_next_go_first(self) -> None:
        """Wait for the next event, at most a second: it overtakes this one."""
        if self._held is not None:
            self._held.set()
            self._held = None
            return
        self._held = mine = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(mine.wait(), 1)
        await asyncio.sleep(0.05)
        if self._held is mine:
            self._held = None

    async def _send(self, endpoint: Object, body: bytes, *, signed: bytes | None = None) -> bool:
        stamp = int(time.time())
        content = f"{stamp}.".encode() + (body if signed is None else signed)
        signature = hmac.new(endpoint["secret"].encode(), content, "sha256").hexdigest()
        headers = {"Stripe-Signature": f"t={stamp},v1={signature}", "Content-Type": "application/json"}
        try:
            answer = await self._client.post(endpoint["url"], content=body, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.is_success
