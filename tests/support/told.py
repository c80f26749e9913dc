"""Every event that a story tells is one that the API documents."""

from brimful.api import told
from brimful.events import Topic

__all__ = ["documented"]


async def documented(house):
    """Each event's data fits its topic's schema, exactly."""
    for row in await house.sql("SELECT type, payload FROM outgoing_events ORDER BY event_id"):
        payload = row["payload"]
        assert payload["type"] == row["type"]
        if not payload.get("test"):
            told.DATA[Topic(row["type"])].model_validate(payload["data"], strict=True)
