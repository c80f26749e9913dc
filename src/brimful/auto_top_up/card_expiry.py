"""Cards about to expire under a rule that is on: the customer is notified once for each month of expiry."""

import datetime as dt

from brimful import cards
from brimful.db.pool import Tx
from brimful.notifications import events
from brimful.notifications.events import Topic

EXPIRY_NOTICE = dt.timedelta(days=30)

# A card can be used until the end of its month.
_EXPIRING = """
    SELECT customer_id, card_id, last4, exp_month, exp_year FROM cards
    WHERE state = 'active' AND make_date(exp_year, exp_month, 1) + interval '1 month' < %(before)s
        AND expiry_notified IS DISTINCT FROM make_date(exp_year, exp_month, 1)
        AND EXISTS (
            SELECT 1 FROM rules
            WHERE rules.customer_id = cards.customer_id AND rules.card_id = cards.card_id AND rules.enabled)
    LIMIT %(limit)s
"""


async def notify_expiring(tx: Tx, *, limit: int) -> int:
    """Emit `card.expiring` for cards whose time has come. Returns for how many."""
    rows = await tx.all(_EXPIRING, {"before": await tx.now() + EXPIRY_NOTICE, "limit": limit})
    notified = 0
    for row in rows:
        if not await cards.store.note_expiry_notified(tx, row["customer_id"], row["card_id"]):
            continue  # another worker was first
        shown = {name: row[name] for name in ("card_id", "last4", "exp_month", "exp_year")}
        await events.emit(tx, Topic.CARD_EXPIRING, row["customer_id"], shown)
        notified += 1
    return notified
