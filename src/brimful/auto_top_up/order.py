"""The order of what a customer agreed to and what was charged, where the clock does not keep it."""

import datetime as dt

from brimful.db.pool import Tx
from brimful.ledger.accounts import AccountKey

_LATEST = """
    SELECT greatest(
        (SELECT max(recorded_at) FROM consents WHERE customer_id = %(customer_id)s AND asset = %(asset)s),
        (
            SELECT max(confirmed_at) FROM top_ups
            WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND kind = 'automatic'
        )
    ) AS latest
"""


async def moment(tx: Tx, key: AccountKey) -> dt.datetime:
    """Now, or the latest moment that a consent or a charge of this account carries: a clock that stepped back would put
    a charge before its consent for good, and verification would rightly complain. The caller holds the account's lock.
    """
    now = await tx.now()
    row = await tx.one(_LATEST, {"customer_id": key[0], "asset": key[1]})
    return now if row is None or row["latest"] is None else max(now, row["latest"])
