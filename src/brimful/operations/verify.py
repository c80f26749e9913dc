"""Verification: the invariants that a database can show, each as a check that can fail.

The chain is read onward from marks: how far each account was verified before, signed with the ledger's key. `full`
reads it from the first entry and believes no mark. The others, and what is held, are views of what must not be;
each result is kept, and /metrics shows the same.

I6, I7 and I11 need somebody who remembers what was acknowledged: the demo, the simulation and the soak show
those. I13 is kept by lint and by how time is read (`tx.now`).
"""

import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import psycopg
import psycopg.rows
import psycopg.sql
from psycopg.types.json import Jsonb

from brimful import db, ledger
from brimful.core import money
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.ledger.hash_chain import Keyring
from brimful.operations.verify_lots import LotsFold

Connection = psycopg.AsyncConnection[dict[str, Any]]
_PAGE = 5000


@dataclasses.dataclass(frozen=True)
class Finding:
    """One invariant, and what was found."""

    id: str
    ok: bool
    detail: str
    figures: Mapping[str, int] = dataclasses.field(default_factory=dict)  # by currency, in minor units: how far off

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "ok": self.ok, "detail": self.detail}


async def run(url: str, keys: Mapping[int, bytes], *, full: bool = False) -> list[Finding]:
    """Check everything, in one snapshot of the database, and keep the results.

    Args:
        url: of the database; the engine's role is taken.
        keys: the ledger's, by number.
        full: read every entry, not just those since the last verification.
    """
    keyring = Keyring(keys)
    async with await psycopg.AsyncConnection.connect(
        db.pool.role_conninfo(url, "brimful_engine"), row_factory=psycopg.rows.dict_row, context=db.columns.ADAPTERS
    ) as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.execute("SET LOCAL statement_timeout = 0")
        chain, marks, lots = await _chain(connection, keyring, full=full)
        held = await _nothing_in(connection, "I1", ("broken_i1_holds",), chain.detail)
        findings = [held if chain.ok else chain, *lots]
        for name, (views, good) in {**_CHECKS, **(_FULL_CHECKS if full else {})}.items():
            found = await _nothing_in(connection, name, views, good)
            if name == "I2" and full and found.ok:
                found = await _check_fairness(connection, found)
            findings.append(found)
        await connection.rollback()
        if chain.ok:
            await _keep_marks(connection, keyring, marks)
        await _keep_findings(connection, findings)
        return findings


async def last(tx: Tx) -> list[dict[str, Any]]:
    """The latest result of each invariant: {invariant, ok, at, figures}."""
    return await tx.all("SELECT invariant, ok, at, figures FROM verifications ORDER BY invariant")


# --- I1: the chain --------------------------------------------------------------------------------------

# Every account with how far it was verified.
_ENDS = """
    SELECT a.customer_id, a.asset, a.seq, a.balance, a.mac, m.seq AS mark_seq, m.balance AS mark_balance,
        m.mac AS mark_mac, m.signature, r.seq AS archived_seq, r.balance AS archived_balance, r.mac AS archived_mac,
        r.dropped, r.kept, r.signature AS archived_signature
    FROM accounts AS a
    LEFT JOIN verified_marks AS m ON m.customer_id = a.customer_id AND m.asset = a.asset
    LEFT JOIN archive_marks AS r ON r.customer_id = a.customer_id AND r.asset = a.asset
    ORDER BY a.customer_id, a.asset
"""
_ONWARD = """
    SELECT e.customer_id, e.asset, e.seq, e.key_digest, e.kind, e.amount, e.balance_after, e.source, e.key,
        e.payment_id, e.money_minor, e.currency, e.occurred_at, e.recorded_at, e.mac, e.lot_seq, e.purpose, e.priority,
        e.effective_at, e.expires_at
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(seqs)s::bigint[]) AS f (customer_id, asset, seq)
    JOIN entries AS e ON e.customer_id = f.customer_id AND e.asset = f.asset AND e.seq > f.seq
    ORDER BY e.customer_id, e.asset, e.seq
"""
_WHOLE = """
    SELECT customer_id, asset, seq, key_digest, kind, amount, balance_after, source, key, payment_id, money_minor,
        currency, occurred_at, recorded_at, mac, lot_seq, purpose, priority, effective_at, expires_at
    FROM entries ORDER BY customer_id, asset, seq
"""
# Accounts that were verified once and are gone. Entries without an account that never was are found by reading all.
_LOST = """
    SELECT customer_id, asset FROM verified_marks AS m
    WHERE NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.customer_id = m.customer_id AND a.asset = m.asset) LIMIT 1
"""
_FIELDS = (
    "customer_id", "asset", "seq", "kind", "amount", "balance_after", "source", "key", "payment_id",
    "money_minor", "currency", "occurred_at", "recorded_at",
)  # fmt: skip
_LOT = ("lot_seq", "purpose", "priority", "effective_at", "expires_at")
ChainHead = tuple[int, Decimal, bytes]
EMPTY: ChainHead = (0, Decimal(0), b"")


