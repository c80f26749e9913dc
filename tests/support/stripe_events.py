"""Events as Stripe signs them."""

import hashlib
import hmac
import json
import time

from support.harness import WEBHOOK_SECRET

__all__ = ["event", "signed"]


def event(**more):
    """The body of an event."""
    body = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "created": int(time.time()),
            "livemode": False, "data": {"object": {"id": "pi_1", "object": "payment_intent"}}, **more}  # fmt: skip
    return json.dumps(body).encode()


def signed(payload, *, secret=WEBHOOK_SECRET, at=None):
    """Its header.

    Source: docs.stripe.com/webhooks (signatures).
    """
    stamp = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"
