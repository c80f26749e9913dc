"""Webhooks out: endpoints, the log of deliveries, tests and replays."""

import json
import re
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from brimful import clock, webhooks
from brimful.api import given, taken
from brimful.api.body import Instant
from brimful.api.door import Door, DoorOf, router_for
from brimful.api.paging import Limit, cursor_after, read_cursor
from brimful.errors import Refused

__all__ = ["router"]

_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?", re.ASCII)  # what everybody can read

router = router_for("Webhooks")


@router.post("/webhooks", status_code=201)
async def create_webhook(door: DoorOf, body: taken.CreateWebhook) -> given.CreatedWebhook:
    """Have events sent to a URL, signed by Standard Webhooks. The secret is in the answer."""
    if body.connect:
        raise Refused("invalid_field", "There are no connected accounts here.", field="connect")
    url = _judge(door, body.url)
    async with door.deps.database.transaction() as tx:
        made = await webhooks.create(tx, url=url, topics=body.topics)
    return given.CreatedWebhook(id=made.endpoint_id, secret=made.secret, created_at=clock.rfc3339(made.created_at))


@router.get("/webhooks")
async def list_webhooks(door: DoorOf, enabled: bool | None = None, connect: bool | None = None) -> given.Webhooks:
    """Every endpoint, the oldest first."""
    async with door.deps.database.transaction() as tx:
        found = [] if connect else await webhooks.list_all(tx, enabled=enabled)
    return given.Webhooks(items=[given.WebhookItem.of(endpoint) for endpoint in found])


class EventFilter(BaseModel):
    """How the log may be narrowed; `next` and `prev` are cursors."""

    limit: Limit = 50
    next: str | None = None
    prev: str | None = None
    destination_id: Annotated[str | None, Query(description="One id, or several with commas.")] = None
    status: Literal["Success", "Failed"] | None = None
    time_gte: Instant | None = None
    time_lte: Instant | None = None


@router.get("/webhooks/events")
async def list_events(door: DoorOf, narrowed: Annotated[EventFilter, Query()]) -> given.Deliveries:
    """Deliveries, newest first."""
    if narrowed.next is not None and narrowed.prev is not None:
        raise Refused("invalid_field", "Give next or prev, not both.", field="next")
    newer, limit = _place(read_cursor("d", narrowed.prev)), narrowed.limit
    async with door.deps.database.transaction() as tx:
        found = await webhooks.log.list_page(
            tx,
            limit=limit + 1,
            older_than=_place(read_cursor("d", narrowed.next)),
            newer_than=newer,
            endpoint_ids=None if narrowed.destination_id is None else narrowed.destination_id.split(","),
            failed=None if narrowed.status is None else narrowed.status == "Failed",
            since=narrowed.time_gte,
            until=narrowed.time_lte,
        )
    more = len(found) > limit
    page = (found[1:] if newer else found[:limit]) if more else found
    older_exist, newer_exist = (True, more) if newer else (more, narrowed.next is not None)
    pagination = given.Pagination(
        limit=limit,
        next=_cursor(page[-1]) if page and older_exist else None,
        prev=_cursor(page[0]) if page and newer_exist else None,
    )
    return given.Deliveries(models=[given.DeliveryItem.of(delivery) for delivery in page], pagination=pagination)


@router.get("/webhooks/events/{event_id}")
async def get_event(door: DoorOf, event_id: str) -> given.EventLog:
    """An event with every attempt to deliver it."""
    async with door.deps.database.transaction() as tx:
        event, deliveries = await webhooks.log.deliveries_of(tx, event_id)
        attempts = await webhooks.log.attempts(tx, event_id)
    return given.EventLog(
        id=event["event_id"],
        topic=event["type"],
        customer_id=event["customer_id"],
        time=clock.rfc3339(event["created_at"]),
        data=event["payload"],
        deliveries=[given.DeliveryItem.of(delivery) for delivery in deliveries],
        attempts=[given.Attempt.of(row) for row in attempts],
    )


