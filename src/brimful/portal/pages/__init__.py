"""The pages: each a function from a page to an answer."""

from brimful.portal.pages import activity, cards, overview, pay, rules, top_up

__all__ = ["activity", "cards", "overview", "pay", "rules", "top_up"]
