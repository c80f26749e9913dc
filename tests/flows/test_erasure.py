"""A person is erased and the books hold; what is exported is all there, and runs no formula."""

import asyncio
import csv
import io
import json
import re

import pytest

from flows.test_commands import command
from support.house import HOME

ADA = {"name": "Ada Lovelace", "email": "ada@analytical.example", "external_id": "ada-the-first",
       "metadata": {"note": "Countess of Canarieshire"}}  # fmt: skip
WORDS = (
    "Lovelace",
    "analytical.example",
    "ada-the-first",
    "Canarieshire",
    "Translation of Menabrea",
    "4242",
    "127.0.0.1",
)


def stands(word, line):
    """By itself: a random id holds four digits in a row now and then."""
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(word)}(?![0-9A-Za-z])", line) is not None


async def everything(house):
    """Every row of every table of ours, as text by table."""
    tables = await house.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' "
        "AND table_name NOT LIKE '%yoyo%' AND table_name <> 'procrastinate_events'"
    )
    return {
        row["table_name"]: [
            line["text"] for line in await house.sql(f"SELECT t::text AS text FROM {row['table_name']} AS t")
        ]
        for row in tables
    }


async def lived(house):
    """Somebody with cards, consents, notes, letters, sessions, links, a refund. Returns (customer_id, top-up's id)."""
    customer_id, visitor = await house.funded(balance=12, threshold="10", **ADA)
    body = {"id": "use-1", "customer_id": customer_id, "asset": "USD", "amount": "3", "description": WORDS[4]}
    await house.call("POST", "/usage", body, expect=200)
    hold = {"id": "job", "asset": "USD", "amount": "1", "description": WORDS[4]}
    await house.call("POST", f"/customers/{customer_id}/wallet/holds", hold, expect=201)
    link = {"customer_id": customer_id, "currency": "USD", "amount": "30", "description": WORDS[4], "return_url": HOME,
            "failure_url": HOME}  # fmt: skip
    await house.call("POST", "/top-ups", link, expect=201, headers={"Idempotency-Key": "link-1"})
    await house.link(customer_id)
    await house.work()
    await visitor.get("/activity")
    await house.events_applied()
    top_up = next(item for item in await house.top_ups(customer_id) if item["state"] == "succeeded")
    return customer_id, top_up["id"]


async def test_a_person_is_erased_and_the_books_hold(house):
    customer_id, top_up_id = await lived(house)
    await house.crossed(name="Grace Hopper", email="grace@navy.example")
    await house.work()
    text = json.dumps(await everything(house))
    assert [word for word in WORDS if word not in text] == []
    before = await house.sql("SELECT * FROM entries WHERE customer_id = %s ORDER BY seq", (customer_id,))
    told = await command(house, "customers", "erase", customer_id, "--yes")
    assert f"{customer_id} is erased." in told
    assert "yours to erase there" in told
    await house.events_applied()
    rows = await everything(house)
    left = {
        (table, word) for table, lines in rows.items() for line in lines if customer_id in line or table == "aliases"
        for word in WORDS if stands(word, line)
    }  # fmt: skip
    assert left == set()
    assert "grace@navy.example" in json.dumps(rows)
    assert await house.sql("SELECT * FROM entries WHERE customer_id = %s ORDER BY seq", (customer_id,)) == before
    assert "BAD" not in await command(house, "verify", "--full")
    attached = [item["customer"] for item in house.world.store.newest("payment_method")]
    assert attached.count(None) == 1
    # Nothing is charged any more, and what is late is booked still.
    charged = await house.charged()
    await house.use(customer_id, "50", "after")
    await house.pass_time(hours=2)
    assert await house.charged() == charged
    await command(house, "refund", customer_id, top_up_id, "--amount", "5")
    await house.work()
    await house.events_applied()
    assert (await house.books())["refunded"] == {"USD": 500}
    assert "BAD" not in await command(house, "verify", "--full")
    assert (await house.rule(customer_id))["enabled"] is False
    again = await command(house, "customers", "erase", customer_id, "--yes")
    assert "is erased" in again
    assert [row["actor"] for row in await house.sql("SELECT actor FROM audit WHERE action = 'customer.erased'")] == [
        "command line"
    ] * 2


async def test_an_open_session_and_link_of_an_erased_person_open_nothing(house):
    customer_id, visitor = await house.funded()
    link = await house.link(customer_id)
    await command(house, "customers", "erase", customer_id, "--yes")
    assert "Your secure session ended." in (await visitor.client.get(f"{house.url}/billing/")).text
    stranger = await house.stranger()
    page = await stranger.client.get(link)
    assert page.status_code in {404, 410}


async def test_a_card_that_was_being_added_meanwhile_is_let_go(house):
    """They are on Stripe's page when they are erased, and press its button after that."""
    customer_id = await house.customer("Ada", email="ada@analytical.example")
    visitor = await house.visitor(customer_id)
    page = await visitor.submit(await visitor.get("/cards"), "/billing/cards/add", {"agreed": "yes"})
    house.environment = {**house.environment, "STRIPE_API_KEY": ""}  # the page at Stripe stays open
    await command(house, "customers", "erase", customer_id, "--yes")
    await visitor.choose_card(page, "4242424242424242")
    await house.events_applied()
    await house.pass_time(minutes=5)
    assert await house.sql("SELECT * FROM cards WHERE customer_id = %s", (customer_id,)) == []
    assert [item["customer"] for item in house.world.store.newest("payment_method")] == [None]
    assert "card.added" not in await house.events(customer_id)


