"""Top-ups and payments in the database. Every move is guarded by state and fence."""

import dataclasses
import datetime as dt
import logging
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from brimful import jobs, observability
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Query, Row, Tx
from brimful.gateway.gateway import PaymentRequest
from brimful.ledger.accounts import AccountKey
from brimful.top_ups.model import END_STATES, MOVES, Payment, PaymentKind, Presence, State, TopUp

_log = logging.getLogger(__name__)
# Seconds until Stripe is asked again about a payment that has not ended.
# The last one bounds how long an outage lingers after its end; the spread keeps a herd from coming back as one.
POLLS_S = (5, 15, 30, 60, 120, 300)
_CUSTOMERS_POLLS_S = (5, 15, 30, 60, 120, 300, 900)  # the customer has a day, and Stripe sends an event


class Stale(Exception):  # noqa: N818 - not an error: somebody else has moved it, so stop
    """A guarded move found the top-up in another state or under another fence."""


_COLUMNS = "SELECT " + ", ".join(field.name for field in dataclasses.fields(TopUp)) + " FROM top_ups "
_GET = _COLUMNS + "WHERE customer_id = %s AND top_up_id = %s"
_LOCK = _GET + " FOR NO KEY UPDATE"


async def get(tx: Tx, customer_id: CustomerId, top_up_id: str) -> TopUp:
    """One top-up of this customer; refuses any other."""
    return await tx.ask(get_query(customer_id, top_up_id))


async def lock(tx: Tx, customer_id: CustomerId, top_up_id: str) -> TopUp:
    """The same, locked: after its account, last of all locks."""
    top_up = await tx.ask(lock_query(customer_id, top_up_id))
    tx.locked()
    return top_up


def get_query(customer_id: CustomerId, top_up_id: str) -> Query[TopUp]:
    """`get` as a query."""
    return _one(_GET, customer_id, top_up_id)


def lock_query(customer_id: CustomerId, top_up_id: str) -> Query[TopUp]:
    """`lock` as a query."""
    return _one(_LOCK, customer_id, top_up_id)


def _one(sql: LiteralString, customer_id: CustomerId, top_up_id: str) -> Query[TopUp]:
    def read(rows: Sequence[Row]) -> TopUp:
        if not rows:
            raise Refused("top_up_not_found", f"There is no top-up {top_up_id[:60]!r}.")
        return TopUp(**rows[0])

    return Query(sql, (customer_id, top_up_id), read)


_LIVE = _COLUMNS + "WHERE customer_id = %s AND asset = %s AND kind = 'automatic' AND ended_at IS NULL"


async def live_by_account(tx: Tx, customer_id: CustomerId, asset: str) -> TopUp | None:
    """The account's live automatic top-up: there is at most one."""
    row = await tx.one(_LIVE, (customer_id, asset))
    return None if row is None else TopUp(**row)


_LIVE_OF_CUSTOMERS = _COLUMNS + "WHERE customer_id = ANY(%s) AND kind = 'automatic' AND ended_at IS NULL"


async def live_by_accounts(tx: Tx, accounts: Collection[AccountKey]) -> dict[AccountKey, TopUp]:
    """The live automatic top-up of each of these accounts that has one."""
    found = await tx.all(_LIVE_OF_CUSTOMERS, (sorted({customer_id for customer_id, _ in accounts}),))
    live = {(row["customer_id"], row["asset"]): TopUp(**row) for row in found}
    return {key: live[key] for key in accounts if key in live}


_PENDING = """
    SELECT coalesce(sum(units), 0) AS units FROM top_ups
    WHERE customer_id = %s AND asset = %s AND ended_at IS NULL AND (kind = 'automatic' OR tries > 0
        OR state NOT IN ('requested', 'action_required'))
"""


async def pending_units(tx: Tx, customer_id: CustomerId, asset: str) -> Decimal:
    """Units that live top-ups will bring; a link that nobody has paid yet brings nothing."""
    row = await tx.one(_PENDING, (customer_id, asset))
    assert row is not None
    units: Decimal = row["units"]
    return units


