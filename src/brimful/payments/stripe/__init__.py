"""Stripe by its official SDK: the only room that imports it."""

from brimful.payments.stripe.account import EVENTS, Account, Endpoint
from brimful.payments.stripe.adapter import StripeGateway, VerifiedEvent, claims_to_be_fresh, verify_event

__all__ = ["EVENTS", "Account", "Endpoint", "StripeGateway", "VerifiedEvent", "claims_to_be_fresh", "verify_event"]