@router.post("/webhooks/events/{event_id}/replay", status_code=202)
async def replay_event(door: DoorOf, event_id: str, body: taken.ReplayEvent | None = None) -> given.Replayed:
    """Send an event again: to one endpoint, or to all that it went to and that want it now. Its id stays the same."""
    async with door.deps.database.transaction() as tx:
        queued = await webhooks.log.replay(tx, event_id, None if body is None else body.webhook_id)
    return given.Replayed(queued=queued)


@router.post("/webhooks/test/{topic}", status_code=202)
async def test_webhooks(door: DoorOf, request: Request, topic: str) -> given.Id:
    """Send an event that did not happen, with the body as its data, to every endpoint that wants the topic."""
    return await _test(door, request, topic, None)


@router.get("/webhooks/{webhook_id}")
async def get_webhook(door: DoorOf, webhook_id: str) -> given.Webhook:
    """One endpoint with its secret."""
    async with door.deps.database.transaction() as tx:
        endpoint = await webhooks.get(tx, webhook_id)
    return given.Webhook.of(endpoint, secret=endpoint.secret)


@router.patch("/webhooks/{webhook_id}")
async def update_webhook(door: DoorOf, webhook_id: str, body: taken.UpdateWebhook) -> given.Webhook:
    """Change URL or topics; turn it off, or on again after it was disabled."""
    url = None if body.url is None else _judge(door, body.url)
    async with door.deps.database.transaction() as tx:
        endpoint = await webhooks.update(tx, webhook_id, url=url, topics=body.topics, enabled=body.enabled)
    return given.Webhook.of(endpoint, secret=endpoint.secret)


@router.delete("/webhooks/{webhook_id}", status_code=204)
async def delete_webhook(door: DoorOf, webhook_id: str) -> Response:
    """Remove an endpoint with the log of its deliveries. The events stay, and can be replayed to another."""
    async with door.deps.database.transaction() as tx:
        await webhooks.delete(tx, webhook_id)
    return Response(status_code=204)


@router.post("/webhooks/{webhook_id}/rotate")
async def rotate_secret(door: DoorOf, webhook_id: str) -> given.Webhook:
    """A new secret. For 24 hours everything is signed with the old one as well."""
    async with door.deps.database.transaction() as tx:
        endpoint = await webhooks.rotate(tx, webhook_id)
    return given.Webhook.of(endpoint, secret=endpoint.secret)


@router.post("/webhooks/{webhook_id}/replay", status_code=202)
async def replay_missed(door: DoorOf, webhook_id: str, body: taken.ReplaySince) -> given.Replayed:
    """Send everything since a time that this endpoint wants and has not got: after a long outage."""
    async with door.deps.database.transaction() as tx:
        return given.Replayed(queued=await webhooks.log.replay_since(tx, webhook_id, body.since))


@router.post("/webhooks/{webhook_id}/test/{topic}", status_code=202)
async def test_webhook(door: DoorOf, request: Request, webhook_id: str, topic: str) -> given.Id:
    """Send an event that did not happen, with the body as its data, to one endpoint."""
    return await _test(door, request, topic, webhook_id)


async def _test(door: Door, request: Request, topic: str, webhook_id: str | None) -> given.Id:
    data = {}
    if body := await request.body():
        await request.json()  # refuses what is no object
        json.loads(body, parse_int=_short, parse_float=_short)
        data = json.loads(body)  # for the receiver, numbers are numbers
    async with door.deps.database.transaction() as tx:
        return given.Id(id=await webhooks.log.send_test(tx, topic, data, webhook_id))


def _short(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise Refused("invalid_field", "A number in the body is too large or too long: give it as a string.")
    return text


def _judge(door: Door, url: str) -> str:
    return webhooks.judge_url(url, loopback=door.deps.settings.sandbox)


def _cursor(delivery: webhooks.log.Delivery) -> str:
    return cursor_after("d", " ".join(delivery.place))


def _place(text: str | None) -> webhooks.log.Place | None:
    if text is None:
        return None
    event_id, _, endpoint_id = text.partition(" ")
    return event_id, endpoint_id
