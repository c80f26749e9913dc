"""The paying room: a top-up through Stripe to its credit, and what may take that back."""

from brimful.paying import refunds
from brimful.paying.checkout import open_checkout, open_setup_page, settle_setup
from brimful.paying.pay import pay, pay_present
from brimful.paying.reversal import record_dispute, record_refund, record_warning, request_refund, send_refund
from brimful.paying.settle import settle, tell_action_required, tell_failed
from brimful.paying.till import Till

__all__ = [
    "Till",
    "open_checkout",
    "open_setup_page",
    "pay",
    "pay_present",
    "record_dispute",
    "record_refund",
    "record_warning",
    "refunds",
    "request_refund",
    "send_refund",
    "settle",
    "settle_setup",
    "tell_action_required",
    "tell_failed",
]
