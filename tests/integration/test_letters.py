"""Letters: what the customer is written, by a real SMTP server, and what never happens because of one."""

import datetime as dt
import re

import pytest

from brimful import worker
from support import postbox as postboxes
from support.harness import Harness

MAIL = "ada@example.com"


@pytest.fixture
def postbox():
    with postboxes.opened() as box:
        yield box


@pytest.fixture
async def harness(cluster, postbox):
    async def read_code():
        return postbox.code()

    name = cluster.clone()
    mail = {"BRIMFUL_SMTP_URL": postbox.url, "BRIMFUL_MAIL_FROM": "billing@glitch.example"}
    async with Harness.opened(cluster.url(name), **mail) as opened:
        opened.read_code = read_code
        yield opened
    cluster.drop(name)


def link_in(text):
    return re.search(r"http\S+/billing/open/\S+", text)[0]


async def test_each_change_is_acknowledged_and_a_card_is_a_security_notice(harness, postbox):
    _, visitor = await harness.funded(email=MAIL)
    await harness.work()
    assert sorted(postbox.subjects()) == ["Auto top-up is on for US dollars", "Security notice: a card was added"]
    on = postbox.text(postbox.subjects().index("Auto top-up is on for US dollars"))
    assert "We charge: $25.00" in on
    assert "At most in a calendar month: $100.00" in on
    page = await visitor.get("/auto-top-up/USD")
    review = await visitor.submit(page, "", {"limit": "200", "action": "save"})
    await visitor.submit(review, "", {"agreed": "yes", "action": "save"})
    await harness.work()
    assert postbox.subjects()[-1] == "Security notice: your auto top-up for US dollars may charge more"
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    await harness.work()
    assert postbox.subjects()[-1] == "Auto top-up is off for US dollars"
    assert {letter["To"] for letter in postbox.letters} == {MAIL}
    assert all(letter["Auto-Submitted"] == "auto-generated" for letter in postbox.letters)


async def test_every_charge_has_a_receipt_whose_link_can_turn_the_rule_off_and_nothing_else(harness, postbox):
    customer_id, _ = await harness.funded(balance=12, threshold="10", email=MAIL)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.work()
    index = postbox.subjects().index("Receipt from Glitch AI: $25.00")
    text = postbox.text(index)
    assert "You paid: $25.00" in text
    assert "Balance afterwards: $34.00" in text
    assert "Card: Visa ···· 4242" in text
    assert f"{harness.environment['STRIPE_API_URL']}/receipts/ch_" in text
    html = postbox.letters[index].get_body(("html",)).get_content()
    assert "Visa ···· 4242" in html
    stranger = await harness.stranger()
    page = await stranger.open(link_in(text))
    assert "Turn off auto top-up for US dollars" in page.text
    for path in ("/", "/cards", "/auto-top-up/USD", "/top-up", "/activity", "/activity.csv", "/live"):
        assert (await stranger.get(path)).status_code == 403, path
    off = await stranger.submit(page, "", {})
    assert "Auto top-up is off for US dollars" in off.text
    assert (await harness.rule(customer_id))["enabled"] is False
    assert (await (await harness.stranger()).open(link_in(text))).status_code == 200


async def test_the_letter_that_asks_to_confirm_leads_to_the_result(harness, postbox):
    customer_id, _ = await harness.funded(balance=12, threshold="10", number="4000002760003184", email=MAIL)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.work()
    assert "Please confirm a payment of $25.00" in postbox.subjects()
    text = postbox.text(postbox.subjects().index("Please confirm a payment of $25.00"))
    stranger = await harness.stranger()
    page = await stranger.open(link_in(text))
    assert "Nothing has been charged yet." in page.text
    bank = await stranger.submit(page, "", {})
    result = await stranger.client.post(str(bank.url), data={"answer": "complete"})
    assert "$25.00 added. New balance $34.00." in result.text
    again = await (await harness.stranger()).open(link_in(text))
    assert "$25.00 added" in again.text


async def test_the_bank_says_yes_after_the_time_was_up_and_the_payment_itself_decides(harness, postbox):
    """The race of a confirmation against its expiry is settled by reading the payment."""
    customer_id, _ = await harness.funded(balance=12, threshold="10", number="4000002760003184", email=MAIL)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.work()
    stranger = await harness.stranger()
    link = link_in(postbox.text(postbox.subjects().index("Please confirm a payment of $25.00")))
    bank = await stranger.submit(await stranger.open(link), "", {})
    [payment] = await harness.sql("SELECT stripe_intent_id AS id FROM payments WHERE closed_at IS NULL")
    await harness.switch(call="payment_intents.cancel", fault="drop_before", times=50)
    harness.clock.offset += dt.timedelta(hours=25)
    await harness.sweep()  # expired: taken back, but the cancellation is lost
    await stranger.client.post(str(bank.url), data={"answer": "complete"}, follow_redirects=False)
    await harness.sandbox.delete("/sandbox/switches")
    await harness.pass_time(minutes=5)
    [top_up] = await harness.top_ups(customer_id)
    assert top_up["state"] == "succeeded"
    assert await harness.charged() == 2500
    intent = (await harness.sandbox.get(f"/v1/payment_intents/{payment['id']}")).json()
    assert intent["status"] == "succeeded"


