"""Anchors: how far every account's chain reached on a day, signed, to be kept where the database's owner cannot write.

The chain's key lies outside the database, so its owner can change, remove or insert no entry unseen but the newest.
Somebody who cuts the end of a chain off, and puts account and mark back to what they were then, leaves a chain that
holds: an anchor that was kept elsewhere still names what is missing.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import psycopg
import psycopg.rows

from brimful import db
from brimful.core import clock
from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds
from brimful.ledger.hash_chain import Keyring
from brimful.operations.verify import Finding

_PAGE = 5000
_FORM = 1
_ENDS = "SELECT customer_id, asset, seq, mac FROM accounts ORDER BY customer_id, asset"


async def lines(url: str, keys: Mapping[int, bytes]) -> AsyncIterator[str]:
    """An anchor, line by line: a head, [customer, asset, seq, mac] for each account, the signature of all before it.

    Args:
        url: of the database; the engine's role is taken.
        keys: the ledger's, by number.
    """
    digest = hashlib.blake2b()

    def line(value: Any) -> str:
        text = json.dumps(value, separators=(",", ":")) + "\n"
        digest.update(text.encode())
        return text

    async with await _snapshot(url) as connection:
        moment = await (await connection.execute("SELECT clock_timestamp() AS at")).fetchone()
        assert moment is not None
        yield line({"brimful_anchor": _FORM, "at": clock.rfc3339(moment["at"])})
        async with connection.cursor(name="ends") as cursor:
            cursor.itersize = _PAGE
            await cursor.execute(_ENDS)
            async for row in cursor:
                yield line([row["customer_id"], row["asset"], row["seq"], bytes(row["mac"]).hex()])
    yield json.dumps({"signature": Keyring(keys).sign(b"anchor", digest.digest()).hex()}) + "\n"


async def _snapshot(url: str) -> psycopg.AsyncConnection[dict[str, Any]]:
    connection = await psycopg.AsyncConnection.connect(
        db.pool.role_conninfo(url, "brimful_engine"), row_factory=psycopg.rows.dict_row, context=db.columns.ADAPTERS
    )
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await connection.execute("SET LOCAL statement_timeout = 0")
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # the reader may be slow
    return connection


def newest(directory: pathlib.Path) -> pathlib.Path | None:
    """The latest anchor of a directory."""
    return max(directory.glob("anchor-*.jsonl"), default=None)


async def write_anchor(url: str, keys: Mapping[int, bytes], directory: pathlib.Path) -> Finding:
    """Compare with the latest anchor of a directory, then write today's, once a day; nothing is written over. Where the
    chains do not pass through it, none is written: the next night must not take the break for the truth.

    Raises:
        OSError: it cannot be written there.
    """
    before = newest(directory)
    found = Finding("anchor", ok=True, detail="there was none to compare with")
    if before is not None:
        with before.open(encoding="utf-8") as anchor:
            found = await compare(url, keys, anchor)
    if found.ok:
        await _write(url, keys, directory)
    return found


async def _write(url: str, keys: Mapping[int, bytes], directory: pathlib.Path) -> None:
    part = directory / ".anchor.part"
    day = ""
    with part.open("w", encoding="utf-8") as file:
        async for line in lines(url, keys):
            day = day or json.loads(line)["at"][:10]
            file.write(line)
        file.flush()
        os.fsync(file.fileno())
    target = directory / f"anchor-{day}.jsonl"
    if target.exists():
        part.unlink()
    else:
        part.replace(target)


_THERE = """
    SELECT e.customer_id, e.asset, e.seq, e.mac
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(seqs)s::bigint[]) AS w (customer_id, asset, seq)
    JOIN entries AS e ON e.customer_id = w.customer_id AND e.asset = w.asset AND e.seq = w.seq
    WHERE e.customer_id = ANY(%(customers)s)
"""
# Below these the ledger holds no usage any more: what an anchor says of it, the archive must show.
_ARCHIVED = "SELECT customer_id, asset, seq FROM archive_marks WHERE customer_id = ANY(%(customers)s)"


async def compare(url: str, keys: Mapping[int, bytes], anchor: Iterable[str]) -> Finding:
    """Whether every chain still passes through where it was then. Names the first entry that is gone or another."""
    head, rows, signed = _read(anchor, Keyring(keys))
    if not signed:
        return Finding(
            "anchor", ok=False, detail="the anchor itself was changed, or is signed with a key that is not given"
        )
    async with await _snapshot(url) as connection:
        for first in range(0, len(rows), _PAGE):
            part = {(row[0], row[1], row[2]): bytes.fromhex(row[3]) for row in rows[first : first + _PAGE] if row[2]}
            customers = CustomerIds([CustomerId(key[0]) for key in part])
            columns = {"customers": customers, "assets": [key[1] for key in part], "seqs": [key[2] for key in part]}
            there = {
                (row["customer_id"], row["asset"], row["seq"]): bytes(row["mac"])
                for row in await (await connection.execute(_THERE, columns)).fetchall()
            }
            rows_archived = await (await connection.execute(_ARCHIVED, {"customers": columns["customers"]})).fetchall()
            archived = {(row["customer_id"], row["asset"]): row["seq"] for row in rows_archived}
            wrong = min(
                (key for key, mac in part.items()
                 if there.get(key) != mac and not (key not in there and key[2] <= archived.get(key[:2], 0))),
                default=None,
            )  # fmt: skip
            if wrong is not None:
                place = f"entry {wrong[2]} of ({wrong[0]}, {wrong[1]})"
                return Finding("anchor", ok=False, detail=f"{place}, there on {head['at']}, is gone or another")
    return Finding("anchor", ok=True, detail=f"{len(rows)} chains pass through where they were on {head['at']}")


def _read(anchor: Iterable[str], keyring: Keyring) -> tuple[dict[str, Any], list[list[Any]], bool]:
    """Head and accounts of an anchor, and whether it is as we signed it."""
    digest, body = hashlib.blake2b(), list(anchor)
    for line in body[:-1]:
        digest.update(line.encode())
    try:
        head, *rows = [json.loads(line) for line in body[:-1]]
        signature = bytes.fromhex(json.loads(body[-1])["signature"])
        known = head["brimful_anchor"] == _FORM
    except (ValueError, KeyError, TypeError, IndexError):
        return {}, [], False
    return head, rows, known and keyring.recognises(signature, b"anchor", digest.digest())
