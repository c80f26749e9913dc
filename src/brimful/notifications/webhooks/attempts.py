"""The log of deliveries: what was sent where and how it went; sending it again, and trying an endpoint out."""

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, Literal

from brimful.core import clock, ids
from brimful.core.errors import Refused
from brimful.db.pool import Row, Tx
from brimful.notifications.events import Topic
from brimful.notifications.webhooks import endpoints

Place = tuple[str, str]  # event_id, endpoint_id
_REPLAY_MAX = 10_000


@dataclasses.dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint. `tried_at` is the latest attempt."""

    event_id: str
    endpoint_id: str
    topic: str
    payload: dict[str, Any]
    state: Literal["pending", "succeeded", "failed"]
    attempts: int
    next_at: dt.datetime | None
    tried_at: dt.datetime | None
    created_at: dt.datetime
    ended_at: dt.datetime | None

    @property
    def place(self) -> Place:
        return self.event_id, self.endpoint_id


_COLUMNS = """
    SELECT d.event_id, d.endpoint_id, o.type AS topic, o.payload, d.state, d.attempts, d.next_at, (
        SELECT a.at FROM delivery_attempts AS a
        WHERE a.event_id = d.event_id AND a.endpoint_id = d.endpoint_id ORDER BY a.at DESC LIMIT 1
    ) AS tried_at, o.created_at, d.ended_at
    FROM deliveries AS d
    JOIN outgoing_events AS o ON o.event_id = d.event_id
"""
_FILTER = """
    WHERE (%(endpoints)s::text[] IS NULL OR d.endpoint_id = ANY(%(endpoints)s))
        AND (%(failed)s::boolean IS NULL
            OR CASE WHEN %(failed)s THEN d.state <> 'succeeded' AND d.attempts > 0 ELSE d.state = 'succeeded' END)
        AND (%(since)s::timestamptz IS NULL OR o.created_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR o.created_at <= %(until)s)
"""
_OLDER = (
    _COLUMNS
    + _FILTER
    + """
        AND (%(event)s::text IS NULL OR (d.event_id, d.endpoint_id) < (%(event)s, %(endpoint)s::text))
    ORDER BY d.event_id DESC, d.endpoint_id DESC LIMIT %(limit)s
"""
)
_NEWER = (
    _COLUMNS
    + _FILTER
    + """
        AND (d.event_id, d.endpoint_id) > (%(event)s::text, %(endpoint)s::text)
    ORDER BY d.event_id, d.endpoint_id LIMIT %(limit)s
"""
)


async def list_page(
    tx: Tx,
    *,
    limit: int,
    older_than: Place | None = None,
    newer_than: Place | None = None,
    endpoint_ids: Sequence[str] | None = None,
    failed: bool | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> list[Delivery]:
    """Deliveries, newest first. `failed`: those that failed and did not succeed since; False: those that succeeded."""
    event, endpoint = newer_than or older_than or (None, None)
    values = {
        "endpoints": None if endpoint_ids is None else list(endpoint_ids), "failed": failed, "since": since,
        "until": until, "event": event, "endpoint": endpoint, "limit": limit,
    }  # fmt: skip
    if newer_than is not None:
        return [Delivery(**row) for row in reversed(await tx.all(_NEWER, values))]
    return [Delivery(**row) for row in await tx.all(_OLDER, values)]


_OF_EVENT = _COLUMNS + "WHERE d.event_id = %s ORDER BY d.endpoint_id"
_EVENT = "SELECT event_id, customer_id, type, payload, created_at FROM outgoing_events WHERE event_id = %s"


async def deliveries_of(tx: Tx, event_id: str) -> tuple[Row, list[Delivery]]:
    """An event with its deliveries; refuses an unknown id."""
    event = await tx.one(_EVENT, (event_id,))
    if event is None:
        raise Refused("event_not_found", f"There is no event {event_id[:60]!r}.")
    return event, [Delivery(**row) for row in await tx.all(_OF_EVENT, (event_id,))]


_ATTEMPTS = """
    SELECT endpoint_id, attempt, at, status, error, took_ms FROM delivery_attempts WHERE event_id = %s
    ORDER BY at, endpoint_id
