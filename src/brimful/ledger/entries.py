"""Entries: one immutable row per change of a balance."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from psycopg.types.json import Jsonb

from brimful.core.ids import CustomerId
from brimful.db.columns import Bytes, CustomerIds, Moments, Names, Numbers, Texts
from brimful.db.pool import Row, Tx
from brimful.ledger import hash_chain
from brimful.ledger.hash_chain import ChainHead, Keyring
from brimful.ledger.keys import Known, slots

Kind = Literal["usage", "charge", "adjustment", "top_up", "refund", "dispute", "reinstatement"]
Source = Literal["usage", "hold", "api", "stripe", "system"]


class Draft(NamedTuple):
    """A movement that has been decided and not yet written.

    `amount` is signed, in the asset. Entries that come from a payment also carry what moved at Stripe:
    `money_minor`, signed, in minor units of `currency`. (customer, source, key) is unique for ever.
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
    )
    mac = keyring.sign(head.mac, content)
    return Entry(draft, seq, balance, now, mac), ChainHead(balance, seq, mac)


_INSERT = """
    INSERT INTO entries (customer_id, seq, key_digest, recorded_at, occurred_at, money_minor, asset, kind, source,
        amount, balance_after, key, payment_id, currency, mac)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::bigint[],
        %s::text[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::text[], %s::text[], %s::text[],
        %s::bytea[])
"""


def insert(tx: Tx, entries: Sequence[Entry], known: Known) -> None:
    """Write entries, all in one statement, at the latest before the commit. The caller holds their accounts' locks, and
    read `known` under them.
    """
    if not entries:
        return
    customers, assets, kinds, amounts, sources, keys, occurred, payments, minors, currencies, _, _ = zip(
        *[entry.draft for entry in entries], strict=True
    )
    _, seqs, balances, recorded, macs = zip(*entries, strict=True)
    digests = Numbers(map(known.place, zip(customers, sources, keys, strict=True)))
    columns = [
        CustomerIds(customers), Numbers(seqs), digests, Moments(recorded), Moments(occurred), Numbers(minors),
        Names(assets), Names(kinds), Names(sources), Numbers(amounts), Numbers(balances), Texts(keys), Names(payments),
        Names(currencies), Bytes(macs),
    ]  # fmt: skip
    tx.later(_INSERT, columns, rows=len(entries))
    _write_notes(tx, entries)


_INSERT_NOTES = """
    INSERT INTO entry_notes (customer_id, asset, seq, description, metadata)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::jsonb[])
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
        )
        for entry in entries
        if entry.draft.description or entry.draft.metadata
    ]
    if rows:
        tx.later(_INSERT_NOTES, [list(column) for column in zip(*rows, strict=True)], rows=len(rows))


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
    SELECT e.*, n.description, n.metadata
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
        AND (%(kind)s::text IS NULL OR kind = %(kind)s)
        AND (%(since)s::timestamptz IS NULL OR coalesce(occurred_at, recorded_at) >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR coalesce(occurred_at, recorded_at) <= %(until)s)
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
    kind: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> tuple[list[Row], int]:
    """What was credited to one account, newest first: before an entry's number, or from an offset; and how many such
    entries there are in all.
    """
    values = {"customer_id": customer_id, "asset": asset, "kind": kind, "since": since, "until": until}
    rows = await tx.all(_CREDITS, {**values, "limit": limit, "offset": offset, "before": before})
    row = await tx.one(_CREDITS_COUNT, values)
    return rows, 0 if row is None else int(row["total"])
