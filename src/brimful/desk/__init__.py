"""The operator's desk: look things up, act within the customer's limits, erase, export."""

from brimful.desk.act import ask_again, cancel, look_again, pause_rule, resolve, retry, sign_out
from brimful.desk.erase import Erased, erase
from brimful.desk.export import Wanted
from brimful.desk.export import lines as export_lines
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
    "Erased",
    "Found",
    "Line",
    "Wanted",
    "ask_again",
    "cancel",
    "describe",
    "erase",
    "export_lines",
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
    "sign_out",
    "trail",
]
