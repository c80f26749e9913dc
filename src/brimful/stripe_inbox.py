"""The Stripe inbox: verify, store once, answer at once; then, as a job, read the object and apply its state.

Events come at least once, in any order, late or never. An event is a hint of what to read, nothing more.
"""

import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from brimful import cards, customers, jobs, measures, topups, wallets
from brimful.auto_topup import card_lost
from brimful.db import Database, Tx
from brimful.events import Topic, emit
from brimful.paying import Till, pay, record_dispute, record_refund, record_warning, settle, settle_setup
from brimful.payments import DisputeReading, Failure, IntentReading, RefundReading
from brimful.payments.stripe import verify_event

__all__ = ["apply_reversal", "note_failure", "note_rejections", "process", "receive", "waiting"]

_log = logging.getLogger(__name__)
_FAILURES_MAX = 8
Reading = TypeVar("Reading")


class Unread(ConnectionError):  # noqa: N818 - nobody's error: Stripe gave no answer to act on, so later again
    """The object behind an event could not be read."""


_INSERT = """
    INSERT INTO stripe_events (event_id, type, object_id, livemode, created_at, received_at, state)
    VALUES (%s, %s, %s, %s, %s, %s, 'received')
    ON CONFLICT (event_id) DO NOTHING
"""


async def receive(database: Database, payload: bytes, signature: str | None, secrets: Sequence[str]) -> bool:
    """Store a signed event and its job, once. False when the signature, the age or the form is wrong."""
    event = verify_event(payload, signature, secrets)
    if event is None:
        measures.STRIPE_EVENTS.labels("rejected").inc()
        return False
    async with database.transaction() as tx:
        now = await tx.now()
        values = (event.event_id, event.type, event.object_id, event.livemode, event.created, now)
        new = await tx.execute(_INSERT, values)
        if new:
            await jobs.defer(tx, jobs.Name.STRIPE_EVENT, [{"event_id": event.event_id}])
    measures.STRIPE_EVENTS.labels("accepted" if new else "known").inc()
    if new:
        measures.EVENT_LAG.observe(max(0.0, (now - event.created).total_seconds()))
    return True


_REJECTED = """
    INSERT INTO webhook_rejections (day, count, last_at) VALUES (%(day)s, %(count)s, %(now)s)
    ON CONFLICT (day) DO UPDATE SET count = webhook_rejections.count + excluded.count, last_at = excluded.last_at
"""


async def note_rejections(tx: Tx, count: int) -> None:
    """Count what `receive` refused: the doctor tells a wrong secret from a quiet day by it."""
    now = await tx.now()
    await tx.execute(_REJECTED, {"day": now.date(), "count": count, "now": now})


_WAITING = (
    "SELECT event_id FROM stripe_events WHERE state = 'received' AND received_at < %s ORDER BY received_at LIMIT %s"
)


async def waiting(tx: Tx, *, older_than_s: float, limit: int) -> list[str]:
    """Events that no job has applied yet: the sweep does."""
    before = await tx.now() - dt.timedelta(seconds=older_than_s)
    return [row["event_id"] for row in await tx.all(_WAITING, (before, limit))]


_GET = "SELECT type, object_id, livemode FROM stripe_events WHERE event_id = %s AND state = 'received'"
_DONE = "UPDATE stripe_events SET state = %s, outcome = %s, processed_at = %s WHERE event_id = %s"


async def process(till: Till, event_id: str) -> None:
    """Apply a stored event. Safe to run twice: what it leads to is guarded by state."""
    async with till.database.transaction() as tx:
        event = await tx.one(_GET, (event_id,))
    if event is None:
        return
    if event["livemode"] != till.gateway.livemode:
        state, outcome = "quarantined", "wrong mode"
        _log.critical("ALARM event %s is of the wrong mode; nothing was done", event_id)
    else:
        state, outcome = await _dispatch(till, event["type"], event["object_id"] or "")
    async with till.database.transaction() as tx:
        await tx.execute(_DONE, (state, outcome, await tx.now(), event_id))


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


async def _dispatch(till: Till, event_type: str, object_id: str) -> tuple[str, str]:
    for prefix, handler in _HANDLERS:
        if event_type.startswith(prefix):
            return await handler(till, object_id)
    return "ignored", event_type


async def _intent(till: Till, intent_id: str) -> tuple[str, str]:
    reading = _answered(await till.gateway.read_intent(intent_id), intent_id)
    payment = await _settled(till, reading)
    if payment is None:
        if "payment_id" in reading.metadata:
            return "ignored", "not open here"
        _log.warning("PaymentIntent %s is not ours", intent_id)
        return "quarantined", "foreign payment"
    async with till.database.transaction() as tx:
        top_up = await topups.get(tx, payment.customer_id, payment.top_up_id)
    if top_up.live:  # one that has ended need not wait for the customer's turn
        await pay(till, payment.customer_id, payment.top_up_id)
    return "done", reading.status


def _answered(answer: Reading | Failure, object_id: str) -> Reading:
    """What was read; without an answer the job is tried again."""
    if isinstance(answer, Failure):
        raise Unread(f"{object_id} cannot be read: {answer.message}")
    return answer


