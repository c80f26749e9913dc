"""Receiving webhooks: verify first, then read. Signed by Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import binascii
import dataclasses
import datetime as dt
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from brimful_client.decode import DecodeError, decode

_TOLERANCE_S = 300
_PREFIX = "whsec_"


class WebhookVerificationError(Exception):
    """A request that was not signed with this secret, or not within five minutes of now."""


@dataclasses.dataclass(frozen=True)
class Event:
    """An event as it was sent. `id` stays the same however often it is: remember it, and act on it once."""

    id: str
    type: str
    timestamp: dt.datetime
    data: dict[str, Any]
    test: bool = False


@dataclasses.dataclass(frozen=True)
class _Body:
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
        ValueError: the secret is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        event_id, sent, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise WebhookVerificationError(f"The header {missing} is missing.") from None
    if not (sent.isascii() and sent.isdigit() and len(sent) < 19):
        raise WebhookVerificationError("webhook-timestamp is no time.")
    expected = _signature(secret, event_id, sent, body)
    offered = [one.partition(",") for one in signatures.split(" ")]
    fitting = [hmac.compare_digest(value.encode(), expected) for version, _, value in offered if version == "v1"]
    if not any(fitting):
        raise WebhookVerificationError("No signature fits: is the secret the endpoint's, and the body unchanged?")
    if abs(time.time() - int(sent)) > _TOLERANCE_S:
        raise WebhookVerificationError("It was signed more than five minutes from now: is the clock right?")
    try:
        content = decode(body, _Body)
    except DecodeError as error:
        raise WebhookVerificationError(f"The body is no event: {error}.") from None
    return Event(event_id, content.type, content.timestamp, content.data, content.test)


def _signature(secret: str, event_id: str, sent: str, body: bytes) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("The secret is the one that the endpoint was created with; it begins with whsec_.")
    signed = f"{event_id}.{sent}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
