"""Charges that wait for their customer: above a sum, after a number of them, and while use is unusual."""

import datetime as dt
from decimal import Decimal

import pytest

from brimful import worker
from support.forms import refused_by_field


async def turned_on(harness, balance=30, **more):
    customer_id = await harness.customer()
    await harness.give(customer_id, balance)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    await visitor.turn_on("USD", **{"threshold": "10", "amount": "25", "limit": "400", **more})
    return customer_id, visitor


async def waiting(harness, customer_id):
    [top_up] = [item for item in await harness.top_ups(customer_id) if item["state"] == "action_required"]
    return top_up


async def approve(visitor, top_up):
    return await visitor.submit(await visitor.get(f"/confirm/{top_up['id']}"), "", {})


async def told(harness, customer_id, topic):
    query = "SELECT payload -> 'data' AS data FROM outgoing_events WHERE customer_id = %s AND type = %s"
    return [row["data"] for row in await harness.sql(query, (customer_id, topic))]


@pytest.mark.flow
async def test_a_large_charge_waits_and_is_paid_with_one_press(harness):
    customer_id, visitor = await turned_on(harness, most="100", ask_above="50")
    await harness.use(customer_id, "90", "a-big-one")  # 60 below zero: three amounts
    await harness.work()
    assert await harness.charged() == 0
    top_up = await waiting(harness, customer_id)
    assert (top_up["amount"], top_up["reason"], top_up["approval_needed"]) == ("75", "approval_needed", "large_charge")
    [event] = await told(harness, customer_id, "auto_top_up.approval_needed")
    assert (event["id"], event["amount"], event["approval_needed"]) == (top_up["id"], "75", "large_charge")
    assert "A $75.00 top-up for US dollars waits for your approval." in (await visitor.get("/")).text
    page = await visitor.get(f"/confirm/{top_up['id']}")
    assert "It is more than the sum above which you want to be asked." in page.text
    assert "Approve and pay $75.00" in page.text
    done = await visitor.submit(page, "", {})
    assert "$75.00 added. New balance $15.00." in done.text
    assert await harness.charged() == 7500
    [payment] = await harness.sql("SELECT presence FROM payments")
    assert payment["presence"] == "on_session"
    await harness.use(customer_id, "10", "a-small-one")  # one amount is not asked about
    await harness.work()
    assert await harness.charged() == 10000


@pytest.mark.flow
async def test_after_so_many_charges_in_a_day_each_waits(harness):
    customer_id, visitor = await turned_on(harness, ask_after="2")
    rule = await harness.rule(customer_id)
    assert rule["exposure"] == {"hour": "325", "day": "800", "month": "400", "day_unasked": "50"}
    assert rule["ask_first"] == {"above": None, "after": 2, "brake": True}
    assert "Without asking you first, at most $50.00 in any 24 hours." in (await visitor.get("/auto-top-up/USD")).text
    for number in range(3):
        await harness.use(customer_id, "25", f"crossing-{number}")
        await harness.work()
    assert await harness.charged() == 5000
    top_up = await waiting(harness, customer_id)
    assert top_up["approval_needed"] == "many_charges"
    await approve(visitor, top_up)
    assert await harness.charged() == 7500
    await harness.use(customer_id, "25", "crossing-3")  # what was approved is not counted, what was not still is
    await harness.work()
    assert (await waiting(harness, customer_id))["approval_needed"] == "many_charges"
    assert await harness.charged() == 7500


async def lived_quietly(harness, customer_id, days=8):
    """Two units in every eighth hour or oftener, rolled up."""
    for number in range(days * 4):
        harness.clock.offset += dt.timedelta(hours=6)
        await harness.use(customer_id, "2", f"quiet-{number}")
    harness.clock.offset += dt.timedelta(hours=3)
    await worker.periodic.roll_up(harness.engine)


@pytest.mark.flow
async def test_a_leaked_key_is_held_by_the_brake(harness):
    customer_id, _ = await turned_on(harness, balance=100, brake="yes")
    await lived_quietly(harness, customer_id)  # 36 are left
    await harness.use(customer_id, "27", "not mine")  # more than five times two
    await harness.work()
    top_up = await waiting(harness, customer_id)
    assert top_up["approval_needed"] == "unusual_use"
    assert await harness.charged() == 0
    assert await told(harness, customer_id, "auto_top_up.unusual_use") == [
        {"asset": "USD", "customer_id": customer_id, "top_up_id": top_up["id"], "used_last_hour": "27",
         "highest_hour": "2"}
    ]  # fmt: skip
    visitor = await harness.visitor(customer_id)
    page = await visitor.get(f"/confirm/{top_up['id']}")
    assert "far beyond what is usual for you" in page.text
    await approve(visitor, top_up)
    assert await harness.charged() == 2500
    await harness.use(customer_id, "25", "mine after all")  # approved once, it is not asked again in 24 hours
    await harness.work()
    assert await harness.charged() == 5000


