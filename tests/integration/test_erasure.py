"""A person is erased and the books hold; what is exported is all there, and runs no formula."""

import asyncio
import csv
import datetime as dt
import io
import json
import re

from brimful import worker
from integration.test_commands import command
from support.harness import HOME

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


async def everything(harness):
    """Every row of every table of ours, as text by table."""
    tables = await harness.sql(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' "
        "AND table_name NOT LIKE '%yoyo%' AND table_name <> 'procrastinate_events'"
    )
    return {
        row["table_name"]: [
            line["text"] for line in await harness.sql(f"SELECT t::text AS text FROM {row['table_name']} AS t")
        ]
        for row in tables
    }


async def lived(harness):
    """Somebody with cards, consents, notes, letters, sessions, links, a refund. Returns (customer_id, top-up's id)."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10", **ADA)
    budget = {"asset": "USD", "amount": "3", "window": "day", "subject": WORDS[4], "name": WORDS[4], "hard": False}
    await harness.call("PUT", f"/customers/{customer_id}/budgets/soft", budget, expect=200)
    marked = {"description": WORDS[4], "subject": WORDS[4], "dimensions": {WORDS[4]: WORDS[4]}}
    body = {"id": "use-1", "customer_id": customer_id, "asset": "USD", "amount": "3", **marked}
    await harness.call("POST", "/usage", body, expect=200)
    hold = {"id": "job", "asset": "USD", "amount": "1", **marked}
    lease = {"id": "run", "asset": "USD", "lease": {"chunk": "0.5"}, **marked}
    await harness.call("POST", f"/customers/{customer_id}/wallet/holds", lease, expect=201)
    path = f"/customers/{customer_id}/wallet/holds/run/use"
    await harness.call("POST", path, {"id": "u", "amount": "0.25"}, expect=200)
    await harness.call("POST", f"/customers/{customer_id}/wallet/holds", hold, expect=201)
    link = {"customer_id": customer_id, "currency": "USD", "amount": "30", "description": WORDS[4], "return_url": HOME,
            "failure_url": HOME}  # fmt: skip
    await harness.call("POST", "/top-ups", link, expect=201, headers={"Idempotency-Key": "link-1"})
    await harness.link(customer_id)
    await harness.work()
    await visitor.get("/activity")
    await worker.periodic.roll_up(harness.engine)
    await harness.events_applied()
    top_up = next(item for item in await harness.top_ups(customer_id) if item["state"] == "succeeded")
    return customer_id, top_up["id"]


async def test_a_person_is_erased_and_the_books_hold(harness):
    customer_id, top_up_id = await lived(harness)
    await harness.crossed(name="Grace Hopper", email="grace@navy.example")
    await harness.work()
    text = json.dumps(await everything(harness))
    assert [word for word in WORDS if word not in text] == []
    before = await harness.sql("SELECT * FROM entries WHERE customer_id = %s ORDER BY seq", (customer_id,))
    told = await command(harness, "customers", "erase", customer_id, "--yes")
    assert f"{customer_id} is erased." in told
    assert "yours to erase there" in told
    await harness.events_applied()
    rows = await everything(harness)
    left = {
        (table, word) for table, lines in rows.items() for line in lines if customer_id in line or table == "aliases"
        for word in WORDS if stands(word, line)
    }  # fmt: skip
    assert left == set()
    assert "grace@navy.example" in json.dumps(rows)
    assert await harness.sql("SELECT * FROM entries WHERE customer_id = %s ORDER BY seq", (customer_id,)) == before
    assert "BAD" not in await command(harness, "verify", "--full")
    attached = [item["customer"] for item in harness.world.store.newest("payment_method")]
    assert attached.count(None) == 1
    # Nothing is charged any more, and what is late is booked still.
    charged = await harness.charged()
    await harness.use(customer_id, "50", "after")
    await harness.pass_time(hours=2)
    assert await harness.charged() == charged
    await command(harness, "refund", customer_id, top_up_id, "--amount", "5")
    await harness.work()
    await harness.events_applied()
    assert (await harness.books())["refunded"] == {"USD": 500}
    assert "BAD" not in await command(harness, "verify", "--full")
    assert (await harness.rule(customer_id))["enabled"] is False
    again = await command(harness, "customers", "erase", customer_id, "--yes")
    assert "is erased" in again
    assert [row["actor"] for row in await harness.sql("SELECT actor FROM audit WHERE action = 'customer.erased'")] == [
        "command line"
    ] * 2


async def test_an_open_session_and_link_of_an_erased_person_open_nothing(harness):
    customer_id, visitor = await harness.funded()
    link = await harness.link(customer_id)
    await command(harness, "customers", "erase", customer_id, "--yes")
    assert "Your secure session ended." in (await visitor.client.get(f"{harness.url}/billing/")).text
    stranger = await harness.stranger()
    page = await stranger.client.get(link)
    assert page.status_code in {404, 410}


async def test_a_card_that_was_being_added_meanwhile_is_let_go(harness):
    """They are on Stripe's page when they are erased, and press its button after that."""
    customer_id = await harness.customer("Ada", email="ada@analytical.example")
    visitor = await harness.visitor(customer_id)
    page = await visitor.submit(await visitor.get("/cards"), "/billing/cards/add", {"agreed": "yes"})
    harness.environment = {**harness.environment, "STRIPE_API_KEY": ""}  # the page at Stripe stays open
    await command(harness, "customers", "erase", customer_id, "--yes")
    await visitor.choose_card(page, "4242424242424242")
    await harness.events_applied()
    await harness.pass_time(minutes=5)
    assert await harness.sql("SELECT * FROM cards WHERE customer_id = %s", (customer_id,)) == []
    assert [item["customer"] for item in harness.world.store.newest("payment_method")] == [None]
    assert "card.added" not in await harness.events(customer_id)


