"""The operator's door: looks at everything, acts within the customer's limits; chooses no card, turns no rule on."""

from brimful.console.app import build

__all__ = ["build"]
