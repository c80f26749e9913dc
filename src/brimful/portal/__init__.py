"""The HTML door: the Billing Portal, where the customer's own hand acts."""

from brimful.portal.app import build

__all__ = ["build"]