_BEING_PAID = _COLUMNS + (
    "WHERE customer_id = %s AND asset = ANY(%s) AND ended_at IS NULL AND (kind = 'automatic' OR tries > 0 "
    "OR state NOT IN ('requested', 'action_required')) ORDER BY top_up_id DESC"
)


async def list_being_paid(tx: Tx, customer_id: CustomerId, wanted: Sequence[str]) -> list[TopUp]:
    """A customer's top-ups that are being paid or wait to be, newest first; no link that nobody has used."""
    return [TopUp(**row) for row in await tx.all(_BEING_PAID, (customer_id, list(wanted)))]


_ON_ITS_WAY = """
    SELECT coalesce(sum(units), 0) AS units FROM top_ups
    WHERE customer_id = %s AND asset = %s AND ended_at IS NULL
        AND (state IN ('intent_created', 'confirming', 'unknown', 'processing')
            OR state = 'requested' AND kind = 'automatic')
"""


async def units_on_their_way(tx: Tx, customer_id: CustomerId, asset: str) -> Decimal:
    """Units of payments that are being made now: not of those that were declined, or wait for somebody."""
    row = await tx.one(_ON_ITS_WAY, (customer_id, asset))
    assert row is not None
    units: Decimal = row["units"]
    return units


_OWNER = "SELECT customer_id FROM top_ups WHERE top_up_id = %s"


async def owner_of(tx: Tx, top_up_id: str) -> CustomerId | None:
    """The customer of an automatic top-up, which has no alias: the hot path writes none."""
    row = await tx.one(_OWNER, (top_up_id,))
    return None if row is None else CustomerId(row["customer_id"])


_NARROWED = (
    "(%(asset)s::text IS NULL OR asset = %(asset)s) AND (%(kind)s::text IS NULL OR kind = %(kind)s) "
    "AND (%(state)s::text IS NULL OR state = %(state)s) AND (%(before)s::text IS NULL OR top_up_id < %(before)s) "
    "ORDER BY top_up_id DESC LIMIT %(limit)s"
)
_PAGE = _COLUMNS + "WHERE customer_id = %(customer_id)s AND " + _NARROWED
_PAGE_OF_ALL = _COLUMNS + "WHERE " + _NARROWED


async def list_page(
    tx: Tx,
    customer_id: CustomerId | None,
    *,
    limit: int,
    asset: str | None = None,
    kind: str | None = None,
    state: str | None = None,
    before: str | None = None,
) -> list[TopUp]:
    """A customer's top-ups, newest first; with None, everybody's."""
    values = {
        "customer_id": customer_id,
        "asset": asset,
        "kind": kind,
        "state": state,
        "before": before,
        "limit": limit,
    }
    return [TopUp(**row) for row in await tx.all(_PAGE_OF_ALL if customer_id is None else _PAGE, values)]


_AUTOMATIC_PAYMENTS = """
    SELECT p.payment_id FROM top_ups AS t
    JOIN payments AS p ON p.customer_id = t.customer_id AND p.top_up_id = t.top_up_id
    WHERE t.customer_id = %s AND t.asset = %s AND t.kind = 'automatic' AND t.requested_at >= %s
        AND p.state = 'succeeded'
"""


async def automatic_payments(tx: Tx, customer_id: CustomerId, asset: str, since: dt.datetime) -> set[str]:
    """Payments of automatic top-ups requested since then."""
    return {str(row["payment_id"]) for row in await tx.all(_AUTOMATIC_PAYMENTS, (customer_id, asset, since))}


_MOVE = """
    UPDATE top_ups SET state = %(state)s, next_state = %(next_state)s, reason = %(reason)s, fence = %(new_fence)s,
        tries = %(tries)s, polls = %(polls)s, failures = %(failures)s, needs_review = %(needs_review)s,
        wake_at = %(wake_at)s,
        expires_at = %(expires_at)s, limit_month = %(limit_month)s, confirmed_at = %(confirmed_at)s,
        ended_at = %(ended_at)s, balance_after = %(balance_after)s, available_after = %(available_after)s,
        card_id = %(card_id)s
    WHERE customer_id = %(customer_id)s AND top_up_id = %(top_up_id)s AND state = %(from_state)s
        AND fence = %(fence)s AND ended_at IS NULL
"""


