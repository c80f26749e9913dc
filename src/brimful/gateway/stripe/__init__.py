"""Stripe through its official SDK. Nothing else imports `stripe`."""
