"""The Stripe inbox: verify, store once, answer at once; then, as a job, read the object and apply its state.

Events come at least once, in any order, late or never. An event is a hint of what to read, nothing more.
"""

import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from brimful import auto_top_up, cards, customers, jobs, ledger, observability, top_ups
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Database, Row, Tx
from brimful.gateway.gateway import DisputeSnapshot, Failure, PaymentIntentSnapshot, RefundSnapshot
from brimful.gateway.stripe import adapter
from brimful.payments import advance, checkout, ownership, reversals, settle
from brimful.payments.context import PaymentContext

_log = logging.getLogger(__name__)
_FAILURES_MAX = 5
_NOT_OURS = "not ours"
_BACK = ("refund.", "charge.", "radar.")
_KEPT = (*_BACK, "payment_intent.", "checkout.session.", "payment_method.", "setup_intent.")
_WAIT_FOR_PAYMENT = dt.timedelta(minutes=5)
Snapshot = TypeVar("Snapshot")


class Unread(ConnectionError):  # noqa: N818 - nobody's error: Stripe gave no answer to act on, so later again
    """The object behind an event could not be read."""


_INSERT = """
    INSERT INTO stripe_events (event_id, type, object_id, intent_id, installation, livemode, created_at, received_at,
        state)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'received')
    ON CONFLICT (event_id) DO NOTHING
"""


async def receive(database: Database, payload: bytes, signature: str | None, secrets: Sequence[str]) -> bool:
    """Store a signed event and its job, once. False when the signature or its age is wrong; a signed event that is of
    no use here is taken and forgotten.
    """
    if not adapter.signed(payload, signature, secrets):
        observability.metrics.STRIPE_EVENTS.labels("rejected").inc()
        return False
    event = adapter.read_event(payload)
    if event is None or not of_use(event):
        observability.metrics.STRIPE_EVENTS.labels("ignored").inc()
        return True
    async with database.transaction() as tx:
        now = await tx.now()
        new = await store(tx, event)
    observability.metrics.STRIPE_EVENTS.labels("accepted" if new else "known").inc()
    if new:
        observability.metrics.EVENT_LAG.observe(max(0.0, (now - event.created).total_seconds()))
    return True


def of_use(event: adapter.Event) -> bool:
    """Whether an event is about something that may concern us."""
    return event.object_id is not None and event.type.startswith(_KEPT)


async def store(tx: Tx, event: adapter.Event) -> bool:
    """Keep an event, with the job that applies it. False where it is known."""
    values = (event.event_id, event.type, event.object_id, event.intent_id, event.metadata.get(ownership.NAME),
              event.livemode, event.created, await tx.now())  # fmt: skip
    if not await tx.execute(_INSERT, values):
        return False
    await jobs.defer(tx, jobs.Name.STRIPE_EVENT, [{"event_id": event.event_id}])
    return True


_REJECTED = """
    INSERT INTO webhook_rejections (day, count, last_at) VALUES (%(day)s, %(count)s, %(now)s)
    ON CONFLICT (day) DO UPDATE SET count = webhook_rejections.count + excluded.count, last_at = excluded.last_at
"""


async def count_rejections(tx: Tx, count: int) -> None:
    """Count what `receive` refused: the doctor distinguishes a wrong secret from a quiet day by it."""
    now = await tx.now()
    await tx.execute(_REJECTED, {"day": now.date(), "count": count, "now": now})


_WAITING = (
    "SELECT event_id FROM stripe_events WHERE state = 'received' AND received_at < %s ORDER BY received_at LIMIT %s"
)


async def waiting(tx: Tx, *, older_than_s: float, limit: int) -> list[str]:
    """Events that no job has applied yet: the sweep does."""
    before = await tx.now() - dt.timedelta(seconds=older_than_s)
    return [row["event_id"] for row in await tx.all(_WAITING, (before, limit))]


_GET = """
    SELECT type, object_id, intent_id, installation, livemode, received_at FROM stripe_events
    WHERE event_id = %s AND state = 'received'
"""
_DONE = "UPDATE stripe_events SET state = %s, outcome = %s, processed_at = %s WHERE event_id = %s"


async def process(context: PaymentContext, event_id: str) -> None:
    """Apply a stored event. Safe to run twice: what it leads to is guarded by state.

    Nothing is read at Stripe for an event about somebody else's object. One about money that goes back may be ahead of
    the payment that it belongs to, which names itself only on Checkout's end: it waits a while for it.
    """
    async with context.database.transaction() as tx:
        event = await tx.one(_GET, (event_id,))
        if event is None:
            return
        ours = await _ours(tx, event)
        if not ours and event["type"].startswith(_BACK) and await tx.now() < event["received_at"] + _WAIT_FOR_PAYMENT:
            return  # the sweep comes back to it
    if not ours:
        state, outcome = "ignored", _NOT_OURS
    elif event["livemode"] != context.gateway.livemode:
        state, outcome = "quarantined", "wrong mode"
        _log.critical("ALARM event %s is of the wrong mode; nothing was done", event_id)
    else:
        state, outcome = await _dispatch(context, event["type"], event["object_id"])
    async with context.database.transaction() as tx:
        await tx.execute(_DONE, (state, outcome, await tx.now(), event_id))


