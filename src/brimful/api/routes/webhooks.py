"""Webhooks out: endpoints, the log of deliveries, tests and replays."""

import json
import re
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from brimful.api import context, pagination, schemas
from brimful.api.context import AppContext, Context, Transaction
from brimful.api.json_body import Instant
from brimful.api.pagination import Limit, read_cursor
from brimful.core import clock
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.notifications import webhooks

_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?", re.ASCII)  # what everybody can read

router = context.router_for("Webhooks")


@router.post("/webhooks", status_code=201)
async def create_webhook(
    context: Context, tx: Transaction, body: schemas.requests.CreateWebhook
) -> schemas.webhooks.CreatedWebhook:
    """Have events sent to a URL, signed by Standard Webhooks. The secret is in the answer."""
    if body.connect:
        raise Refused("invalid_field", "There are no connected accounts here.", field="connect")
    url = _validate(context, body.url)
    made = await webhooks.endpoints.create(tx, url=url, topics=body.topics)
    return schemas.webhooks.CreatedWebhook(
        id=made.endpoint_id, secret=made.secret, created_at=clock.rfc3339(made.created_at)
    )


@router.get("/webhooks")
async def list_webhooks(
    tx: Transaction, enabled: bool | None = None, connect: bool | None = None
) -> schemas.webhooks.Webhooks:
    """Every endpoint, the oldest first."""
    found = [] if connect else await webhooks.endpoints.list_all(tx, enabled=enabled)
    return schemas.webhooks.Webhooks(items=[schemas.webhooks.WebhookItem.of(endpoint) for endpoint in found])


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
async def list_events(tx: Transaction, narrowed: Annotated[EventFilter, Query()]) -> schemas.webhooks.Deliveries:
    """Deliveries, newest first."""
    if narrowed.next is not None and narrowed.prev is not None:
        raise Refused("invalid_field", "Give next or prev, not both.", field="next")
    newer, limit = _position(read_cursor("d", narrowed.prev)), narrowed.limit
    found = await webhooks.attempts.list_page(
        tx,
        limit=limit + 1,
        older_than=_position(read_cursor("d", narrowed.next)),
        newer_than=newer,
        endpoint_ids=None if narrowed.destination_id is None else narrowed.destination_id.split(","),
        failed=None if narrowed.status is None else narrowed.status == "Failed",
        since=narrowed.time_gte,
        until=narrowed.time_lte,
    )
    more = len(found) > limit
    page = (found[1:] if newer else found[:limit]) if more else found
    older_exist, newer_exist = (True, more) if newer else (more, narrowed.next is not None)
    pagination = schemas.webhooks.Pagination(
        limit=limit,
        next=_cursor(page[-1]) if page and older_exist else None,
        prev=_cursor(page[0]) if page and newer_exist else None,
    )
    return schemas.webhooks.Deliveries(
        models=[schemas.webhooks.DeliveryItem.of(delivery) for delivery in page], pagination=pagination
    )


@router.get("/webhooks/events/{event_id}")
async def get_event(tx: Transaction, event_id: str) -> schemas.webhooks.EventLog:
    """An event with every attempt to deliver it."""
    event, deliveries = await webhooks.attempts.deliveries_of(tx, event_id)
    attempts = await webhooks.attempts.attempts(tx, event_id)
    return schemas.webhooks.EventLog(
        id=event["event_id"],
        topic=event["type"],
        customer_id=event["customer_id"],
        time=clock.rfc3339(event["created_at"]),
        data=event["payload"],
        deliveries=[schemas.webhooks.DeliveryItem.of(delivery) for delivery in deliveries],
        attempts=[schemas.webhooks.Attempt.of(row) for row in attempts],
    )


@router.post("/webhooks/events/{event_id}/replay", status_code=202)
async def replay_event(
    tx: Transaction, event_id: str, body: schemas.requests.ReplayEvent | None = None
) -> schemas.webhooks.Replayed:
    """Send an event again: to one endpoint, or to all that it went to and that want it now. Its id stays the same."""
    queued = await webhooks.attempts.replay(tx, event_id, None if body is None else body.webhook_id)
    return schemas.webhooks.Replayed(queued=queued)


