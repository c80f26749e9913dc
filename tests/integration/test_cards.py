"""A card is data, and a card is plastic: what was wrong with the one ends with new data; the other stays bad."""

import asyncio
import pathlib
from decimal import Decimal

from brimful import cards, payments
from integration.test_reversals import paid
from support.forms import token_of

VISA = "4242424242424242"
EXPIRED, LOST = "4000000000000069", "4000000000009987"


async def rows(harness, customer_id=None):
    found = await harness.sql(
        "SELECT customer_id, state, state_reason, exp_year, stripe_payment_method_id AS method FROM cards "
        "WHERE state <> 'detached' ORDER BY customer_id, created_at"
    )
    return [row for row in found if customer_id in {None, row["customer_id"]}]


async def declined(harness, number=EXPIRED, **more):
    customer_id, visitor = await harness.funded(balance=12, threshold="10", number=number, **more)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    return customer_id, visitor


async def test_a_card_renewed_by_its_network_goes_on_where_its_data_had_stopped_it(harness):
    """The customer does nothing: their rule had paused for an expiry, and a new expiry came."""
    customer_id, visitor = await declined(harness)
    [card] = await rows(harness)
    assert (card["state"], card["state_reason"]) == ("blocked", "card_data")
    assert (await harness.rule(customer_id))["paused"] == "card_data"
    shown = (await visitor.get("/")).text
    assert "is saved with details that its bank no longer accepts. Add it again." in shown
    harness.world.store.save("card_number", {"id": card["method"], "number": VISA})  # the new plastic is good
    await harness.sandbox.post(f"/sandbox/payment_methods/{card['method']}/renew", json={"exp_year": 2041})
    await harness.events_applied()
    await harness.pass_time(minutes=2)
    [card] = await rows(harness)
    assert (card["state"], card["exp_year"]) == ("active", 2041)
    assert (await harness.rule(customer_id))["paused"] is None
    assert await harness.balance(customer_id) == Decimal(34)


async def test_the_same_number_with_a_new_date_is_one_row_and_is_charged(harness, monkeypatch):
    customer_id, visitor = await declined(harness)
    [before] = await rows(harness)
    real = harness.world.save_card

    def with_a_new_date(number, customer):
        method = real(number, customer)
        method["card"] = {**method["card"], "exp_year": 2041}
        harness.world.store.save("card_number", {"id": method["id"], "number": VISA})
        return harness.world.store.save("payment_method", method)

    monkeypatch.setattr(harness.world, "save_card", with_a_new_date)
    await harness.add_card(visitor, EXPIRED)
    [after] = await rows(harness)
    assert (after["state"], after["exp_year"]) == ("active", 2041)
    assert after["method"] != before["method"]
    await harness.pass_time(minutes=2)
    assert await harness.balance(customer_id) == Decimal(34)
    await harness.events_applied()  # the old one was let go at Stripe, which takes nothing from us
    assert len(await rows(harness)) == 1
    old = (await harness.sandbox.get(f"/v1/payment_methods/{before['method']}")).json()
    assert old["customer"] is None


async def test_the_same_data_saved_again_is_not_tried_again(harness):
    customer_id, visitor = await declined(harness)
    await harness.add_card(visitor, EXPIRED)
    [card] = await rows(harness)
    assert card["state"] == "blocked"
    await harness.pass_time(hours=30)
    assert len(await harness.sql("SELECT 1 FROM payments WHERE decline_code IS NOT NULL")) == 1


async def test_a_card_saved_twice_is_shown_once(harness):
    customer_id, visitor = await harness.funded(balance=30)
    await harness.add_card(visitor, VISA)
    assert len(await rows(harness)) == 1
    page = await visitor.get("/cards")
    assert page.text.count("Visa ···· 4242") == 1
    assert (await harness.rule(customer_id))["enabled"] is True