async def test_nothing_of_an_erased_person_is_changed_or_opened_again(harness):
    customer_id, _ = await harness.funded()
    await command(harness, "customers", "erase", customer_id, "--yes")
    refused = await harness.call("PATCH", f"/customers/{customer_id}", {"name": "Ada again"}, expect=409)
    assert refused["code"] == "customer_erased"
    link = {"customer_id": customer_id, "return_url": HOME, "failure_url": HOME}
    assert (await harness.call("POST", "/billing-portal/sessions", link, expect=409))["code"] == "customer_erased"
    assert (await harness.call("POST", "/top-ups", {**link, "currency": "USD", "amount": "30"}, expect=409))[
        "code"
    ] == ("customer_erased")
    await harness.use(customer_id, "1", "usage-goes-on")
    [row] = await harness.sql("SELECT payment_id FROM card_tries") or [{"payment_id": "erased_"}]
    assert row["payment_id"].startswith("erased_")


async def test_an_erased_person_gets_no_new_words(harness):
    """Usage that was under way is still booked; what somebody wrote beside it is not kept."""
    customer_id, _ = await lived(harness)
    await command(harness, "customers", "erase", customer_id, "--yes")
    body = {"id": "use-9", "customer_id": customer_id, "asset": "USD", "amount": "1", "description": WORDS[4]}
    await harness.call("POST", "/usage", body, expect=200)
    await harness.call("POST", "/usage", {**body, "id": "use-10", "asset": "EUR"}, expect=200)  # a new account
    hold = {"id": "job-9", "asset": "USD", "amount": "1", "description": WORDS[4]}
    await harness.call("POST", f"/customers/{customer_id}/wallet/holds", hold, expect=201)
    gift = {"transaction_id": "gift-9", "asset": "USD", "amount": "1", "reason": "gift", "description": WORDS[0]}
    await harness.call("POST", f"/customers/{customer_id}/wallet/adjustments", gift, expect=201)
    assert await harness.sql("SELECT * FROM entry_notes") == []
    assert await harness.sql("SELECT description FROM holds WHERE description IS NOT NULL") == []
    keys = [row["key"] for row in await harness.sql("SELECT key FROM entries ORDER BY recorded_at DESC LIMIT 3")]
    assert keys == ["gift-9", "use-10", "use-9"]


async def test_an_erasure_gives_back_the_tries_of_a_card_that_others_have(harness):
    customer_id, visitor = await harness.funded(balance=20, number="4000002760003184")
    [card] = await harness.sql("SELECT card_id FROM cards")
    page = await visitor.get("/top-up?asset=USD")
    await visitor.submit(page, "/billing/top-up", {"amount": "25", "card": card["card_id"]})  # left at its bank's page
    assert [row["state"] for row in await harness.sql("SELECT state FROM card_tries")] == ["open"]
    await command(harness, "customers", "erase", customer_id, "--yes")
    await harness.work()
    assert await harness.sql("SELECT state FROM card_tries") == []


