"""Acts of an operator, within the customer's limits. Each is audited, with what was and what is.

It can hurry a retry, ask the customer again, take back what merely waits, pause a rule, and close a question. It cannot
choose a card or turn a rule on: the role it runs under has no grant for that.
"""

import datetime as dt
from typing import Any

from brimful import audit, auto_topup, customers, jobs, paying, sessions, topups, wallets
from brimful.auto_topup import Pace
from brimful.db import Tx
from brimful.errors import Refused

__all__ = ["ask_again", "cancel", "look_again", "pause_rule", "resolve", "retry", "sign_out"]


async def retry(tx: Tx, customer_id: str, top_up_id: str, *, actor: str) -> None:
    """Try a top-up again now instead of later. All that is judged before any charge is judged again: rule, consent,
    card, its budget of declines, the month's limit.
    """
    top_up = await _held(tx, customer_id, top_up_id)
    if top_up.state != "retry_wait":
        raise Refused(
            "top_up_not_payable", f"It is {_words(top_up.state)}: only one that waits for a retry is hurried."
        )
    await tx.execute(
        "UPDATE top_ups SET wake_at = %s WHERE customer_id = %s AND top_up_id = %s AND state = 'retry_wait'",
        (await tx.now(), customer_id, top_up_id),
    )
    await jobs.defer(tx, jobs.Name.PAY, [{"customer_id": customer_id, "top_up_id": top_up_id}])
    await _note(tx, actor, "top_up.retried", top_up)


async def ask_again(tx: Tx, customer_id: str, top_up_id: str, *, actor: str) -> None:
    """Tell the customer, and the platform, once more that a payment waits for their confirmation."""
    top_up = await _held(tx, customer_id, top_up_id)
    if top_up.state != "action_required":
        raise Refused(
            "top_up_not_payable", f"It is {_words(top_up.state)}: there is nothing for the customer to confirm."
        )
    await paying.tell_action_required(tx, top_up)
    await _note(tx, actor, "top_up.asked_again", top_up)


# An operator who takes a top-up back does not want the next one in the same moment.
_REST = dt.timedelta(hours=1)


async def cancel(tx: Tx, customer_id: str, top_up_id: str, *, actor: str, pace: Pace) -> None:
    """Take back a top-up that merely waits. A payment that is open at Stripe is taken back first. An automatic rule
    rests until the top-up would have been tried again, an hour at least: a retry is not to be had by cancelling.
    """
    top_up = await _held(tx, customer_id, top_up_id)
    if top_up.state not in topups.WAITING_STATES:
        raise Refused("top_up_not_payable", f"It is {_words(top_up.state)}: only what merely waits can be taken back.")
    after = await topups.cancel_waiting(tx, top_up, "operator")
    if after.state == "canceled":
        await paying.tell_failed(tx, after)
    await _note(tx, actor, "top_up.canceled", top_up)
    if top_up.kind == "automatic":
        rested = await tx.now() + _REST
        until = rested if top_up.wake_at is None else max(rested, top_up.wake_at)
        await auto_topup.wait_until(tx, customer_id, top_up.asset, until)
    await auto_topup.rearm(tx, [(customer_id, top_up.asset)], pace)


# A live one is tried again now, and may fail as often as any other before somebody is asked once more.
_LOOKED = """
    UPDATE top_ups SET needs_review = false, failures = 0,
        wake_at = CASE WHEN ended_at IS NULL THEN %(now)s::timestamptz END
    WHERE customer_id = %(customer_id)s AND top_up_id = %(top_up_id)s
"""


async def resolve(tx: Tx, customer_id: str, top_up_id: str, *, actor: str, note: str) -> None:
    """Close the question whether somebody should look: somebody has."""
    top_up = await _held(tx, customer_id, top_up_id)
    if not top_up.needs_review:
        raise Refused("invalid_field", "Nobody is asked to look at this one.")
    if not note.strip():
        raise Refused("invalid_field", "Say what you found.", field="note")
    await tx.execute(_LOOKED, {"customer_id": customer_id, "top_up_id": top_up_id, "now": await tx.now()})
    if top_up.live:
        await jobs.defer(tx, jobs.Name.PAY, [{"customer_id": customer_id, "top_up_id": top_up_id}])
    await _note(tx, actor, "top_up.resolved", top_up, note=note.strip()[:500])


async def pause_rule(tx: Tx, customer_id: str, asset: str, *, actor: str, pace: Pace) -> None:
    """Let a rule rest until its customer turns it on again."""
    await wallets.lock(tx, [(customer_id, asset)])
    rule = await auto_topup.get_rule(tx, customer_id, asset)
    if rule is None or not rule.enabled or rule.pause_reason is not None:
        raise Refused("not_found", "This customer has no rule for this asset that is on.")
    await auto_topup.pause(tx, customer_id, asset, "operator")
    before, after = ({"asset": asset, "paused": paused} for paused in (None, "operator"))
    await audit.record(tx, actor=actor, action="rule.paused", customer_id=customer_id, before=before, after=after)
    await auto_topup.rearm(tx, [(customer_id, asset)], pace)


async def look_again(tx: Tx, customer_id: str, asset: str, *, actor: str, pace: Pace) -> None:
    """Judge an account anew, as the sweep would within the hour."""
    await auto_topup.judge_account(tx, customer_id, asset, pace)
    await audit.record(tx, actor=actor, action="account.judged", customer_id=customer_id, after={"asset": asset})


async def _held(tx: Tx, customer_id: str, top_up_id: str) -> topups.TopUp:
    """The top-up under its locks, account first."""
    seen = await topups.get(tx, customer_id, top_up_id)
    await wallets.lock(tx, [(customer_id, seen.asset)])
    return await topups.lock(tx, customer_id, top_up_id)


async def _note(tx: Tx, actor: str, action: str, top_up: topups.TopUp, **more: Any) -> None:
    before = {"top_up_id": top_up.top_up_id, "state": top_up.state, "reason": top_up.reason,
              "needs_review": top_up.needs_review}  # fmt: skip
    after = await topups.get(tx, top_up.customer_id, top_up.top_up_id)
    shown = {"state": after.state, "reason": after.reason, "needs_review": after.needs_review, **more}
    await audit.record(tx, actor=actor, action=action, customer_id=top_up.customer_id, before=before, after=shown)


def _words(state: str) -> str:
    return state.replace("_", " ")


async def sign_out(tx: Tx, customer_id: str, *, actor: str) -> int:
    """End what a customer has open in the portal, and every link that still opens something: one was stolen, or went to
    somebody else. Returns how many.
    """
    await customers.get(tx, customer_id)
    ended = await sessions.end_all(tx, customer_id)
    await audit.record(tx, actor=actor, action="customer.signed_out", customer_id=customer_id, after={"ended": ended})
    return ended