async def test_without_the_brake_or_without_a_past_nothing_is_held(harness):
    for brake, days in (("", 8), ("yes", 6)):
        customer_id, _ = await turned_on(harness, balance=100, brake=brake)
        await lived_quietly(harness, customer_id, days)
        before = await harness.charged()
        await harness.use(customer_id, "90", "much")
        await harness.work()
        assert await harness.charged() > before


async def test_the_form_says_what_the_brake_would_have_held(harness):
    customer_id, _ = await turned_on(harness, balance=300)
    await lived_quietly(harness, customer_id)
    visitor = await harness.visitor(customer_id)
    assert "In your last 30 days it would have asked 0 times." in (await visitor.get("/auto-top-up/USD")).text
    await harness.use(customer_id, "30", "much")
    harness.clock.offset += dt.timedelta(hours=1)
    await worker.periodic.roll_up(harness.engine)
    visitor = await harness.visitor(customer_id)
    page = await visitor.get("/auto-top-up/USD")
    assert "In your last 30 days it would have asked 1 time." in page.text
    preview = await visitor.submit(page, "", {"action": "preview"})
    assert "<dt>Hours in which you would have been asked</dt><dd>1</dd>" in preview.text
    assert "<dt>Card</dt><dd>Visa ···· 4242</dd>" in preview.text


@pytest.mark.flow
async def test_what_is_not_approved_in_a_day_ends_and_pauses(harness):
    customer_id, _ = await turned_on(harness, most="100", ask_above="50")
    await harness.use(customer_id, "90", "a-big-one")
    await harness.work()
    top_up = await waiting(harness, customer_id)
    await harness.pass_time(hours=23)
    assert (await waiting(harness, customer_id))["id"] == top_up["id"]
    await harness.pass_time(hours=1, minutes=1)
    [ended] = await harness.top_ups(customer_id)
    assert (ended["state"], ended["reason"]) == ("canceled", "not_approved")
    assert (await harness.rule(customer_id))["paused"] == "not_approved"
    visitor = await harness.visitor(customer_id)
    page = await visitor.get("/auto-top-up/USD")
    assert "A payment needed your approval, which did not come in time." in page.text
    late = await visitor.get(f"/confirm/{top_up['id']}")
    assert "Time is up" in late.text
    assert await harness.charged() == 0


async def test_approving_twice_is_once(harness):
    customer_id, visitor = await turned_on(harness, most="100", ask_above="50")
    await harness.use(customer_id, "90", "a-big-one")
    await harness.work()
    page = await visitor.get(f"/confirm/{(await waiting(harness, customer_id))['id']}")
    await visitor.submit(page, "", {})
    again = await visitor.submit(page, "", {})
    assert "$75.00 added." in again.text
    assert await harness.charged() == 7500


async def test_another_customer_approves_nothing(harness):
    customer_id, _ = await turned_on(harness, most="100", ask_above="50")
    await harness.use(customer_id, "90", "a-big-one")
    await harness.work()
    other = await harness.visitor(await harness.customer("Grace"))
    assert (await other.get(f"/confirm/{(await waiting(harness, customer_id))['id']}")).status_code == 404


async def test_turned_off_or_no_longer_needed_it_ends(harness):
    customer_id, visitor = await turned_on(harness, most="100", ask_above="50")
    await harness.use(customer_id, "90", "a-big-one")
    await harness.work()
    page = await visitor.get(f"/confirm/{(await waiting(harness, customer_id))['id']}")
    await harness.give(customer_id, 80)  # 20: above the threshold
    await harness.work()
    gone = await visitor.submit(page, "", {})
    assert "Nothing was charged." in gone.text
    await harness.use(customer_id, "80", "another")
    await harness.work()
    page = await visitor.get(f"/confirm/{(await waiting(harness, customer_id))['id']}")
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "/billing/auto-top-up/USD/off", {})
    gone = await visitor.submit(page, "", {})
    assert "Nothing was charged." in gone.text
    assert await harness.charged() == 0


