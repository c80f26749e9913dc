"""Pauses and waits of a rule: what stops it until the customer turns it on again, or until a moment."""

import datetime as dt

from brimful import cards, customers, jobs, ledger
from brimful.auto_top_up import backup, evaluate
from brimful.auto_top_up.policy import Pace
from brimful.cards.store import Card
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.notifications import events
from brimful.notifications.events import Topic

_PAUSE = """
    UPDATE rule_states SET paused_at = %(now)s, pause_reason = %(reason)s
    WHERE customer_id = %(customer_id)s AND asset = %(asset)s AND paused_at IS NULL
        AND EXISTS (
            SELECT FROM rules
            WHERE rules.customer_id = %(customer_id)s AND rules.asset = rule_states.asset
                AND coalesce(%(card_id)s::text, rules.card_id) IN (rules.card_id, rules.backup_card_id))
"""


async def pause(tx: Tx, customer_id: CustomerId, asset: str, reason: str, *, card_id: str | None = None) -> None:
    """Pause a rule until the customer turns it on again; with `card_id`, only while it uses that card. The caller
    reevaluates.
    """
    values = {"now": await tx.now(), "reason": reason, "customer_id": customer_id, "asset": asset, "card_id": card_id}
    if await tx.execute(_PAUSE, values):
        await events.emit(tx, Topic.AUTO_TOP_UP_PAUSED, customer_id, {"asset": asset, "reason": reason})


_TOUCHED = """
    SELECT r.asset, coalesce(%(card_id)s::text IN (r.card_id, r.backup_card_id), false) AS by_card,
        a.balance - a.held < s.threshold AS below
    FROM rules AS r JOIN accounts AS a ON a.customer_id = r.customer_id AND a.asset = r.asset
    JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
    WHERE r.customer_id = %(customer_id)s AND r.enabled ORDER BY r.asset
"""


async def pause_after_reversal(tx: Tx, customer_id: CustomerId, card_id: str | None, reason: str, pace: Pace) -> None:
    """Money went back, or may: pause every rule that is below its threshold now, so that what was given back is not
    charged again, and with `card_id` every rule that uses that card. The caller holds the locks of the customer's
    accounts.
    """
    rows = await tx.all(_TOUCHED, {"customer_id": customer_id, "card_id": card_id})
    for row in rows:
        if row["by_card"] or row["below"]:
            await pause(tx, customer_id, row["asset"], reason)
    await evaluate.reevaluate(tx, [(customer_id, row["asset"]) for row in rows], pace)


async def set_not_before(tx: Tx, customer_id: CustomerId, asset: str, moment: dt.datetime) -> None:
    """Charge nothing by this rule before that moment. The caller reevaluates."""
    await tx.execute(
        "UPDATE rule_states SET not_before = greatest(not_before, %s) WHERE customer_id = %s AND asset = %s",
        (moment, customer_id, asset),
    )


async def plastic_lost(tx: Tx, card: Card, reason: str) -> None:
    """The plastic itself is bad: the other rows that have it are blocked too, of this customer and of any other, each
    by a job under its own customer's locks. Until then no payment with it is sent (`decline_budget.forbidden`).
    """
    rows = await cards.store.same_plastic(tx, card)
    arguments = [{"customer_id": row["customer_id"], "card_id": row["card_id"], "reason": reason} for row in rows]
    await jobs.defer(tx, jobs.Name.CARD, arguments)


async def block_card(tx: Tx, customer_id: CustomerId, card_id: str, reason: str, pace: Pace) -> None:
    """Block one card whose plastic was found bad elsewhere, and pause the rules that use it."""
    await customers.lock(tx, customer_id)
    await ledger.accounts.lock_wallet(tx, customer_id)
    if await cards.store.block(tx, customer_id, card_id, reason):
        card = await cards.store.get(tx, customer_id, card_id)
        await card_lost(tx, card, "card_declined", pace, doubted=reason in backup.NEVER_AFTER)


_DATA_IS_NEW = """
    UPDATE rule_states SET paused_at = NULL, pause_reason = NULL
    WHERE customer_id = %(customer_id)s AND pause_reason = 'card_data'
        AND EXISTS (SELECT FROM rules WHERE rules.customer_id = %(customer_id)s
            AND rules.asset = rule_states.asset AND %(card_id)s::text IN (rules.card_id, rules.backup_card_id))
    RETURNING asset
"""


async def card_data_is_new(tx: Tx, card: Card, pace: Pace) -> None:
    """What was declined about the card's data has ended with new data: it may be charged again, and rules that had
    paused for it go on. The caller holds the locks of the customer's accounts.
    """
    if not await cards.store.unblock(tx, card, "card_data"):
        return
    rows = await tx.all(_DATA_IS_NEW, {"customer_id": card.customer_id, "card_id": card.card_id})
    await evaluate.reevaluate(tx, sorted((card.customer_id, row["asset"]) for row in rows), pace)


_USING = """
    SELECT r.asset, coalesce(o.state = 'active', false) AS goes_on
    FROM rules AS r
    LEFT JOIN cards AS o ON o.customer_id = r.customer_id
        AND o.card_id = CASE WHEN r.card_id = %(card_id)s THEN r.backup_card_id ELSE r.card_id END
    WHERE r.customer_id = %(customer_id)s AND r.enabled AND %(card_id)s::text IN (r.card_id, r.backup_card_id)
    ORDER BY r.asset
"""


async def card_removed(tx: Tx, card: Card, reason: str, pace: Pace) -> None:
    """A card is gone at Stripe: it is gone here, and the rules that use it pause. The caller holds the locks of the
    customer's accounts.
    """
    if await cards.store.detach(tx, card.customer_id, card.card_id, reason):
        await events.emit(tx, Topic.CARD_REMOVED, card.customer_id, {"card_id": card.card_id, "last4": card.last4})
        await card_lost(tx, card, "card_removed", pace)


async def card_lost(tx: Tx, card: Card, reason: str, pace: Pace, *, doubted: bool = False) -> None:
    """A card can no longer be charged: pause the rules that have no other card, and evaluate all that use it. Where who
    pays is in doubt (`doubted`), rules with a backup card pause too.
    """
    rows = await tx.all(_USING, {"customer_id": card.customer_id, "card_id": card.card_id})
    keys = [(card.customer_id, row["asset"]) for row in rows]
    if not keys:
        return
    await ledger.accounts.lock(tx, keys)
    for row in rows:
        if doubted or not row["goes_on"]:
            await pause(tx, card.customer_id, row["asset"], reason)
    await evaluate.reevaluate(tx, keys, pace)
