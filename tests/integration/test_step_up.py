"""A code by mail before a card or a consent is changed, and never to turn off."""

import asyncio
import re

import pytest

from brimful.auth import step_up
from brimful.dev.demo.visitor import forms_of
from integration.test_letters import MAIL, harness, postbox  # noqa: F401 - fixtures
from support.forms import token_of


@pytest.fixture
async def asked(harness, postbox):  # noqa: F811
    """A customer with a rule, back in a new session that has given no code. Returns (customer_id, visitor)."""
    customer_id, _ = await harness.funded(email=MAIL)
    harness.read_code = None
    visitor = await harness.visitor(customer_id)
    postbox.letters.clear()
    return customer_id, visitor


async def rule_form(visitor, **values):
    page = await visitor.get("/auto-top-up/USD")
    return await visitor.submit(page, "", {"limit": "200", "action": "save", **values})


async def test_saving_a_rule_asks_for_a_code_once_and_keeps_what_was_filled_in(harness, postbox, asked):  # noqa: F811
    customer_id, visitor = asked
    page = await rule_form(visitor)
    assert "Verify it&#39;s you" in page.text
    assert "a···@example.com" in page.text
    assert MAIL not in page.text
    assert (await harness.rule(customer_id))["monthly_limit"] == "100"
    code = postbox.code()
    assert re.fullmatch("[0-9]{6}", code)
    [kept] = [form.fields for form in forms_of(page) if "step_up_code" in form.fields]
    assert (kept["limit"], kept["action"]) == ("200", "save")
    review = await visitor.submit(page, "", {"step_up_code": code})
    assert "Verify it&#39;s you" not in review.text
    await visitor.submit(review, "", {"agreed": "yes", "action": "save"})
    assert (await harness.rule(customer_id))["monthly_limit"] == "200"
    assert postbox.subjects() == []  # the second form of the session is not asked about again


@pytest.mark.parametrize("path", ["/cards/add", "/cards/{card}/default", "/cards/{card}/remove"])
async def test_every_change_of_a_card_asks(harness, postbox, asked, path):  # noqa: F811
    customer_id, visitor = asked
    [card] = await harness.sql("SELECT card_id FROM cards")
    page = await visitor.get("/cards")
    token = token_of(page)
    url = f"{harness.url}/billing{path.format(card=card['card_id'])}"
    answer = await visitor.client.post(url, data={"csrf": token, "agreed": "yes"})
    assert "Verify it&#39;s you" in answer.text
    assert [row["state"] for row in await harness.sql("SELECT state FROM cards")] == ["active"]
    assert len(await harness.sql("SELECT 1 FROM card_setups WHERE state = 'open'")) == 0


async def test_the_first_payment_with_a_kept_card_asks_and_the_next_does_not(harness, postbox, asked):  # noqa: F811
    """A link into the portal, which an API key can make, does not charge a card by itself."""
    customer_id, visitor = asked
    page = await visitor.submit(await visitor.get("/top-up"), "/billing/top-up", {"amount": "25", "shown": "2500"})
    assert "Verify it&#39;s you" in page.text
    assert await harness.charged() == 0
    done = await visitor.submit(page, "", {"step_up_code": postbox.code()})
    assert "New balance" in done.text
    assert await harness.charged() == 2500
    await visitor.submit(await visitor.get("/top-up"), "/billing/top-up", {"amount": "50", "shown": "5000"})
    assert await harness.charged() == 7500
    assert not any(re.search("[0-9]{6}", letter["Subject"]) for letter in postbox.letters)


async def test_turning_off_never_asks(harness, postbox, asked):  # noqa: F811
    customer_id, visitor = asked
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    assert (await harness.rule(customer_id))["enabled"] is False
    assert [letter for letter in postbox.letters if "code" in letter["Subject"]] == []


