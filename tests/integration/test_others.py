"""Others on the same account: theirs is never read, booked, canceled or counted; ours is known by its id."""

import json
from decimal import Decimal

import pytest

from brimful import operations, payments, suspensions
from integration.test_reconcile import compare
from support.harness import LEDGER_KEYS
from support.stripe_events import signed

LIKE_OURS = {"payment_id": "pay_theirs", "customer_id": "cus_theirs", "top_up_id": "top_theirs"}


async def foreign(harness, kind, metadata=None):
    answer = await harness.sandbox.post("/sandbox/foreign", json={"kind": kind, "metadata": metadata or {}})
    return answer.raise_for_status().json()


async def deliver(harness, body):
    """An event as Stripe signs it."""
    payload = json.dumps(body).encode()
    headers = {"Stripe-Signature": signed(payload), "Content-Type": "application/json"}
    return await harness.api.post("/v1/stripe/webhooks", content=payload, headers=headers)


async def told(harness):
    """Every event that the sandbox has to tell was taken."""

    async def done():
        return all(delivery["done"] for delivery in harness.world.store.newest("delivery"))

    await harness.until(done)


@pytest.mark.parametrize("metadata", [{}, LIKE_OURS, {**LIKE_OURS, "installation": "ins_of_another_database"}])
async def test_reconciliation_leaves_the_payments_of_others_alone(harness, metadata):
    customer_id, _ = await harness.funded(balance=12)
    names = {**metadata, **({"customer_id": customer_id} if metadata else {})}  # even one who is known here
    open_one = await foreign(harness, "open_payment", names)
    await foreign(harness, "payment", names)
    for kind in ("refund", "dispute", "warning", "card"):
        await foreign(harness, kind, names)
    async with harness.engine.database.transaction() as tx:
        await suspensions.store.suspend(tx, "restore", "test", actor="test")
    report = await compare(harness)
    assert (report.repaired, report.differences) == ([], [])
    assert report.foreign == 7
    assert await harness.sql("SELECT 1 FROM suspensions") == []  # a paid one of somebody else's holds nothing up
    still = (await harness.sandbox.get(f"/v1/payment_intents/{open_one['id']}")).json()
    assert still["status"] == "requires_confirmation"


async def test_events_about_others_are_taken_and_forgotten_without_a_call(harness):
    await harness.customer()
    for kind in ("payment", "open_payment", "refund", "dispute", "warning", "card"):
        await foreign(harness, kind, LIKE_OURS)
    began = harness.world.calls
    await told(harness)
    for _ in range(7):
        await harness.pass_time(minutes=1)
    assert {row["state"] for row in await harness.sql("SELECT state FROM stripe_events")} == {"ignored"}
    assert harness.world.calls == began
    assert all(finding.ok for finding in await operations.verify.run(harness.database_url, LEDGER_KEYS))


@pytest.mark.parametrize("body", [
    {"id": "evt_coupon", "object": "event", "type": "coupon.created", "livemode": False, "created": 1,
     "data": {"object": {"id": "25% off, für Ada", "object": "coupon"}}},
    {"id": "evt_price", "object": "event", "type": "price.created", "livemode": False, "created": 1,
     "data": {"object": {"id": "my price/1", "object": "price"}}},
    {"id": "evt_thin", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
     "livemode": False, "created": "2026-11-01T00:00:00.000Z",
     "related_object": {"id": "mtr_1", "type": "billing.meter"}},
    {"id": "evt_charge", "object": "event", "type": "charge.refunded", "livemode": False, "created": 1,
     "data": {"object": {"id": "ch_1", "object": "charge", "payment_intent": None}}},
    {"hello": "world"}, ["a", "list"],
])  # fmt: skip
async def test_a_signed_event_that_is_of_no_use_is_taken(harness, body):
    """400 is for signatures: anything else is sent again for three days."""
    assert (await deliver(harness, body)).status_code == 200
    assert await harness.sql("SELECT 1 FROM stripe_events") == []


async def test_an_event_about_something_that_is_gone_is_set_aside_with_one_alarm(harness, caplog):
    ours = (await harness.sql("SELECT key FROM installation_key"))[0]["key"]
    gone = {"id": "pi_gone", "object": "payment_intent", "metadata": {"installation": ours}}
    body = {"id": "evt_gone", "object": "event", "type": "payment_intent.succeeded", "livemode": False, "created": 1,
            "data": {"object": gone}}  # fmt: skip
    assert (await deliver(harness, body)).status_code == 200
    began = harness.world.calls
    for _ in range(20):
        await harness.pass_time(minutes=2)
    [event] = await harness.sql("SELECT state, outcome FROM stripe_events")
    assert event["state"] == "quarantined"
    assert "is not there" in event["outcome"]
    assert harness.world.calls - began <= 6
    assert sum("ALARM event evt_gone" in record.message for record in caplog.records) == 1


async def test_a_payment_whose_metadata_somebody_replaced_is_credited(harness):
    """Somebody tidied up in the dashboard while the payment was on its way."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.confirm", fault="drop_after")
    await harness.switch(call="payment_intents.retrieve", fault="error_before", times=3)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    [intent] = harness.world.store.newest("payment_intent")
    harness.world.store.save("payment_intent", {**intent, "metadata": {"note": "tidied up"}})
    for _ in range(4):
        await harness.pass_time(minutes=3)
    assert await harness.balance(customer_id) == Decimal(34)


@pytest.mark.tampers
async def test_a_payment_that_took_another_amount_goes_to_review(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.confirm", fault="drop_after")
    await harness.switch(call="payment_intents.retrieve", fault="error_before", times=3)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    [intent] = harness.world.store.newest("payment_intent")
    harness.world.store.save("payment_intent", {**intent, "amount": 2600, "amount_received": 2600})
    await harness.pass_time(minutes=3)
    assert await harness.balance(customer_id) == Decimal(9)
    assert [row["needs_review"] for row in await harness.sql("SELECT needs_review FROM top_ups")] == [True]


async def test_everything_that_we_make_names_this_installation(harness):
    customer_id, _ = await harness.crossed()
    await harness.work()
    [row] = await harness.sql("SELECT key FROM installation_key")
    [top_up] = await harness.sql("SELECT top_up_id FROM top_ups")
    async with harness.engine.database.transaction() as tx:
        await payments.reversals.request_refund(tx, customer_id, top_up["top_up_id"], amount_minor=500, actor="test")
    await harness.work()
    for kind in ("customer", "payment_intent", "checkout_session", "setup_intent", "refund"):
        found = list(harness.world.store.newest(kind))
        assert found
        assert {item["metadata"].get("installation") for item in found} == {row["key"]}, kind