async def test_nobody_is_erased_while_a_payment_is_under_way(harness):
    await harness.switch(call="payment_intents.confirm", fault="processing")
    customer_id, _ = await harness.crossed(name="Ada")
    await harness.work()
    assert await harness.state_is(customer_id, "processing")
    told = await command(harness, "customers", "erase", customer_id, "--yes", status=2, stream="stderr")
    assert "a payment is under way" in told
    assert (await harness.call("GET", f"/customers/{customer_id}"))["name"] == "Ada"


async def test_what_waits_is_taken_back_first(harness):
    customer_id, _ = await harness.crossed(number="4000000000009995")
    await harness.work()
    assert await harness.state_is(customer_id, "retry_wait")
    await command(harness, "customers", "erase", customer_id, "--yes")
    await harness.pass_time(days=2)
    assert await harness.state_is(customer_id, "canceled")
    assert await harness.charged() == 0


async def test_cards_that_stripe_still_has_are_named(harness):
    customer_id, _ = await harness.funded()
    harness.environment = {**harness.environment, "STRIPE_API_KEY": ""}
    told = await command(harness, "customers", "erase", customer_id, "--yes", status=1)
    assert "Still at Stripe: pm_" in told


async def test_erasing_asks_first(harness):
    customer_id = await harness.customer("Ada")
    await command(harness, "customers", "erase", customer_id, stdin="n\n", status=130)
    assert (await harness.call("GET", f"/customers/{customer_id}"))["name"] == "Ada"


# --- exports ------------------------------------------------------------------------------------------------------


async def test_every_export_holds_what_is_there(harness):
    customer_id, top_up_id = await lived(harness)
    await command(harness, "refund", customer_id, top_up_id, "--amount", "5")
    await harness.work()
    await harness.events_applied()
    for what in ("customers", "entries", "top-ups", "payments", "refunds", "disputes", "consents", "audit"):
        [count] = await harness.sql(f"SELECT count(*) AS n FROM {what.replace('-', '_')}")
        rows = list(csv.DictReader(io.StringIO(await command(harness, "export", what))))
        assert len(rows) == count["n"], what
        lines = (await command(harness, "export", what, "--form", "jsonl")).splitlines()
        assert [set(json.loads(line)) for line in lines] == ([set(rows[0])] * len(rows) if rows else []), what
    assert await command(harness, "export", "entries", "--until", "2020-01-01", "--form", "jsonl") == ""
    [other] = (await command(harness, "export", "customers", "--customer", customer_id, "--form", "jsonl")).splitlines()
    assert json.loads(other)["customer_id"] == customer_id


async def test_an_export_runs_no_formula_and_keeps_amounts_exact(harness):
    customer_id = await harness.customer('=HYPERLINK("http://evil")')
    await harness.give(customer_id, "12.34")
    body = {"id": "use-1", "customer_id": customer_id, "asset": "USD", "amount": "3", "description": "@SUM(A1)"}
    await harness.call("POST", "/usage", body, expect=200)
    [row] = csv.DictReader(io.StringIO(await command(harness, "export", "customers")))
    assert row["name"] == '\'=HYPERLINK("http://evil")'
    rows = list(csv.DictReader(io.StringIO(await command(harness, "export", "entries"))))
    assert [(row["amount"], row["balance_after"]) for row in rows] == [("12.34", "12.34"), ("-3", "9.34")]
    assert rows[1]["description"] == "'@SUM(A1)"
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD/entries", expect=200)
    ours = {(item["id"], item["seq"], dt.datetime.fromisoformat(item["occurred_at"])) for item in shown["items"]}
    read = {(row["entry_id"], int(row["seq"]), dt.datetime.fromisoformat(row["occurred_at"])) for row in rows}
    assert read == ours  # an entry's id is not stored, and a time only where it was given


async def test_an_accounts_entries_come_in_the_order_of_its_chain(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 1000)
    events = [{"id": f"use-{n}", "customer_id": customer_id, "asset": "USD", "amount": "1"} for n in range(200)]
    await harness.call("POST", "/usage", {"events": events}, expect=200)
    rows = list(csv.DictReader(io.StringIO(await command(harness, "export", "entries"))))
    assert [int(row["seq"]) for row in rows] == list(range(1, 202))


async def test_an_export_is_one_moment(harness):
    """Rows that are added while it runs are not in it: it reads one snapshot."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 1000)
    exports = [asyncio.create_task(command(harness, "export", "entries")) for _ in range(2)]
    for number in range(20):
        await harness.use(customer_id, "1", f"use-{number}")
    for exported in exports:
        rows = list(csv.DictReader(io.StringIO(await exported)))
        assert [int(row["seq"]) for row in rows] == list(range(1, len(rows) + 1))
