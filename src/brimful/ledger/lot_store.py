"""Lots as they stand: the fold over an account's entries, from its latest checkpoint on.

A checkpoint is the fold's state at an entry, signed with the ledger's key: nobody without it can say that more is left
of a lot. A reader far beyond the latest writes another, and a job does for accounts that nobody reads. None is
ever deleted: what a lot's own statement needs begins at the one before it.
"""

import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Any

from brimful.core import money
from brimful.db.pool import Tx
from brimful.ledger.accounts import AccountKey
from brimful.ledger.hash_chain import Keyring
from brimful.ledger.lots import Lots, Movement

_log = logging.getLogger(__name__)
STEP = 1_000  # entries from one checkpoint to the next, at least
_STEP_PER_LOT = 10  # a state of many lots is worth more entries
_PAGE = 10_000

_CHECKPOINT = """
    SELECT seq, state, mac FROM lot_checkpoints WHERE customer_id = %s AND asset = %s AND seq <= %s
    ORDER BY seq DESC LIMIT 1
"""
_ONWARD = """
    SELECT seq, kind, source, amount, recorded_at, payment_id, lot_seq, purpose, priority, effective_at, expires_at
    FROM entries WHERE customer_id = %s AND asset = %s AND seq > %s AND seq <= %s ORDER BY seq LIMIT %s
"""
_ARCHIVED = "SELECT seq FROM archive_marks WHERE customer_id = %s AND asset = %s"
_SAVE = """
    INSERT INTO lot_checkpoints (customer_id, asset, seq, state, mac) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""


async def read(
    tx: Tx, keyring: Keyring | None, key: AccountKey, through: int, *, save: bool = True, most: int | None = None
) -> Lots:
    """An account's lots after its entry `through`.

    Args:
        tx: any; the account need not be locked.
        keyring: signs checkpoints and knows our own. Without it a checkpoint is believed, as any other row is, and none
            is written.
        key: whose.
        through: the account's `seq`, or an earlier one.
        save: write a checkpoint when many entries had to be read.
        most: read so many entries at most: what comes back may end before `through`.
    """
    lots = await _from_checkpoint(tx, keyring, key, through)
    began = lots.seq
    async for entry in onward(tx, key, lots.seq, through, most=most):
        lots.apply(entry)
    if save and keyring is not None and lots.seq - began >= max(STEP, _STEP_PER_LOT * len(lots)):
        await save_checkpoint(tx, keyring, key, lots)
    return lots


async def _from_checkpoint(tx: Tx, keyring: Keyring | None, key: AccountKey, through: int) -> Lots:
    row = await tx.one(_CHECKPOINT, (*key, through))
    if row is None:
        return Lots()
    if keyring is not None and not genuine(row, keyring, key):
        _log.critical("ALARM the checkpoint of the lots of %s %s at %d is not one that was signed", *key, row["seq"])
        return Lots()
    return restored(row)


def genuine(row: Mapping[str, Any], keyring: Keyring, key: AccountKey) -> bool:
    """Whether the ledger's key signed a checkpoint."""
    return keyring.recognises(bytes(row["mac"]), b"lots", _content(key, row["seq"], row["state"]))


def restored(row: Mapping[str, Any]) -> Lots:
    """The lots of a checkpoint."""
    state = json.loads(row["state"])
    return Lots.from_state(row["seq"], Decimal(state["balance"]), state["lots"])


def as_text(lots: Lots) -> str:
    """The state of a checkpoint."""
    return json.dumps({"balance": money.text(lots.balance), "lots": lots.state()}, separators=(",", ":"))


def _content(key: AccountKey, seq: int, state: str) -> bytes:
    return "\x1f".join((*key, str(seq), state)).encode()


async def save_checkpoint(tx: Tx, keyring: Keyring, key: AccountKey, lots: Lots) -> None:
    """Keep the lots as they stand after their `seq`."""
    state = as_text(lots)
    await tx.execute(_SAVE, (*key, lots.seq, state, keyring.sign(b"lots", _content(key, lots.seq, state))))


