"""What each account used in each hour: a roll-up of the entries, kept by a job.

Spending is usage and charges. An hour lists the entries that it sums up, so that verification can compare them (I15).
What was spent since the latest row is read from the chain itself (`runway`).
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from brimful.db.pool import Row, Tx
from brimful.ledger import spend
from brimful.ledger.accounts import AccountKey

KEPT = dt.timedelta(days=35)  # nobody asks for more than thirty
_ENTRIES_MAX = 100_000  # in one transaction


@dataclasses.dataclass(frozen=True)
class UsageHour:
    """The hour that begins at `hour` (UTC), and what was spent in it, in the asset."""

    hour: dt.datetime
    used: Decimal


@dataclasses.dataclass(frozen=True)
class _Piece:
    """The entries of one account that come next: after `after_seq`, up to `through_seq`."""

    key: AccountKey
    after_seq: int
    through_seq: int
    hour: dt.datetime | None  # of the latest row
    whole: bool  # nothing of the account is left


_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))"
_BEHIND = """
    SELECT a.customer_id, a.asset, a.seq AS head, greatest(coalesce(u.last_seq, 0), coalesce(r.seq, 0)) AS seq, u.hour
    FROM accounts AS a
    LEFT JOIN archive_marks AS r ON r.customer_id = a.customer_id AND r.asset = a.asset
    LEFT JOIN LATERAL (
        SELECT h.hour, h.last_seq FROM usage_hours AS h
        WHERE h.customer_id = a.customer_id AND h.asset = a.asset ORDER BY h.hour DESC LIMIT 1
    ) AS u ON true
    WHERE (a.customer_id, a.asset) > (%(customer_id)s, %(asset)s) AND NOT a.erased
        AND a.seq > greatest(coalesce(u.last_seq, 0), coalesce(r.seq, 0))
    ORDER BY a.customer_id, a.asset LIMIT %(limit)s
"""
# A clock that stepped back must not return to an hour that is done: rows follow one another as the entries do.
_ROLL_UP = """
    INSERT INTO usage_hours (customer_id, asset, hour, used, first_seq, last_seq)
    SELECT o.customer_id, o.asset, o.hour, coalesce(-sum(o.amount) FILTER (WHERE o.kind IN ('usage', 'charge')), 0),
        min(o.seq), max(o.seq)
    FROM (
        SELECT e.customer_id, e.asset, e.seq, e.kind, e.amount,
            greatest(f.hour, max(date_trunc('hour', e.recorded_at, 'UTC'))
                OVER (PARTITION BY e.customer_id, e.asset ORDER BY e.seq)) AS hour
        FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(after)s::bigint[], %(through)s::bigint[],
            %(hours)s::timestamptz[]) AS f (customer_id, asset, after_seq, through_seq, hour)
        JOIN entries AS e ON e.customer_id = f.customer_id AND e.asset = f.asset AND e.seq > f.after_seq
            AND e.seq <= f.through_seq
        WHERE e.customer_id = ANY(%(customers)s)
    ) AS o
    GROUP BY o.customer_id, o.asset, o.hour
    ON CONFLICT (customer_id, asset, hour) DO UPDATE SET used = usage_hours.used + excluded.used,
        last_seq = excluded.last_seq
"""


async def roll_up(tx: Tx, after: AccountKey, *, limit: int) -> AccountKey | None:
    """Add to the hours what was spent since they were last brought up to date: of up to `limit` accounts in key order,
    beginning after one. Returns where to go on; None at the end. Two at once wait for each other.
    """
    await tx.execute(_LOCK, ("usage_hours",))
    behind = await tx.all(_BEHIND, {"customer_id": after[0], "asset": after[1], "limit": limit})
    if not behind:
        return None
    pieces = _pieces(behind, _ENTRIES_MAX)
    columns = {
        "customers": [piece.key[0] for piece in pieces],
        "assets": [piece.key[1] for piece in pieces],
        "after": [piece.after_seq for piece in pieces],
        "through": [piece.through_seq for piece in pieces],
    }
    await tx.execute(_ROLL_UP, {**columns, "hours": [piece.hour for piece in pieces]})
    await tx.execute(spend.ROLL_UP, columns)
    done = [piece.key for piece in pieces if piece.whole]
    return done[-1] if done else after


def _pieces(behind: Sequence[Row], most: int) -> list[_Piece]:
    """As many of these accounts' entries as one transaction takes; the last account's may be cut."""
    pieces: list[_Piece] = []
    for row in behind:
        takes = min(row["head"] - row["seq"], most)
        if not takes:
            break
        through = row["seq"] + takes
        key = row["customer_id"], row["asset"]
        pieces.append(_Piece(key, row["seq"], through, row["hour"], whole=through == row["head"]))
        most -= takes
    return pieces


# The newest stays: it says how far its account has been read.
_DELETE_OLD = """
    DELETE FROM usage_hours AS u WHERE u.hour < %(before)s AND EXISTS (
        SELECT 1 FROM usage_hours AS n WHERE n.customer_id = u.customer_id AND n.asset = u.asset AND n.hour > u.hour)
"""


async def delete_old(tx: Tx) -> None:
    """Delete hours that nobody asks for any more, and days of what was spent for whom."""
    now = await tx.now()
    await tx.execute(_DELETE_OLD, {"before": now - KEPT})
    await tx.execute(spend.DELETE_OLD, ((now - spend.KEPT).date(),))


_READ = """
    SELECT hour, used FROM usage_hours
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND hour >= %(since)s AND hour < %(until)s
    ORDER BY hour
"""


async def read(tx: Tx, key: AccountKey, since: dt.datetime, until: dt.datetime) -> list[UsageHour]:
    """The hours of an account that began within these moments, oldest first; an hour without entries is absent."""
    values = {"customer_id": key[0], "asset": key[1], "since": since, "until": until}
    return [UsageHour(**row) for row in await tx.all(_READ, values)]
