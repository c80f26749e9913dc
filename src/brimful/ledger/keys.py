"""Keys: what a movement is called, once and for ever, by (customer, source, key).

The unique index holds eight bytes in place of source and key, which would take a third of the ledger: 61 bits of their
SHA-256, and three that tell up to eight keys with the same 61 apart. Whether a key is written is always told from
the key itself, so that no honest key is ever refused for another's digest.
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Numbers
from brimful.db.pool import Query, Row, Tx

Key = tuple[CustomerId, str, str]  # customer_id, source, key
_SLOTS = 8


class ExistingEntry(NamedTuple):
    """What is already written under a key."""

    kind: str
    asset: str
    amount: Decimal
    balance_after: Decimal
    recorded_at: dt.datetime


def digest(source: str, key: str) -> int:
    """The first of the eight numbers at which the index may hold this key: a multiple of eight, 64 bits, signed."""
    hashed = hashlib.sha256(f"{source}:{key}".encode()).digest()  # no source holds a colon
    return int.from_bytes(hashed[:8], "big", signed=True) & -_SLOTS


def slots(source: str, key: str) -> range:
    """Those eight. A key stands at the first that was free when it was written, and no number is ever given back: what
    comes after a free one is free of it.
    """
    first = digest(source, key)
    return range(first, first + _SLOTS)


# LATERAL with a LIMIT can only be run as one look-up in the unique index per key. As a plain join it was read as a
# whole table now and then, for want of fresh statistics. What is asked of the customers once more is for a coordinator,
# which prunes by it; as an OR, of one of them and of all, it can be no condition of an index, and that of the keys
# stays the best one. (An OR of two lists took a coordinator 40 us a key.)
_FIND = """
    SELECT e.customer_id, e.key_digest, e.source, e.key, e.kind, e.asset, e.amount, e.balance_after, e.recorded_at
    FROM unnest(%(customers)s::uuid[], %(digests)s::bigint[]) AS wanted (customer_id, key_digest)
    CROSS JOIN LATERAL (
        (SELECT customer_id, key_digest, source, key, kind, asset, amount, balance_after, recorded_at
        FROM entries AS found
        WHERE found.customer_id = wanted.customer_id AND found.key_digest = wanted.key_digest
            AND (found.customer_id = %(one)s OR found.customer_id = ANY(%(customers)s))
        LIMIT 1)
        UNION ALL
        (SELECT customer_id, key_digest, source, key, kind, asset, amount, balance_after, recorded_at
        FROM archived_keys AS old
        WHERE old.customer_id = wanted.customer_id AND old.key_digest = wanted.key_digest
            AND (old.customer_id = %(one)s OR old.customer_id = ANY(%(customers)s))
        LIMIT 1)
    ) AS e
"""


class Known:
    """Of the keys that were asked for: what is written under them, and which numbers of the index are taken."""

    def __init__(self, wanted: Collection[Key]) -> None:
        self.entries: dict[Key, ExistingEntry] = {}
        self._slots = {key: slots(*key[1:]) for key in wanted}
        self._taken: set[tuple[CustomerId, int]] = set()
        self._placed: set[Key] = set()

    def place(self, key: Key) -> int:
        """The number at which a key that is not written goes into the index; it is taken from now on.

        Raises:
            AssertionError: it is written. The next number would be free, and the index would let the entry in.
        """
        assert key not in self.entries, f"{key} is written already"
        assert key not in self._placed, f"{key} is written already"
        number = self._free(key)
        self._taken.add((key[0], number))
        self._placed.add(key)
        return number

    def first_query(self) -> Query["Known"]:
        """What stands at the first number of each key."""
        return self._query({key: numbers.start for key, numbers in self._slots.items()})

    async def complete(self, tx: Tx) -> None:
        """Decide the keys whose first number another has: look at the next ones until one is free. Nearly always
        nothing is asked.
        """
        asked: dict[Key, int] = {}
        while (at := self._undecided()) and at != asked:
            await tx.ask(self._query(at))
            asked = at

    def _undecided(self) -> dict[Key, int]:
        if len(self._taken) == len(self.entries):  # each number that is taken is a wanted key's own
            return {}
        return {
            key: self._free(key)
            for key, numbers in self._slots.items()
            if key not in self.entries and (key[0], numbers.start) in self._taken
        }

    def _free(self, key: Key) -> int:
        for number in self._slots[key]:
            if (key[0], number) not in self._taken:
                return number
        raise AssertionError(f"nine keys of {key[0]} share 61 bits of SHA-256, {key[1:]} among them")

    def _query(self, at: Mapping[Key, int]) -> Query["Known"]:
        customers = CustomerIds(key[0] for key in at)
        columns = {"one": next(iter(at))[0], "customers": customers, "digests": Numbers(at.values())}
        return Query(_FIND, columns, self._read)

    def _read(self, rows: Sequence[Row]) -> "Known":
        for row in rows:
            self._taken.add((row["customer_id"], row["key_digest"]))
            key = row["customer_id"], row["source"], row["key"]
            if key in self._slots:
                self.entries[key] = ExistingEntry(
                    row["kind"], row["asset"], row["amount"], row["balance_after"], row["recorded_at"]
                )
        return self


def known_query(wanted: Collection[Key]) -> Query[Known]:
    """Which of these keys are written. To be asked after the lock, in a statement of its own: in one statement with the
    lock, READ COMMITTED does not see rows that were committed while it waited. `Known.complete` follows.
    """
    return Known(wanted).first_query()


async def find(tx: Tx, wanted: Collection[Key]) -> Known:
    """The same, asked alone and complete, under the caller's locks."""
    known = await tx.ask(known_query(wanted))
    await known.complete(tx)
    return known