async def onward(
    tx: Tx, key: AccountKey, after: int, through: int, *, most: int | None = None
) -> AsyncIterator[Movement]:
    """The entries after one, up to another, in order."""
    end = through if most is None else min(through, after + most)
    while after < end:
        rows = await tx.all(_ONWARD, (*key, after, end, _PAGE))
        for row in rows:
            yield Movement(**row)
        if len(rows) < _PAGE:
            return
        after = rows[-1]["seq"]


_BEHIND = """
    SELECT a.customer_id, a.asset, a.seq
    FROM accounts AS a
    LEFT JOIN LATERAL (
        SELECT c.seq FROM lot_checkpoints AS c
        WHERE c.customer_id = a.customer_id AND c.asset = a.asset ORDER BY c.seq DESC LIMIT 1
    ) AS c ON true
    WHERE (a.customer_id, a.asset) > (%(customer_id)s, %(asset)s) AND a.seq >= %(step)s
        AND a.seq - coalesce(c.seq, 0) >= %(step)s
    ORDER BY a.customer_id, a.asset LIMIT %(limit)s
"""


async def behind(tx: Tx, after: AccountKey, *, limit: int) -> list[tuple[AccountKey, int]]:
    """Accounts with many entries beyond their latest checkpoint, in key order after one, each with its `seq`."""
    values = {"customer_id": after[0], "asset": after[1], "step": STEP, "limit": limit}
    return [((row["customer_id"], row["asset"]), row["seq"]) for row in await tx.all(_BEHIND, values)]


async def _archived(tx: Tx, key: AccountKey) -> int:
    """The entry up to which usage was archived: what it took of which lot is known no more."""
    row = await tx.one(_ARCHIVED, key)
    return 0 if row is None else int(row["seq"])


# --- the statement of one lot ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Taken:
    """How much of a lot the entry `seq` took, and what was left of it then."""

    seq: int
    taken: Decimal
    left: Decimal


@dataclasses.dataclass(frozen=True)
class Statement:
    """A page of it: `reached` is how far the entries were read, None at the end."""

    items: list[Taken]
    reached: int | None


async def statement(
    tx: Tx, keyring: Keyring, key: AccountKey, lot_seq: int, *, after: int, through: int, limit: int, read_max: int
) -> Statement:
    """What took of one lot after the entry `after`, oldest first.

    Args:
        tx: any.
        keyring: knows our checkpoints.
        key: the account.
        lot_seq: the lot's entry.
        after: that entry, or where the page before ended.
        through: the account's `seq`.
        limit: movements at most.
        read_max: entries read at most, so that a page may be short.
    """
    after = max(after, await _archived(tx, key))
    lots = await read(tx, keyring, key, after)
    left, items, reached = lots.left_of(lot_seq), list[Taken](), after
    async for entry in onward(tx, key, after, through, most=read_max):
        if not left or len(items) == limit:
            break
        reached = entry.seq
        for burn in lots.apply(entry):
            if burn.lot_seq == lot_seq:
                left -= burn.amount
                items.append(Taken(entry.seq, burn.amount, left))
    return Statement(items, reached if left and reached < through else None)


async def purposes(tx: Tx, keyring: Keyring, key: AccountKey, first: int, last: int) -> dict[int, frozenset[str]]:
    """The purposes of the lots that each entry from `first` to `last` took of. An entry that took of none is absent,
    and so are those that were archived.
    """
    first = max(first, await _archived(tx, key) + 1)
    lots, found = await read(tx, keyring, key, first - 1), dict[int, frozenset[str]]()
    async for entry in onward(tx, key, first - 1, last):
        named = {lot.seq: lot.purpose for lot in lots} if entry.amount < 0 else {}
        if burned := lots.apply(entry):
            found[entry.seq] = frozenset(named[burn.lot_seq] for burn in burned)
    return found
