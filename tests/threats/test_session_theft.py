"""Threat: a session that is stolen or planted. A new id at the exchange, a cookie that scripts do not see, an end."""

import contextlib
import datetime as dt
import re

import pytest

from brimful import desk, sessions, worker
from brimful.portal import live
from support.desk import Colleague, colleague, hire
from support.house import House
from support.pressing import token_of


async def test_links_and_sessions_end(house):
    customer_id = await house.customer()
    link = await house.link(customer_id)
    visitor = await house.visitor(customer_id)
    await house.pass_time(minutes=11)
    assert (await (await house.stranger()).client.post(link)).status_code == 410
    assert (await visitor.get("/")).status_code == 200
    await house.pass_time(minutes=31)
    ended = await visitor.get("/")
    assert ended.status_code == 401
    assert "Your secure session ended" in ended.text


async def test_a_planted_cookie_is_not_taken_over(house):
    stranger = await house.stranger()
    stranger.client.cookies.set("brimful_portal", "planted", domain="127.0.0.1")
    link = await house.link(await house.customer())
    answer = await stranger.client.post(link, follow_redirects=False)
    given = re.search(r"brimful_portal=([\w-]+)", answer.headers["set-cookie"])[1]
    assert len(given) == 43
    other = await house.stranger()
    other.client.cookies.set("brimful_portal", "planted", domain="127.0.0.1")
    assert (await other.get("/")).status_code == 401


@pytest.mark.parametrize("end", ["leave", "sign out", "absolute"])
async def test_a_session_that_has_ended_is_not_opened_again(house, end):
    customer_id = await house.customer()
    visitor = await house.visitor(customer_id)
    link = await house.link(customer_id)
    cookies = dict(visitor.client.cookies)
    if end == "leave":
        page = await visitor.get("/")
        left = await visitor.client.post(
            f"{house.url}/billing/leave", data={"csrf": token_of(page)},
            follow_redirects=False,
        )  # fmt: skip
        assert 'brimful_portal=""' in left.headers["set-cookie"]
        assert left.headers["clear-site-data"] == '"cache", "storage"'
    elif end == "sign out":
        async with house.engine.database.transaction() as tx:
            assert await desk.sign_out(tx, customer_id, actor="test") == 2  # the session, and the link beside it
        assert (await (await house.stranger()).client.post(link)).status_code == 410
    else:
        for _ in range(9):  # each visit keeps it from idling out
            await house.pass_time(minutes=29)
            seen = await visitor.get("/")
        assert seen.status_code == 401
    thief = await house.stranger()
    thief.client.cookies.update(cookies)
    assert (await thief.get("/")).status_code == 401


async def test_cookies_over_https_are_bound_to_their_host(database_url):
    async with House.opened(database_url, BRIMFUL_PUBLIC_URL="https://pay.example") as house:
        link = (await house.link(await house.customer())).replace("https://pay.example", house.url)
        answer = await (await house.stranger()).client.post(link, follow_redirects=False)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-brimful_portal=")
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        person = Colleague(house.url)
        secret = await hire(house.engine.database, "olga", "viewer")
        signed = await person.http.post("/sign-in", data={"name": "olga", "password": "x" * 12, "code": "000000"})
        assert signed.status_code == 401
        assert secret not in signed.text
        await person.http.aclose()


async def test_signing_in_again_ends_what_was_open(house):
    async with colleague(house, "olga") as olga:
        before = dict(olga.http.cookies)
        [row] = await house.sql("SELECT totp_secret FROM operators")
        house.clock.offset += dt.timedelta(seconds=60)
        answer = await olga.sign_in("olga", row["totp_secret"], steps=2)
        assert answer.status_code == 303
        assert dict(olga.http.cookies) != before
        thief = Colleague(house.url)
        thief.http.cookies.update(before)
        assert (await thief.http.get("/", follow_redirects=False)).status_code == 303
        await thief.http.aclose()


async def test_signing_out_ends_it_for_whoever_has_the_cookie(house):
    async with colleague(house, "olga") as olga:
        cookies = dict(olga.http.cookies)
        left = await olga.http.post("/sign-out", data={"csrf": olga.csrf})
        assert left.headers["clear-site-data"] == '"cache", "storage"'
        thief = Colleague(house.url)
        thief.http.cookies.update(cookies)
        assert (await thief.http.get("/", follow_redirects=False)).headers["location"].endswith("/sign-in")
        await thief.http.aclose()


async def test_every_page_has_a_way_out(house):
    """Also one that was opened by a link in a letter, and leads back to nowhere."""
    customer_id, _ = await house.funded()
    async with house.engine.database.transaction() as tx:
        link = await sessions.create_link(tx, customer_id)
    visitor = await house.stranger()
    await visitor.open(f"{house.url}/billing/open/{link.token}")
    for path in ("/", "/cards", "/auto-top-up", "/auto-top-up/USD", "/top-up", "/activity", "/alerts/USD", "/nowhere"):
        page = await visitor.get(path)
        if page.status_code == 200:
            assert 'action="/billing/leave"' in page.text, path
            assert "Sign out" in page.text, path


async def test_what_is_over_is_forgotten_after_thirty_days(house):
    customer_id = await house.customer()
    visitor = await house.visitor(customer_id)
    await house.link(customer_id)
    async with colleague(house, "olga"):
        house.clock.offset += dt.timedelta(days=29)
        await worker.slow_sweep(house.engine)
        assert len(await house.sql("SELECT 1 FROM portal_links")) == 2
        house.clock.offset += dt.timedelta(days=2)
        fresh = await house.visitor(customer_id)
        await worker.slow_sweep(house.engine)
    assert len(await house.sql("SELECT 1 FROM portal_links")) == 1
    assert len(await house.sql("SELECT 1 FROM portal_sessions")) == 1
    assert await house.sql("SELECT 1 FROM operator_sessions") == []
    assert (await visitor.get("/")).status_code == 401
    assert (await fresh.get("/")).status_code == 200


async def test_a_link_that_was_made_while_its_customer_was_erased_opens_nothing(house):
    customer_id = await house.customer()
    async with house.engine.database.transaction() as tx:
        link = await sessions.create_link(tx, customer_id)
        await house.sql("UPDATE customers SET erased_at = now() WHERE customer_id = %s", (customer_id,))
    visitor = await house.stranger()
    address = f"{house.url}/billing/open/{link.token}"
    assert (await visitor.client.get(address)).status_code == 410
    assert (await visitor.client.post(address)).status_code == 410


async def test_a_customer_has_ten_pages_open_and_takes_nobody_elses_place(house):
    hub = live.Hub(house.portal_deps.database)
    async with contextlib.AsyncExitStack() as stack:
        mine = [await stack.enter_async_context(hub.listen("cus_one")) for _ in range(12)]
        assert [queue is None for queue in mine] == [False] * 10 + [True] * 2
        assert await stack.enter_async_context(hub.listen("cus_other")) is not None
        hub.stop()