async def test_a_pause_is_told_once_with_its_reason_and_without_the_banks_code(harness, postbox):
    customer_id, _ = await harness.funded(balance=12, threshold="10", number="4000000000009987", email=MAIL)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.work()
    told = [subject for subject in postbox.subjects() if "paused" in subject or "did not work" in subject]
    assert told == ["Auto top-up is paused for US dollars"]
    text = postbox.text(postbox.subjects().index(told[0]))
    assert "Visa ···· 9987 was declined." in text
    assert "lost" not in text


async def test_a_higher_price_is_told_once_with_the_way_to_agree(harness, postbox):
    rates = [{"source": "USD", "rate": "0.10"}]
    await harness.call("POST", "/assets", {"code": "CREDIT", "name": "Credits", "rates": rates}, expect=201)
    customer_id, visitor = await harness.funded(balance=12, threshold="10", email=MAIL)
    await harness.give(customer_id, 60, "CREDIT")
    await visitor.turn_on("CREDIT", threshold="50", amount="10", limit="100")
    await harness.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "0.12"}, expect=204)
    for number in range(3):
        await harness.use(customer_id, "15", f"use-{number}", "CREDIT")
        await harness.work()
        await harness.pass_time(hours=2)
    told = [subject for subject in postbox.subjects() if "new price" in subject]
    assert told == ["Credits cost more now: please agree to the new price"]
    text = postbox.text(postbox.subjects().index(told[0]))
    assert "Nothing is charged until you agree." in text
    assert await harness.charged() == 0


async def test_the_limit_is_told_at_eighty_percent_and_when_it_is_reached(harness, postbox):
    customer_id, _ = await harness.funded(balance=12, threshold="10", amount="25", limit="60", email=MAIL)
    for number in range(3):
        await harness.use(customer_id, "25", f"crossing-{number}")
        await harness.work()
        await harness.pass_time(minutes=2)
    assert "80% of your monthly limit for US dollars is used" in postbox.subjects()
    assert "Your monthly limit for US dollars is reached" in postbox.subjects()
    assert postbox.subjects().count("80% of your monthly limit for US dollars is used") == 1
    near = postbox.text(postbox.subjects().index("80% of your monthly limit for US dollars is used"))
    assert "Auto top-up has used $50.00 of $60.00 this month (UTC)." in near


async def test_a_card_about_to_expire_is_told_once(harness, postbox):
    await harness.funded(email=MAIL)
    await harness.sql("UPDATE cards SET exp_year = extract(year FROM now()), exp_month = extract(month FROM now())")
    harness.clock.offset += dt.timedelta(days=2)  # the first of a month of 31 days is too early
    await worker.periodic.slow_sweep(harness.engine)
    await worker.periodic.slow_sweep(harness.engine)
    await harness.work()
    assert postbox.subjects().count("Your card is about to expire") == 1


async def test_a_changed_address_is_told_to_the_old_one(harness, postbox):
    customer_id = await harness.customer(email=MAIL)
    await harness.call("PATCH", f"/customers/{customer_id}", {"email": "thief@example.com"}, expect=204)
    await harness.work()
    assert [(letter["To"], letter["Subject"]) for letter in postbox.letters] == [
        (MAIL, "Security notice: your e-mail address was changed")
    ]


async def test_a_mail_server_that_refuses_delays_letters_and_never_money(harness, postbox):
    customer_id, _ = await harness.funded(balance=12, threshold="10", email=MAIL)
    await harness.work()
    postbox.letters.clear()  # of the card and the rule
    postbox.refusing = True
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await harness.balance(customer_id) == 34
    assert [letter["Subject"] for letter in postbox.letters] == []
    postbox.refusing = False
    await harness.sql("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE task_name = 'letter'")
    await harness.work()
    assert "Receipt from Glitch AI: $25.00" in postbox.subjects()
    assert len(postbox.letters) == len({letter["Message-ID"] for letter in postbox.letters})


async def test_letters_speak_the_language_chosen_in_the_portal(harness, postbox):
    customer_id = await harness.customer(email=MAIL)
    await harness.give(customer_id, 12)
    visitor = await harness.visitor(customer_id, locale="de")
    await harness.add_card(visitor)
    await harness.work()
    [letter] = postbox.letters
    assert letter["Subject"] == "Sicherheitshinweis: Eine Karte wurde hinzugefügt"
    assert letter["Content-Language"] == "de"


async def test_without_an_address_or_with_a_broken_one_nothing_is_written(harness, postbox):
    await harness.funded()
    customer_id, _ = await harness.funded()
    await harness.call("PATCH", f"/customers/{customer_id}", {"email": "ada,x@example.com"}, expect=204)
    await harness.work()
    assert [letter["Subject"] for letter in postbox.letters] == []
    assert await harness.sql("SELECT 1 FROM procrastinate_jobs WHERE task_name = 'letter' AND status = 'failed'") == []


async def test_a_low_balance_and_a_used_up_one_are_written_about(harness, postbox):
    customer_id = await harness.customer("Ada", email=MAIL)
    await harness.give(customer_id, 10)
    await harness.call("PUT", f"/customers/{customer_id}/alerts/USD", {"threshold": "5"}, expect=200)
    await harness.use(customer_id, "6", "some")
    await harness.work()  # letters that are due together are sent in any order
    await harness.use(customer_id, "4", "rest")
    await harness.work()
    assert postbox.subjects() == ["Your US dollars balance is low", "Your US dollars balance is used up"]
    assert "$4.00 is left. You asked for an alert below $5.00." in postbox.text(0)
