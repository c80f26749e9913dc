"""Stripe by its official SDK: the only room that imports it."""

from brimful.payments.stripe.account import EVENTS, Account, Endpoint
from brimful.payments.stripe.adapter import StripeGateway, VerifiedEvent, verify_event

__all__ = ["EVENTS", "Account", "Endpoint", "StripeGateway", "VerifiedEvent", "verify_event"]