async def test_a_bank_that_declines_what_was_approved(harness):
    """It can be tried again until it expires; then the bank's no is the reason, not the customer's silence."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 30)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor, "4000000000000341")
    await visitor.turn_on("USD", threshold="10", amount="25", limit="400", most="100", ask_above="50")
    await harness.use(customer_id, "90", "a-big-one")
    await harness.work()
    top_up = await waiting(harness, customer_id)
    await approve(visitor, top_up)
    assert (await waiting(harness, customer_id))["id"] == top_up["id"]
    await harness.pass_time(hours=25)
    [ended] = await harness.top_ups(customer_id)
    assert ended["reason"] == "confirmation_expired"
    [payment] = await harness.sql("SELECT presence FROM payments")
    assert payment["presence"] == "on_session"


@pytest.mark.flow
async def test_a_charge_lasts_about_some_days_of_the_accounts_own_use(harness):
    customer_id, _ = await turned_on(harness, balance=84, how="lasts", lasts="3", most="100", brake="")
    await lived_quietly(harness, customer_id, days=9)  # 8 a day; 12 are left
    consent = (await (await harness.visitor(customer_id)).get("/auto-top-up/USD")).text
    assert "what 3 days of my use cost, at most $100.00, each time my US dollars balance" in consent
    await harness.use(customer_id, "4", "crossing")
    await harness.work()
    [paid] = await harness.top_ups(customer_id)
    assert Decimal(24) <= Decimal(paid["amount"]) <= Decimal(38)
    assert (await harness.rule(customer_id))["lasts_days"] == 3


@pytest.mark.parametrize(
    ("values", "field", "text"),
    [
        ({"ask_above": "24", "most": "100"}, "ask_above", "Enter at least one top-up and less than the largest"),
        ({"ask_above": "100", "most": "100"}, "ask_above", "Enter at least one top-up and less than the largest"),
        ({"ask_above": "x"}, "ask_above", "Enter an amount with up to"),
        ({"ask_after": "0"}, "ask_after", "Enter a"),
        ({"ask_after": "1.5"}, "ask_after", "Enter a"),
        ({"ask_after": "5000"}, "ask_after", "1,000"),
        ({"how": "lasts", "most": ""}, "most", "Enter the largest single charge."),
    ],
)
async def test_what_makes_no_sense_is_refused_by_field(harness, values, field, text):
    customer_id, visitor = await turned_on(harness)
    await refused_by_field(harness, customer_id, visitor, values, field, text)


@pytest.mark.parametrize(
    ("values", "asks"),
    [
        ({"ask_above": "60"}, True),
        ({"ask_above": ""}, True),
        ({"ask_after": ""}, True),
        ({"brake": ""}, True),
        ({"ask_above": "40"}, False),
        ({"ask_after": "2"}, False),
    ],
)
async def test_asking_less_needs_a_new_consent(harness, values, asks):
    customer_id, visitor = await turned_on(harness, most="100", ask_above="50", ask_after="3", brake="yes")
    page = await visitor.get("/auto-top-up/USD")
    assert "A charge of more than $50.00 waits until I approve it." in page.text
    assert "After 3 charges in 24 hours, every further one waits until I approve it." in page.text
    assert (
        "while I use more than 5 times what I used in any hour of the 30 days before; once I approve one" in page.text
    )
    answer = await visitor.submit(page, "", {"action": "save", **values})
    assert ("Please read what you agree to, and tick the box." in answer.text) == asks
    assert (await harness.rule(customer_id))["version"] == (1 if asks else 2)


async def test_a_retry_that_comes_while_use_is_unusual_is_asked_about(harness):
    """What was wanted hours ago is not sent into a runaway."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 76)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor, "4000000000000341")
    await visitor.turn_on("USD", threshold="10", amount="25", limit="400", brake="yes")
    await lived_quietly(harness, customer_id)  # 12 are left
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    [first] = await harness.top_ups(customer_id)
    assert first["state"] == "retry_wait"
    await harness.pass_time(hours=3, minutes=30)
    await harness.use(customer_id, "40", "not mine")
    await harness.pass_time(minutes=31)
    newest, ended = await harness.top_ups(customer_id)
    assert (ended["state"], ended["reason"]) == ("canceled", "unusual_use")
    assert (newest["state"], newest["approval_needed"]) == ("action_required", "unusual_use")
    assert len(await harness.sql("SELECT 1 FROM payments WHERE confirm_sent_at IS NOT NULL")) == 1


async def test_what_was_asked_about_says_so_at_stripe(harness):
    """A database that is restored knows by it that its customer had approved the charge."""
    customer_id, visitor = await turned_on(harness, most="100", ask_above="50")
    await harness.use(customer_id, "90", "a-big-one")
    await harness.work()
    await approve(visitor, await waiting(harness, customer_id))
    [intent] = harness.world.store.newest("payment_intent")
    assert intent["metadata"]["asked"] == "large_charge"
