"""Webhook endpoints: where events are sent, which topics, and with which secret."""

import base64
import dataclasses
import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Literal

from brimful.core import ids
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.notifications.events import Topic

EVERYTHING = "*"
_SECRET_BYTES = 32  # Standard Webhooks: 24 to 64
_OLD_SECRET_LIFE = dt.timedelta(hours=24)
_ENDPOINTS_MAX = 50


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One endpoint. Events are signed with `secret`, and until `old_secret_until` with `old_secret` as well."""

    endpoint_id: str
    url: str
    topics: list[str]
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None
    failing_since: dt.datetime | None
    secret: str
    old_secret: str | None
    old_secret_until: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime


_COLUMNS = "SELECT " + ", ".join(field.name for field in dataclasses.fields(Endpoint)) + " FROM webhook_endpoints "
_GET = _COLUMNS + "WHERE endpoint_id = %s"
_LIST = _COLUMNS + "WHERE %(enabled)s::boolean IS NULL OR enabled = %(enabled)s ORDER BY created_at, endpoint_id"


async def get(tx: Tx, endpoint_id: str) -> Endpoint:
    """One endpoint; refuses any other id."""
    row = await tx.one(_GET, (endpoint_id,))
    if row is None:
        raise Refused("webhook_not_found", f"There is no webhook {endpoint_id[:60]!r}.")
    return Endpoint(**row)


async def list_all(tx: Tx, *, enabled: bool | None = None) -> list[Endpoint]:
    """Every endpoint, the oldest first."""
    return [Endpoint(**row) for row in await tx.all(_LIST, {"enabled": enabled})]


_INSERT = """
    INSERT INTO webhook_endpoints (endpoint_id, url, topics, enabled, secret, created_at, updated_at)
    VALUES (%(endpoint_id)s, %(url)s, %(topics)s, true, %(secret)s, %(now)s, %(now)s)
"""


async def create(tx: Tx, *, url: str, topics: Sequence[str]) -> Endpoint:
    """A new endpoint with a secret of its own. The caller has validated the URL."""
    if len(await list_all(tx)) >= _ENDPOINTS_MAX:
        raise Refused("invalid_field", f"There may be {_ENDPOINTS_MAX} webhooks: delete one first.")
    endpoint_id = ids.new("whk")
    values = {"endpoint_id": endpoint_id, "url": url, "topics": _topics(topics), "secret": _secret()}
    await tx.execute(_INSERT, {**values, "now": await tx.now()})
    return await get(tx, endpoint_id)


_UPDATE = """
    UPDATE webhook_endpoints SET url = coalesce(%(url)s::text, url), topics = coalesce(%(topics)s::text[], topics),
        enabled = coalesce(%(enabled)s::boolean, enabled), updated_at = %(now)s,
        disabled_reason = CASE WHEN %(enabled)s::boolean THEN NULL ELSE disabled_reason END,
        failing_since = CASE WHEN %(enabled)s::boolean AND NOT enabled OR %(url)s::text <> url THEN NULL
            ELSE failing_since END
    WHERE endpoint_id = %(endpoint_id)s
"""


async def update(
    tx: Tx,
    endpoint_id: str,
    *,
    url: str | None = None,
    topics: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> Endpoint:
    """Change what is given. Turned on again, it gets what happens from then on; replay what it missed."""
    values = {
        "endpoint_id": endpoint_id,
        "url": url,
        "topics": None if topics is None else _topics(topics),
        "enabled": enabled,
        "now": await tx.now(),
    }
    await tx.execute(_UPDATE, values)
    return await get(tx, endpoint_id)


_ENABLE = """
    UPDATE webhook_endpoints SET enabled = true, disabled_reason = NULL, failing_since = NULL, updated_at = %s
    WHERE endpoint_id = %s
"""


async def enable(tx: Tx, endpoint_id: str) -> None:
    """Turn it on again; under the engine's role, which may change nothing else of it."""
    await get(tx, endpoint_id)
    await tx.execute(_ENABLE, (await tx.now(), endpoint_id))


async def delete(tx: Tx, endpoint_id: str) -> None:
    """Remove it with the log of its deliveries. The events stay."""
    await get(tx, endpoint_id)
    await tx.execute("DELETE FROM webhook_endpoints WHERE endpoint_id = %s", (endpoint_id,))
    await tx.execute("DELETE FROM deliveries WHERE endpoint_id = %s", (endpoint_id,))


_ROTATE = """
    UPDATE webhook_endpoints SET old_secret = secret, old_secret_until = %(until)s, secret = %(secret)s,
        updated_at = %(now)s
    WHERE endpoint_id = %(endpoint_id)s
"""


async def rotate(tx: Tx, endpoint_id: str) -> Endpoint:
    """A new secret. For a day everything is signed with the old one too, so that a receiver can change over."""
    now = await tx.now()
    values = {"endpoint_id": endpoint_id, "secret": _secret(), "until": now + _OLD_SECRET_LIFE, "now": now}
    if not await tx.execute(_ROTATE, values):
        raise Refused("webhook_not_found", f"There is no webhook {endpoint_id[:60]!r}.")
    return await get(tx, endpoint_id)


def _topics(topics: Sequence[str]) -> list[str]:
    unknown = sorted(set(topics) - {EVERYTHING, *Topic})
    if unknown or not topics:
        raise Refused(
            "invalid_field", f"Unknown topics {unknown}: choose from {', '.join(Topic)}, or '*'.", field="topics"
        )
    return [EVERYTHING] if EVERYTHING in topics else sorted(set(topics))


def _secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
