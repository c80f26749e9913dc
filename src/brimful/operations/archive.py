"""The archive: usage that is old leaves the ledger for a file, below a checkpoint that is signed.

What is written is read back and its chains are followed from the checkpoint before to the new one; only then is it
dropped. Entries that are not usage stay, so money and its reversals are where they were; the keys stay, so an id is
never used twice. From then on `verify` begins at the checkpoint, which nobody without the ledger's key can move.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import os
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
import psycopg.rows

from brimful import db, ledger
from brimful.core import clock, ids
from brimful.core.errors import ConfigurationError
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.ledger.hash_chain import Keyring
from brimful.operations import verify

AGE_MIN = dt.timedelta(days=90)  # pages and explanations look back a quarter at most
_FORM = "1"
_PAGE = 20_000
_TURN = 12  # digits of an id that are its time in milliseconds: files sort by them as they were written
Connection = psycopg.AsyncConnection[dict[str, Any]]
Key = tuple[CustomerId, str]  # customer_id, asset


@dataclasses.dataclass(frozen=True)
class Archived:
    """What was written, and what was dropped for it."""

    file: pathlib.Path | None
    accounts: int
    entries: int
    dropped: int
    bytes: int


@dataclasses.dataclass
class _Account:
    """One account's chain while it is followed: where it stands, and what becomes of its entries."""

    begin: verify.ChainHead
    head: verify.ChainHead
    sum_before: Decimal
    count: int = 0
    dropped: int = 0
    dropped_sum: Decimal = Decimal(0)
    kept: Any = dataclasses.field(default_factory=lambda: hashlib.blake2b(digest_size=32))

    def follow(self, row: Mapping[str, Any], keyring: Keyring) -> None:
        """The next entry of the chain; an entry below the checkpoint stays and is only counted in.

        Raises:
            ConfigurationError: it is not what was written there.
        """
        stays = row["source"] != "usage"
        if stays:
            self.kept.update(verify.content_of(row) + bytes(row["mac"]))
        if row["seq"] <= self.begin[0]:
            return
        wrong = verify.broken(row, self.head, keyring)
        if wrong is not None:
            place = f"entry {row['seq']} of ({row['customer_id']}, {row['asset']})"
            raise ConfigurationError(f"{place}: {wrong}. Nothing was dropped: run `brimful verify --full`.")
        self.head = row["seq"], row["balance_after"], bytes(row["mac"])
        self.count += 1
        if not stays:
            self.dropped += 1
            self.dropped_sum += row["amount"]


Accounts = dict[Key, _Account]

_MARKS: LiteralString = "SELECT customer_id, asset, seq, balance, mac, dropped, kept, signature FROM archive_marks"
_OLD: LiteralString = """
    SELECT customer_id, asset, seq, kind, amount, balance_after, source, key, payment_id, money_minor,
        currency, occurred_at, recorded_at, mac, lot_seq, purpose, priority, effective_at, expires_at
    FROM entries WHERE recorded_at < %s ORDER BY customer_id, asset, seq
"""


async def run(
    url: str,
    keys: Mapping[int, bytes],
    *,
    before: dt.datetime,
    directory: pathlib.Path,
    say: Callable[[str], None],
    age_min: dt.timedelta = AGE_MIN,
) -> Archived:
    """Archive usage that was recorded before a moment, in all accounts.

    Args:
        url: of the database; the owner's role is taken, since no service may drop an entry.
        keys: the ledger's.
        before: what was recorded earlier.
        directory: where the file goes; best another disk.
        say: called with each step.
        age_min: how long ago `before` must be.

    Raises:
        ConfigurationError: it is too recent, a chain does not hold, or the file is not what was written. Nothing was
            dropped then, or nothing more.
    """
    keyring = Keyring(keys)
    name = f"entries-before-{before:%Y%m%d}-{ids.new('ent')[4 : 4 + _TURN]}.parquet"
    async with await _connect(url) as connection:
        await _require_old(connection, before, age_min)
        accounts, path = await _write(connection, keyring, before, directory / name)
        moved = {key: one for key, one in accounts.items() if one.count}
        if not any(one.dropped for one in moved.values()):
            path.unlink(missing_ok=True)
            say("Nothing that old is left in the ledger.")
            return Archived(None, 0, 0, 0, 0)
        say(f"{path}: {sum(one.count for one in moved.values())} entries written; reading them back")
        again = _read_back(path, keyring, accounts)
        if {key: (one.head, one.count, one.dropped_sum) for key, one in again.items() if one.count} != {
            key: (one.head, one.count, one.dropped_sum) for key, one in moved.items()
        }:
            raise ConfigurationError(f"{path} does not hold what was written to it. Nothing was dropped.")
        _sign(path, keyring, before, moved)
        for key, one in moved.items():
            await _drop(connection, keyring, key, one)
        dropped = sum(one.dropped for one in moved.values())
        say(f"{dropped} entries of {len(moved)} accounts dropped; their keys and {len(moved)} checkpoints stay")
    return Archived(path, len(moved), sum(one.count for one in moved.values()), dropped, path.stat().st_size)


