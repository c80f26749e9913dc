"""Actions of an operator, within the customer's limits. Each is audited, with before and after.

They retry now, ask the customer again, cancel what only waits, pause a rule, and close a review. They cannot
choose a card or turn a rule on: the role they run under has no grant for that.
"""

import datetime as dt
from typing import Any

from brimful import auto_top_up, customers, ledger, payments, top_ups
from brimful.auth import audit, portal_sessions
from brimful.auto_top_up.policy import Pace
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx


async def retry(tx: Tx, customer_id: CustomerId, top_up_id: str, *, actor: str) -> None:
    """Retry a top-up now instead of later. Everything that decides about a charge is evaluated again: rule, consent,
    card, its budget of declines, the month's limit.
    """
    top_up = await _held(tx, customer_id, top_up_id)
    if top_up.state != "retry_wait":
        raise Refused(
            "top_up_not_payable", f"It is {_words(top_up.state)}: only one that waits for a retry is hurried."
        )
    await top_ups.store.retry_now(tx, top_up)
    await _note(tx, actor, "top_up.retried", top_up)


async def resend_confirmation(tx: Tx, customer_id: CustomerId, top_up_id: str, *, actor: str) -> None:
    """Notify the customer, and the platform, once more that a payment waits for their confirmation."""
    top_up = await _held(tx, customer_id, top_up_id)
    if top_up.state != "action_required":
        raise Refused(
            "top_up_not_payable", f"It is {_words(top_up.state)}: there is nothing for the customer to confirm."
        )
    await payments.settle.announce_action_required(tx, top_up)
    await _note(tx, actor, "top_up.asked_again", top_up)


# An operator who cancels a top-up does not want the next one in the same moment.
_REST = dt.timedelta(hours=1)


async def cancel(tx: Tx, customer_id: CustomerId, top_up_id: str, *, actor: str, pace: Pace) -> None:
    """Cancel a top-up that only waits. A payment that is open at Stripe is canceled first. An automatic rule
    waits until the top-up would have been retried, an hour at least: canceling is no way to a retry.
    """
    top_up = await _held(tx, customer_id, top_up_id)
    if top_up.state not in top_ups.model.WAITING_STATES:
        raise Refused("top_up_not_payable", f"It is {_words(top_up.state)}: only a top-up that waits can be canceled.")
    after = await top_ups.request.cancel_waiting(tx, top_up, "operator")
    if after.state == "canceled":
        await payments.settle.announce_failed(tx, after)
    await _note(tx, actor, "top_up.canceled", top_up)
    if top_up.kind == "automatic":
        rested = await tx.now() + _REST
        until = rested if top_up.wake_at is None else max(rested, top_up.wake_at)
        await auto_top_up.pauses.set_not_before(tx, customer_id, top_up.asset, until)
    await auto_top_up.evaluate.reevaluate(tx, [(customer_id, top_up.asset)], pace)


async def resolve(tx: Tx, customer_id: CustomerId, top_up_id: str, *, actor: str, note: str) -> None:
    """Close the review of a top-up, with a note."""
    top_up = await _held(tx, customer_id, top_up_id)
    if not top_up.needs_review:
        raise Refused("invalid_field", "This top-up needs no review.")
    if not note.strip():
        raise Refused("invalid_field", "Say what you found.", field="note")
    await top_ups.review.close_review(tx, top_up)
    await _note(tx, actor, "top_up.resolved", top_up, note=note.strip()[:500])


async def pause_rule(tx: Tx, customer_id: CustomerId, asset: str, *, actor: str, pace: Pace) -> None:
    """Pause a rule until its customer turns it on again."""
    await ledger.accounts.lock(tx, [(customer_id, asset)])
    rule = await auto_top_up.rules.get_rule(tx, customer_id, asset)
    if rule is None or not rule.enabled or rule.pause_reason is not None:
        raise Refused("not_found", "This customer has no rule for this asset that is on.")
    await auto_top_up.pauses.pause(tx, customer_id, asset, "operator")
    before, after = ({"asset": asset, "paused": paused} for paused in (None, "operator"))
    await audit.record(tx, actor=actor, action="rule.paused", customer_id=customer_id, before=before, after=after)
    await auto_top_up.evaluate.reevaluate(tx, [(customer_id, asset)], pace)


async def check_event(tx: Tx, customer_id: CustomerId, asset: str, *, actor: str, pace: Pace) -> None:
    """Evaluate an account again, as the sweep would within the hour."""
    await auto_top_up.evaluate.evaluate_account(tx, customer_id, asset, pace)
    await audit.record(tx, actor=actor, action="account.evaluated", customer_id=customer_id, after={"asset": asset})


async def _held(tx: Tx, customer_id: CustomerId, top_up_id: str) -> top_ups.model.TopUp:
    """The top-up under its locks, account first."""
    seen = await top_ups.store.get(tx, customer_id, top_up_id)
    await ledger.accounts.lock(tx, [(customer_id, seen.asset)])
    return await top_ups.store.lock(tx, customer_id, top_up_id)


async def _note(tx: Tx, actor: str, action: str, top_up: top_ups.model.TopUp, **more: Any) -> None:
    before = {"top_up_id": top_up.top_up_id, "state": top_up.state, "reason": top_up.reason,
              "needs_review": top_up.needs_review}  # fmt: skip
    after = await top_ups.store.get(tx, top_up.customer_id, top_up.top_up_id)
    shown = {"state": after.state, "reason": after.reason, "needs_review": after.needs_review, **more}
    await audit.record(tx, actor=actor, action=action, customer_id=top_up.customer_id, before=before, after=shown)


def _words(state: str) -> str:
    return state.replace("_", " ")


async def sign_out(tx: Tx, customer_id: CustomerId, *, actor: str) -> int:
    """End a customer's portal sessions and every link that is still valid: one was stolen, or went to
    somebody else. Returns how many.
    """
    await customers.get(tx, customer_id)
    ended = await portal_sessions.end_all(tx, customer_id)
    await audit.record(tx, actor=actor, action="customer.signed_out", customer_id=customer_id, after={"ended": ended})
    return ended
