"""Entries: one immutable row per change of a balance."""

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from psycopg.types.json import Jsonb

from brimful.core.ids import CustomerId
from brimful.db.columns import Bytes, CustomerIds, Moments, Names, Numbers, Texts
from brimful.db.pool import Row, Tx
from brimful.ledger import hash_chain
from brimful.ledger.hash_chain import ChainHead, Keyring
from brimful.ledger.keys import Known, slots
from brimful.ledger.lots import Purpose, Terms

Kind = Literal["usage", "charge", "adjustment", "top_up", "refund", "dispute", "reinstatement", "bonus", "expiry"]
SPENDING: tuple[Kind, ...] = ("usage", "charge")
Source = Literal["usage", "hold", "api", "stripe", "system"]


class Draft(NamedTuple):
    """A movement that has been decided and not yet written.

    `amount` is signed, in the asset. Entries that come from a payment also carry what moved at Stripe:
    `money_minor`, signed, in minor units of `currency`. (customer, source, key) is unique for ever. `terms` are a
    credit's, where they are not the usual ones of its kind; `lot_seq` is the lot that an expiry takes from. `subject`
    and `dimensions` say what a debit was for, `counted` how much of what was captured of a hold counts in which budget.
    """

    customer_id: CustomerId
    asset: str
    kind: Kind
    amount: Decimal
    source: Source
    key: str
    occurred_at: dt.datetime | None = None
    payment_id: str | None = None
    money_minor: int | None = None
    currency: str | None = None
    description: str | None = None
    metadata: Mapping[str, Any] | None = None
    terms: Terms | None = None
    lot_seq: int | None = None
    subject: str | None = None
    dimensions: Mapping[str, str] | None = None
    counted: Mapping[str, Decimal] = MappingProxyType({})


class Entry(NamedTuple):
    """A written entry; `draft` holds what it was made from."""

    draft: Draft
    seq: int
    balance_after: Decimal
    recorded_at: dt.datetime
    mac: bytes


def public_id(mac: bytes) -> str:
    """The id by which the API names an entry. It is not stored: the mac is nobody else's."""
    return f"ent_{bytes(mac[1:]).hex()}"


def extend(keyring: Keyring, head: ChainHead, draft: Draft, now: dt.datetime) -> tuple[Entry, ChainHead]:
    """The next entry of a chain and the chain's new end. Pure."""
    seq, balance = head.seq + 1, head.balance + draft.amount
    lot = "" if draft.terms is None and draft.lot_seq is None else hash_chain.lot_text(*_lot(draft))
    content = hash_chain.message(
        customer_id=draft.customer_id,
        asset=draft.asset,
        seq=seq,
        kind=draft.kind,
        amount=draft.amount,
        balance_after=balance,
        source=draft.source,
        key=draft.key,
        payment_id=draft.payment_id,
        money_minor=draft.money_minor,
        currency=draft.currency,
        occurred_at=draft.occurred_at,
        recorded_at=now,
        lot=lot,
    )
    mac = keyring.sign(head.mac, content)
    return Entry(draft, seq, balance, now, mac), ChainHead(balance, seq, mac)


def _lot(draft: Draft) -> tuple[int | None, Purpose | None, int | None, dt.datetime | None, dt.datetime | None]:
    """What is signed, and stored, of a draft beyond a plain movement: lot_seq, purpose, priority, effective_at,
    expires_at.
    """
    return draft.lot_seq, *(draft.terms or _NO_TERMS)


_NO_TERMS = (None, None, None, None)
_INSERT = """
    INSERT INTO entries (customer_id, seq, key_digest, recorded_at, occurred_at, money_minor, asset, kind, source,
        amount, balance_after, key, payment_id, currency, mac)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[],
        %s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::text[], %s::text[], %s::text[],
        %s::bytea[])
"""


# The same with the terms of lots, for a batch in which any has some: all others are spared five empty columns.
_INSERT_LOTS = """
    INSERT INTO entries (customer_id, seq, key_digest, recorded_at, occurred_at, money_minor, asset, kind, source,
        amount, balance_after, key, payment_id, currency, mac, lot_seq, purpose, priority, effective_at, expires_at)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[],
        %s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::text[], %s::text[], %s::text[],
        %s::bytea[], %s::bigint[], %s::text[], %s::smallint[], %s::timestamptz[], %s::timestamptz[])
"""