async def test_nothing_of_an_erased_person_is_changed_or_opened_again(house):
    customer_id, _ = await house.funded()
    await command(house, "customers", "erase", customer_id, "--yes")
    refused = await house.call("PATCH", f"/customers/{customer_id}", {"name": "Ada again"}, expect=409)
    assert refused["code"] == "customer_erased"
    link = {"customer_id": customer_id, "return_url": HOME, "failure_url": HOME}
    assert (await house.call("POST", "/billing-portal/sessions", link, expect=409))["code"] == "customer_erased"
    assert (await house.call("POST", "/top-ups", {**link, "currency": "USD", "amount": "30"}, expect=409))["code"] == (
        "customer_erased"
    )
    await house.use(customer_id, "1", "usage-goes-on")
    [row] = await house.sql("SELECT payment_id FROM card_tries") or [{"payment_id": "erased_"}]
    assert row["payment_id"].startswith("erased_")


async def test_nobody_is_erased_while_a_payment_is_under_way(house):
    await house.switch(call="payment_intents.confirm", fault="processing")
    customer_id, _ = await house.crossed(name="Ada")
    await house.work()
    assert await house.state_is(customer_id, "processing")
    told = await command(house, "customers", "erase", customer_id, "--yes", status=2, stream="stderr")
    assert "a payment is under way" in told
    assert (await house.call("GET", f"/customers/{customer_id}"))["name"] == "Ada"


async def test_what_waits_is_taken_back_first(house):
    customer_id, _ = await house.crossed(number="4000000000009995")
    await house.work()
    assert await house.state_is(customer_id, "retry_wait")
    await command(house, "customers", "erase", customer_id, "--yes")
    await house.pass_time(days=2)
    assert await house.state_is(customer_id, "canceled")
    assert await house.charged() == 0


async def test_cards_that_stripe_still_has_are_named(house):
    customer_id, _ = await house.funded()
    house.environment = {**house.environment, "STRIPE_API_KEY": ""}
    told = await command(house, "customers", "erase", customer_id, "--yes", status=1)
    assert "Still at Stripe: pm_" in told


async def test_erasing_asks_first(house):
    customer_id = await house.customer("Ada")
    await command(house, "customers", "erase", customer_id, stdin="n\n", status=130)
    assert (await house.call("GET", f"/customers/{customer_id}"))["name"] == "Ada"


# --- exports ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what", ["customers", "entries", "top-ups", "payments", "refunds", "disputes", "consents", "audit"]
)
async def test_every_export_holds_what_is_there(house, what):
    customer_id, top_up_id = await lived(house)
    await command(house, "refund", customer_id, top_up_id, "--amount", "5")
    await house.work()
    await house.events_applied()
    table = what.replace("-", "_")
    [count] = await house.sql(f"SELECT count(*) AS n FROM {table}")
    rows = list(csv.DictReader(io.StringIO(await command(house, "export", what))))
    assert len(rows) == count["n"]
    lines = (await command(house, "export", what, "--form", "jsonl")).splitlines()
    assert [set(json.loads(line)) for line in lines] == [set(rows[0])] * len(rows) if rows else lines == []
    assert await command(house, "export", what, "--until", "2020-01-01", "--form", "jsonl") == ""
    assert (
        len((await command(house, "export", what, "--customer", customer_id, "--form", "jsonl")).splitlines())
        <= count["n"]
    )


async def test_an_export_runs_no_formula_and_keeps_amounts_exact(house):
    customer_id = await house.customer('=HYPERLINK("http://evil")')
    await house.give(customer_id, "12.34")
    body = {"id": "use-1", "customer_id": customer_id, "asset": "USD", "amount": "3", "description": "@SUM(A1)"}
    await house.call("POST", "/usage", body, expect=200)
    [row] = csv.DictReader(io.StringIO(await command(house, "export", "customers")))
    assert row["name"] == '\'=HYPERLINK("http://evil")'
    rows = list(csv.DictReader(io.StringIO(await command(house, "export", "entries"))))
    assert [(row["amount"], row["balance_after"]) for row in rows] == [("12.34", "12.34"), ("-3", "9.34")]
    assert rows[1]["description"] == "'@SUM(A1)"


async def test_an_accounts_entries_come_in_the_order_of_its_chain(house):
    customer_id = await house.customer()
    await house.give(customer_id, 1000)
    events = [{"id": f"use-{n}", "customer_id": customer_id, "asset": "USD", "amount": "1"} for n in range(200)]
    await house.call("POST", "/usage", {"events": events}, expect=200)
    rows = list(csv.DictReader(io.StringIO(await command(house, "export", "entries"))))
    assert [int(row["seq"]) for row in rows] == list(range(1, 202))


async def test_an_export_is_one_moment(house):
    """Rows that are added while it runs are not in it: it reads one snapshot."""
    customer_id = await house.customer()
    await house.give(customer_id, 1000)
    exports = [asyncio.create_task(command(house, "export", "entries")) for _ in range(2)]
    for number in range(20):
        await house.use(customer_id, "1", f"use-{number}")
    for exported in exports:
        rows = list(csv.DictReader(io.StringIO(await exported)))
        assert [int(row["seq"]) for row in rows] == list(range(1, len(rows) + 1))
