"""How long automatic top-ups take, from the crossing to the credit."""

import datetime as dt

from brimful.core.ids import CustomerId
from brimful.db.pool import Tx

# Of the account's latest, but those that waited for their customer.
_OF_ACCOUNT = """
    SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY ended_at - requested_at) AS time_to_credit
    FROM (
        SELECT ended_at, requested_at FROM top_ups
        WHERE customer_id = %s AND asset = %s AND kind = 'automatic' AND state = 'succeeded' AND asked IS NULL
        ORDER BY requested_at DESC LIMIT 20
    ) AS latest
"""
UNMEASURED = dt.timedelta(seconds=30)  # before enough has been seen here
_PAYMENTS_MIN = 20
_LATELY = dt.timedelta(days=7)


async def of_account(tx: Tx, customer_id: CustomerId, asset: str) -> dt.timedelta | None:
    """How long automatic top-ups of this account took: 95th percentile of the latest 20; None before the first."""
    row = await tx.one(_OF_ACCOUNT, (customer_id, asset))
    return None if row is None else row["time_to_credit"]


_MEASURE = """
    SELECT count(*) AS payments,
        (date_part('epoch', percentile_disc(0.99) WITHIN GROUP (ORDER BY ended_at - requested_at)) * 1000)::bigint
            AS slowest_ms
    FROM top_ups
    WHERE ended_at > %(since)s AND kind = 'automatic' AND state = 'succeeded' AND asked IS NULL AND tries = 0
"""
_KEEP = """
    INSERT INTO credit_times (slowest_ms, payments, measured_at) VALUES (%(slowest_ms)s, %(payments)s, %(now)s)
    ON CONFLICT (one) DO UPDATE SET slowest_ms = excluded.slowest_ms, payments = excluded.payments,
        measured_at = excluded.measured_at
"""


async def measure(tx: Tx) -> None:
    """Measure the installation: the 99th percentile of a week's payments that succeeded at the first try. Nothing is
    kept while there are few.
    """
    now = await tx.now()
    row = await tx.one(_MEASURE, {"since": now - _LATELY})
    if row is not None and row["payments"] >= _PAYMENTS_MIN:
        await tx.execute(_KEEP, {**row, "now": now})


_READ = "SELECT slowest_ms FROM credit_times"


async def slowest(tx: Tx) -> dt.timedelta:
    """How long a payment takes here at its slowest, as measured last; a guess before that."""
    row = await tx.one(_READ)
    return UNMEASURED if row is None else dt.timedelta(milliseconds=row["slowest_ms"])
