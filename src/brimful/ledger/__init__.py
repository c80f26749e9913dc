"""The ledger room: immutable entries, the chain that binds them, and queries that prove both."""

from brimful.ledger.chain import Keyring, Tail
from brimful.ledger.entries import (
    Draft,
    Entry,
    Known,
    extend,
    find_by_key,
    find_known,
    insert,
    newest,
    write_notes,
)

__all__ = [
    "Draft",
    "Entry",
    "Keyring",
    "Known",
    "Tail",
    "extend",
    "find_by_key",
    "find_known",
    "insert",
    "newest",
    "write_notes",
]
