"""Cards about to expire under a rule that is on: told once for each month of expiry."""

import datetime as dt

from brimful.db import Tx
from brimful.events import Topic, emit

__all__ = ["EXPIRY_NOTICE", "tell_expiring"]

EXPIRY_NOTICE = dt.timedelta(days=30)

# A card can be used until the end of its month.
_EXPIRING = """
    UPDATE cards AS c SET expiry_told = make_date(c.exp_year, c.exp_month, 1)
    FROM (
        SELECT customer_id, card_id FROM cards
        WHERE state = 'active' AND make_date(exp_year, exp_month, 1) + interval '1 month' < %(before)s
            AND expiry_told IS DISTINCT FROM make_date(exp_year, exp_month, 1)
            AND EXISTS (
                SELECT 1 FROM rules
                WHERE rules.customer_id = cards.customer_id AND rules.card_id = cards.card_id AND rules.enabled)
        LIMIT %(limit)s
    ) AS due
    WHERE c.customer_id = due.customer_id AND c.card_id = due.card_id
    RETURNING c.customer_id, c.card_id, c.last4, c.exp_month, c.exp_year
"""


async def tell_expiring(tx: Tx, *, limit: int) -> int:
    """Emit `card.expiring` where it is time. Returns for how many."""
    rows = await tx.all(_EXPIRING, {"before": await tx.now() + EXPIRY_NOTICE, "limit": limit})
    for row in rows:
        shown = {name: row[name] for name in ("card_id", "last4", "exp_month", "exp_year")}
        await emit(tx, Topic.CARD_EXPIRING, row["customer_id"], shown)
    return len(rows)
