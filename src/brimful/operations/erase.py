"""Erasure: a person's data goes, the books stay.

Personal data lies in customers, cards, evidence of consents, notes beside entries, and in events that were sent;
entries, payments and consents carry ids and figures alone, so that every invariant holds afterwards. Nothing is
charged any more: rules are turned off, what waits is taken back, cards are let go at Stripe. It needs the owner's
role.
"""

import dataclasses

from brimful import auto_top_up, customers, ledger, top_ups
from brimful.auth import audit
from brimful.auto_top_up.policy import Pace
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx

_NAME = "erased"


@dataclasses.dataclass(frozen=True)
class Erased:
    """What is left to do outside: cards to let go and pages to close at Stripe, by their ids there."""

    customer_id: CustomerId
    payment_methods: list[str]
    checkout_sessions: list[str]
    stripe_customer_id: str | None


_LIVE = "SELECT top_up_id, state FROM top_ups WHERE customer_id = %s AND ended_at IS NULL ORDER BY top_up_id"
_METHODS = "SELECT stripe_payment_method_id AS method FROM cards WHERE customer_id = %s ORDER BY card_id"
_PAGES = """
    SELECT stripe_session_id AS session FROM card_setups
    WHERE customer_id = %s AND purpose = 'setup' AND stripe_session_id IS NOT NULL AND state <> 'completed'
"""
_PAYMENTS = "SELECT payment_id FROM payments WHERE customer_id = %s ORDER BY payment_id"


async def erase(tx: Tx, customer_id: CustomerId, *, actor: str, pace: Pace) -> Erased:
    """Erase a customer. Safe to repeat, for as long as Stripe still has a card.

    Args:
        tx: under the owner's role.
        customer_id: whom.
        actor: who does it, for the audit trail.
        pace: how often an account may be topped up.

    Refuses while a payment is under way: its outcome must be known first.
    """
    one = await customers.lock(tx, customer_id)
    await ledger.accounts.lock_wallet(tx, customer_id)
    for row in await tx.all(_LIVE, (customer_id,)):
        if row["state"] not in top_ups.model.WAITING_STATES:
            raise Refused(
                "top_up_not_payable",
                f"{row['top_up_id']} is {row['state']}: a payment is under way. Erase when it has ended.",
            )
        top_up = await top_ups.store.lock(tx, customer_id, row["top_up_id"])
        await top_ups.request.cancel_waiting(tx, top_up, "erased")
    keys = await auto_top_up.rules.disable_all(tx, customer_id)
    await auto_top_up.evaluate.reevaluate(tx, keys, pace)
    methods = [row["method"] for row in await tx.all(_METHODS, (customer_id,))]
    pages = [row["session"] for row in await tx.all(_PAGES, (customer_id,))]
    # How often a card was declined counts for everybody who has it; whose payments those were is not kept.
    payments = [row["payment_id"] for row in await tx.all(_PAYMENTS, (customer_id,))]
    values = {
        "customer_id": customer_id, "name": _NAME, "now": await tx.now(),
        "payments": payments, "secret": ids.secret(),
    }  # fmt: skip
    for statement in _WIPE:
        await tx.execute(statement, values)
    await audit.record(tx, actor=actor, action="customer.erased", customer_id=customer_id)
    return Erased(customer_id, methods, pages, one.stripe_customer_id)


async def forget_answers(tx: Tx, customer_id: CustomerId) -> None:
    """Forget the kept answers that name an erased customer. Outside the erasure: it looks through all of them. What was
    begun before the erasure and written after it is wiped too.
    """
    for statement in _LATE:
        await tx.execute(statement, {"customer_id": customer_id})
    await tx.execute("DELETE FROM idempotency WHERE response::text LIKE %s", (f"%{customer_id}%",))