class _BrokenError(Exception):
    """A chain does not hold; the text says where."""


async def _chain(
    connection: Connection, keyring: Keyring, *, full: bool
) -> tuple[Finding, list[dict[str, Any]], list[Finding]]:
    """Every account's entries in order: no gap, each balance the sum so far, each mac genuine, the end as the account
    has it. Returns the accounts read, for their new marks; and what became of their lots, when all was read.
    """
    try:
        ends = await _ends(connection, keyring, full=full)
        # Also a mark that agrees with its account must be ours: an attacker who changes entries could write one.
        moved = [row for row in ends if _begin(row, keyring) != (row["seq"], row["balance"], bytes(row["mac"]))]
        below = _Below({_key(row): row for row in ends if full and row["archived_seq"] is not None})
        fold = LotsFold(connection, keyring, {_key(row): row for row in ends}) if full else None
        heads, count = await _follow(connection, keyring, {_key(row): _begin(row, keyring) for row in moved}, below,
                                     fold=fold, full=full)  # fmt: skip
        lost = await (await connection.execute(_LOST)).fetchall()
        if fold is not None:
            await fold.unoffered_bonuses()
        _compare_ends(moved, heads, {*heads, *map(_key, lost)} - {*map(_key, ends)})
    except _BrokenError as error:
        return Finding("I1", ok=False, detail=str(error)), [], []
    how = "all" if full else "since the last verification"
    return (
        Finding("I1", ok=True, detail=f"{count} entries, {how}: balances, sequence and macs hold"),
        moved,
        _lots(fold),
    )


def _lots(fold: LotsFold | None) -> list[Finding]:
    if fold is None:
        return []
    good = "what is left of all lots is the balance, their checkpoints hold, nothing was used after it expired"
    return [Finding("I16", ok=not fold.wrong, detail="; ".join(fold.wrong) or good)]


def _compare_ends(
    moved: Sequence[Mapping[str, Any]], heads: Mapping[tuple[str, str], ChainHead], lost: Collection[tuple[str, str]]
) -> None:
    for row in moved:
        if heads[_key(row)] != (row["seq"], row["balance"], bytes(row["mac"])):
            raise _BrokenError(f"{_key(row)} does not end as its account says")
    if lost:
        raise _BrokenError(f"{min(lost)} has entries and no account")


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["customer_id"], row["asset"]


async def _ends(connection: Connection, keyring: Keyring, *, full: bool) -> list[dict[str, Any]]:
    """Every account with where its chain ends, and where to begin; `full` believes no mark but the archive's."""
    ends = await (await connection.execute(_ENDS)).fetchall()
    for row in ends:
        if row["archived_seq"] is not None and not _archived(row, keyring):
            raise _BrokenError(f"the archive's checkpoint of {_key(row)} is not one that was signed")
    return [{**row, "mark_seq": None} for row in ends] if full else ends


async def _follow(
    connection: Connection,
    keyring: Keyring,
    begins: dict[tuple[str, str], ChainHead],
    below: "_Below",
    *,
    fold: LotsFold | None,
    full: bool,
) -> tuple[dict[tuple[str, str], ChainHead], int]:
    """Read entries in order from where each chain begins. Returns how far each was followed, and how many were read."""
    heads, count = dict(begins), 0
    onward = {
        "customers": [key[0] for key in begins],
        "assets": [key[1] for key in begins],
        "seqs": [head[0] for head in begins.values()],
    }
    async with connection.cursor(name="entries") as cursor:
        cursor.itersize = _PAGE
        await cursor.execute(_WHOLE if full else _ONWARD, None if full else onward)
        async for row in cursor:
            if below.takes(row):
                continue
            wrong = broken(row, heads.get(_key(row), EMPTY), keyring) or _misplaced(row)
            if wrong is not None:
                raise _BrokenError(f"entry {row['seq']} of {_key(row)}: {wrong}")
            heads[_key(row)] = row["seq"], row["balance_after"], bytes(row["mac"])
            count += 1
            if fold is not None:
                await fold.take(row)
    if (changed := below.changed()) is not None:
        raise _BrokenError(f"what {changed} keeps below its archive was changed")
    return heads, count


