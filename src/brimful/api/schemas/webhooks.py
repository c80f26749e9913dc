"""Webhooks and the log of their deliveries, as the API gives them."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from brimful.api.schemas.base import Moment
from brimful.core import clock
from brimful.core.ids import CustomerId
from brimful.db.pool import Row
from brimful.notifications import webhooks


class WebhookItem(BaseModel):
    """An endpoint without its secret."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)
    id: str
    url: str
    topics: list[str]
    connect: bool = False
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None
    failing_since: Moment | None
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, endpoint: webhooks.endpoints.Endpoint, **more: Any) -> Self:
        return cls(
            id=endpoint.endpoint_id,
            url=endpoint.url,
            topics=endpoint.topics,
            enabled=endpoint.enabled,
            disabled_reason=endpoint.disabled_reason,
            failing_since=None if endpoint.failing_since is None else clock.rfc3339(endpoint.failing_since),
            created_at=clock.rfc3339(endpoint.created_at),
            updated_at=clock.rfc3339(endpoint.updated_at),
            **more,
        )


class Webhook(WebhookItem):
    """An endpoint with the secret that its events are signed with."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class Webhooks(BaseModel):
    """Every endpoint, the oldest first."""

    items: list[WebhookItem]


class CreatedWebhook(BaseModel):
    """A new endpoint with its secret."""

    id: str
    secret: str
    created_at: Moment


class DeliveryItem(BaseModel):
    """One event on its way to one endpoint. `successful_at` and `failed_at` are those of its latest attempt."""

    id: str
    destination_id: str
    topic: str
    time: Moment
    state: Literal["pending", "succeeded", "failed"]
    attempts: int
    next_at: Moment | None
    successful_at: Moment | None
    failed_at: Moment | None
    data: Any

    @classmethod
    def of(cls, delivery: webhooks.attempts.Delivery) -> Self:
        tried = None if delivery.tried_at is None else clock.rfc3339(delivery.tried_at)
        return cls(
            id=delivery.event_id,
            destination_id=delivery.endpoint_id,
            topic=delivery.topic,
            time=clock.rfc3339(delivery.created_at),
            state=delivery.state,
            attempts=delivery.attempts,
            next_at=None if delivery.next_at is None else clock.rfc3339(delivery.next_at),
            successful_at=tried if delivery.state == "succeeded" else None,
            failed_at=None if delivery.state == "succeeded" else tried,
            data=delivery.payload,
        )


class Pagination(BaseModel):
    """Cursors of the neighbouring pages; null where there is none."""

    limit: int
    next: str | None
    prev: str | None


class Deliveries(BaseModel):
    """Deliveries, newest first."""

    models: list[DeliveryItem]
    pagination: Pagination


class Attempt(BaseModel):
    """One request to an endpoint."""

    destination_id: str
    attempt: int
    at: Moment
    status: int | None
    error: str | None
    took_ms: int

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            destination_id=row["endpoint_id"],
            attempt=row["attempt"],
            at=clock.rfc3339(row["at"]),
            status=row["status"],
            error=row["error"],
            took_ms=row["took_ms"],
        )


class EventLog(BaseModel):
    """An event with every attempt to deliver it."""

    id: str
    topic: str
    customer_id: CustomerId | None
    time: Moment
    data: Any
    deliveries: list[DeliveryItem]
    attempts: list[Attempt]


class Replayed(BaseModel):
    """How many deliveries were queued."""

    queued: int