async def _ours(tx: Tx, event: Row) -> bool:
    """Whether an event is about something of this installation. Cards and Checkout pages are looked up by their ids."""
    if not event["type"].startswith((*_BACK, "payment_intent.")):
        return True
    if event["installation"] == await ownership.read_key(tx):
        return True
    return (
        event["intent_id"] is not None
        and await customers.find_alias(tx, "payment_intent", event["intent_id"]) is not None
    )


_FAILED = """
    UPDATE stripe_events SET failures = failures + 1,
        state = CASE WHEN failures + 1 >= %(most)s THEN 'quarantined' ELSE state END,
        outcome = %(outcome)s
    WHERE event_id = %(event_id)s AND state = 'received' RETURNING state
"""


async def note_failure(tx: Tx, event_id: str, error: str) -> None:
    """Applying an event raised an error of ours: after a few times it is set aside for a person, with an alarm."""
    row = await tx.one(_FAILED, {"event_id": event_id, "most": _FAILURES_MAX, "outcome": error[:200]})
    if row is not None and row["state"] == "quarantined":
        _log.critical("ALARM event %s cannot be applied and is set aside: %s", event_id, error)


async def _dispatch(context: PaymentContext, event_type: str, object_id: str) -> tuple[str, str]:
    for prefix, handler in _HANDLERS:
        if event_type.startswith(prefix):
            return await handler(context, object_id)
    return "ignored", event_type


async def _intent(context: PaymentContext, intent_id: str) -> tuple[str, str]:
    snapshot = await _read(context.gateway.read_intent, intent_id)
    payment = await _settled(context, snapshot)
    if payment is None:
        return "ignored", "not open here"
    async with context.database.transaction() as tx:
        top_up = await top_ups.store.get(tx, payment.customer_id, payment.top_up_id)
    if top_up.live:  # one that has ended need not wait for the customer's turn
        await advance.advance(context, payment.customer_id, payment.top_up_id)
    return "done", snapshot.status


async def _read(read: Callable[[str], Awaitable[Snapshot | Failure]], object_id: str) -> Snapshot:
    """What stands at Stripe; without an answer the job is tried again, and what is not there is set aside."""
    answer = await read(object_id)
    if isinstance(answer, Failure) and answer.missing:
        raise LookupError(f"{object_id} is not there: {answer.message}")
    if isinstance(answer, Failure):
        raise Unread(f"{object_id} cannot be read: {answer.message}")
    return answer


async def _settled(context: PaymentContext, snapshot: PaymentIntentSnapshot) -> top_ups.model.Payment | None:
    """The payment behind a PaymentIntent, settled with what was read; None when it is not ours."""
    async with context.database.transaction() as tx:
        found = await customers.find_alias(tx, "payment_intent", snapshot.intent_id)
    if found is None:
        found = await _by_checkout(context, snapshot)
    if found is None:
        return None
    customer_id, payment_id = found
    async with context.database.transaction("webhook") as tx:
        payment = await top_ups.store.find_payment(tx, customer_id, payment_id)
        assert payment is not None
        await settle.settle(context, tx, payment, snapshot)
        return await top_ups.store.find_payment(tx, customer_id, payment_id)


async def _credited(context: PaymentContext, intent_id: str | None) -> top_ups.model.Payment | None:
    """The payment whose money goes back, credited first: the news of its success may come later, or never. None for a
    payment that is not ours, which is not read.
    """
    if intent_id is None:
        return None
    async with context.database.transaction() as tx:
        owner = await customers.find_alias(tx, "payment_intent", intent_id)
        known = None if owner is None else await top_ups.store.find_payment(tx, *owner)
    if known is None or known.state == "succeeded":
        return known
    payment = await _settled(context, await _read(context.gateway.read_intent, intent_id))
    if payment is not None and payment.state != "succeeded":
        raise Unread(f"{intent_id} was not read as succeeded")
    return payment


async def _refund(context: PaymentContext, refund_id: str) -> tuple[str, str]:
    return await apply_reversal(context, await _read(context.gateway.read_refund, refund_id))


async def _charge_refunded(context: PaymentContext, intent_id: str) -> tuple[str, str]:
    """A charge's event names its PaymentIntent: its refunds are listed, because sums do not distinguish them."""
    for snapshot in await _read(lambda of: context.gateway.list_refunds(intent_id=of), intent_id):
        await apply_reversal(context, snapshot)
    return "done", intent_id


async def _dispute(context: PaymentContext, dispute_id: str) -> tuple[str, str]:
    return await apply_reversal(context, await _read(context.gateway.read_dispute, dispute_id))


async def apply_reversal(context: PaymentContext, snapshot: RefundSnapshot | DisputeSnapshot) -> tuple[str, str]:
    """Book a refund or a dispute as it was read. Reconciliation comes here too."""
    payment = await _credited(context, snapshot.intent_id)
    if payment is None:
        return "ignored", _NOT_OURS
    async with context.database.transaction("reversal") as tx:
        if isinstance(snapshot, RefundSnapshot):
            await reversals.record_refund(context, tx, payment, snapshot)
        else:
            await reversals.record_dispute(context, tx, payment, snapshot)
    return "done", snapshot.status


