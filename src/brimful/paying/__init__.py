"""The paying room: a top-up through Stripe to its credit."""

from brimful.paying.checkout import open_checkout, open_setup_page, settle_setup
from brimful.paying.pay import pay, pay_present
from brimful.paying.settle import settle
from brimful.paying.till import Till

__all__ = ["Till", "open_checkout", "open_setup_page", "pay", "pay_present", "settle", "settle_setup"]