async def test_a_dispute_reaches_every_row_of_the_plastic_of_every_customer(harness):
    customer_id, intent = await paid(harness)
    other, _ = await harness.funded(name="Bob", balance=12, threshold="10")
    await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={})
    await harness.events_applied()
    await harness.work()
    assert {(row["customer_id"], row["state"]) for row in await rows(harness)} == {
        (customer_id, "blocked"), (other, "blocked"),
    }  # fmt: skip
    assert (await harness.rule(other))["paused"] == "card_declined"
    await harness.use(other, "3", "crossing")
    await harness.pass_time(days=40)
    assert await harness.charged() == 2500
    third, visitor = await harness.funded(name="Eve", number="5555555555554444", balance=30)
    await harness.add_card(visitor, VISA)  # saved anew by a third, also after 30 days
    assert [row["state"] for row in await rows(harness, third)] == ["active", "blocked"]


async def test_a_lost_card_is_not_charged_for_another_customer_in_the_same_moment(harness):
    """F18: both have crossed, and the news of the one is younger than the other's claim."""
    people = [await harness.funded(name=name, number=LOST, balance=12, threshold="10") for name in ("Ada", "Bob")]
    for customer_id, _ in people:
        await harness.use(customer_id, "3", "crossing")
    context = harness.engine.payments
    found = await harness.sql("SELECT customer_id, top_up_id FROM top_ups ORDER BY customer_id")
    await payments.advance.advance(context, found[0]["customer_id"], found[0]["top_up_id"])
    await asyncio.sleep(0)
    await payments.advance.advance(context, found[1]["customer_id"], found[1]["top_up_id"])
    assert len(await harness.sql("SELECT 1 FROM payments WHERE decline_code IS NOT NULL")) == 1
    await harness.work()
    assert {row["state"] for row in await rows(harness)} == {"blocked"}
    assert {(await harness.rule(one))["paused"] for one, _ in people} == {"card_declined"}


async def test_a_card_that_was_only_not_covered_may_be_used_by_others(harness):
    """A decision of one day is no verdict on the plastic."""
    await declined(harness, "4000000000009995", name="Ada")
    await harness.funded(number="4000000000009995", name="Bob", balance=30)
    assert {row["state"] for row in await rows(harness)} == {"active"}


async def test_the_page_promises_as_many_declines_as_are_made(harness):
    async with harness.engine.database.transaction() as tx:
        claims = [await cards.decline_budget.claim(tx, "plastic", f"pay_{n}") for n in range(9)]
    assert [claim.value for claim in claims] == ["granted"] * cards.decline_budget.DECLINES_MAX + ["busy"]
    page = (pathlib.Path(__file__).parents[2] / "docs" / "declines.md").read_text()
    assert f"at most {cards.decline_budget.DECLINES_MAX} declined tries in 30 days" in page


async def test_a_card_given_through_a_wallet_says_so_and_is_charged_like_any_other(harness):
    customer_id, visitor = await harness.funded(balance=12, number="4761120010000492")
    [card] = (await harness.call("GET", f"/customers/{customer_id}/cards"))["items"]
    assert (card["brand"], card["last4"], card["wallet"]) == ("visa", "0492", "apple_pay")
    assert "Visa ···· 0492 (Apple Pay)" in (await visitor.get("/cards")).text
    assert "Apple Pay, Google Pay and Link" in (await visitor.get("/top-up?asset=USD")).text
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await harness.charged() == 2500


async def test_a_card_that_nothing_uses_is_removed_at_the_second_press(harness):
    customer_id, visitor = await harness.funded()
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    [card] = await harness.sql("SELECT card_id FROM cards")
    path = f"/billing/cards/{card['card_id']}/remove"
    cards = await visitor.get("/cards")
    assert f'href="{path}"' in cards.text
    asked = await visitor.client.post(f"{harness.url}{path}", data={"csrf": token_of(cards)})
    assert "Remove Visa ···· 4242?" in asked.text
    assert "To use it again, you would add it again." in asked.text
    done = await visitor.submit(await visitor.get(path.removeprefix("/billing")), path, {})
    assert "No cards yet." in done.text