async def _require_old(connection: Connection, before: dt.datetime, age_min: dt.timedelta) -> None:
    row = await (await connection.execute("SELECT clock_timestamp() AS now")).fetchone()
    assert row is not None
    if before > row["now"] - age_min:
        raise ConfigurationError(f"It must be {age_min.days} days old or more: pages look back so far.")


async def _connect(url: str) -> Connection:
    return await psycopg.AsyncConnection.connect(
        db.pool.role_conninfo(
            url, "brimful_owner", {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
        ),
        row_factory=psycopg.rows.dict_row,
        context=db.columns.ADAPTERS,
        autocommit=True,
    )


# --- the file ------------------------------------------------------------------------------------------------------


async def _write(
    connection: Connection, keyring: Keyring, before: dt.datetime, path: pathlib.Path
) -> tuple[Accounts, pathlib.Path]:
    """Every entry that is old enough and above its checkpoint, of one snapshot, each chain followed on the way."""
    arrow, parquet = _libraries()
    schema = _schema(arrow).with_metadata({"brimful_archive": _FORM, "before": clock.rfc3339(before)})
    part = path.with_suffix(".part")
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        accounts = await _begins(connection, keyring)
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            async for page in _pages(connection, before):
                rows = []
                for row in page:
                    one = accounts.setdefault((row["customer_id"], row["asset"]), _new())
                    one.follow(row, keyring)
                    if row["seq"] > one.begin[0]:
                        rows.append({name: row[name] for name in schema.names})
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(path)
    return accounts, path


async def _begins(connection: Connection, keyring: Keyring) -> Accounts:
    found = await (await connection.execute(_MARKS)).fetchall()
    for row in found:
        if not verify.archived_by_us(row, keyring):
            raise ConfigurationError(
                f"The checkpoint of ({row['customer_id']}, {row['asset']}) is not one that this ledger's key signed."
            )
    return {
        (row["customer_id"], row["asset"]): _new((row["seq"], row["balance"], bytes(row["mac"])), row["dropped"])
        for row in found
    }


def _new(head: verify.ChainHead = verify.EMPTY, dropped: Decimal = Decimal(0)) -> _Account:
    return _Account(head, head, dropped)


async def _pages(connection: Connection, before: dt.datetime) -> AsyncIterator[list[dict[str, Any]]]:
    async with connection.cursor(name="old") as cursor:
        await cursor.execute(_OLD, (before,))
        while page := await cursor.fetchmany(_PAGE):
            yield page


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigurationError("The archive needs pyarrow: pip install 'brimful[archive]'.") from error
    return pa, parquet


def _schema(arrow: Any) -> Any:
    text, number, moment = arrow.string(), arrow.decimal128(38, 12), arrow.timestamp("us", tz="UTC")
    return arrow.schema([
        ("customer_id", text), ("asset", text), ("seq", arrow.int64()), ("kind", text),
        ("amount", number), ("balance_after", number), ("source", text), ("key", text), ("payment_id", text),
        ("money_minor", arrow.int64()), ("currency", text), ("occurred_at", moment), ("recorded_at", moment),
        ("mac", arrow.binary(17)), ("lot_seq", arrow.int64()), ("purpose", text), ("priority", arrow.int16()),
        ("effective_at", moment), ("expires_at", moment),
    ])  # fmt: skip


def _rows(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    _, parquet = _libraries()
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_PAGE):
            yield from batch.to_pylist()


def _read_back(path: pathlib.Path, keyring: Keyring, before: Accounts) -> Accounts:
    """The chains of a file, followed from where they began."""
    accounts = {key: _new(one.begin, one.sum_before) for key, one in before.items()}
    for row in _rows(path):
        accounts[row["customer_id"], row["asset"]].follow(row, keyring)
    return accounts


def _sign(path: pathlib.Path, keyring: Keyring, before: dt.datetime, moved: Accounts) -> None:
    """A line beside the file: what it holds, and that it is ours."""
    stated = {
        "brimful_archive": _FORM, "file": path.name, "before": clock.rfc3339(before),
        "entries": sum(one.count for one in moved.values()), "accounts": len(moved), "blake2b": _digest(path),
    }  # fmt: skip
    signature = keyring.sign(b"archive file", json.dumps(stated, sort_keys=True).encode()).hex()
    path.with_suffix(".json").write_text(json.dumps({**stated, "signature": signature}, indent=2) + "\n")


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


# --- the ledger ----------------------------------------------------------------------------------------------------

_KEEP_KEYS: LiteralString = """
    INSERT INTO archived_keys (customer_id, key_digest, source, key, kind, asset, amount, balance_after, recorded_at)
    SELECT customer_id, key_digest, source, key, kind, asset, amount, balance_after, recorded_at FROM entries
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND seq > %(from)s AND seq <= %(to)s AND source = 'usage'
"""
_DROP_NOTES: LiteralString = """
    DELETE FROM entry_notes AS n USING entries AS e
    WHERE n.customer_id = %(customer_id)s AND n.asset = %(asset)s AND n.seq > %(from)s AND n.seq <= %(to)s
        AND e.customer_id = n.customer_id AND e.asset = n.asset AND e.seq = n.seq AND e.source = 'usage'
"""
_DROP: LiteralString = """
    DELETE FROM entries
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND seq > %(from)s AND seq <= %(to)s AND source = 'usage'
"""
_MARK: LiteralString = """
    INSERT INTO archive_marks (customer_id, asset, seq, balance, mac, dropped, kept, signature, archived_at)
    VALUES (%(customer_id)s, %(asset)s, %(to)s, %(balance)s, %(mac)s, %(dropped)s, %(kept)s, %(signature)s, now())
    ON CONFLICT (customer_id, asset) DO UPDATE SET seq = excluded.seq, balance = excluded.balance, mac = excluded.mac,
        dropped = excluded.dropped, kept = excluded.kept, signature = excluded.signature,
        archived_at = excluded.archived_at
"""


async def _drop(connection: Connection, keyring: Keyring, key: Key, one: _Account) -> None:
    """One account's, in a transaction of its own: debits of others never wait, and its own only for a moment."""
    seq, balance, mac = one.head
    place = {"customer_id": key[0], "asset": key[1], "from": one.begin[0], "to": seq}
    mark = {
        **place, "seq": seq, "balance": balance, "mac": mac, "dropped": one.sum_before + one.dropped_sum,
        "kept": one.kept.digest(),
    }  # fmt: skip
    mark["signature"] = keyring.sign(b"archive", verify.archive_mark(mark))
    async with connection.transaction():
        tx = Tx(connection, clock.Clock(), begun=True)
        lots = await ledger.lot_store.read(tx, keyring, key, seq, save=False)
        await ledger.lot_store.save_checkpoint(tx, keyring, key, lots)
        kept = (await connection.execute(_KEEP_KEYS, place)).rowcount
        await connection.execute(_DROP_NOTES, place)
        dropped = (await connection.execute(_DROP, place)).rowcount
        if kept != one.dropped or dropped != one.dropped:
            raise ConfigurationError(f"{key} has other entries than were read: {dropped}, not {one.dropped}.")
        await connection.execute(_MARK, mark)


# --- looking at archives --------------------------------------------------------------------------------------------


def check(directory: pathlib.Path, keys: Mapping[int, bytes]) -> list[verify.Finding]:
    """Whether every file of a directory is whole and ours, and the chains pass through them in turn; a finding each."""
    keyring = Keyring(keys)
    found, accounts = [], Accounts()
    for stated in sorted(directory.glob("entries-before-*.json"), key=lambda path: path.stem[-_TURN:]):
        path = stated.with_suffix(".parquet")
        try:
            found.append(_check(path, json.loads(stated.read_text()), keyring, accounts))
        except (OSError, ValueError, ConfigurationError) as error:
            found.append(verify.Finding(path.name, ok=False, detail=str(error)))
    return found


def _check(path: pathlib.Path, stated: dict[str, Any], keyring: Keyring, accounts: Accounts) -> verify.Finding:
    signature = bytes.fromhex(stated.pop("signature", ""))
    if not keyring.recognises(signature, b"archive file", json.dumps(stated, sort_keys=True).encode()):
        return verify.Finding(path.name, ok=False, detail="what stands beside it is not signed with the ledger's key")
    if _digest(path) != stated["blake2b"]:
        return verify.Finding(path.name, ok=False, detail="the file was changed after it was written")
    count = 0
    for row in _rows(path):
        key = row["customer_id"], row["asset"]
        one = accounts.setdefault(key, _new())
        one.begin = one.head  # what a run that was cut short had written already is passed over
        one.follow(row, keyring)
        count += 1
    return verify.Finding(
        path.name, ok=True, detail=f"{count} entries of {stated['accounts']} accounts, in their chains"
    )
