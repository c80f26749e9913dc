"""Card testing: a bot that tries stolen cards on the form that adds them meets its limits, whoever it says it is."""

import asyncio
import datetime as dt

import pytest
from starlette.requests import Request

from brimful import settings, worker
from brimful.web.pages import client_address
from support.harness import Harness

DECLINED = "4000000000000002"
LIMIT = 3


@pytest.fixture
async def harness(cluster):
    name = cluster.clone()
    async with Harness.opened(cluster.url(name), BRIMFUL_CARDS_PER_ADDRESS=str(LIMIT)) as opened:
        yield opened
    cluster.drop(name)


async def try_to_add(harness, *, address=None, customer_id=None):
    visitor = await harness.visitor(customer_id or await harness.customer())
    if address is not None:
        visitor.client.headers["X-Forwarded-For"] = address
    page = await visitor.get("/cards")
    return visitor, await visitor.submit(page, "/billing/cards/add", {"agreed": "yes"})


async def setups_of(harness):
    [row] = await harness.sql("SELECT count(*) AS n FROM card_setups")
    return row["n"]


async def test_an_address_adds_so_many_cards_in_an_hour_whoever_it_says_it_is(harness):
    pages = await asyncio.gather(*(try_to_add(harness, address="203.0.113.7") for _ in range(12)))
    refused = [page for _, page in pages if page.status_code == 429]
    assert (len(refused), await setups_of(harness)) == (12 - LIMIT, LIMIT)
    assert "Too many tries in the last hour" in refused[0].text
    _, elsewhere = await try_to_add(harness, address="203.0.113.8")
    assert elsewhere.status_code == 200
    await harness.pass_time(hours=1)
    _, later = await try_to_add(harness, address="203.0.113.7")
    assert later.status_code == 200


async def test_what_stands_further_out_in_the_header_is_not_believed(harness):
    for number in range(LIMIT):
        await try_to_add(harness, address=f"198.51.100.{number}, 203.0.113.7")
    _, page = await try_to_add(harness, address="198.51.100.99, 203.0.113.7")
    assert page.status_code == 429


async def test_addresses_are_forgotten_and_are_nowhere_in_the_clear(harness):
    await try_to_add(harness, address="203.0.113.7")
    assert len(await harness.sql("SELECT 1 FROM card_attempts")) == 1
    harness.clock.offset += dt.timedelta(hours=4)
    await worker.periodic.slow_sweep(harness.engine)
    assert await harness.sql("SELECT 1 FROM card_attempts") == []


async def test_a_bot_run_stops_the_adding_of_cards_and_nothing_else(harness):
    customer_id, _ = await harness.crossed()  # one card was added well
    bot, page = await try_to_add(harness, address="203.0.113.7")
    for tried in range(19):
        page = await bot.submit(page, "", {"number": DECLINED})
        assert "declined" in page.text, tried
    await harness.work()
    _, still = await try_to_add(harness, address="203.0.113.9")
    assert still.status_code == 200
    await bot.submit(page, "", {"number": DECLINED})
    await harness.work()
    _, stopped = await try_to_add(harness, address="203.0.113.10")
    assert stopped.status_code == 503
    assert [top_up["state"] for top_up in await harness.top_ups(customer_id)] == ["succeeded"]
    await harness.pass_time(hours=1)
    _, later = await try_to_add(harness, address="203.0.113.10")
    assert later.status_code == 200


async def test_failures_among_as_many_good_cards_stop_nobody(harness):
    for number in range(9):  # 20 of 29 are less than seven in ten
        visitor = await harness.visitor(await harness.customer())
        visitor.client.headers["X-Forwarded-For"] = f"198.51.100.{number}"
        await harness.add_card(visitor)
    bot, page = await try_to_add(harness)
    for _ in range(20):
        page = await bot.submit(page, "", {"number": DECLINED})
    await harness.work()
    _, still = await try_to_add(harness)
    assert still.status_code == 200
    await bot.submit(page, "", {"number": DECLINED})
    await bot.submit(page, "", {"number": DECLINED})
    await harness.work()
    _, stopped = await try_to_add(harness)
    assert stopped.status_code == 503


@pytest.mark.parametrize(
    ("peer", "header", "wanted"),
    [
        ("192.0.2.1", "203.0.113.7", "192.0.2.1"),
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("10.1.2.3", "198.51.100.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"),
        ("10.1.2.3", "10.0.0.1", "10.0.0.1"),
        ("10.1.2.3", "'; DROP TABLE cards --", "'; DROP TABLE cards --"),
        ("::1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_the_address_is_the_nearest_hop_that_is_no_proxy_of_ours(peer, header, wanted):
    env = {
        "DATABASE_URL": "postgresql://h/d",
        "BRIMFUL_LEDGER_KEYS": "1:" + "A" * 43 + "=",
        "BRIMFUL_PUBLIC_URL": "http://127.0.0.1:1",
        "BRIMFUL_TRUSTED_PROXIES": "127.0.0.0/8,::1/128,10.0.0.0/8",
    }
    headers = [(b"x-forwarded-for", header.encode())] if header else []
    request = Request({"type": "http", "client": (peer, 1), "headers": headers})
    assert client_address(request, settings.environment.read(env)) == wanted