async def _settled(till: Till, reading: IntentReading) -> topups.Payment | None:
    """The payment behind a PaymentIntent, settled with what was read; None when it is not ours."""
    async with till.database.transaction() as tx:
        found = await customers.find_alias(tx, "payment_intent", reading.intent_id)
    if found is None:
        found = await _by_checkout(till, reading)
    if found is None:
        return None
    customer_id, payment_id = found
    async with till.database.transaction("webhook") as tx:
        payment = await topups.find_payment(tx, customer_id, payment_id)
        assert payment is not None
        await settle(till, tx, payment, reading)
        return await topups.find_payment(tx, customer_id, payment_id)


async def _credited(till: Till, intent_id: str | None) -> topups.Payment | None:
    """The payment whose money goes back, credited first: the news of its success may come later, or never."""
    if intent_id is None:
        return None
    payment = await _settled(till, _answered(await till.gateway.read_intent(intent_id), intent_id))
    if payment is not None and payment.state != "succeeded":
        raise Unread(f"{intent_id} was not read as succeeded")
    return payment


async def _refund(till: Till, refund_id: str) -> tuple[str, str]:
    return await apply_reversal(till, _answered(await till.gateway.read_refund(refund_id), refund_id))


async def _charge_refunded(till: Till, intent_id: str) -> tuple[str, str]:
    """A charge's event names its PaymentIntent: its refunds are listed, because sums do not tell them apart."""
    found = await till.gateway.list_refunds(intent_id=intent_id)
    for reading in _answered(found, intent_id):
        await apply_reversal(till, reading)
    return "done", intent_id


async def _dispute(till: Till, dispute_id: str) -> tuple[str, str]:
    return await apply_reversal(till, _answered(await till.gateway.read_dispute(dispute_id), dispute_id))


async def apply_reversal(till: Till, reading: RefundReading | DisputeReading) -> tuple[str, str]:
    """Book a refund or a dispute as it was read. Reconciliation comes here too."""
    payment = await _credited(till, reading.intent_id)
    if payment is None:
        return "quarantined", "about a foreign payment"
    async with till.database.transaction("reversal") as tx:
        if isinstance(reading, RefundReading):
            await record_refund(till, tx, payment, reading)
        else:
            await record_dispute(till, tx, payment, reading)
    return "done", reading.status


async def _warning(till: Till, warning_id: str) -> tuple[str, str]:
    intent_id = _answered(await till.gateway.read_warning(warning_id), warning_id)
    payment = await _credited(till, intent_id)
    if payment is None:
        return "quarantined", "about a foreign payment"
    async with till.database.transaction() as tx:
        await record_warning(till, tx, payment)
    return "done", "card blocked"


async def _by_checkout(till: Till, reading: IntentReading) -> tuple[str, str] | None:
    """A PaymentIntent that Checkout made is ours only if its session is the one that we stored."""
    session = await till.gateway.find_checkout(intent_id=reading.intent_id)
    if session is None or isinstance(session, Failure):
        return None
    async with till.database.transaction() as tx:
        found = await customers.find_alias(tx, "checkout_session", session.session_id)
        if found is not None and found[1].startswith("pay_"):
            await customers.add_alias(tx, "payment_intent", reading.intent_id, *found)
            return found
    return None


async def _checkout(till: Till, session_id: str) -> tuple[str, str]:
    async with till.database.transaction() as tx:
        found = await customers.find_alias(tx, "checkout_session", session_id)
        if found is None:
            return "quarantined", "foreign session"
        customer_id, target = found
        payment = await topups.find_payment(tx, customer_id, target)
    if payment is None:
        await settle_setup(till, customer_id, target)
    else:
        await pay(till, customer_id, payment.top_up_id)
    return "done", target


async def _card_updated(till: Till, payment_method: str) -> tuple[str, str]:
    """The network renewed a card: expiry and number are kept up; another brand needs the customer's consent."""
    async with till.database.transaction() as tx:
        found = await customers.find_alias(tx, "payment_method", payment_method)
    if found is None:
        return "ignored", "unknown card"
    reading = _answered(await till.gateway.read_card(payment_method), payment_method)
    customer_id, card_id = found
    async with till.database.transaction() as tx:
        await customers.lock(tx, customer_id)
        await wallets.lock_wallet(tx, customer_id)
        before = await cards.get(tx, customer_id, card_id)
        if before.state == "detached":
            return "ignored", "card gone"
        after = await cards.renew(tx, before, reading)
        if after.brand != before.brand:
            await card_lost(tx, after, "card_changed", till.pace)
    return "done", card_id


async def _detached(till: Till, payment_method: str) -> tuple[str, str]:
    async with till.database.transaction() as tx:
        found = await customers.find_alias(tx, "payment_method", payment_method)
        if found is None:
            return "ignored", "unknown card"
        customer_id, card_id = found
        await customers.lock(tx, customer_id)
        await wallets.lock_wallet(tx, customer_id)
        card = await cards.get(tx, customer_id, card_id)
        if await cards.detach(tx, customer_id, card_id, "detached_at_stripe"):
            await emit(tx, Topic.CARD_REMOVED, customer_id, {"card_id": card_id, "last4": card.last4})
            await card_lost(tx, card, "card_removed", till.pace)
    return "done", card_id


_HANDLERS: tuple[tuple[str, Callable[[Till, str], Awaitable[tuple[str, str]]]], ...] = (
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
