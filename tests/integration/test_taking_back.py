"""Taking back: a customer undoes the unspent part of an automatic top-up, while debits run."""

import asyncio
from decimal import Decimal

import pytest

from support.credits import DAY, grant, kinds, last_event, paid
from support.seed import key_with


async def take_back(harness, visitor, top_up_id, expect=200):
    page = await visitor.get(f"/take-back/{top_up_id}")
    if page.status_code != 200:
        return page
    done = await visitor.submit(page, "", {})
    await harness.work()
    await harness.events_applied()
    assert done.status_code == expect
    return done


@pytest.mark.flow
async def test_a_customer_takes_the_unspent_part_of_an_automatic_top_up_back(harness):
    customer_id, _ = await paid(harness)
    await harness.use(customer_id, "14", "used")  # the 9 there were, and 5 of the 25
    [top_up] = await harness.top_ups(customer_id)
    visitor = await harness.visitor(customer_id)
    assert f"/billing/take-back/{top_up['id']}" in (await visitor.get("/credits/USD")).text
    page = await visitor.get(f"/take-back/{top_up['id']}")
    for text in ("$20.00", "$25.00", "Auto top-up pauses"):
        assert text in page.text
    done = await take_back(harness, visitor, top_up["id"])
    assert "Your money is on its way back" in done.text
    assert (await kinds(harness, customer_id))[-1] == ("refund", -20)
    rule = await harness.rule(customer_id)
    assert (rule["paused"], await harness.balance(customer_id)) == ("taken_back", 0)
    [refund] = await harness.sql("SELECT amount_minor, state, loss FROM refunds")
    assert (refund["amount_minor"], refund["state"], refund["loss"]) == (2000, "succeeded", 0)
    again = await visitor.get(f"/take-back/{top_up['id']}")
    assert (again.status_code, "You have taken this top-up back already." in again.text) == (422, True)


async def test_what_is_taken_back_cannot_be_used_meanwhile(harness):
    customer_id, _ = await paid(harness)
    [top_up] = await harness.top_ups(customer_id)
    visitor = await harness.visitor(customer_id)
    await visitor.submit(await visitor.get(f"/take-back/{top_up['id']}"), "", {})  # no worker has sent the refund
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD", expect=200)
    assert (shown["balance"], shown["available"], shown["held"]) == ("34", "9", "25")
    refused = await harness.use(customer_id, "10", "too much", if_insufficient="refuse")
    assert refused["code"] == "insufficient_funds"
    await harness.work()
    await harness.events_applied()
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD", expect=200)
    assert (shown["balance"], shown["available"], shown["held"]) == ("9", "9", "0")


async def test_what_is_set_aside_is_no_hold_of_the_platforms_and_no_loss(harness):
    customer_id, _ = await paid(harness)
    [top_up] = await harness.top_ups(customer_id)
    visitor = await harness.visitor(customer_id)
    await visitor.submit(await visitor.get(f"/take-back/{top_up['id']}"), "", {})
    path = f"/customers/{customer_id}/wallet/holds"
    assert (await harness.call("GET", path, expect=200))["items"] == []
    [aside] = await harness.sql("SELECT hold_id, amount FROM holds")
    for name in (aside["hold_id"], aside["hold_id"].replace("/", "%2F")):
        await harness.call("POST", f"{path}/{name}/release", expect=404)
    await grant(harness, customer_id, 10, "paid", purpose="paid")
    await harness.use(customer_id, "15", "meanwhile", if_insufficient="refuse")  # it burns 6 of the top-up's credit
    await harness.work()
    await harness.events_applied()
    assert (await last_event(harness, customer_id, "refund.recorded"))["loss"] == "0"
    assert await harness.balance(customer_id) == 4


