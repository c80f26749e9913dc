"""Review: what a person should look at, because an error of ours or a difference stopped it. It is never dropped."""

import datetime as dt
from decimal import Decimal

from brimful import jobs
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.top_ups import store
from brimful.top_ups.model import TopUp

_FAILURES_MAX = 5
_REVIEW_POLL_S = 3600

_FAILED = """
    UPDATE top_ups SET failures = failures + 1, wake_at = %(wake_at)s,
        needs_review = needs_review OR failures + 1 >= %(most)s
    WHERE customer_id = %(customer_id)s AND top_up_id = %(top_up_id)s AND ended_at IS NULL
    RETURNING failures
"""


async def note_failure(tx: Tx, customer_id: CustomerId, top_up_id: str) -> bool:
    """Working on a top-up raised an error of ours. After a few it is set aside for a person, looked at once an hour,
    never dropped. True when it was set aside just now.
    """
    top_up = await store.get(tx, customer_id, top_up_id)
    aside = top_up.failures + 1 >= _FAILURES_MAX
    wait_s = _REVIEW_POLL_S if aside else store.POLLS_S[min(top_up.failures, len(store.POLLS_S) - 1)]
    wake_at = await tx.now() + dt.timedelta(seconds=wait_s)
    values = {"customer_id": customer_id, "top_up_id": top_up_id, "wake_at": wake_at, "most": _FAILURES_MAX}
    row = await tx.one(_FAILED, values)
    return row is not None and row["failures"] == _FAILURES_MAX


# A live one is tried again now, and may fail as often as any other before it needs a review again.
_CLOSE_REVIEW = """
    UPDATE top_ups SET needs_review = false, failures = 0,
        wake_at = CASE WHEN ended_at IS NULL THEN %(now)s::timestamptz END
    WHERE customer_id = %(customer_id)s AND top_up_id = %(top_up_id)s
"""


async def close_review(tx: Tx, top_up: TopUp) -> None:
    """A person has reviewed this top-up. The caller holds its lock."""
    values = {"customer_id": top_up.customer_id, "top_up_id": top_up.top_up_id, "now": await tx.now()}
    await tx.execute(_CLOSE_REVIEW, values)
    if top_up.live:
        await jobs.defer(tx, jobs.Name.PAY, [{"customer_id": top_up.customer_id, "top_up_id": top_up.top_up_id}])


async def flag_late_success(tx: Tx, top_up: TopUp, balance_after: Decimal) -> None:
    """Keep its end; the credit counts for the monthly limit, and the top-up needs a review."""
    await tx.execute(
        "UPDATE top_ups SET needs_review = true, balance_after = %s WHERE customer_id = %s AND top_up_id = %s",
        (balance_after, top_up.customer_id, top_up.top_up_id),
    )


_FLAG = "UPDATE top_ups SET needs_review = true WHERE customer_id = %s AND top_up_id = %s AND NOT needs_review"


async def flag_for_review(tx: Tx, top_up: TopUp) -> None:
    """A person should look at it."""
    await tx.execute(_FLAG, (top_up.customer_id, top_up.top_up_id))
