"""What the platform says of itself to its customers, and what they read of charges that were and will be made."""

import pytest

from integration.test_failed_payments import rows
from support import postbox as postboxes
from support.harness import Harness

SAYS = {
    "BRIMFUL_BUSINESS_ADDRESS": "1 Main St | Springfield <b> | US",
    "BRIMFUL_SUPPORT_URL": "mailto:help@glitch.example",
    "BRIMFUL_TERMS_URL": "https://glitch.example/terms",
    "BRIMFUL_PRIVACY_URL": "https://glitch.example/privacy",
}


@pytest.fixture
async def house(cluster):
    name = cluster.clone()
    with postboxes.opened() as postbox:
        mail = {"BRIMFUL_SMTP_URL": postbox.url, "BRIMFUL_MAIL_FROM": "billing@glitch.example"}
        async with Harness.opened(cluster.url(name), **SAYS, **mail) as opened:

            async def read_code():
                return postbox.code()

            opened.read_code = read_code
            yield opened, postbox
    cluster.drop(name)


async def test_a_receipt_has_the_address_every_page_the_links_and_every_letter_both(house):
    harness, postbox = house
    customer_id, visitor = await harness.crossed(email="ada@example.com", time_zone="Europe/Berlin")
    await harness.work()
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    receipt = (await visitor.get(f"/receipts/{top_up['id']}")).text
    assert "<br>1 Main St<br>Springfield &lt;b&gt;<br>US<br>" in receipt
    assert '<a href="mailto:help@glitch.example" rel="noopener">help@glitch.example</a></address>' in receipt
    assert "Times are in Central European Time." in receipt
    for path in ("/", "/cards", "/activity"):
        page = (await visitor.get(path)).text
        for name, url in (("Contact support", SAYS["BRIMFUL_SUPPORT_URL"]), ("Terms", SAYS["BRIMFUL_TERMS_URL"]),
                          ("Privacy", SAYS["BRIMFUL_PRIVACY_URL"])):  # fmt: skip
            assert f'<a href="{url}" rel="noopener">{name}</a>' in page, path
    index = postbox.subjects().index("Receipt from Glitch AI: $25.00")
    text = postbox.text(index)
    assert (
        text.replace("\r\n", "\n")
        .rstrip()
        .endswith(
            "--\nGlitch AI, 1 Main St, Springfield <b>, US\nTimes are in Central European Time.\n"
            "Contact support: help@glitch.example"
        )
    )
    html = postbox.letters[index].get_body(("html",)).get_content()
    assert "Glitch AI, 1 Main St, Springfield &lt;b&gt;, US<br>" in html
    assert '<a href="mailto:help@glitch.example">Contact support</a>' in html


async def test_without_these_settings_nothing_empty_stands_there(harness):
    _, visitor = await harness.funded()
    page = (await visitor.get("/")).text
    assert "Contact support" not in page
    assert "Privacy" not in page


@pytest.mark.parametrize("number", ["4000002760003184", "4000000000000341"])
async def test_a_payment_that_waits_is_the_first_row_and_says_what_for(harness, number):
    """Authentication by the bank, and a decline that is tried again."""
    customer_id, visitor = await harness.crossed(number=number)
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    page = await visitor.get("/activity")
    first = rows(page)[0]
    assert first.startswith("Auto top-up of $25.00")
    if top_up["state"] == "action_required":
        assert "Your bank wants you to confirm $25.00." in first
        assert f'<a href="/billing/confirm/{top_up["id"]}">Confirm payment</a>' in page.text
    else:
        assert "We try again at" in first
    assert not [row for row in rows(await visitor.get("/activity?kind=spending")) if "Auto top-up" in row]


async def test_when_the_card_was_charged_last_and_when_it_will_be_next(harness):
    customer_id, visitor = await harness.crossed()
    assert "the next charge" not in (await visitor.get("/")).text  # one is on its way
    await harness.work()
    page = (await visitor.get("/")).text
    assert "Last charged $25.00 on " in page
    assert "At your present use, the next charge is at about " in page
    await harness.pass_time(days=2)
    visitor = await harness.visitor(customer_id)
    page = (await visitor.get("/")).text
    assert "Last charged $25.00 on " in page
    assert "the next charge" not in page  # nothing is being used