async def move(
    tx: Tx,
    top_up: TopUp,
    state: State,
    *,
    wake_in_s: float | None = None,
    recover_in_s: float | None = None,
    **changes: Any,
) -> TopUp:
    """Move a live top-up to another state.

    Args:
        tx: the transaction to write in.
        top_up: as it was read; state and fence must still be the same.
        state: one that MOVES allows.
        wake_in_s: seconds until the engine looks again: a job is deferred for then, and the sweep finds
            it should the job be lost. Ends never wake.
        recover_in_s: instead, when the caller goes on by itself: only the sweep looks, should the caller die.
        changes: other fields to set; `next_state` belongs to canceling only; polls start again at 0.

    Raises:
        Stale: somebody else has moved it.
    """
    assert state in MOVES[top_up.state], f"{top_up.state} -> {state}"
    now = await tx.now()
    ended = state in END_STATES
    pause_s = wake_in_s if wake_in_s is not None else recover_in_s
    wake_at = None if ended or pause_s is None else now + dt.timedelta(seconds=pause_s)
    defaults = {"next_state": None, "polls": 0, "failures": 0}
    after = dataclasses.replace(
        top_up,
        **{**defaults, **changes},
        state=state,
        fence=top_up.fence + 1,
        wake_at=wake_at,
        ended_at=now if ended else None,
    )
    moved = await _write(tx, top_up, after, job=wake_in_s is not None)
    tx.once_committed(lambda: _log.info("top-up %s: %s -> %s%s", after.top_up_id, top_up.state, after.state,
                                        f" ({after.reason})" if after.reason else ""))  # fmt: skip
    if ended:
        how = (after.kind, after.state, (after.reason or "").partition(":")[0])
        tx.once_committed(lambda: observability.metrics.TOP_UPS.labels(*how).inc())
    return moved


async def poll_later(tx: Tx, top_up: TopUp, *, at_least_s: float = 0) -> TopUp:
    """Stay in the state, under the same fence, and look again, each time a little later."""
    steps = POLLS_S if top_up.state != "action_required" else _CUSTOMERS_POLLS_S
    wait_s = max(at_least_s, steps[min(top_up.polls, len(steps) - 1)])
    wait_s *= ids.spread(f"{top_up.top_up_id}{top_up.polls}")
    wake_at = await tx.now() + dt.timedelta(seconds=wait_s)
    later = dataclasses.replace(top_up, polls=top_up.polls + 1, wake_at=wake_at)
    return await _write(tx, top_up, later, job=True)


async def sleep_until_expiry(tx: Tx, top_up: TopUp) -> None:
    """Nothing to do before its customer comes or its time is up."""
    if top_up.wake_at != top_up.expires_at:
        await _write(tx, top_up, dataclasses.replace(top_up, wake_at=top_up.expires_at), job=True)


async def _write(tx: Tx, before: TopUp, after: TopUp, *, job: bool) -> TopUp:
    values = dataclasses.asdict(after)
    changed = await tx.execute(
        _MOVE, {**values, "from_state": before.state, "fence": before.fence, "new_fence": after.fence}
    )
    if changed != 1:
        raise Stale(before.top_up_id)
    if job and after.wake_at is not None:
        arguments = {"customer_id": after.customer_id, "top_up_id": after.top_up_id}
        at = after.wake_at if after.wake_at > await tx.now() else None
        await jobs.defer(tx, jobs.Name.PAY, [arguments], at=at)
    return after


_DUE = "SELECT customer_id, top_up_id FROM top_ups WHERE wake_at <= %s ORDER BY wake_at LIMIT %s"


async def due(tx: Tx, *, late_s: float, limit: int) -> list[Row]:
    """Top-ups that no job has taken although their time came `late_s` ago: a lost job, or a long queue."""
    return await tx.all(_DUE, (await tx.now() - dt.timedelta(seconds=late_s), limit))


