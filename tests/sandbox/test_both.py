"""One contract for the sandbox and for Stripe itself: what the money core relies on.

Against Stripe it runs with `BRIMFUL_LIVE_STRIPE_KEY=sk_test_...` (a key of a Stripe sandbox); without one that half is
skipped, and nothing in this project was run against live Stripe.
"""

import os
import secrets

import httpx
import pytest

from brimful.gateway.declines import DeclineKind, classify
from brimful.gateway.gateway import Failure, FailureKind, PaymentRequest
from brimful.gateway.stripe.adapter import StripeGateway
from support.harness import STRIPE_KEY

LIVE_KEY = os.environ.get("BRIMFUL_LIVE_STRIPE_KEY", "")


class Provider:
    """A gateway with a customer, and a way to save a test card."""

    def __init__(self, url, key):
        self.url, self.key = url, key
        self.gateway = StripeGateway(key, url=url)

    async def opened(self):
        self.customer = await self.gateway.create_customer(
            key=secrets.token_hex(8), name="Contract", email=None, metadata={"customer_id": "cus_contract"}
        )
        return self

    async def save(self, method):
        headers = {"Authorization": f"Bearer {self.key}"}
        base = self.url or "https://api.stripe.com"
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
            answer = await client.post(f"/v1/payment_methods/{method}/attach", data={"customer": self.customer})
        return answer.raise_for_status().json()["id"]

    async def create(self, method, key=None):
        names = {"payment_id": "pay_contract"}
        request = PaymentRequest(key or secrets.token_hex(8), self.customer, method, 2500, "USD", "Contract", names)
        return await self.gateway.create_intent(request)

    async def confirm(self, intent, method, key=None):
        return await self.gateway.confirm_intent(
            intent.intent_id, key=key or secrets.token_hex(8), payment_method=method, return_url=None
        )


@pytest.fixture(params=["sandbox", "stripe"])
async def provider(request, harness):
    if request.param == "sandbox":
        opened = Provider(str(harness.sandbox.base_url).rstrip("/"), STRIPE_KEY)
    elif LIVE_KEY:
        assert LIVE_KEY.startswith("sk_test_"), "only ever with a test key"
        opened = Provider(None, LIVE_KEY)
    else:
        pytest.skip("BRIMFUL_LIVE_STRIPE_KEY is not set")
    yield await opened.opened()
    await opened.gateway.close()


async def test_two_steps_take_the_money_once(provider):
    method = await provider.save("pm_card_visa")
    made = await provider.create(method, key := secrets.token_hex(8))
    assert (made.status, made.received_minor) == ("requires_confirmation", 0)
    assert (await provider.create(method, key)).intent_id == made.intent_id
    paid = await provider.confirm(made, method, key := secrets.token_hex(8))
    assert (paid.status, paid.received_minor, paid.currency) == ("succeeded", 2500, "USD")
    assert (await provider.confirm(made, method, key)).status == "succeeded"
    assert (await provider.gateway.read_intent(made.intent_id)).metadata["payment_id"] == "pay_contract"
    canceled = await provider.gateway.cancel_intent(made.intent_id)
    assert isinstance(canceled, Failure)
    assert (canceled.kind, canceled.code) == (FailureKind.REFUSED, "payment_intent_unexpected_state")


async def test_a_decline_is_an_answer_and_leaves_it_confirmable_until_canceled(provider):
    method = await provider.save("pm_card_chargeCustomerFail")
    made = await provider.create(method)
    declined = await provider.confirm(made, method)
    assert declined.status == "requires_payment_method"
    assert classify(declined.decline) is DeclineKind.SOFT
    assert (await provider.gateway.cancel_intent(made.intent_id)).status == "canceled"


async def test_authentication_off_session_is_a_decline_that_asks_for_the_customer(provider):
    method = await provider.save("pm_card_authenticationRequired")
    made = await provider.create(method)
    declined = await provider.confirm(made, method)
    assert classify(declined.decline) is DeclineKind.AUTHENTICATE
    present = await provider.gateway.confirm_intent(
        made.intent_id, key=secrets.token_hex(8), payment_method=method, return_url="https://example.com/back"
    )
    assert present.status == "requires_action"
    assert present.redirect_url.startswith("http")
    assert (await provider.gateway.cancel_intent(made.intent_id)).status == "canceled"


async def test_an_amount_too_small_is_refused(provider):
    method = await provider.save("pm_card_visa")
    request = PaymentRequest(secrets.token_hex(8), provider.customer, method, 10, "USD", "Contract", {})
    refused = await provider.gateway.create_intent(request)
    assert (refused.kind, refused.code) == (FailureKind.REFUSED, "amount_too_small")
