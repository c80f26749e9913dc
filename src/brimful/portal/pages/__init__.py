"""The pages: each a function from a page to an answer."""

from brimful.portal.pages import cards, overview, pay, rules

__all__ = ["cards", "overview", "pay", "rules"]
