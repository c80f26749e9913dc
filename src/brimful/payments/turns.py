"""Turns: each thing is worked on for so long, and what fails by our fault is set aside, so that others have theirs."""

import asyncio
import logging
from collections.abc import Awaitable

import psycopg
import psycopg_pool

from brimful import top_ups
from brimful.core.ids import CustomerId
from brimful.payments import advance, stripe_events
from brimful.payments.context import PaymentContext

_log = logging.getLogger(__name__)
_TURN_S = 240  # for one top-up, refund, card or event; a call has a deadline of its own, and a turn has several
# Not the fault of what is worked on: the job is tried again.
_OUTSIDE = (psycopg.OperationalError, psycopg_pool.PoolTimeout, ConnectionError, asyncio.CancelledError)


async def within(work: Awaitable[None]) -> None:
    """Let one thing be worked on for so long, and others have their turn. What was begun is found again in our rows.

    Raises:
        ConnectionError: it took too long.
    """
    try:
        async with asyncio.timeout(_TURN_S):
            await work
    except TimeoutError as error:
        raise ConnectionError(f"not done within {_TURN_S} s; again later") from error


async def pay(context: PaymentContext, customer_id: CustomerId, top_up_id: str) -> None:
    """Work on a top-up; an error of ours is counted on it, and after a few it waits for a person. Others go on."""
    try:
        await within(advance.advance(context, customer_id, top_up_id, only_if_due=True))
    except _OUTSIDE:
        raise
    except Exception as error:  # noqa: BLE001 - any error is counted
        _log.exception("top-up %s cannot be worked on", top_up_id)
        async with context.database.transaction() as tx:
            if await top_ups.review.note_failure(tx, customer_id, top_up_id):
                _log.critical("ALARM top-up %s needs a person: %r", top_up_id, error)


async def apply_event(context: PaymentContext, event_id: str) -> None:
    """Apply an event; the same care."""
    try:
        await within(stripe_events.process(context, event_id))
    except _OUTSIDE:
        raise
    except Exception as error:  # noqa: BLE001 - the same
        _log.exception("event %s cannot be applied", event_id)
        async with context.database.transaction() as tx:
            await stripe_events.note_failure(tx, event_id, repr(error))
