"""What was spent for each subject, and for each value of a dimension: a roll-up by the days of its customer.

It is kept by the job that keeps `usage_hours`, over the same entries; what was spent since is read from the chain.
"""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from brimful.db.pool import Tx
from brimful.ledger.accounts import AccountKey

KEPT = dt.timedelta(days=400)


class Spent(NamedTuple):
    """What was spent with a tag, in the asset. The tag is JSON: `["subject"]`, or `["key", "value"]`."""

    tag: str
    used: Decimal


# A subject is ["subject"], a value of a dimension ["key", "value"]: as JSON, which both have in one writing.
_TAGS = """
    CROSS JOIN LATERAL (
        SELECT jsonb_build_array(n.subject)::text AS tag WHERE n.subject IS NOT NULL
        UNION ALL
        SELECT jsonb_build_array(d.key, d.value)::text FROM jsonb_each_text(coalesce(n.dimensions, '{}')) AS d
    ) AS t
"""
ROLL_UP = f"""
    INSERT INTO spend_days (customer_id, asset, day, tag, used)
    SELECT e.customer_id, e.asset, (e.recorded_at AT TIME ZONE c.time_zone)::date, t.tag, -sum(e.amount)
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(after)s::bigint[], %(through)s::bigint[])
        AS f (customer_id, asset, after_seq, through_seq)
    JOIN entry_notes AS n ON n.customer_id = f.customer_id AND n.asset = f.asset AND n.seq > f.after_seq
        AND n.seq <= f.through_seq AND (n.subject IS NOT NULL OR n.dimensions IS NOT NULL)
    JOIN entries AS e ON e.customer_id = n.customer_id AND e.asset = n.asset AND e.seq = n.seq
    JOIN customers AS c ON c.customer_id = e.customer_id
    {_TAGS}
    WHERE e.customer_id = ANY(%(customers)s) AND n.customer_id = ANY(%(customers)s)
        AND c.customer_id = ANY(%(customers)s) AND e.kind IN ('usage', 'charge')
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (customer_id, asset, day, tag) DO UPDATE SET used = spend_days.used + excluded.used
"""
DELETE_OLD = "DELETE FROM spend_days WHERE day < %s"
# `like` narrows to subjects or to one dimension, by how their tags begin.
_READ = f"""
    SELECT s.tag, sum(s.used) AS used
    FROM (
        SELECT d.tag, d.used FROM spend_days AS d
        WHERE d.customer_id = %(customer_id)s AND d.asset = %(asset)s AND d.day BETWEEN %(first)s AND %(last)s
        UNION ALL
        SELECT t.tag, -e.amount
        FROM entry_notes AS n
        JOIN entries AS e ON e.customer_id = n.customer_id AND e.asset = n.asset AND e.seq = n.seq
        JOIN customers AS c ON c.customer_id = e.customer_id
        {_TAGS}
        WHERE n.customer_id = %(customer_id)s AND n.asset = %(asset)s AND e.customer_id = %(customer_id)s
            AND c.customer_id = %(customer_id)s
            AND n.seq > coalesce((SELECT max(u.last_seq) FROM usage_hours AS u
                WHERE u.customer_id = %(customer_id)s AND u.asset = %(asset)s), 0)
            AND e.kind IN ('usage', 'charge')
            AND (e.recorded_at AT TIME ZONE c.time_zone)::date BETWEEN %(first)s AND %(last)s
    ) AS s
    WHERE jsonb_array_length(s.tag::jsonb) = %(length)s AND (%(key)s::text IS NULL OR s.tag::jsonb ->> 0 = %(key)s)
    GROUP BY s.tag ORDER BY used DESC, s.tag LIMIT %(limit)s
"""


async def read(
    tx: Tx, key: AccountKey, first: dt.date, last: dt.date, *, dimension: str | None = None, limit: int
) -> list[Spent]:
    """What was spent in these days of the customer's, the most first: by subject, or by the values of one dimension."""
    values: dict[str, Any] = {"customer_id": key[0], "asset": key[1], "first": first, "last": last, "limit": limit}
    values |= {"length": 1 if dimension is None else 2, "key": dimension}
    return [Spent(**row) for row in await tx.all(_READ, values)]


_DIMENSIONS = """
    SELECT d.tag::jsonb ->> 0 AS key FROM spend_days AS d
    WHERE d.customer_id = %(customer_id)s AND d.asset = %(asset)s AND d.day >= %(since)s
        AND jsonb_array_length(d.tag::jsonb) = 2
    UNION
    SELECT jsonb_object_keys(n.dimensions) FROM entry_notes AS n
    WHERE n.customer_id = %(customer_id)s AND n.asset = %(asset)s AND n.dimensions IS NOT NULL
        AND n.seq > coalesce((SELECT max(u.last_seq) FROM usage_hours AS u
            WHERE u.customer_id = %(customer_id)s AND u.asset = %(asset)s), 0)
    ORDER BY key LIMIT 20
"""


async def dimensions(tx: Tx, key: AccountKey, since: dt.date) -> Sequence[str]:
    """The names of the dimensions that debits had since that day."""
    values = {"customer_id": key[0], "asset": key[1], "since": since}
    return [row["key"] for row in await tx.all(_DIMENSIONS, values)]
