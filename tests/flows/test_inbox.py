"""Events coming in: signed, told twice, out of order, late, of another mode, about another's payment."""

import asyncio
import dataclasses
import hashlib
import hmac
import json
import time
from decimal import Decimal

import pytest

from brimful import paying, topups
from brimful.payments.stripe import verify_event
from support.house import WEBHOOK_SECRET


def event(**more):
    body = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "created": int(time.time()),
            "livemode": False, "data": {"object": {"id": "pi_1", "object": "payment_intent"}}, **more}  # fmt: skip
    return json.dumps(body).encode()


def signed(payload, *, secret=WEBHOOK_SECRET, at=None):
    stamp = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def test_an_event_with_any_byte_changed_is_refused():
    """F12."""
    payload = event()
    header = signed(payload)
    assert verify_event(payload, header, [WEBHOOK_SECRET]) is not None
    for place in range(len(payload)):
        changed = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
        assert verify_event(changed, header, [WEBHOOK_SECRET]) is None


def test_an_event_from_the_future_or_the_past_is_refused():
    """F12: the SDK itself accepts the future."""
    payload = event()
    for at in (int(time.time()) + 400, int(time.time()) - 400):
        assert verify_event(payload, signed(payload, at=at), [WEBHOOK_SECRET]) is None
    assert verify_event(payload, signed(payload, at=int(time.time()) + 200), [WEBHOOK_SECRET]) is not None


def test_two_secrets_live_during_rotation():
    """F38."""
    payload = event()
    for secret in ("whsec_old", "whsec_new"):
        assert verify_event(payload, signed(payload, secret=secret), ["whsec_new", "whsec_old"]) is not None
    assert verify_event(payload, signed(payload, secret="whsec_gone"), ["whsec_new", "whsec_old"]) is None


async def test_a_hundred_copies_of_one_event_are_one_job(house):
    """F9, F13."""
    payload = event()
    headers = {"Stripe-Signature": signed(payload)}
    answers = await asyncio.gather(
        *(house.api.post("/v1/stripe/webhooks", content=payload, headers=headers) for _ in range(100))
    )
    assert {answer.status_code for answer in answers} == {200}
    [jobs] = await house.sql("SELECT count(*) AS n FROM procrastinate_jobs WHERE task_name = 'stripe_event'")
    assert jobs["n"] == 1


async def test_an_event_of_the_wrong_mode_is_quarantined(house):
    """F14."""
    payload = event(livemode=True)
    await house.api.post("/v1/stripe/webhooks", content=payload, headers={"Stripe-Signature": signed(payload)})
    await house.work()
    [row] = await house.sql("SELECT state, outcome FROM stripe_events")
    assert (row["state"], row["outcome"]) == ("quarantined", "wrong mode")


@pytest.mark.parametrize("mode", ["forged", "reordered", "late"])
async def test_forged_reordered_and_late_events_change_nothing_but_the_time(house, mode):
    """F10, F11, F12."""
    await house.switch(webhooks=mode, **({"seconds": 0.5} if mode == "late" else {}))
    customer_id, _ = await house.crossed()
    await house.work()
    await house.events_applied()
    assert await house.balance(customer_id) == Decimal(34)
    assert await house.charged() == 2500


WRONG = [{"received_minor": 2499}, {"currency": "EUR"}, {"livemode": True}, {"amount_minor": 1},
         {"metadata": {"payment_id": "pay_other"}}, {"intent_id": "pi_other"}]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_payment_of_another_amount_currency_or_mode_is_not_credited(house, wrong):
    """F14."""
    await house.switch(call="payment_intents.confirm", fault="processing")
    customer_id, _ = await house.crossed()
    await house.work()
    [row] = await house.sql("SELECT payment_id, stripe_intent_id FROM payments")
    await house.sandbox.post(f"/sandbox/payment_intents/{row['stripe_intent_id']}/finish")
    till = house.engine.till
    true = await till.gateway.read_intent(row["stripe_intent_id"])
    async with till.database.transaction() as tx:
        payment = await topups.find_payment(tx, customer_id, row["payment_id"])
        await paying.settle(till, tx, payment, dataclasses.replace(true, **wrong))
    assert await house.balance(customer_id) == Decimal(9)
    await house.pass_time(minutes=5)
    assert await house.balance(customer_id) == Decimal(34)  # read as it is, it is credited