def _begin(row: Mapping[str, Any], keyring: Keyring) -> ChainHead:
    """Where to go on: the account's mark, if we signed it, or the archive's checkpoint, whichever is further."""
    archived = EMPTY
    if row["archived_seq"] is not None:
        archived = row["archived_seq"], row["archived_balance"], bytes(row["archived_mac"])
    return max(archived, _verified(row, keyring), key=lambda head: head[0])


def _verified(row: Mapping[str, Any], keyring: Keyring) -> ChainHead:
    if row["mark_seq"] is None:
        return EMPTY
    place = mark(row["customer_id"], row["asset"], row["mark_seq"], row["mark_balance"], bytes(row["mark_mac"]))
    if not keyring.recognises(bytes(row["signature"]), b"mark", place):
        return EMPTY
    return row["mark_seq"], row["mark_balance"], bytes(row["mark_mac"])


def mark(customer_id: CustomerId, asset: str, seq: int, balance: Decimal, mac: bytes) -> bytes:
    """How far an account was verified, as bytes to be signed."""
    return "\x1f".join((customer_id, asset, str(seq), money.text(balance), mac.hex())).encode()


def archive_mark(row: Mapping[str, Any]) -> bytes:
    """A checkpoint of the archive as bytes to be signed: how far it reaches, what it took, what it left."""
    place = mark(row["customer_id"], row["asset"], row["seq"], row["balance"], bytes(row["mac"]))
    return place + f"\x1f{money.text(row['dropped'])}\x1f{bytes(row['kept']).hex()}".encode()


def archived_by_us(row: Mapping[str, Any], keyring: Keyring) -> bool:
    """Whether the ledger's key signed a row of `archive_marks`."""
    return keyring.recognises(bytes(row["signature"]), b"archive", archive_mark(row))


def _archived(row: Mapping[str, Any], keyring: Keyring) -> bool:
    mine = {"seq": row["archived_seq"], "balance": row["archived_balance"], "mac": row["archived_mac"],
            "signature": row["archived_signature"]}  # fmt: skip
    return archived_by_us({**row, **mine}, keyring)


