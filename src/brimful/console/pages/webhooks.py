"""Webhooks out: where events go, how deliveries went, sending one again."""

from starlette.responses import Response

from brimful.auth import audit
from brimful.console import view_model
from brimful.console.context import Page
from brimful.console.view_model import Act, Cell, Field, Table, View
from brimful.notifications import webhooks

_PAGE = 100


async def listed(page: Page) -> Response:
    """Endpoints, and the newest deliveries."""
    status = page.query("status")
    failed = {"Failed": True, "Success": False}.get(status or "")
    async with page.database.transaction() as tx:
        endpoints = await webhooks.endpoints.list_all(tx)
        deliveries = await webhooks.attempts.list_page(tx, limit=_PAGE, failed=failed)
    tables = [
        Table(
            "Endpoints",
            ("Id", "URL", "Topics", "Enabled", "Failing since", ""),
            [
                [
                    one.endpoint_id,
                    webhooks.ssrf.shown(one.url),
                    ", ".join(one.topics),
                    Cell("yes") if one.enabled else Cell(f"no: {one.disabled_reason or 'turned off'}", None, "warn"),
                    view_model.moment(one.failing_since),
                    "" if one.enabled else Act(f"/webhooks/{one.endpoint_id}/enable", "Enable"),
                ]
                for one in endpoints
            ],
        ),
        Table(
            "Deliveries",
            ("Event", "Topic", "To", "State", "Attempts", "Last try", "Next"),
            [
                [
                    Cell(one.event_id, f"/webhooks/events/{one.event_id}"),
                    one.topic,
                    one.endpoint_id,
                    one.state,
                    str(one.attempts),
                    view_model.moment(one.tried_at),
                    view_model.moment(one.next_at),
                ]
                for one in deliveries
            ],
        ),
    ]
    filters = [Field("status", "Deliveries", status or "", ("", "Success", "Failed"))]
    return page.show(View("Webhooks", "webhooks", tables=tables, filters=filters))


async def event(page: Page) -> Response:
    """One event with every attempt."""
    event_id = page.path("event_id")
    async with page.database.transaction() as tx:
        row, _ = await webhooks.attempts.deliveries_of(tx, event_id)
        attempts = await webhooks.attempts.attempts(tx, event_id)
    customer = row["customer_id"]
    facts: list[tuple[str, Cell | str]] = [
        ("Topic", row["type"]), ("At", view_model.moment(row["created_at"])),
        ("Customer", Cell(customer, f"/customers/{customer}") if customer else "-"), ("Body", str(row["payload"])),
    ]  # fmt: skip
    table = Table(
        "Attempts",
        ("To", "Attempt", "At", "Status", "Error", "ms"),
        [
            [
                one["endpoint_id"],
                str(one["attempt"]),
                view_model.moment(one["at"]),
                str(one["status"] or ""),
                one["error"] or "",
                str(one["took_ms"]),
            ]
            for one in attempts
        ],
    )
    act = Act(f"/webhooks/events/{event_id}/replay", "Send again")
    return page.show(View(event_id, "webhooks", facts, [table], [act]))


async def replay(page: Page) -> Response:
    """Send an event again to all that it went to and that want it."""
    event_id = page.path("event_id")
    async with page.database.transaction() as tx:
        queued = await webhooks.attempts.replay(tx, event_id)
        await audit.record(
            tx, actor=page.session.actor, action="event.replayed", after={"event_id": event_id, "queued": queued}
        )
    return page.go(f"/webhooks/events/{event_id}")


async def enable(page: Page) -> Response:
    """Turn an endpoint on again. What it missed is for the platform to replay."""
    endpoint_id = page.path("endpoint_id")
    async with page.database.transaction() as tx:
        before = await webhooks.endpoints.get(tx, endpoint_id)
        await webhooks.endpoints.enable(tx, endpoint_id)
        await audit.record(
            tx, actor=page.session.actor, action="webhook.enabled",
            before={"webhook_id": endpoint_id, "enabled": before.enabled, "reason": before.disabled_reason},
            after={"webhook_id": endpoint_id, "enabled": True},
        )  # fmt: skip
    return page.go("/webhooks")
