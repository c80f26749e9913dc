"""Bridges: how far below zero a hold may take an account while a top-up that covers it is in flight."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import NamedTuple

from brimful.db.columns import CustomerIds, Texts
from brimful.db.pool import Query, Row
from brimful.ledger.accounts import AccountKey


class Bridge(NamedTuple):
    """How far below zero holds may take an account: the platform's bound, and what is in flight to cover it."""

    bound: Decimal
    in_flight: Decimal


# In flight: automatic top-ups that need nobody's act. One that waits for its customer or for a retry may never come.
COMING_STATES = frozenset({"requested", "intent_created", "confirming", "processing", "unknown"})
_BRIDGES = """
    SELECT a.customer_id, a.asset, s.bridge_max AS bound, (
        SELECT coalesce(sum(t.units), 0) FROM top_ups AS t
        WHERE t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic' AND t.ended_at IS NULL
            AND t.customer_id = ANY(%(customers)s)
            AND t.state IN ('requested', 'intent_created', 'confirming', 'processing', 'unknown')
    ) AS in_flight
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[]) AS a (customer_id, asset)
    JOIN assets AS s ON s.code = a.asset
"""


def bridges_query(accounts: Collection[AccountKey]) -> Query[dict[AccountKey, Bridge]]:
    """Of each of these accounts, under their locks."""
    customers, assets = zip(*sorted(accounts), strict=True)
    return Query(_BRIDGES, {"customers": CustomerIds(customers), "assets": Texts(assets)}, _bridges)


def _bridges(rows: Sequence[Row]) -> dict[AccountKey, Bridge]:
    return {(row["customer_id"], row["asset"]): Bridge(row["bound"], row["in_flight"]) for row in rows}
