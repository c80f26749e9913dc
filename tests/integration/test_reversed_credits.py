"""Money that goes back takes its own credit, names the loss, and takes its bonus in proportion."""

from decimal import Decimal

import pytest

from brimful import worker
from support.credits import DAY, grant, kinds, last_event, left, offer, paid, refund


@pytest.mark.flow
async def test_a_refund_takes_what_is_left_of_its_own_credit_and_names_the_loss(harness):
    customer_id, intent = await paid(harness)  # 9 of a correction, then 25 that were paid
    await harness.use(customer_id, "19", "used")  # all 9, and 10 of the 25
    assert await left(harness, customer_id) == {"gift-USD-12": 0, "top_up": 15}
    await grant(harness, customer_id, 40, "gift", reason="gift")
    await refund(harness, intent, 2000)
    assert (await last_event(harness, customer_id, "refund.recorded"))["loss"] == "5"
    assert await left(harness, customer_id) == {"gift": 35, "gift-USD-12": 0, "top_up": 0}


@pytest.mark.flow
async def test_a_bonus_comes_with_its_payment_and_goes_back_in_proportion(harness):
    await offer(harness, {"amount_from": "20", "percent": "10", "expires_after_days": 90})
    customer_id, intent = await paid(harness)
    assert await kinds(harness, customer_id) == [
        ("adjustment", 12), ("usage", -3), ("top_up", 25), ("bonus", Decimal("2.5")),
    ]  # fmt: skip
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["bonus_units"], top_up["balance_after"]) == ("2.5", "36.5")
    await harness.use(customer_id, "1", "a little")  # of the bonus: it burns first
    await refund(harness, intent, 1000)
    assert (await kinds(harness, customer_id))[-2:] == [("refund", -10), ("bonus", -1)]
    assert (await last_event(harness, customer_id, "refund.recorded"))["loss"] == "0"
    await refund(harness, intent, 1500)
    assert (await kinds(harness, customer_id))[-2:] == [("refund", -15), ("bonus", Decimal("-1.5"))]
    assert (await last_event(harness, customer_id, "refund.recorded"))["loss"] == "1"


async def test_a_bonus_returns_when_its_refund_fails(harness):
    await offer(harness, {"amount_from": "20", "percent": "10"})
    customer_id, intent = await paid(harness)
    refund_id = await refund(harness, intent, 2500)
    await harness.sandbox.post(f"/sandbox/refunds/{refund_id}/finish", json={"status": "failed"})
    await harness.events_applied()
    assert (await kinds(harness, customer_id))[-4:] == [
        ("refund", -25), ("bonus", Decimal("-2.5")), ("reinstatement", 25), ("bonus", Decimal("2.5")),
    ]  # fmt: skip


async def test_what_expired_of_a_bonus_is_not_taken_once_more(harness):
    await offer(harness, {"amount_from": "20", "percent": "10", "expires_after_days": 1})
    customer_id, intent = await paid(harness)
    harness.clock.offset += DAY
    await worker.periodic.post_due_credits(harness.engine)
    await refund(harness, intent, 2500)
    assert (await kinds(harness, customer_id))[-2:] == [("expiry", Decimal("-2.5")), ("refund", -25)]


async def test_a_bonus_that_was_away_when_it_expired_gets_its_days_again(harness):
    await offer(harness, {"amount_from": "20", "percent": "10", "expires_after_days": 1})
    customer_id, intent = await paid(harness)
    refund_id = await refund(harness, intent, 2500)
    harness.clock.offset += 2 * DAY
    await harness.sandbox.post(f"/sandbox/refunds/{refund_id}/finish", json={"status": "failed"})
    await harness.events_applied()
    assert (await kinds(harness, customer_id))[-1] == ("bonus", Decimal("2.5"))
    harness.clock.offset += DAY
    await worker.periodic.post_due_credits(harness.engine)
    assert (await kinds(harness, customer_id))[-1] == ("expiry", Decimal("-2.5"))


async def test_each_event_of_a_reversal_names_its_loss(harness):
    customer_id, intent = await paid(harness)
    await harness.use(customer_id, "19", "used")  # 10 of the 25
    dispute = (await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={})).json()
    await harness.events_applied()
    assert (await last_event(harness, customer_id, "dispute.opened"))["loss"] == "10"
    await harness.sandbox.post(f"/sandbox/disputes/{dispute['id']}/close", json={"won": False})
    await harness.events_applied()
    assert (await last_event(harness, customer_id, "dispute.closed"))["loss"] == "10"
