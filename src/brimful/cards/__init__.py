"""The cards room: saved cards, cards being added, what the customer agreed to, and tries per physical card."""

from brimful.cards import consents, setups, testing, tries
from brimful.cards.saved import Card, block, detach, find_by_payment_method, get, list_for, make_default, renew
from brimful.cards.setups import Limits

__all__ = [
    "Card",
    "Limits",
    "block",
    "consents",
    "detach",
    "find_by_payment_method",
    "get",
    "list_for",
    "make_default",
    "renew",
    "setups",
    "testing",
    "tries",
]