_LATE = (
    "UPDATE accounts SET erased = true WHERE customer_id = %(customer_id)s AND NOT erased",
    "DELETE FROM entry_notes WHERE customer_id = %(customer_id)s",
    "DELETE FROM usage_hours WHERE customer_id = %(customer_id)s",
    "DELETE FROM spend_days WHERE customer_id = %(customer_id)s",
    # What budgets are for is written by people, and is where they look for it.
    "DELETE FROM budget_counters WHERE customer_id = %(customer_id)s",
    "DELETE FROM budget_windows WHERE customer_id = %(customer_id)s",
    "DELETE FROM budgets WHERE customer_id = %(customer_id)s",
    "UPDATE accounts SET budgeted = false WHERE customer_id = %(customer_id)s AND budgeted",
    "DELETE FROM threshold_changes WHERE customer_id = %(customer_id)s",
    "UPDATE leases SET why = 'budget' WHERE customer_id = %(customer_id)s AND why LIKE 'budget:%%'",
    """
    UPDATE holds SET description = NULL, subject = NULL, dimensions = NULL, counted = NULL
    WHERE customer_id = %(customer_id)s
    """,
    "UPDATE scheduled_credits SET description = NULL, metadata = NULL WHERE customer_id = %(customer_id)s",
)
# Ids at Stripe stay: by them a late refund or dispute finds its payment.
_WIPE = (
    """
    UPDATE customers SET name = %(name)s, email = NULL, external_id = NULL, time_zone = 'UTC', metadata = '{}',
        external_accounts = '[]', locale = NULL, erased_at = coalesce(erased_at, %(now)s)
    WHERE customer_id = %(customer_id)s
    """,
    "DELETE FROM aliases WHERE kind = 'external_id' AND customer_id = %(customer_id)s",
    """
    UPDATE cards SET fingerprint = %(name)s, brand = 'unknown', last4 = '0000', exp_month = 1, exp_year = 2000,
        country = NULL, wallet = NULL, state = 'detached', state_reason = %(name)s, is_default = false
    WHERE customer_id = %(customer_id)s
    """,
    "DELETE FROM consent_evidence WHERE customer_id = %(customer_id)s",
    *_LATE,
    """
    UPDATE top_ups SET description = NULL, metadata = '{}', return_url = NULL, failure_url = NULL
    WHERE customer_id = %(customer_id)s
    """,
    "UPDATE payments SET redirect_url = NULL, receipt_url = NULL WHERE customer_id = %(customer_id)s",
    """
    UPDATE card_setups SET return_to = NULL, state = CASE WHEN state = 'open' THEN 'expired' ELSE state END,
        closed_at = coalesce(closed_at, %(now)s)
    WHERE customer_id = %(customer_id)s
    """,
    # A try that was to be made is given back, or the plastic would be busy for everybody who has it.
    "DELETE FROM card_tries WHERE state = 'open' AND payment_id = ANY(%(payments)s)",
    """
    UPDATE card_tries SET payment_id = 'erased_' || encode(sha256((%(secret)s || payment_id)::bytea), 'hex')
    WHERE payment_id = ANY(%(payments)s)
    """,
    "UPDATE emails SET address = NULL WHERE customer_id = %(customer_id)s",
    "DELETE FROM presets WHERE customer_id = %(customer_id)s",
    "DELETE FROM portal_sessions WHERE customer_id = %(customer_id)s",
    "DELETE FROM portal_links WHERE customer_id = %(customer_id)s",
    """
    UPDATE outgoing_events SET payload = jsonb_set(payload, '{data}',
        payload -> 'data' || '{"subject": null, "dimension": null, "name": null, "budget_id": "erased"}')
    WHERE customer_id = %(customer_id)s AND type LIKE 'budget.%%'
    """,
    """
    UPDATE outgoing_events SET payload = jsonb_set(payload, '{data,why}', '"budget"')
    WHERE customer_id = %(customer_id)s AND type LIKE 'lease.%%' AND payload -> 'data' ->> 'why' LIKE 'budget:%%'
    """,
    """
    UPDATE outgoing_events SET payload = jsonb_set(jsonb_set(payload, '{data,last4}', '"0000"', false),
        '{data,brand}', '"unknown"', false)
    WHERE customer_id = %(customer_id)s AND payload -> 'data' ?| ARRAY['last4', 'brand']
    """,
    """
    UPDATE audit SET before = before - ARRAY['last4', 'brand', 'email', 'name'],
        after = after - ARRAY['last4', 'brand', 'email', 'name', 'note', 'reason']
    WHERE customer_id = %(customer_id)s
    """,
)
