"""The JSON door: /v1 for the platform, Stripe's webhooks, health."""

from brimful.api.app import build

__all__ = ["build"]