@router.post("/webhooks/test/{topic}", status_code=202)
async def test_webhooks(tx: Transaction, request: Request, topic: str) -> schemas.balances.Id:
    """Send an event that did not happen to every endpoint that wants the topic: its data is the body, or a sample."""
    return await _test(tx, request, topic, None)


@router.get("/webhooks/{webhook_id}")
async def get_webhook(tx: Transaction, webhook_id: str) -> schemas.webhooks.Webhook:
    """One endpoint with its secret."""
    endpoint = await webhooks.endpoints.get(tx, webhook_id)
    return schemas.webhooks.Webhook.of(endpoint, secret=endpoint.secret)


@router.patch("/webhooks/{webhook_id}")
async def update_webhook(
    context: Context, tx: Transaction, webhook_id: str, body: schemas.requests.UpdateWebhook
) -> schemas.webhooks.Webhook:
    """Change URL or topics; turn it off, or on again after it was disabled."""
    url = None if body.url is None else _validate(context, body.url)
    endpoint = await webhooks.endpoints.update(tx, webhook_id, url=url, topics=body.topics, enabled=body.enabled)
    return schemas.webhooks.Webhook.of(endpoint, secret=endpoint.secret)


@router.delete("/webhooks/{webhook_id}", status_code=204)
async def delete_webhook(tx: Transaction, webhook_id: str) -> Response:
    """Remove an endpoint with the log of its deliveries. The events stay, and can be replayed to another."""
    await webhooks.endpoints.delete(tx, webhook_id)
    return Response(status_code=204)


@router.post("/webhooks/{webhook_id}/rotate")
async def rotate_secret(tx: Transaction, webhook_id: str) -> schemas.webhooks.Webhook:
    """A new secret. For 24 hours everything is signed with the old one as well."""
    endpoint = await webhooks.endpoints.rotate(tx, webhook_id)
    return schemas.webhooks.Webhook.of(endpoint, secret=endpoint.secret)


@router.post("/webhooks/{webhook_id}/replay", status_code=202)
async def replay_missed(
    tx: Transaction, webhook_id: str, body: schemas.requests.ReplaySince
) -> schemas.webhooks.Replayed:
    """Send everything since a time that this endpoint wants and has not got: after a long outage."""
    return schemas.webhooks.Replayed(queued=await webhooks.attempts.replay_since(tx, webhook_id, body.since))


@router.post("/webhooks/{webhook_id}/test/{topic}", status_code=202)
async def test_webhook(tx: Transaction, request: Request, webhook_id: str, topic: str) -> schemas.balances.Id:
    """Send an event that did not happen to one endpoint: its data is the body, or a sample."""
    return await _test(tx, request, topic, webhook_id)


async def _test(tx: Tx, request: Request, topic: str, webhook_id: str | None) -> schemas.balances.Id:
    data = schemas.events.sample(topic)
    if body := await request.body():
        await request.json()  # refuses what is no object
        json.loads(body, parse_int=_short, parse_float=_short)
        data = json.loads(body)  # for the receiver, numbers are numbers
    return schemas.balances.Id(id=await webhooks.attempts.send_test(tx, topic, data, webhook_id))


def _short(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise Refused("invalid_field", "A number in the body is too large or too long: give it as a string.")
    return text


def _validate(context: AppContext, url: str) -> str:
    return webhooks.ssrf.validate_url(url, loopback=context.deps.settings.sandbox)


def _cursor(delivery: webhooks.attempts.Delivery) -> str:
    return pagination.cursor_after("d", " ".join(delivery.place))


def _position(text: str | None) -> webhooks.attempts.Place | None:
    if text is None:
        return None
    event_id, _, endpoint_id = text.partition(" ")
    return event_id, endpoint_id
