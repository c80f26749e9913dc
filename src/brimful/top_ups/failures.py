"""What a customer's payments failed of: one row per declined payment, and one per top-up that failed without any."""

import dataclasses
import datetime as dt
from collections.abc import Collection
from typing import Literal

from brimful.core.ids import CustomerId
from brimful.db.pool import Tx


@dataclasses.dataclass(frozen=True)
class FailedPayment:
    """`place` is the id of the payment, or of the top-up where none was declined; newer ones sort higher after their
    prefix. Money in minor units of `currency`; `reason` as `TopUp.reason` has it.
    """

    place: str
    at: dt.datetime
    kind: Literal["automatic", "manual"]
    asset: str
    currency: str
    amount_minor: int
    reason: str | None


# A bank that wants its customer to confirm has not declined; what was never made at Stripe has failed nobody.
_DECLINED = """
    p.closed_at IS NOT NULL AND p.state <> 'succeeded' AND p.error_code IS NOT NULL
    AND p.error_code NOT IN ('not_created', 'authentication_required')
    AND p.decline_code IS DISTINCT FROM 'authentication_required'
"""
_LIST = f"""
    SELECT p.payment_id AS place, p.closed_at AS at, t.kind, t.asset, p.currency, p.amount_minor,
        coalesce(p.decline_code, p.error_code) AS reason
    FROM payments AS p
    JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
    WHERE p.customer_id = %(customer_id)s AND t.asset = ANY(%(assets)s) AND {_DECLINED}
        AND (%(before)s::text IS NULL OR substr(p.payment_id, 5) < %(before)s)
    UNION ALL
    SELECT t.top_up_id, t.ended_at, t.kind, t.asset, t.currency, t.amount_minor, t.reason
    FROM top_ups AS t
    WHERE t.customer_id = %(customer_id)s AND t.asset = ANY(%(assets)s)
        AND (t.state = 'failed' OR t.state = 'canceled' AND t.reason = 'confirmation_expired')
        AND NOT EXISTS (
            SELECT FROM payments AS p
            WHERE p.customer_id = %(customer_id)s AND p.top_up_id = t.top_up_id AND {_DECLINED})
        AND (%(before)s::text IS NULL OR substr(t.top_up_id, 5) < %(before)s)
"""
_PAGE = f"SELECT * FROM ({_LIST}) AS failed ORDER BY substr(place, 5) DESC LIMIT %(limit)s"


async def list_page(
    tx: Tx, customer_id: CustomerId, assets: Collection[str], *, before: str | None, limit: int
) -> list[FailedPayment]:
    """A customer's failed payments, newest first; `before` is the place of the last one seen."""
    values = {
        "customer_id": customer_id,
        "assets": sorted(assets),
        "before": None if before is None else before[4:],
        "limit": limit,
    }
    return [FailedPayment(**row) for row in await tx.all(_PAGE, values)]
