"""Events for the platform. An event is written in the transaction that causes it."""

import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any

from brimful import jobs, observability
from brimful.core import clock, ids
from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Texts
from brimful.db.pool import Tx


class Topic(enum.StrEnum):
    """The catalogue: every kind of event there is."""

    TOP_UP_SUCCEEDED = "top_up.succeeded"
    TOP_UP_FAILED = "top_up.failed"
    TOP_UP_ACTION_REQUIRED = "top_up.action_required"
    AUTO_TOP_UP_ENABLED = "auto_top_up.enabled"
    AUTO_TOP_UP_UPDATED = "auto_top_up.updated"
    AUTO_TOP_UP_DISABLED = "auto_top_up.disabled"
    AUTO_TOP_UP_TRIGGERED = "auto_top_up.triggered"
    AUTO_TOP_UP_APPROVAL_NEEDED = "auto_top_up.approval_needed"
    AUTO_TOP_UP_UNUSUAL_USE = "auto_top_up.unusual_use"
    AUTO_TOP_UP_RETRY_SCHEDULED = "auto_top_up.retry_scheduled"
    AUTO_TOP_UP_BACKUP_USED = "auto_top_up.backup_used"
    AUTO_TOP_UP_SKIPPED = "auto_top_up.skipped"
    AUTO_TOP_UP_PAUSED = "auto_top_up.paused"
    AUTO_TOP_UP_LIMIT_NEAR = "auto_top_up.limit_near"
    AUTO_TOP_UP_LIMIT_REACHED = "auto_top_up.limit_reached"
    BALANCE_LOW = "balance.low"
    BALANCE_DEPLETED = "balance.depleted"
    HOLD_EXPIRED = "hold.expired"
    LEASE_WINDING_DOWN = "lease.winding_down"
    LEASE_RESUMABLE = "lease.resumable"
    BUDGET_NEAR = "budget.near"
    BUDGET_REACHED = "budget.reached"
    BUDGET_EXCEEDED = "budget.exceeded"
    CREDIT_EXPIRING = "credit.expiring"
    CREDIT_EXPIRED = "credit.expired"
    CARD_ADDED = "card.added"
    CARD_REMOVED = "card.removed"
    CARD_EXPIRING = "card.expiring"
    CUSTOMER_EMAIL_CHANGED = "customer.email_changed"
    CONSENT_RECORDED = "consent.recorded"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    REFUND_RECORDED = "refund.recorded"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_CLOSED = "dispute.closed"
    WEBHOOK_DISABLED = "webhook.disabled"


# What the customer gets by e-mail as well, where a mail server is configured.
_EMAILS = frozenset(
    {
        Topic.TOP_UP_SUCCEEDED,
        Topic.TOP_UP_FAILED,
        Topic.TOP_UP_ACTION_REQUIRED,
        Topic.AUTO_TOP_UP_ENABLED,
        Topic.AUTO_TOP_UP_UPDATED,
        Topic.AUTO_TOP_UP_DISABLED,
        Topic.AUTO_TOP_UP_PAUSED,
        Topic.AUTO_TOP_UP_APPROVAL_NEEDED,
        Topic.AUTO_TOP_UP_SKIPPED,  # of a price that rose, alone
        Topic.AUTO_TOP_UP_LIMIT_NEAR,
        Topic.AUTO_TOP_UP_LIMIT_REACHED,
        Topic.BALANCE_LOW,
        Topic.BALANCE_DEPLETED,
        Topic.BUDGET_NEAR,  # of the customer's own, alone
        Topic.BUDGET_REACHED,
        Topic.CREDIT_EXPIRING,
        Topic.CREDIT_EXPIRED,
        Topic.CARD_ADDED,
        Topic.CARD_REMOVED,
        Topic.CARD_EXPIRING,
        Topic.CUSTOMER_EMAIL_CHANGED,
    }
)

_INSERT = """
    INSERT INTO outgoing_events (event_id, customer_id, type, payload, created_at)
    SELECT event_id, customer_id, %(type)s::text, payload::jsonb, %(now)s::timestamptz
    FROM unnest(%(ids)s::text[], %(customers)s::uuid[], %(payloads)s::text[]) AS new (event_id, customer_id, payload)
"""
# A delivery to each endpoint that subscribes to their topic: who gets an event is decided here, once.
_DELIVER = """
    INSERT INTO deliveries (event_id, endpoint_id, next_at, created_at)
    SELECT new.event_id, e.endpoint_id, %(now)s::timestamptz, %(now)s::timestamptz
    FROM unnest(%(ids)s::text[]) AS new (event_id), webhook_endpoints AS e
    WHERE e.enabled AND e.topics && ARRAY['*', %(type)s::text]
"""


async def emit(tx: Tx, topic: Topic, customer_id: CustomerId | None, data: Mapping[str, Any]) -> str:
    """Add an event to the caller's transaction, and the job of its e-mail. Returns the event's id.

    `data` is JSON, amounts as text. `customer_id` is None for what is no customer's.
    """
    (event_id,) = await emit_each(tx, topic, [(customer_id, data)])
    return event_id


async def emit_each(tx: Tx, topic: Topic, data: Sequence[tuple[CustomerId | None, Mapping[str, Any]]]) -> list[str]:
    """The same for many customers, `data` being each one's id and data: one statement, however many there are."""
    if not data:
        return []
    now = await tx.now()
    event_ids = [ids.new("evt") for _ in data]
    head = {"type": topic.value, "timestamp": clock.rfc3339(now)}
    named = {"type": topic.value, "now": now, "ids": Texts(event_ids)}
    payloads = Texts(json.dumps({**head, "data": _data(customer_id, data)}) for customer_id, data in data)
    customers = CustomerIds(customer_id for customer_id, _ in data)
    tx.later(_INSERT, {**named, "customers": customers, "payloads": payloads}, rows=len(data))
    tx.later(_DELIVER, named, rows=None)
    tx.once_committed(lambda: observability.metrics.EMITTED.labels(topic.value).inc(len(data)))
    if topic in _EMAILS:
        emails = [
            {"customer_id": customer_id, "event_id": event_id}
            for event_id, (customer_id, _) in zip(event_ids, data, strict=True)
        ]
        await jobs.defer(tx, jobs.Name.EMAIL, emails)
    return event_ids


def _data(customer_id: CustomerId | None, data: Mapping[str, Any]) -> dict[str, Any]:
    return dict(data) if customer_id is None else {"customer_id": customer_id, **data}
