"""I16: what is left of an account's lots is its balance, or nothing where that is negative; each checkpoint is ours and
says what the fold from the beginning says; and nothing that had expired was there when something was debited, but what
open holds had set aside.

It reads along while the whole ledger is verified, and remembers what is wrong.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, LiteralString

import psycopg

from brimful import ledger
from brimful.ledger.hash_chain import Keyring
from brimful.ledger.lots import Lots, Movement

Connection = psycopg.AsyncConnection[dict[str, Any]]
_SHOWN_MAX = 3
_CHECKPOINTS: LiteralString = """
    SELECT seq, state, mac FROM lot_checkpoints WHERE customer_id = %s AND asset = %s ORDER BY seq
"""
_HELD: LiteralString = """
    SELECT coalesce(sum(coalesce(l.chunk, h.amount)), 0) AS held  -- a lease's amount changes: at most its chunk
    FROM holds AS h LEFT JOIN leases AS l ON l.customer_id = h.customer_id AND l.hold_id = h.hold_id
    WHERE h.customer_id = %s AND h.asset = %s AND h.created_at <= %s AND (h.ended_at IS NULL OR h.ended_at >= %s)
"""
# The first bonus of a payment, against the list of offers that its top-up names.
_UNOFFERED: LiteralString = """
    SELECT e.customer_id, e.asset, e.seq
    FROM entries AS e
    JOIN payments AS p ON p.customer_id = e.customer_id AND 'bonus:' || p.payment_id = e.key
    JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
    JOIN assets AS a ON a.code = e.asset
    WHERE e.kind = 'bonus' AND e.amount > 0 AND NOT EXISTS (
        SELECT 1 FROM offers AS o
        WHERE o.asset = e.asset AND o.version = t.offer_version AND o.currency = p.currency
            AND o.from_minor <= p.amount_minor AND trunc(t.units * o.percent / 100, a.scale) = e.amount)
    LIMIT 3
"""
_Key = tuple[Any, str]


class LotsFold:
    """Follows the lots of each account in turn.

    Args:
        connection: with the snapshot that is verified; a cursor may be open on it.
        keyring: the ledger's.
        ends: every account as it ends, with how far it was archived.
    """

    def __init__(self, connection: Connection, keyring: Keyring, ends: Mapping[_Key, Mapping[str, Any]]) -> None:
        self._connection, self._keyring, self._ends = connection, keyring, ends
        self._key: _Key | None = None
        self._lots = Lots()
        self._checkpoints: dict[int, Mapping[str, Any]] = {}
        self.entries = 0
        self.wrong: list[str] = []

    async def take(self, row: Mapping[str, Any]) -> None:
        """The next entry, of the same account or of the next one."""
        key = row["customer_id"], row["asset"]
        if key != self._key:
            await self._begin(key)
        entry = Movement(**{name: row[name] for name in Movement._fields})
        await self._nothing_expired(key, entry)
        self._lots.apply(entry)
        self.entries += 1
        if key in self._ends and entry.seq == self._ends[key]["seq"]:
            left = sum((lot.left for lot in self._lots), Decimal(0))
            if left != max(self._lots.balance, Decimal(0)):
                self._note(f"{left} is left of the lots of {key}, whose balance is {self._lots.balance}")
        if entry.seq in self._checkpoints:
            self._compare(key, self._checkpoints[entry.seq])

    async def _begin(self, key: _Key) -> None:
        self._key, self._lots = key, Lots()
        found = await (await self._connection.execute(_CHECKPOINTS, key)).fetchall()
        self._checkpoints = {row["seq"]: row for row in found}
        archived = self._ends[key]["archived_seq"] if key in self._ends else None
        if archived is None:
            return
        if archived not in self._checkpoints or not self._genuine(key, self._checkpoints[archived]):
            self._note(f"the lots of {key} have no checkpoint where its archive ends")
            return
        self._lots = ledger.lot_store.restored(self._checkpoints[archived])

    def _genuine(self, key: _Key, row: Mapping[str, Any]) -> bool:
        return ledger.lot_store.genuine(row, self._keyring, key)

    def _compare(self, key: _Key, row: Mapping[str, Any]) -> None:
        if not self._genuine(key, row):
            self._note(f"the checkpoint of the lots of {key} at {row['seq']} is not one that was signed")
        elif ledger.lot_store.as_text(self._lots) != row["state"]:
            self._note(f"the checkpoint of the lots of {key} at {row['seq']} is not what its entries say")

    async def _nothing_expired(self, key: _Key, entry: Movement) -> None:
        if entry.amount >= 0 or entry.kind == "expiry":
            return
        expired = self._lots.expired(entry.recorded_at)
        if not expired:
            return
        moments = entry.recorded_at, entry.recorded_at
        row = await (await self._connection.execute(_HELD, (*key, *moments))).fetchone()
        assert row is not None
        if expired > row["held"]:
            self._note(f"entry {entry.seq} of {key} found {expired} that had expired, and {row['held']} was held")

    async def unoffered_bonuses(self) -> None:
        """Bonuses that no offer gives for their payment: their top-up was changed before it was credited."""
        for row in await (await self._connection.execute(_UNOFFERED)).fetchall():
            self._note(f"entry {row['seq']} of ({row['customer_id']}, {row['asset']}) is a bonus that no offer gives")

    def _note(self, what: str) -> None:
        if len(self.wrong) < _SHOWN_MAX:
            self.wrong.append(what)