def insert(tx: Tx, entries: Sequence[Entry], known: Known) -> None:
    """Write entries, all in one statement, at the latest before the commit. The caller holds their accounts' locks, and
    read `known` under them.
    """
    if not entries:
        return
    drafts = [entry.draft for entry in entries]
    customers, assets, kinds, amounts, sources, keys, occurred, payments, minors, currencies, *beside = zip(
        *drafts, strict=True
    )
    _, _, terms, lot_seqs, *_ = beside
    _, seqs, balances, recorded, macs = zip(*entries, strict=True)
    digests = Numbers(map(known.place, zip(customers, sources, keys, strict=True)))
    columns = [
        CustomerIds(customers), Numbers(seqs), digests, Moments(recorded), Moments(occurred), Numbers(minors),
        Names(assets), Names(kinds), Names(sources), Numbers(amounts), Numbers(balances), Texts(keys), Names(payments),
        Names(currencies), Bytes(macs),
    ]  # fmt: skip
    if any(terms) or any(lot_seqs):
        numbers, purposes, priorities, begins, ends = zip(*map(_lot, drafts), strict=True)
        columns += [Numbers(numbers), Texts(purposes), Numbers(priorities), Moments(begins), Moments(ends)]
        tx.later(_INSERT_LOTS, columns, rows=len(entries))
    else:
        tx.later(_INSERT, columns, rows=len(entries))
    _write_notes(tx, entries)


_INSERT_NOTES = """
    INSERT INTO entry_notes (customer_id, asset, seq, description, metadata, subject, dimensions, counted)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::jsonb[], %s::text[], %s::jsonb[],
        %s::jsonb[])
"""


def _write_notes(tx: Tx, entries: Sequence[Entry]) -> None:
    """Write the free text of those entries that have any, at the latest before the commit."""
    rows = [
        (
            entry.draft.customer_id,
            entry.draft.asset,
            entry.seq,
            entry.draft.description,
            None if entry.draft.metadata is None else Jsonb(dict(entry.draft.metadata)),
            entry.draft.subject,
            None if entry.draft.dimensions is None else Jsonb(dict(entry.draft.dimensions)),
            Jsonb({name: str(used) for name, used in entry.draft.counted.items()}) if entry.draft.counted else None,
        )
        for entry in entries
        if _has_notes(entry.draft)
    ]
    if rows:
        tx.later(_INSERT_NOTES, [list(column) for column in zip(*rows, strict=True)], rows=len(rows))


def _has_notes(draft: Draft) -> bool:
    return bool(draft.description or draft.metadata or draft.subject or draft.dimensions or draft.counted)


@dataclasses.dataclass(frozen=True)
class Remaining:
    """What is left of a payment after its reversals: minor units of money, units of the asset."""

    money_minor: int
    units: Decimal


_REMAINING = """
    SELECT sum(money_minor)::bigint AS money_minor, sum(amount) AS units FROM entries
    WHERE customer_id = %s AND payment_id = %s AND payment_id IS NOT NULL
"""


async def remaining_of_payment(tx: Tx, customer_id: CustomerId, payment_id: str) -> Remaining | None:
    """The sum of a payment's entries; None before its credit."""
    row = await tx.one(_REMAINING, (customer_id, payment_id))
    return None if row is None or row["units"] is None else Remaining(**row)


_COLUMNS = """
    SELECT e.*, n.description, n.metadata, n.subject, n.dimensions
    FROM entries AS e
    LEFT JOIN entry_notes AS n ON n.customer_id = e.customer_id AND n.asset = e.asset AND n.seq = e.seq
"""

_FIND_BY_KEY = _COLUMNS + (
    "WHERE e.customer_id = %(customer_id)s AND e.key_digest BETWEEN %(first)s AND %(last)s "
    "AND e.source = %(source)s AND e.key = %(key)s"
)


async def find_by_key(tx: Tx, customer_id: CustomerId, source: Source, key: str) -> Row | None:
    """One entry with its notes."""
    numbers = slots(source, key)
    values = {"customer_id": customer_id, "source": source, "key": key, "first": numbers[0], "last": numbers[-1]}
    return await tx.one(_FIND_BY_KEY, values)


_MACS = "SELECT seq, mac FROM entries WHERE customer_id = %s AND asset = %s AND seq = ANY(%s)"


async def public_ids(tx: Tx, key: tuple[CustomerId, str], seqs: Sequence[int]) -> dict[int, str]:
    """The ids of these entries of one account, by their `seq`."""
    rows = await tx.all(_MACS, (*key, sorted(set(seqs))))
    return {row["seq"]: public_id(row["mac"]) for row in rows}


_BY_MAC = """
    SELECT seq FROM entries
    WHERE customer_id = %s AND asset = %s AND kind NOT IN ('usage', 'charge') AND substr(mac, 2) = %s AND amount > 0
"""
_AT = "SELECT * FROM entries WHERE customer_id = %s AND asset = %s AND seq = ANY(%s) ORDER BY seq"
_ID = re.compile(r"ent_([0-9a-f]{32})", re.ASCII)