class _Below:
    """Entries that stay below the archive's checkpoint, of accounts that have one: not a chain any more, but hashed."""

    def __init__(self, rows: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        self._rows = rows
        self._hashes = {key: hashlib.blake2b(digest_size=32) for key in rows}

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Whether an entry is one of them."""
        key = row["customer_id"], row["asset"]
        if key not in self._rows or row["seq"] > self._rows[key]["archived_seq"]:
            return False
        self._hashes[key].update(content_of(row) + bytes(row["mac"]))
        return True

    def changed(self) -> tuple[str, str] | None:
        """The first account that keeps other entries than were left there."""
        return next((key for key, row in self._rows.items() if self._hashes[key].digest() != bytes(row["kept"])), None)


def _misplaced(row: Mapping[str, Any]) -> str | None:
    """Whether the index of keys holds an entry where its key would be looked for: else the key could be used again."""
    placed = row["key_digest"] in ledger.keys.slots(row["source"], row["key"])
    return None if placed else "its key would not be found"


def content_of(row: Mapping[str, Any]) -> bytes:
    """An entry's content as it was signed."""
    lot = ledger.hash_chain.lot_text(*(row[name] for name in _LOT))
    return ledger.hash_chain.message(**{name: row[name] for name in _FIELDS}, lot=lot)


def broken(row: Mapping[str, Any], head: ChainHead, keyring: Keyring) -> str | None:
    """Why an entry is not what was written after `tail`, if it is not."""
    if row["seq"] != head[0] + 1:
        return f"an entry is missing or added: {row['seq']} follows {head[0]}"
    if row["balance_after"] != head[1] + row["amount"]:
        return "its balance is not the sum of the entries"
    lacking = keyring.lacks(bytes(row["mac"]))
    if lacking is not None:
        return f"it is signed with key {lacking}, which BRIMFUL_LEDGER_KEYS lacks: nothing can be said of it"
    if not keyring.recognises(bytes(row["mac"]), head[2], content_of(row)):
        return "it was changed after it was written"
    return None


_KEEP_MARKS = """
    INSERT INTO verified_marks (customer_id, asset, seq, balance, mac, signature)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::numeric[], %s::bytea[], %s::bytea[])
    ON CONFLICT (customer_id, asset) DO UPDATE SET seq = excluded.seq, balance = excluded.balance, mac = excluded.mac,
        signature = excluded.signature
"""


async def _keep_marks(connection: Connection, keyring: Keyring, moved: list[dict[str, Any]]) -> None:
    rows = []
    for row in moved:
        place = row["customer_id"], row["asset"], row["seq"], row["balance"], bytes(row["mac"])
        rows.append((*place, keyring.sign(b"mark", mark(*place))))
    for first in range(0, len(rows), _PAGE):
        columns = [list(column) for column in zip(*rows[first : first + _PAGE], strict=True)]
        await connection.execute(_KEEP_MARKS, columns)
    await connection.commit()


# --- The others, each a view of what must not be ------------------------------------------------------------

_CHECKS = {
    "I2": (("broken_i2", "broken_i2_units"), "money taken, less what went back, equals money credited and reversed"),
    "I3": (("broken_i3",), "no account has two live automatic top-ups"),
    "I4": (("broken_i4",), "each succeeded payment is credited once, no other is"),
    "I5": (("broken_i5",), "no top-up was paid twice"),
    "I8": (("broken_i8",), "no monthly limit was exceeded"),
    "I9": (("broken_i9",), "every automatic charge had a valid consent"),
    "I10": (("broken_i10",), "every automatic charge was of the consented card and amount"),
    "I12": (("broken_i12",), "every account below its threshold has a live top-up or a reason"),
    "I14": (("broken_i14",), "no more was charged in 24 hours than was stated with the consent"),
    "I17": (("broken_i17",), "no hard budget was exceeded but by what is listed"),
}
# These read the entries again.
_FULL_CHECKS = {
    "I15": (("broken_i15",), "each hour of use is the sum of its entries"),
    "I17": (
        ("broken_i17", "broken_i17_used"),
        "no hard budget was exceeded but by what is listed; each counts its entries",
    ),
}


_CURRENCIES = "SELECT DISTINCT currency FROM payments"


async def _nothing_in(connection: Connection, name: str, views: tuple[str, ...], good: str) -> Finding:
    """A check that holds when its views are empty."""
    even: dict[str, int] = {}
    if "broken_i2" in views:
        even = {row["currency"]: 0 for row in await (await connection.execute(_CURRENCIES)).fetchall()}
    for view in views:
        query = psycopg.sql.SQL("SELECT * FROM {view} LIMIT 20").format(view=psycopg.sql.Identifier(view))
        rows = await (await connection.execute(query)).fetchall()
        if rows:
            return Finding(
                name, False, f"{len(rows)} wrong or more, first: {rows[0]}", {**even, **_check_rules_off(rows)}
            )
    return Finding(name, True, good, even)


_CREDITS = """
    SELECT e.customer_id, e.seq, e.asset, e.amount, e.money_minor, e.currency, t.rate, t.rate_per, a.kind, a.scale,
        a.kind = 'currency' OR EXISTS (
            SELECT 1 FROM rates AS r WHERE r.asset = e.asset AND r.currency = e.currency AND r.rate = t.rate
                AND r.rate_per = t.rate_per) AS priced
    FROM entries AS e
    JOIN payments AS p ON p.customer_id = e.customer_id AND p.payment_id = e.payment_id
    JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
    JOIN assets AS a ON a.code = e.asset
    WHERE e.kind = 'top_up' AND e.payment_id IS NOT NULL
"""


async def _check_fairness(connection: Connection, found: Finding) -> Finding:
    """The same finding, unless a credit has other units than its money buys at a price that there was: its top-up was
    changed before it was credited, which leaves every chain whole.
    """
    async with connection.cursor(name="credits") as cursor:
        cursor.itersize = _PAGE
        await cursor.execute(_CREDITS)
        async for row in cursor:
            rate = money.ONE if row["kind"] == "currency" else money.rate_of(row["rate"], row["rate_per"])
            buys = money.units_bought(row["money_minor"], row["currency"], rate=rate, scale=row["scale"])
            if row["amount"] != buys or not row["priced"]:
                place = f"entry {row['seq']} of ({row['customer_id']}, {row['asset']})"
                wrong = f"{place} credits {row['amount']}: its money buys {buys}"
                return dataclasses.replace(found, ok=False, detail=wrong)
    return found


def _check_rules_off(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How far the books differ, where a view has the sums."""
    return {row["currency"]: int(row["taken"] - row["refunded"] - row["disputed"] - row["booked"])
            for row in rows if "taken" in row}  # fmt: skip


_KEEP_FINDING = """
    INSERT INTO verifications (invariant, ok, detail, figures, at) VALUES (%s, %s, %s, %s, clock_timestamp())
    ON CONFLICT (invariant) DO UPDATE SET ok = excluded.ok, detail = excluded.detail, figures = excluded.figures,
        at = excluded.at
"""


async def _keep_findings(connection: Connection, findings: list[Finding]) -> None:
    for finding in findings:
        await connection.execute(_KEEP_FINDING, (finding.id, finding.ok, finding.detail, Jsonb(dict(finding.figures))))
    await connection.commit()
