"""Every event that a story tells is one that the API documents."""

from brimful.api import schemas
from brimful.notifications.events import Topic

__all__ = ["documented"]


async def documented(harness):
    """Each event's data fits its topic's schema, exactly."""
    for row in await harness.sql("SELECT type, payload FROM outgoing_events ORDER BY event_id"):
        payload = row["payload"]
        assert payload["type"] == row["type"]
        if not payload.get("test"):
            schemas.events.DATA[Topic(row["type"])].model_validate(payload["data"], strict=True)
