"""The Stripe inbox: verify, store once, answer at once; then, as a job, read the object and apply its state.

Events come at least once, in any order, late or never. An event is a hint of what to read, nothing more.
"""

import datetime as dt
import logging
from collections.abc import Sequence

from brimful import cards, customers, jobs, topups, wallets
from brimful.auto_topup import card_lost
from brimful.db import Database, Tx
from brimful.events import Topic, emit
from brimful.paying import Till, pay, settle, settle_setup
from brimful.payments import Failure, IntentReading
from brimful.payments.stripe import verify_event

__all__ = ["process", "receive", "waiting"]

_log = logging.getLogger(__name__)

_INSERT = """
    INSERT INTO stripe_events (event_id, type, object_id, livemode, created_at, received_at, state)
    VALUES (%s, %s, %s, %s, %s, %s, 'received')
    ON CONFLICT (event_id) DO NOTHING
"""


async def receive(database: Database, payload: bytes, signature: str | None, secrets: Sequence[str]) -> bool:
    """Store a signed event and its job, once. False when the signature, the age or the form is wrong."""
    event = verify_event(payload, signature, secrets)
    if event is None:
        return False
    async with database.transaction() as tx:
        values = (event.event_id, event.type, event.object_id, event.livemode, event.created, await tx.now())
        if await tx.execute(_INSERT, values):
            await jobs.defer(tx, jobs.Name.STRIPE_EVENT, [{"event_id": event.event_id}])
    return True


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


async def _dispatch(till: Till, event_type: str, object_id: str) -> tuple[str, str]:
    if event_type.startswith("payment_intent."):
        return await _intent(till, object_id)
    if event_type.startswith("checkout.session."):
        return await _checkout(till, object_id)
    if event_type == "payment_method.detached":
        return await _detached(till, object_id)
    return "ignored", event_type


async def _intent(till: Till, intent_id: str) -> tuple[str, str]:
    reading = await till.gateway.read_intent(intent_id)
    if not isinstance(reading, IntentReading):
        raise ConnectionError(f"{intent_id} cannot be read: {reading.message}")  # the job is tried again
    async with till.database.transaction() as tx:
        found = await customers.find_alias(tx, "payment_intent", intent_id)
    if found is None:
        found = await _by_checkout(till, reading)
    if found is None:
        if "payment_id" in reading.metadata:
            return "ignored", "not open here"
        _log.warning("PaymentIntent %s is not ours", intent_id)
        return "quarantined", "foreign payment"
    customer_id, payment_id = found
    async with till.database.transaction() as tx:
        payment = await topups.find_payment(tx, customer_id, payment_id)
        assert payment is not None
        await settle(till, tx, payment, reading)
    await pay(till, customer_id, payment.top_up_id)
    return "done", reading.status


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