async def test_while_another_refund_is_on_its_way_nothing_is_taken_back(harness):
    """What that one takes is in the wallet still: it would be offered twice."""
    customer_id, _ = await paid(harness)
    [top_up] = await harness.top_ups(customer_id)
    path, key = f"/top-ups/{top_up['id']}/refunds", await key_with(harness, ("refunds",))
    await harness.call("POST", path, {"amount": "10"}, expect=201,
                       headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "r-1"})  # fmt: skip
    visitor = await harness.visitor(customer_id)
    page = await visitor.get(f"/take-back/{top_up['id']}")
    assert (page.status_code, "A refund of this top-up is on its way" in page.text) == (422, True)
    await harness.work()
    await harness.events_applied()
    assert "$15.00" in (await visitor.get(f"/take-back/{top_up['id']}")).text


async def test_debits_that_run_while_it_is_taken_back_lose_nothing(harness):
    """Whichever comes first: money goes back for what was left then, never for more."""
    customer_id, _ = await paid(harness)
    [top_up] = await harness.top_ups(customer_id)
    visitor = await harness.visitor(customer_id)
    page = await visitor.get(f"/take-back/{top_up['id']}")
    uses = (harness.use(customer_id, "1", f"u-{number}", if_insufficient="refuse") for number in range(34))
    _, *answers = await asyncio.gather(visitor.submit(page, "", {}), *uses)
    await harness.work()
    await harness.events_applied()
    used = sum(answer.get("status") == "applied" for answer in answers)
    [row] = await harness.sql(
        "SELECT coalesce(sum(amount_minor), 0)::int AS minor, coalesce(sum(loss), 0) AS loss FROM refunds"
    )
    assert (row["loss"], await harness.balance(customer_id)) == (0, 34 - used - Decimal(row["minor"]) / 100)
    assert await harness.balance(customer_id) >= 0


async def test_a_refund_that_stripe_refuses_frees_what_was_set_aside(harness):
    customer_id, intent = await paid(harness)
    [top_up] = await harness.top_ups(customer_id)
    visitor = await harness.visitor(customer_id)
    await visitor.submit(await visitor.get(f"/take-back/{top_up['id']}"), "", {})
    await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent})  # support was faster, at Stripe
    await harness.work()
    await harness.events_applied()
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD", expect=200)
    assert (shown["balance"], shown["held"]) == ("9", "0")


async def test_what_cannot_be_taken_back_says_why(harness):
    customer_id, intent = await paid(harness)
    visitor = await harness.visitor(customer_id)
    page = await visitor.get("/top-up?asset=USD")
    page = await visitor.submit(page, "/billing/top-up", {"amount": "10"})
    await visitor.submit(page, "/billing/top-up", {"amount": "10"})
    await harness.work()
    automatic, manual = sorted(await harness.top_ups(customer_id), key=lambda one: one["kind"])

    async def why(top_up):
        answer = await visitor.get(f"/take-back/{top_up['id']}")
        assert answer.status_code == 422
        return answer.text

    assert "Only an automatic top-up can be taken back here." in await why(manual)
    dispute = await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json={})
    await harness.events_applied()
    assert "This payment is questioned by its bank" in await why(automatic)
    assert dispute.status_code < 300


async def test_after_the_window_or_when_all_is_used_nothing_is_taken_back(harness):
    customer_id, _ = await paid(harness)
    [top_up] = await harness.top_ups(customer_id)
    visitor = await harness.visitor(customer_id)
    await harness.use(customer_id, "34", "all")
    used = await visitor.get(f"/take-back/{top_up['id']}")
    assert "Nothing is left of this top-up." in used.text
    harness.clock.offset += DAY
    late = await (await harness.visitor(customer_id)).get(f"/take-back/{top_up['id']}")
    assert "The time in which this top-up could be taken back has passed." in late.text


async def test_another_customers_top_up_is_not_there(harness):
    customer_id, _ = await paid(harness)
    [top_up] = await harness.top_ups(customer_id)
    stranger = await harness.visitor(await harness.customer("Eve"))
    assert (await stranger.get(f"/take-back/{top_up['id']}")).status_code == 404
