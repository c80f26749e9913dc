"""The operator's desk: look things up, act within the customer's limits, erase, export."""

from brimful.desk.act import ask_again, cancel, look_again, pause_rule, resolve, retry
from brimful.desk.look import (
    Found,
    Line,
    describe,
    find_one,
    list_top_ups,
    owner_of,
    payments_of,
    portrait,
    search,
    trail,
)

__all__ = [
    "Found",
    "Line",
    "ask_again",
    "cancel",
    "describe",
    "find_one",
    "list_top_ups",
    "look_again",
    "owner_of",
    "pause_rule",
    "payments_of",
    "portrait",
    "resolve",
    "retry",
    "search",
    "trail",
]
