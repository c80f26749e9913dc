"""Stripe through its official SDK. Nothing else imports `stripe`."""

import stripe

# Its telemetry writes an id into a file under the home directory at the first call, and raises where there is no home.
stripe.enable_telemetry = False
