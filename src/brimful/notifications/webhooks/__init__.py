"""Outgoing webhooks (Standard Webhooks): endpoints, delivery, attempts, and the guard against SSRF."""

from brimful.notifications.webhooks import (
    attempts as attempts,
    delivery as delivery,
    endpoints as endpoints,
    ssrf as ssrf,
)