async def retry_now(tx: Tx, top_up: TopUp) -> None:
    """Try a top-up that waits for a retry now. The caller holds its lock."""
    await tx.execute(
        "UPDATE top_ups SET wake_at = %s WHERE customer_id = %s AND top_up_id = %s AND state = 'retry_wait'",
        (await tx.now(), top_up.customer_id, top_up.top_up_id),
    )
    await jobs.defer(tx, jobs.Name.PAY, [{"customer_id": top_up.customer_id, "top_up_id": top_up.top_up_id}])


_PAYMENT_NAMES = [field.name for field in dataclasses.fields(Payment)]
_PAYMENTS = "SELECT " + ", ".join(_PAYMENT_NAMES) + " FROM payments "
_OPEN = _PAYMENTS + "WHERE customer_id = %s AND top_up_id = %s AND closed_at IS NULL"
_FIND_PAYMENT = _PAYMENTS + "WHERE customer_id = %s AND payment_id = %s"
_SUCCEEDED = _PAYMENTS + "WHERE customer_id = %s AND top_up_id = %s AND state = 'succeeded'"


async def open_payment(tx: Tx, top_up: TopUp) -> Payment | None:
    """The payment whose end has not been read yet: there is at most one."""
    return await tx.ask(open_payment_query(top_up.customer_id, top_up.top_up_id))


def open_payment_query(customer_id: CustomerId, top_up_id: str) -> Query[Payment | None]:
    """The same as a query."""
    return Query(_OPEN, (customer_id, top_up_id), lambda rows: Payment(**rows[0]) if rows else None)


async def find_payment(tx: Tx, customer_id: CustomerId, payment_id: str) -> Payment | None:
    """One payment of this customer."""
    row = await tx.one(_FIND_PAYMENT, (customer_id, payment_id))
    return None if row is None else Payment(**row)


async def lock_payment(tx: Tx, payment: Payment) -> Payment:
    """The payment as it stands, locked."""
    row = await tx.one(_FIND_PAYMENT + " FOR NO KEY UPDATE", (payment.customer_id, payment.payment_id))
    tx.locked()
    assert row is not None
    return Payment(**row)


async def count_payments(tx: Tx, top_up: TopUp) -> int:
    """How many payments a top-up has had, of any outcome."""
    row = await tx.one(
        "SELECT count(*) AS n FROM payments WHERE customer_id = %s AND top_up_id = %s",
        (top_up.customer_id, top_up.top_up_id),
    )
    assert row is not None
    return int(row["n"])


_DECLINES = """
    SELECT error_code, decline_code, advice_code, card_id FROM payments
    WHERE customer_id = %s AND top_up_id = %s AND (error_code IS NOT NULL OR decline_code IS NOT NULL)
        AND coalesce(error_code, '') NOT LIKE 'refused:%%' AND coalesce(error_code, '') <> 'not_created'
    ORDER BY created_at, payment_id
"""


Codes = tuple[str | None, str | None, str | None]


async def declines_of(tx: Tx, top_up: TopUp) -> list[tuple[Codes, str | None]]:
    """What each declined payment of a top-up was declined with (code, decline code, advice), and its card; the latest
    last.
    """
    rows = await tx.all(_DECLINES, (top_up.customer_id, top_up.top_up_id))
    return [((row["error_code"], row["decline_code"], row["advice_code"]), row["card_id"]) for row in rows]


async def payment_of_setup(tx: Tx, customer_id: CustomerId, setup_id: str) -> Payment | None:
    """The payment whose save box opened that setup."""
    row = await tx.one(_PAYMENTS + "WHERE customer_id = %s AND setup_id = %s", (customer_id, setup_id))
    return None if row is None else Payment(**row)


async def succeeded_payments(tx: Tx, top_up: TopUp) -> list[Payment]:
    """Payments of a top-up that succeeded: one, unless something went wrong."""
    return [Payment(**row) for row in await tx.all(_SUCCEEDED, (top_up.customer_id, top_up.top_up_id))]


async def paid_by(tx: Tx, top_up: TopUp) -> Payment | None:
    """The payment that paid a top-up."""
    return next(iter(await succeeded_payments(tx, top_up)), None)


