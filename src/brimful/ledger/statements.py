"""An account's past for its pages: where a moment lies in the chain, and what moved since.

Entries have no index on time, which every debit would pay for. Times rise along the chain, so a moment is
found by bisection over `seq`: thirty moments among a million entries cost some six hundred look-ups.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx


@dataclasses.dataclass(frozen=True)
class ChainPosition:
    """The last entry before a moment: its `seq` (0 before the first) and the balance it left. A moment that lies in the
    archive ends the list.
    """

    at: dt.datetime
    seq: int
    balance: Decimal


_PLACES = """
    WITH RECURSIVE search (at, low, high) AS (
        SELECT wanted.at, coalesce(r.seq, 0), a.seq
        FROM unnest(%(times)s::timestamptz[]) AS wanted (at)
        JOIN accounts AS a ON a.customer_id = %(customer_id)s AND a.asset = %(asset)s
        LEFT JOIN archive_marks AS r ON r.customer_id = %(customer_id)s AND r.asset = %(asset)s
        UNION ALL
        SELECT s.at, CASE WHEN e.recorded_at < s.at THEN e.seq ELSE s.low END,
            CASE WHEN e.recorded_at < s.at THEN s.high ELSE e.seq - 1 END
        FROM search AS s
        JOIN entries AS e ON e.customer_id = %(customer_id)s AND e.asset = %(asset)s
            AND e.seq = (s.low + s.high + 1) / 2
        WHERE s.low < s.high
    )
    SELECT s.at, s.low AS seq, coalesce(e.balance_after, r.balance, 0) AS balance
    FROM search AS s
    LEFT JOIN archive_marks AS r ON r.customer_id = %(customer_id)s AND r.asset = %(asset)s
    LEFT JOIN entries AS e ON e.customer_id = %(customer_id)s AND e.asset = %(asset)s AND e.seq = s.low
    WHERE s.low = s.high
    ORDER BY s.at
"""


async def chain_positions(
    tx: Tx, customer_id: CustomerId, asset: str, times: Sequence[dt.datetime]
) -> list[ChainPosition]:
    """Where each moment lies, in the order of time. Empty for an account that does not exist."""
    values = {"customer_id": customer_id, "asset": asset, "times": list(times)}
    return [ChainPosition(**row) for row in await tx.all(_PLACES, values)]


_SAMPLE = """
    SELECT seq, recorded_at, balance_after FROM entries
    WHERE customer_id = %s AND asset = %s AND seq = ANY(%s) ORDER BY seq
"""


async def sample(tx: Tx, customer_id: CustomerId, asset: str, seqs: Sequence[int]) -> list[Row]:
    """These entries' times and balances, oldest first."""
    return await tx.all(_SAMPLE, (customer_id, asset, sorted(set(seqs))))


# Through an index of their own: usage and charges, which are nearly everything, are not touched.
_ADDITIONS = """
    SELECT seq, kind, amount, balance_after, recorded_at, payment_id FROM entries
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND kind NOT IN ('usage', 'charge')
        AND recorded_at >= %(since)s
    ORDER BY seq
"""


async def additions(tx: Tx, customer_id: CustomerId, asset: str, since: dt.datetime) -> list[Row]:
    """Every entry since then that is not spending: top-ups, adjustments, refunds."""
    return await tx.all(_ADDITIONS, {"customer_id": customer_id, "asset": asset, "since": since})


@dataclasses.dataclass(frozen=True)
class Series:
    """Entries of one account in order, as columns; the first one has `first_seq`."""

    opening: Decimal
    first_seq: int
    at_ms: Sequence[int]
    amounts: Sequence[Decimal]
    whole: bool  # False: the window holds more entries than were read


# Columns of text: a hundred thousand rows as Python objects would cost more than the question.
_SERIES = """
    SELECT string_agg(at_ms::text, ' ') AS at_ms, string_agg(amount::text, ' ') AS amounts
    FROM (
        SELECT (date_part('epoch', recorded_at) * 1000)::bigint AS at_ms, amount
        FROM entries WHERE customer_id = %s AND asset = %s AND seq > %s ORDER BY seq
    ) AS ordered
"""


async def series(tx: Tx, customer_id: CustomerId, asset: str, since: dt.datetime, *, limit: int) -> Series:
    """What moved since then, at most the latest `limit` entries."""
    latest = await tx.one("SELECT seq FROM accounts WHERE customer_id = %s AND asset = %s", (customer_id, asset))
    start = await chain_positions(tx, customer_id, asset, [since])
    if latest is None or not start:
        return Series(Decimal(0), 0, (), (), whole=True)
    [place] = start
    first, opening = place.seq, place.balance
    whole = latest["seq"] - first <= limit
    if not whole:
        first = latest["seq"] - limit
        [cut] = await sample(tx, customer_id, asset, [first])
        opening = cut["balance_after"]
    row = await tx.one(_SERIES, (customer_id, asset, first))
    if row is None or row["at_ms"] is None:
        return Series(opening, 0, (), (), whole=True)
    return Series(
        opening,
        first + 1,
        tuple(map(int, row["at_ms"].split())),
        tuple(map(Decimal, row["amounts"].split())),
        whole=whole,
    )


# The entry after the last one that left something: back along the chain, as far as the balance was below zero.
_BELOW_SINCE = """
    SELECT recorded_at FROM entries
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND seq = 1 + coalesce((
        SELECT seq FROM entries
        WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND seq <= %(seq)s AND balance_after >= 0
        ORDER BY seq DESC LIMIT 1), 0)
"""


async def below_zero_since(tx: Tx, customer_id: CustomerId, asset: str, seq: int) -> dt.datetime | None:
    """When the balance that stood after `seq` fell below zero."""
    row = await tx.one(_BELOW_SINCE, {"customer_id": customer_id, "asset": asset, "seq": seq})
    return None if row is None else row["recorded_at"]
