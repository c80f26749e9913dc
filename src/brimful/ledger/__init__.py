"""The ledger room: immutable entries, the chain that binds them, and queries that prove both."""

from brimful.ledger.chain import Keyring, Tail
from brimful.ledger.entries import (
    Draft,
    Entry,
    Kind,
    Known,
    Left,
    credits_page,
    extend,
    find_by_key,
    find_known,
    finding_known,
    insert,
    left_of_payment,
    newest,
    newest_additions,
)
from brimful.ledger.history import Place, Series, additions, below_zero_since, places, sample, series

__all__ = [
    "Draft",
    "Entry",
    "Keyring",
    "Kind",
    "Known",
    "Left",
    "Place",
    "Series",
    "Tail",
    "additions",
    "below_zero_since",
    "credits_page",
    "extend",
    "find_by_key",
    "find_known",
    "finding_known",
    "insert",
    "left_of_payment",
    "newest",
    "newest_additions",
    "places",
    "sample",
    "series",
]
