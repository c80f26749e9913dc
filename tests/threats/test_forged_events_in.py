"""Events coming in: signed, told twice, out of order, late, of another mode, about another's payment."""

import asyncio
import dataclasses
import time
from decimal import Decimal

import pytest

from brimful import payments, top_ups
from brimful.gateway.stripe import adapter
from support.harness import WEBHOOK_SECRET
from support.stripe_events import event, signed


def test_an_event_with_any_byte_changed_is_refused():
    """F12."""
    payload = event()
    header = signed(payload)
    assert adapter.signed(payload, header, [WEBHOOK_SECRET])
    for place in range(len(payload)):
        changed = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
        assert not adapter.signed(changed, header, [WEBHOOK_SECRET])


NO_EVENTS = (
    {"id": ["x"]}, {"id": "\x00"}, {"id": "\ud800"}, {"id": "x" * 300}, {"type": None}, {"type": "a b"},
    {"created": 10**30}, {"created": "now"}, {"data": None}, {"data": {"object": []}},
    {"data": {"object": {"id": "\x00"}}}, {"data": {"object": {"id": {"id": "\n"}}}},
)  # fmt: skip


async def test_an_event_that_is_signed_and_no_event_is_taken_and_forgotten(harness):
    """400 is for signatures: Stripe would send it again for three days."""
    for fields in NO_EVENTS:
        payload = event(**fields)
        answer = await harness.api.post(
            "/v1/stripe/webhooks", content=payload, headers={"Stripe-Signature": signed(payload)}
        )
        assert answer.status_code == 200, fields
    assert await harness.sql("SELECT 1 FROM stripe_events") == []


async def test_a_body_that_is_signed_and_no_json_is_taken_and_forgotten(harness):
    for payload in (b"[" * 100_000, b'{"created":1e999}', b'{"id":"evt_1","created":1e999}'):
        headers = {"Stripe-Signature": signed(payload)}
        assert (await harness.api.post("/v1/stripe/webhooks", content=payload, headers=headers)).status_code == 200
    assert await harness.sql("SELECT 1 FROM stripe_events") == []
    no_text = {"Stripe-Signature": signed(b"\xff")}  # nothing that Stripe signs
    assert (await harness.api.post("/v1/stripe/webhooks", content=b"\xff", headers=no_text)).status_code == 400
    headers = {"Stripe-Signature": signed(b"{}").encode() + b"\xe9"}
    assert (await harness.api.post("/v1/stripe/webhooks", content=b"{}", headers=headers)).status_code == 400


def test_an_event_from_the_future_or_the_past_is_refused():
    """F12: the SDK itself accepts the future."""
    payload = event()
    for at in (int(time.time()) + 400, int(time.time()) - 400):
        assert not adapter.signed(payload, signed(payload, at=at), [WEBHOOK_SECRET])
    assert adapter.signed(payload, signed(payload, at=int(time.time()) + 200), [WEBHOOK_SECRET])


def test_two_secrets_live_during_rotation():
    """F38."""
    payload = event()
    for secret in ("whsec_old", "whsec_new"):
        assert adapter.signed(payload, signed(payload, secret=secret), ["whsec_new", "whsec_old"])
    assert not adapter.signed(payload, signed(payload, secret="whsec_gone"), ["whsec_new", "whsec_old"])


async def test_a_hundred_copies_of_one_event_are_one_job(harness):
    """F9, F13."""
    payload = event()
    headers = {"Stripe-Signature": signed(payload)}
    answers = await asyncio.gather(
        *(harness.api.post("/v1/stripe/webhooks", content=payload, headers=headers) for _ in range(100))
    )
    assert {answer.status_code for answer in answers} == {200}
    [jobs] = await harness.sql("SELECT count(*) AS n FROM procrastinate_jobs WHERE task_name = 'stripe_event'")
    assert jobs["n"] == 1


async def test_an_event_of_the_wrong_mode_is_quarantined(harness):
    """F14."""
    [row] = await harness.sql("SELECT key FROM installation_key")
    ours = {"id": "pi_1", "object": "payment_intent", "metadata": {"installation": row["key"]}}
    payload = event(livemode=True, data={"object": ours})
    await harness.api.post("/v1/stripe/webhooks", content=payload, headers={"Stripe-Signature": signed(payload)})
    await harness.work()
    [row] = await harness.sql("SELECT state, outcome FROM stripe_events")
    assert (row["state"], row["outcome"]) == ("quarantined", "wrong mode")


@pytest.mark.parametrize("mode", ["forged", "reordered", "late"])
async def test_forged_reordered_and_late_events_change_nothing_but_the_time(harness, mode):
    """F10, F11, F12."""
    await harness.switch(webhooks=mode, **({"seconds": 0.5} if mode == "late" else {}))
    customer_id, _ = await harness.crossed()
    await harness.work()
    await harness.events_applied()
    assert await harness.balance(customer_id) == Decimal(34)
    assert await harness.charged() == 2500


WRONG = [{"received_minor": 2499}, {"currency": "EUR"}, {"livemode": True}, {"amount_minor": 1},
         {"intent_id": "pi_other"}]  # fmt: skip


async def test_a_payment_of_another_amount_currency_or_mode_is_not_credited(harness):
    """F14."""
    await harness.switch(call="payment_intents.confirm", fault="processing")
    customer_id, _ = await harness.crossed()
    await harness.work()
    [row] = await harness.sql("SELECT payment_id, stripe_intent_id FROM payments")
    await harness.sandbox.post(f"/sandbox/payment_intents/{row['stripe_intent_id']}/finish")
    context = harness.engine.payments
    true = await context.gateway.read_intent(row["stripe_intent_id"])
    for wrong in WRONG:
        async with context.database.transaction() as tx:
            payment = await top_ups.store.find_payment(tx, customer_id, row["payment_id"])
            await payments.settle.settle(context, tx, payment, dataclasses.replace(true, **wrong))
        assert await harness.balance(customer_id) == Decimal(9), wrong
    await harness.pass_time(minutes=5)
    assert await harness.balance(customer_id) == Decimal(34)  # read as it is, it is credited