"""


async def attempts(tx: Tx, event_id: str) -> list[Row]:
    """Every attempt to deliver an event, in the order of time."""
    return await tx.all(_ATTEMPTS, (event_id,))


_QUEUE = """
    INSERT INTO deliveries (event_id, endpoint_id, next_at, created_at)
    SELECT %(event_id)s, e.endpoint_id, %(now)s, %(now)s FROM webhook_endpoints AS e
    WHERE e.enabled AND (e.endpoint_id = ANY(%(endpoints)s::text[])
        OR %(topic)s::text IS NOT NULL AND e.topics && ARRAY['*', %(topic)s::text])
    ON CONFLICT (event_id, endpoint_id) DO UPDATE SET state = 'pending', attempts = 0, next_at = excluded.next_at,
        ended_at = NULL
"""


async def _queue(tx: Tx, event_id: str, *, to: Sequence[str], topic: str | None) -> int:
    """Deliver an event, once more if need be, to these endpoints, and with a topic to all that want it."""
    return await tx.execute(
        _QUEUE, {"event_id": event_id, "endpoints": list(to), "topic": topic, "now": await tx.now()}
    )


async def replay(tx: Tx, event_id: str, endpoint_id: str | None = None) -> int:
    """Send an event again: to one endpoint, or to those that it went to and those that want it now. Returns how many.

    Its id stays the same, so that a receiver that has it knows it.
    """
    event, known = await deliveries_of(tx, event_id)
    if endpoint_id is not None:
        await endpoints.get(tx, endpoint_id)
        return await _queue(tx, event_id, to=[endpoint_id], topic=None)
    return await _queue(tx, event_id, to=[delivery.endpoint_id for delivery in known], topic=event["type"])


_MISSED = """
    INSERT INTO deliveries (event_id, endpoint_id, next_at, created_at)
    SELECT o.event_id, e.endpoint_id, %(now)s, %(now)s
    FROM outgoing_events AS o
    JOIN webhook_endpoints AS e ON e.endpoint_id = %(endpoint_id)s AND e.topics && ARRAY['*', o.type]
    WHERE o.created_at >= %(since)s AND o.payload -> 'test' IS NULL AND NOT EXISTS (
        SELECT FROM deliveries AS d
        WHERE d.event_id = o.event_id AND d.endpoint_id = e.endpoint_id AND d.state <> 'failed')
    ORDER BY o.event_id LIMIT %(limit)s
    ON CONFLICT (event_id, endpoint_id) DO UPDATE SET state = 'pending', attempts = 0, next_at = excluded.next_at,
        ended_at = NULL
    WHERE deliveries.state = 'failed'
"""


async def replay_since(tx: Tx, endpoint_id: str, since: dt.datetime) -> int:
    """Send everything since then that the endpoint wants and has not got. Returns how many, at most 10,000."""
    endpoint = await endpoints.get(tx, endpoint_id)
    if not endpoint.enabled:
        raise Refused("invalid_field", "This webhook is disabled: enable it first.", field="enabled")
    values = {"endpoint_id": endpoint_id, "since": since, "now": await tx.now(), "limit": _REPLAY_MAX}
    return await tx.execute(_MISSED, values)


_TEST = """
    INSERT INTO outgoing_events (event_id, customer_id, type, payload, created_at)
    VALUES (%(event_id)s, NULL, %(topic)s, %(payload)s::text::jsonb, %(now)s)
"""


async def send_test(tx: Tx, topic: str, data: Any, endpoint_id: str | None = None) -> str:
    """Send an event that did not happen: to one endpoint, or to all that want the topic. Returns its id."""
    if topic not in set(Topic):
        raise Refused("invalid_field", f"Unknown topic {topic[:60]!r}: choose from {', '.join(Topic)}.", field="topic")
    now, event_id = await tx.now(), ids.new("evt")
    payload = {"type": topic, "timestamp": clock.rfc3339(now), "data": data, "test": True}
    values = {"event_id": event_id, "topic": topic, "payload": json.dumps(payload), "now": now}
    if endpoint_id is not None:
        await endpoints.get(tx, endpoint_id)
    await tx.execute(_TEST, values)
    await _queue(
        tx, event_id, to=[] if endpoint_id is None else [endpoint_id], topic=topic if endpoint_id is None else None
    )
    return event_id
