"""Receiving webhooks: verify first, then read."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec
import standardwebhooks


class Event(msgspec.Struct, frozen=True):
    """An event as it was sent. `id` stays the same however often it is: remember it, and act on it once."""

    id: str
    type: str
    timestamp: dt.datetime
    data: dict[str, Any]
    test: bool = False


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes) -> Event:
    """The event in a request to your endpoint.

    Args:
        secret: the endpoint's, beginning with `whsec_`.
        headers: of the request, in any case.
        body: exactly as it was received.

    Raises:
        WebhookVerificationError: it was not signed with this secret, or more than five minutes ago.
    """
    standardwebhooks.Webhook(secret).verify(body, dict(headers), json_parse=False)
    given = {name.lower(): value for name, value in headers.items()}
    content = msgspec.json.decode(body, type=dict[str, Any])
    return msgspec.convert({**content, "id": given["webhook-id"]}, Event)
