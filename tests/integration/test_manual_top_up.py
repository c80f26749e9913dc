"""Paying now: with a saved card, with a new one on Stripe's page, saved only if the customer says so."""

import asyncio
from decimal import Decimal

import pytest

from support.harness import HOME

pytestmark = pytest.mark.flow


async def pay_link(harness, customer_id, **more):
    body = {
        "customer_id": customer_id, "amount": "40", "currency": "USD", "return_url": HOME, "failure_url": HOME, **more
    }  # fmt: skip
    return await harness.call("POST", "/top-ups", body, expect=201)


async def pay_by_new_card(harness, customer_id, visitor, *, save, number="4242424242424242"):
    page = await visitor.get("/top-up?asset=USD")
    values = {"amount": "50", "card": "new", **({"save_card": "yes"} if save else {})}
    check = await visitor.submit(page, "/billing/top-up", values)
    assert "Please check the amount, then pay." in check.text
    assert "Pay $50.00" in check.text
    stripe = await visitor.submit(check, "/billing/top-up", values)
    assert "/c/pay/" in str(stripe.url)
    return await visitor.choose_card(stripe, number)


@pytest.mark.parametrize("save", [True, False])
async def test_a_new_card_is_saved_only_with_consent(harness, save):
    customer_id = await harness.customer()
    visitor = await harness.visitor(customer_id)
    result = await pay_by_new_card(harness, customer_id, visitor, save=save)
    assert "$50.00 added. New balance $50.00." in result.text
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(50)
    cards = (await harness.call("GET", f"/customers/{customer_id}/cards"))["items"]
    assert [card["last4"] for card in cards] == (["4242"] if save else [])
    consents = await harness.sql("SELECT kind, action FROM consents")
    assert [tuple(row.values()) for row in consents] == ([("save_card", "given")] if save else [])
    if save:
        await visitor.turn_on("USD", threshold="10", amount="25", limit="100")
        await harness.use(customer_id, "41", "crossing")
        await harness.work()
        assert await harness.balance(customer_id) == Decimal(34)


async def test_a_saved_card_pays_at_once(harness):
    customer_id, visitor = await harness.funded(balance=20)
    [card] = await harness.sql("SELECT card_id FROM cards")
    page = await visitor.get("/top-up?asset=USD")
    result = await visitor.submit(page, "/billing/top-up", {"amount": "25", "card": card["card_id"]})
    assert "$25.00 added. New balance $45.00." in result.text
    assert await harness.charged() == 2500


async def test_pressing_pay_twice_pays_once(harness):
    customer_id, visitor = await harness.funded(balance=20)
    [card] = await harness.sql("SELECT card_id FROM cards")
    page = await visitor.get("/top-up?asset=USD")
    values = {"amount": "25", "card": card["card_id"]}
    await asyncio.gather(*(visitor.submit(page, "/billing/top-up", values) for _ in range(4)))
    await harness.pass_time(minutes=5)
    assert await harness.charged() == 2500
    assert await harness.balance(customer_id) == Decimal(45)


async def test_a_saved_card_that_needs_its_bank_goes_to_the_banks_page_and_back(harness):
    customer_id, visitor = await harness.funded(balance=20, number="4000002760003184")
    [card] = await harness.sql("SELECT card_id FROM cards")
    page = await visitor.get("/top-up?asset=USD")
    bank = await visitor.submit(page, "/billing/top-up", {"amount": "25", "card": card["card_id"]})
    assert "authenticate" in str(bank.url)
    result = await visitor.client.post(str(bank.url), data={"answer": "complete"})
    assert "New balance $45.00" in result.text


async def test_a_declined_payment_says_so_in_plain_words(harness):
    customer_id, visitor = await harness.funded(balance=20, number="4000000000009995")
    [card] = await harness.sql("SELECT card_id FROM cards")
    page = await visitor.get("/top-up?asset=USD")
    result = await visitor.submit(page, "/billing/top-up", {"amount": "25", "card": card["card_id"]})
    assert "Not enough funds. Try a smaller amount or another card." in result.text
    assert await harness.balance(customer_id) == Decimal(20)


async def test_the_platforms_link_pays_one_top_up_and_opens_nothing_else(harness):
    customer_id, _ = await harness.funded(balance=20)
    made = await pay_link(harness, customer_id)
    assert made["status"] == "initiated"
    stranger = await harness.stranger()
    page = await stranger.open(made["redirect_url"])
    assert "Pay $40.00" in page.text
    for path in ("/", "/cards", "/auto-top-up/USD", "/top-up"):
        assert (await stranger.get(path)).status_code == 403
    stripe = await stranger.submit(page, "", {})
    result = await stranger.choose_card(stripe, "4242424242424242")
    assert "New balance $60.00" in result.text
    shown = await harness.call("GET", f"/top-ups/{made['id']}")
    assert (shown["status"], shown["kind"]) == ("succeeded", "manual")


async def test_a_link_that_nobody_pays_expires(harness):
    customer_id = await harness.customer()
    made = await pay_link(harness, customer_id)
    await harness.pass_time(hours=25)
    assert (await harness.call("GET", f"/top-ups/{made['id']}"))["status"] == "expired"


async def test_the_same_idempotency_key_makes_one_link(harness):
    """F43."""
    customer_id = await harness.customer()
    body = {"customer_id": customer_id, "amount": "40", "currency": "USD", "return_url": HOME, "failure_url": HOME}
    headers = {"Idempotency-Key": "order-7"}
    first = await harness.call("POST", "/top-ups", body, expect=201, headers=headers)
    again = await harness.call("POST", "/top-ups", body, expect=201, headers=headers)
    assert first == again
    other = await harness.call("POST", "/top-ups", {**body, "amount": "41"}, expect=422, headers=headers)
    assert other["code"] == "idempotency_mismatch"
    assert len(await harness.top_ups(customer_id)) == 1


async def test_a_credited_manual_top_up_ends_an_automatic_one_that_waits(harness):
    """F45."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    await pay_by_new_card(harness, customer_id, visitor, save=False)
    await harness.work()
    states = {item["kind"]: item["state"] for item in await harness.top_ups(customer_id)}
    assert states == {"manual": "succeeded", "automatic": "canceled"}
    assert await harness.charged() == 5000