async def test_a_wrong_code_changes_nothing_and_five_are_judged(harness, postbox, asked):  # noqa: F811
    customer_id, visitor = asked
    page = await rule_form(visitor)
    code = postbox.code()
    wrong = [f"{(int(code) + n) % 1_000_000:06d}" for n in range(1, 9)]
    answers = await asyncio.gather(*(visitor.submit(page, "", {"step_up_code": given}) for given in wrong))
    assert all("This code is wrong or has expired" in answer.text for answer in answers)
    answer = await visitor.submit(page, "", {"step_up_code": code})  # too late: five were tried
    assert "This code is wrong or has expired" in answer.text
    assert (await harness.rule(customer_id))["monthly_limit"] == "100"
    again = await visitor.submit(answer, "", {"step_up_code": "", "step_up_again": "yes"})
    assert "Verify it&#39;s you" in again.text
    review = await visitor.submit(again, "", {"step_up_code": postbox.code()})
    assert "Verify it&#39;s you" not in review.text


async def test_a_code_is_good_for_ten_minutes_once_and_in_its_own_session(harness, postbox, asked):  # noqa: F811
    customer_id, visitor = asked
    page = await rule_form(visitor)
    code = postbox.code()
    other = await harness.visitor(customer_id)
    answer = await rule_form(other)
    postbox.code()
    assert "This code is wrong or has expired" in (await other.submit(answer, "", {"step_up_code": code})).text
    harness.clock.offset += step_up.CODE_LIFE
    assert "This code is wrong or has expired" in (await visitor.submit(page, "", {"step_up_code": code})).text


async def test_the_trust_ends_after_half_an_hour(harness, postbox, asked):  # noqa: F811
    _, visitor = asked
    page = await rule_form(visitor)
    await visitor.submit(page, "", {"step_up_code": postbox.code()})
    for _ in range(3):  # the session itself is kept awake
        harness.clock.offset += step_up.LIFE / 3
        await visitor.get("/")
    assert "Verify it&#39;s you" in (await rule_form(visitor)).text


async def test_five_codes_in_an_hour_and_a_server_that_takes_none(harness, postbox, asked):  # noqa: F811
    customer_id, visitor = asked
    page = await rule_form(visitor)
    postbox.refusing = True
    assert "could not be sent" in (await visitor.submit(page, "", {"step_up_code": "", "step_up_again": "yes"})).text
    postbox.refusing = False
    for _ in range(3):
        page = await rule_form(visitor)
    answer = await rule_form(visitor)
    assert answer.status_code == 429
    assert (await harness.rule(customer_id))["monthly_limit"] == "100"


async def test_of_many_at_once_no_more_are_sent(harness, postbox, asked):  # noqa: F811
    _, visitor = asked
    answers = await asyncio.gather(*(rule_form(visitor) for _ in range(12)))
    left = 5 - 1  # one was sent when the customer's card was added
    assert [answer.status_code for answer in answers].count(429) == 12 - left
    assert len(postbox.letters) == left


async def test_whoever_changes_cards_all_afternoon_is_asked_again_and_not_locked_out(harness, postbox, asked):  # noqa: F811
    _, visitor = asked
    for _ in range(7):
        page = await rule_form(visitor)
        assert "Verify it&#39;s you" in page.text
        await visitor.submit(page, "", {"step_up_code": postbox.code()})
        for _ in range(3):
            harness.clock.offset += step_up.LIFE / 3
            await visitor.get("/")


async def test_codes_are_in_no_table_no_job_and_no_event(harness, postbox, asked):  # noqa: F811
    _, visitor = asked
    await rule_form(visitor)
    code = postbox.code()
    tables = await harness.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for row in tables:
        text = str(await harness.sql(f"SELECT t::text AS text FROM {row['tablename']} AS t"))
        assert not re.search(rf"(?<![0-9a-f]){code}(?![0-9a-f])", text), row


async def test_without_an_address_or_a_mail_server_there_is_nobody_to_ask(harness, postbox):  # noqa: F811
    customer_id, visitor = await harness.funded()
    assert (await harness.rule(customer_id))["enabled"] is True
    assert postbox.letters == []


async def test_another_address_is_another_mailbox(harness, postbox, asked):  # noqa: F811
    """Trust was given for a mailbox: whoever changes the address gives a code from the new one."""
    customer_id, visitor = asked
    page = await visitor.submit(await rule_form(visitor), "", {"step_up_code": postbox.code()})
    assert "Verify it&#39;s you" not in page.text
    assert "Verify it&#39;s you" not in (await rule_form(visitor)).text
    await harness.call("PATCH", f"/customers/{customer_id}", {"email": "new@example.com"}, expect=204)
    assert "Verify it&#39;s you" in (await rule_form(visitor)).text