async def seq_of(tx: Tx, key: tuple[CustomerId, str], credit_id: str) -> int | None:
    """The `seq` of a credit of one account, by its public id; None where it has none such."""
    matched = _ID.fullmatch(credit_id)
    row = None if matched is None else await tx.one(_BY_MAC, (*key, bytes.fromhex(matched[1])))
    return None if row is None else row["seq"]


async def at(tx: Tx, key: tuple[CustomerId, str], seqs: Sequence[int]) -> list[Row]:
    """These entries of one account, in their order."""
    return await tx.all(_AT, (*key, list(seqs)))


_NEWEST = _COLUMNS + (
    "WHERE e.customer_id = %(customer_id)s AND e.asset = %(asset)s AND e.seq < %(before)s "
    "AND (%(kinds)s::text[] IS NULL OR e.kind = ANY(%(kinds)s)) ORDER BY e.seq DESC LIMIT %(limit)s"
)
_SEQ_MAX = 2**62


async def newest(
    tx: Tx, customer_id: CustomerId, asset: str, *, before: int | None, limit: int, kinds: Sequence[str] | None = None
) -> list[Row]:
    """Entries of one account, newest first, from below `before`; only of these kinds where they are given."""
    values = {"customer_id": customer_id, "asset": asset, "limit": limit}
    values |= {"before": _SEQ_MAX if before is None else before, "kinds": None if kinds is None else list(kinds)}
    return await tx.all(_NEWEST, values)


# No spending: the index of additions holds these alone, in their order.
_NEWEST_ADDITIONS = _COLUMNS + (
    "WHERE e.customer_id = %(customer_id)s AND e.asset = %(asset)s AND e.seq < %(before)s "
    "AND e.kind NOT IN ('usage', 'charge') ORDER BY e.seq DESC LIMIT %(limit)s"
)


async def newest_additions(tx: Tx, customer_id: CustomerId, asset: str, *, before: int | None, limit: int) -> list[Row]:
    """The same without spending: top-ups, adjustments, refunds, disputes."""
    before = _SEQ_MAX if before is None else before
    values = {"customer_id": customer_id, "asset": asset, "before": before, "limit": limit}
    return await tx.all(_NEWEST_ADDITIONS, values)


_CREDITED = """
    FROM entries
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND kind NOT IN ('usage', 'charge') AND amount > 0
        AND (%(purpose)s::text IS NULL OR %(purpose)s = coalesce(purpose,
            CASE WHEN kind = 'adjustment' THEN 'correction' WHEN kind = 'bonus' THEN 'bonus' ELSE 'paid' END))
        AND (%(since)s::timestamptz IS NULL OR coalesce(effective_at, occurred_at, recorded_at) >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR coalesce(effective_at, occurred_at, recorded_at) <= %(until)s)
        AND (%(alive_at)s::timestamptz IS NULL OR (expires_at <= %(alive_at)s) IS NOT TRUE)
        AND (%(expired_since)s::timestamptz IS NULL OR expires_at >= %(expired_since)s)
        AND (%(expired_until)s::timestamptz IS NULL OR expires_at <= %(expired_until)s)
"""
_CREDITS = f"""
    SELECT * {_CREDITED} AND (%(before)s::bigint IS NULL OR seq < %(before)s)
    ORDER BY seq DESC LIMIT %(limit)s OFFSET %(offset)s
"""
_CREDITS_COUNT = f"SELECT count(*) AS total {_CREDITED}"


async def credits_page(
    tx: Tx,
    customer_id: CustomerId,
    asset: str,
    *,
    limit: int,
    offset: int = 0,
    before: int | None = None,
    purpose: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    alive_at: dt.datetime | None = None,
    expired_since: dt.datetime | None = None,
    expired_until: dt.datetime | None = None,
) -> tuple[list[Row], int]:
    """What was credited to one account, newest first: before an entry's number, or from an offset; and how many such
    entries there are in all. Narrowed by purpose, by when they took effect, and by when they expire: later than
    `alive_at`, or between two moments.
    """
    values = {
        "customer_id": customer_id, "asset": asset, "purpose": purpose, "since": since, "until": until,
        "alive_at": alive_at, "expired_since": expired_since, "expired_until": expired_until,
    }  # fmt: skip
    rows = await tx.all(_CREDITS, {**values, "limit": limit, "offset": offset, "before": before})
    row = await tx.one(_CREDITS_COUNT, values)
    return rows, 0 if row is None else int(row["total"])