async def _warning(context: PaymentContext, warning_id: str) -> tuple[str, str]:
    intent_id = await _read(context.gateway.read_warning, warning_id)
    payment = await _credited(context, intent_id)
    if payment is None:
        return "ignored", _NOT_OURS
    async with context.database.transaction() as tx:
        await reversals.record_warning(context, tx, payment)
    return "done", "card blocked"


async def _by_checkout(context: PaymentContext, snapshot: PaymentIntentSnapshot) -> tuple[CustomerId, str] | None:
    """A PaymentIntent that Checkout made is ours only if its session is the one that we stored."""
    session = await context.gateway.find_checkout(intent_id=snapshot.intent_id)
    if session is None or isinstance(session, Failure):
        return None
    async with context.database.transaction() as tx:
        found = await customers.find_alias(tx, "checkout_session", session.session_id)
        if found is not None and found[1].startswith("pay_"):
            await customers.add_alias(tx, "payment_intent", snapshot.intent_id, *found)
            return found
    return None


async def _checkout(context: PaymentContext, session_id: str) -> tuple[str, str]:
    async with context.database.transaction() as tx:
        found = await customers.find_alias(tx, "checkout_session", session_id)
        if found is None:
            return "ignored", _NOT_OURS
        customer_id, target = found
        payment = await top_ups.store.find_payment(tx, customer_id, target)
    if payment is None:
        await checkout.settle_setup(context, customer_id, target)
    else:
        await advance.advance(context, customer_id, payment.top_up_id)
    return "done", target


async def _card_updated(context: PaymentContext, payment_method: str) -> tuple[str, str]:
    """The network renewed a card: expiry and number are kept up; another brand needs the customer's consent."""
    async with context.database.transaction() as tx:
        if await customers.find_alias(tx, "payment_method", payment_method) is None:
            return "ignored", "unknown card"
    snapshot = await _read(context.gateway.read_card, payment_method)
    async with context.database.transaction() as tx:
        before = await _lock_card(tx, payment_method)
        if before is None or before.state == "detached" or before.stripe_payment_method_id != payment_method:
            return "ignored", "card gone or replaced"
        after = await cards.store.renew(tx, before, snapshot)
        if (after.fingerprint, after.expiry) != (before.fingerprint, before.expiry):
            await auto_top_up.pauses.card_data_is_new(tx, after, context.pace)
        if after.brand != before.brand:
            await auto_top_up.pauses.card_lost(tx, after, "card_changed", context.pace, doubted=True)
    return "done", after.card_id


async def _detached(context: PaymentContext, payment_method: str) -> tuple[str, str]:
    async with context.database.transaction() as tx:
        card = await _lock_card(tx, payment_method)
        if card is None or card.stripe_payment_method_id != payment_method:
            return "ignored", "unknown card, or replaced"
        await auto_top_up.pauses.card_removed(tx, card, "detached_at_stripe", context.pace)
    return "done", card.card_id


async def _lock_card(tx: Tx, payment_method: str) -> cards.store.Card | None:
    """The card behind a PaymentMethod, with its customer and every balance locked; None when it is not ours."""
    found = await customers.find_alias(tx, "payment_method", payment_method)
    if found is None:
        return None
    customer_id, card_id = found
    await customers.lock(tx, customer_id)
    await ledger.accounts.lock_wallet(tx, customer_id)
    return await cards.store.get(tx, customer_id, card_id)


_HANDLERS: tuple[tuple[str, Callable[[PaymentContext, str], Awaitable[tuple[str, str]]]], ...] = (
    ("payment_intent.", _intent),
    ("checkout.session.", _checkout),
    ("refund.", _refund),
    ("charge.refunded", _charge_refunded),
    ("charge.dispute.", _dispute),
    ("radar.early_fraud_warning.", _warning),
    ("payment_method.detached", _detached),
    ("payment_method.updated", _card_updated),
    ("payment_method.automatically_updated", _card_updated),
)


# --- what was set aside, for an operator -------------------------------------------------------------------------

_RETRY = """
    UPDATE stripe_events SET state = 'received', outcome = NULL, failures = 0, processed_at = NULL
    WHERE event_id = %s AND state = 'quarantined'
"""
_DISMISS = """
    UPDATE stripe_events SET state = 'ignored', outcome = 'dismissed by an operator', processed_at = %s
    WHERE event_id = %s AND state = 'quarantined'
"""


async def retry(tx: Tx, event_id: str) -> None:
    """Apply an event that was set aside once more. Refuses any other."""
    if not await tx.execute(_RETRY, (event_id,)):
        raise Refused("event_not_found", "This event is not set aside.")
    await jobs.defer(tx, jobs.Name.STRIPE_EVENT, [{"event_id": event_id}])


async def dismiss(tx: Tx, event_id: str) -> None:
    """Ignore an event that was set aside. Refuses any other."""
    if not await tx.execute(_DISMISS, (await tx.now(), event_id)):
        raise Refused("event_not_found", "This event is not set aside.")