_INSERT_PAYMENT = """
    INSERT INTO payments (customer_id, payment_id, top_up_id, kind, presence, state, card_id, currency, amount_minor,
        setup_id, created_at)
    VALUES (%(customer_id)s, %(payment_id)s, %(top_up_id)s, %(kind)s, %(presence)s, %(state)s, %(card_id)s,
        %(currency)s, %(amount_minor)s, %(setup_id)s, %(created_at)s)
"""


async def add_payment(
    tx: Tx,
    top_up: TopUp,
    *,
    kind: PaymentKind,
    presence: Presence,
    card_id: str | None,
    setup_id: str | None = None,
) -> Payment:
    """A new try, written at the latest before the commit. The unique index refuses a second open one."""
    payment = Payment(
        top_up.customer_id, ids.new("pay"), top_up.top_up_id, kind, presence, "new", card_id, top_up.currency,
        top_up.amount_minor, None, None, None, setup_id, None, None, None, await tx.now(), None, None, None,
    )  # fmt: skip
    tx.later(_INSERT_PAYMENT, dataclasses.asdict(payment), rows=1)
    return payment


_KEEP_REQUEST = """
    UPDATE payments SET request = coalesce(request, %(request)s)
    WHERE customer_id = %(customer_id)s AND payment_id = %(payment_id)s RETURNING request
"""


async def keep_request(tx: Tx, payment: Payment, request: PaymentRequest) -> PaymentRequest:
    """What the payment asks of the provider, kept the first time: its key repeats what was sent under it, so a later
    release must send the same.
    """
    values = {"customer_id": payment.customer_id, "payment_id": payment.payment_id,
              "request": Jsonb(dataclasses.asdict(request))}  # fmt: skip
    row = await tx.one(_KEEP_REQUEST, values)
    assert row is not None
    return PaymentRequest(**row["request"])


_SAVE_PAYMENT = """
    UPDATE payments SET state = %(state)s, stripe_intent_id = %(stripe_intent_id)s,
        stripe_session_id = %(stripe_session_id)s, redirect_url = %(redirect_url)s, error_code = %(error_code)s,
        decline_code = %(decline_code)s, advice_code = %(advice_code)s, confirm_sent_at = %(confirm_sent_at)s,
        closed_at = %(closed_at)s, receipt_url = %(receipt_url)s
    WHERE customer_id = %(customer_id)s AND payment_id = %(payment_id)s AND state = %(from_state)s
"""
_CLOSED: Sequence[str] = ("succeeded", "canceled", "expired", "abandoned")


async def save_payment(tx: Tx, payment: Payment, **changes: Any) -> Payment:
    """Change a payment, guarded by its state. A closing state sets `closed_at`.

    Raises:
        Stale: somebody else has changed it.
    """
    state = changes.get("state", payment.state)
    closed_at = await tx.now() if state in _CLOSED else None
    after = dataclasses.replace(payment, **changes, closed_at=closed_at)
    changed = await tx.execute(_SAVE_PAYMENT, {**dataclasses.asdict(after), "from_state": payment.state})
    if changed != 1:
        raise Stale(payment.payment_id)
    return after


async def mark_succeeded_late(tx: Tx, payment: Payment) -> None:
    """A payment that was read as ended succeeded after all."""
    await tx.execute(
        "UPDATE payments SET state = 'succeeded' WHERE customer_id = %s AND payment_id = %s",
        (payment.customer_id, payment.payment_id),
    )


_IDS_BY_PAYMENT = "SELECT payment_id, top_up_id FROM payments WHERE customer_id = %s AND payment_id = ANY(%s)"


async def with_top_ups(tx: Tx, customer_id: CustomerId, entries: Sequence[Row]) -> list[Row]:
    """A customer's entries, each with the `top_up_id` of its payment, or None."""
    paid = [row["payment_id"] for row in entries if row["payment_id"] is not None]
    found = await tx.all(_IDS_BY_PAYMENT, (customer_id, paid)) if paid else []
    top_up_ids = {row["payment_id"]: row["top_up_id"] for row in found}
    return [{**row, "top_up_id": top_up_ids.get(row["payment_id"])} for row in entries]
