"""What a customer reads of payments that failed or were left: one state from one source, and a row for each."""

import re

import pytest

from brimful.portal.pages import activity
from support.harness import Harness


def rows(page):
    """What each row of Activity is, with its tag."""
    found = re.findall(r'<span class="what">(.*?)</span>\n', page.text, re.DOTALL)
    return [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "|", row)).strip() for row in found]


async def pay(harness, visitor, amount="25", card=None):
    [saved] = await harness.sql("SELECT card_id FROM cards")
    return await visitor.submit(
        await visitor.get("/top-up?asset=USD"), "/billing/top-up", {"amount": amount, "card": card or saved["card_id"]}
    )


async def test_a_declined_payment_by_hand_is_a_row(harness):
    _, visitor = await harness.funded(balance=20, number="4000000000009995")
    await pay(harness, visitor)
    [row, *_] = rows(await visitor.get("/activity"))
    assert "Top-up of $25.00 did not work" in row
    assert "Not enough funds." in row
    assert rows(await visitor.get("/activity?kind=spending")) == []


async def test_each_try_of_an_automatic_top_up_is_a_row_and_none_is_processing(harness):
    customer_id, visitor = await harness.crossed(number="4000000000000341")
    await harness.work()
    assert (await harness.top_ups(customer_id))[0]["state"] == "retry_wait"
    overview = await visitor.get("/")
    assert "We try again at" in overview.text
    assert "processing" not in overview.text
    for hours in (5, 13):
        await harness.pass_time(hours=hours)
    assert (await harness.top_ups(customer_id))[0]["state"] == "failed"
    visitor = await harness.visitor(customer_id)
    found = [row for row in rows(await visitor.get("/activity")) if "Auto top-up of $25.00 did not work" in row]
    assert len(found) == 3


async def test_failed_payments_are_paged_with_the_rest(harness, monkeypatch):
    customer_id, visitor = await harness.crossed(number="4000000000000341")
    await harness.work()
    for hours in (5, 13):
        await harness.pass_time(hours=hours)
    visitor = await harness.visitor(customer_id)
    whole = rows(await visitor.get("/activity"))
    assert len(whole) == 5
    monkeypatch.setattr(activity, "_PAGE", 2)
    paged, path = [], "/activity"
    while path:
        page = await visitor.get(path)
        paged += rows(page)
        older = re.search(r'href="/billing(/activity\?[^"]*before=[^"]+)"', page.text)
        path = older and older[1].replace("&amp;", "&")
    assert paged == whole


async def test_a_confirmation_that_never_came_is_one_row(harness):
    customer_id, _ = await harness.crossed(number="4000002760003184")
    await harness.work()
    await harness.pass_time(hours=25)
    visitor = await harness.visitor(customer_id)
    found = [row for row in rows(await visitor.get("/activity")) if "did not work" in row]
    assert len(found) == 1
    assert "Your confirmation did not come in time." in found[0]


@pytest.mark.flow
async def test_a_page_of_stripes_that_was_left_is_no_bank_that_wants_a_confirmation(harness):
    customer_id, visitor = await harness.funded(balance=20)
    stripe = await pay(harness, visitor, card="new")
    assert "/c/pay/" in str(stripe.url)
    [top_up] = await harness.top_ups(customer_id)
    page = await visitor.get(f"/top-ups/{top_up['id']}")
    assert "Not paid yet" in page.text
    assert "Continue to payment" in page.text
    assert "bank" not in page.text
    await harness.pass_time(hours=25)
    visitor = await harness.visitor(customer_id)
    assert "Time is up" in (await visitor.get(f"/top-ups/{top_up['id']}")).text
    assert not [row for row in rows(await visitor.get("/activity")) if "did not work" in row]


async def test_a_customer_pays_by_hand_only_so_often_in_a_day(database_url):
    async with Harness.opened(database_url, BRIMFUL_MANUAL_PER_DAY="2") as harness:
        customer_id, visitor = await harness.funded(balance=20)
        for _ in range(2):
            assert "added" in (await pay(harness, visitor)).text
        for card in (None, "new"):
            refused = await pay(harness, visitor, card=card)
            assert "You have paid as often as is allowed in 24 hours." in refused.text
        assert await harness.charged() == 5000
        assert [item["state"] for item in await harness.top_ups(customer_id)].count("succeeded") == 2
        await harness.pass_time(hours=24)
        visitor = await harness.visitor(customer_id)
        assert "added" in (await pay(harness, visitor)).text
