"""What was listed once can change later: read again until it is final, and never set back by a reading of before."""

from decimal import Decimal

import pytest

from brimful import operations, payments
from brimful.gateway.gateway import DisputeSnapshot, RefundSnapshot
from integration.test_reconcile import compare
from integration.test_reversals import paid
from support.harness import LEDGER_KEYS


async def days(harness, count):
    """That many days with their reconciliations, as the worker runs them."""
    for _ in range(count):
        await harness.pass_time(days=1)
        report = await compare(harness, hours=25)
    return report


async def test_a_dispute_that_is_won_after_sixty_days_is_seen_although_its_event_was_lost(harness):
    customer_id, intent = await paid(harness)
    dispute = (await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={})).json()
    await harness.events_applied()
    await days(harness, 60)
    await harness.switch(webhooks="off")
    await harness.sandbox.post(f"/sandbox/disputes/{dispute['id']}/close", json={"won": True})
    await days(harness, 1)
    assert await harness.balance(customer_id) == Decimal(34)
    [row] = await harness.sql("SELECT status, closed_at FROM disputes")
    assert (row["status"], row["closed_at"] is None) == ("won", False)


async def test_a_refund_that_fails_after_five_days_is_seen_although_its_event_was_lost(harness):
    customer_id, intent = await paid(harness)
    refund = (await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent, "amount": "1000"})).json()
    await harness.events_applied()
    await days(harness, 5)
    await harness.switch(webhooks="off")
    await harness.sandbox.post(f"/sandbox/refunds/{refund['id']}/finish", json={"status": "failed"})
    await days(harness, 1)
    assert await harness.balance(customer_id) == Decimal(34)


async def test_an_inquiry_that_becomes_a_dispute_is_seen_although_its_event_was_lost(harness):
    customer_id, intent = await paid(harness)
    asked = (await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={"inquiry": True})).json()
    await harness.events_applied()
    await days(harness, 9)
    await harness.switch(webhooks="off")
    await harness.sandbox.post(f"/sandbox/disputes/{asked['id']}/escalate")
    await days(harness, 1)
    assert await harness.balance(customer_id) == Decimal(9)
    findings = await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True)
    assert [finding for finding in findings if not finding.ok] == []


async def test_money_that_moved_without_a_change_of_status_is_seen(harness):
    """The dispute was read before its money had gone, and the event of that was lost."""
    customer_id, intent = await paid(harness)
    await harness.switch(webhooks="off")
    dispute = (await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={})).json()
    stored = harness.world.store.get("dispute", dispute["id"])
    harness.world.store.save("dispute", {**stored, "balance_transactions": []})
    await compare(harness)
    assert await harness.balance(customer_id) == Decimal(34)
    harness.world.store.save("dispute", stored)
    await days(harness, 1)
    assert await harness.balance(customer_id) == Decimal(9)


async def ours(harness, customer_id):
    [row] = await harness.sql("SELECT payment_id FROM payments WHERE state = 'succeeded'")
    async with harness.engine.database.transaction() as tx:
        return await payments.reversals.top_ups.store.find_payment(tx, customer_id, row["payment_id"])


@pytest.mark.parametrize(("later", "before"), [("won", "needs_response"), ("lost", "under_review"),
                                              ("under_review", "needs_response"),
                                              ("needs_response", "warning_needs_response")])  # fmt: skip
async def test_a_reading_of_before_does_not_set_a_dispute_back(harness, later, before):
    customer_id, intent = await paid(harness)
    payment, context = await ours(harness, customer_id), harness.engine.payments
    for status in (later, before):
        reading = DisputeSnapshot("du_1", intent, 2500, "USD", status, "fraudulent", withdrawn=False, reinstated=False)
        async with context.database.transaction() as tx:
            await payments.reversals.record_dispute(context, tx, payment, reading)
    assert [row["status"] for row in await harness.sql("SELECT status FROM disputes")] == [later]


async def test_a_reading_of_before_does_not_set_a_refund_back(harness):
    customer_id, intent = await paid(harness)
    refund = (await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent, "amount": "1000"})).json()
    await harness.events_applied()
    payment, context = await ours(harness, customer_id), harness.engine.payments
    reading = RefundSnapshot(refund["id"], intent, 1000, "USD", "pending", None, {})
    async with context.database.transaction() as tx:
        await payments.reversals.record_refund(context, tx, payment, reading)
    assert [row["state"] for row in await harness.sql("SELECT state FROM refunds")] == ["succeeded"]


async def test_a_poll_that_comes_after_a_refunds_end_asks_for_no_other(harness):
    customer_id, _ = await paid(harness)
    [top_up] = await harness.sql("SELECT top_up_id FROM top_ups")
    async with harness.engine.database.transaction() as tx:
        asked = await payments.reversals.request_refund(
            tx, customer_id, top_up["top_up_id"], amount_minor=500, actor="test"
        )
    await harness.work()
    await harness.events_applied()
    async with harness.engine.database.transaction() as tx:
        await payments.refunds.poll_later(tx, asked)
    [row] = await harness.sql("SELECT state, wake_at, polls FROM refunds")
    assert (row["state"], row["wake_at"]) == ("succeeded", None)


# --- money that left twice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["du", "dp"])
@pytest.mark.parametrize(("disputed", "most"), [(2500, None), (1000, "15.00 USD")])
async def test_what_a_dispute_holds_cannot_be_refunded_as_well(harness, prefix, disputed, most):
    customer_id, intent = await paid(harness)
    how = {"amount": disputed, "prefix": prefix}
    dispute = (await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json=how)).json()
    await harness.events_applied()
    [top_up] = await harness.sql("SELECT top_up_id FROM top_ups")

    async def refund(amount_minor):
        async with harness.engine.database.transaction() as tx:
            return await payments.reversals.request_refund(
                tx, customer_id, top_up["top_up_id"], amount_minor=amount_minor, actor="test"
            )

    with pytest.raises(payments.reversals.Refused, match=f"At most {most or '0.00 USD'}") as refused:
        await refund(2500 - disputed + 1)
    assert refused.value.code == "not_refundable"
    await harness.sandbox.post(f"/sandbox/disputes/{dispute['id']}/close", json={"won": True})
    await harness.events_applied()
    await refund(2500)
    await harness.work()
    await harness.events_applied()
    assert (await harness.books())["refunded"] == {"USD": 2500}
