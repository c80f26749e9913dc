"""Threat: a session that is stolen or planted. A new id at the exchange, a cookie that scripts do not see, an end."""

import contextlib
import datetime as dt
import re

import pytest

from brimful import operations, portal, worker
from brimful.auth import portal_sessions
from support.forms import token_of
from support.harness import Harness
from support.operator import Colleague, colleague, hire


async def test_links_and_sessions_end(harness):
    customer_id = await harness.customer()
    link = await harness.link(customer_id)
    visitor = await harness.visitor(customer_id)
    await harness.pass_time(minutes=11)
    assert (await (await harness.stranger()).client.post(link)).status_code == 410
    assert (await visitor.get("/")).status_code == 200
    await harness.pass_time(minutes=31)
    ended = await visitor.get("/")
    assert ended.status_code == 401
    assert "Your secure session ended" in ended.text


async def test_a_planted_cookie_is_not_taken_over(harness):
    stranger = await harness.stranger()
    stranger.client.cookies.set("brimful_portal", "planted", domain="127.0.0.1")
    link = await harness.link(await harness.customer())
    answer = await stranger.client.post(link, follow_redirects=False)
    given = re.search(r"brimful_portal=([\w-]+)", answer.headers["set-cookie"])[1]
    assert len(given) == 43
    other = await harness.stranger()
    other.client.cookies.set("brimful_portal", "planted", domain="127.0.0.1")
    assert (await other.get("/")).status_code == 401


@pytest.mark.parametrize("end", ["leave", "sign out", "absolute"])
async def test_a_session_that_has_ended_is_not_opened_again(harness, end):
    customer_id = await harness.customer()
    visitor = await harness.visitor(customer_id)
    link = await harness.link(customer_id)
    cookies = dict(visitor.client.cookies)
    if end == "leave":
        page = await visitor.get("/")
        left = await visitor.client.post(
            f"{harness.url}/billing/leave", data={"csrf": token_of(page)},
            follow_redirects=False,
        )  # fmt: skip
        assert 'brimful_portal=""' in left.headers["set-cookie"]
        assert left.headers["clear-site-data"] == '"cache", "storage"'
    elif end == "sign out":
        async with harness.engine.database.transaction() as tx:
            assert (
                await operations.actions.sign_out(tx, customer_id, actor="test") == 2
            )  # the session, and the link beside it
        assert (await (await harness.stranger()).client.post(link)).status_code == 410
    else:
        for _ in range(9):  # each visit keeps it from idling out
            await harness.pass_time(minutes=29)
            seen = await visitor.get("/")
        assert seen.status_code == 401
    thief = await harness.stranger()
    thief.client.cookies.update(cookies)
    assert (await thief.get("/")).status_code == 401


async def test_cookies_over_https_are_bound_to_their_host(database_url):
    async with Harness.opened(database_url, BRIMFUL_PUBLIC_URL="https://pay.example") as harness:
        link = (await harness.link(await harness.customer())).replace("https://pay.example", harness.url)
        answer = await (await harness.stranger()).client.post(link, follow_redirects=False)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-brimful_portal=")
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        person = Colleague(harness.url)
        secret = await hire(harness.engine.database, "olga", "viewer")
        signed = await person.http.post("/sign-in", data={"name": "olga", "password": "x" * 12, "code": "000000"})
        assert signed.status_code == 401
        assert secret not in signed.text
        await person.http.aclose()


async def test_signing_in_again_ends_what_was_open(harness):
    async with colleague(harness, "olga") as olga:
        before = dict(olga.http.cookies)
        [row] = await harness.sql("SELECT totp_secret FROM operators")
        harness.clock.offset += dt.timedelta(seconds=60)
        answer = await olga.sign_in("olga", row["totp_secret"], steps=2)
        assert answer.status_code == 303
        assert dict(olga.http.cookies) != before
        thief = Colleague(harness.url)
        thief.http.cookies.update(before)
        assert (await thief.http.get("/", follow_redirects=False)).status_code == 303
        await thief.http.aclose()


async def test_signing_out_ends_it_for_whoever_has_the_cookie(harness):
    async with colleague(harness, "olga") as olga:
        cookies = dict(olga.http.cookies)
        left = await olga.http.post("/sign-out", data={"csrf": olga.csrf})
        assert left.headers["clear-site-data"] == '"cache", "storage"'
        thief = Colleague(harness.url)
        thief.http.cookies.update(cookies)
        assert (await thief.http.get("/", follow_redirects=False)).headers["location"].endswith("/sign-in")
        await thief.http.aclose()


async def test_every_page_has_a_way_out(harness):
    """Also one that was opened by a link in a letter, and leads back to nowhere."""
    customer_id, _ = await harness.funded()
    async with harness.engine.database.transaction() as tx:
        link = await portal_sessions.create_link(tx, customer_id)
    visitor = await harness.stranger()
    await visitor.open(f"{harness.url}/billing/open/{link.token}")
    for path in ("/", "/cards", "/auto-top-up", "/auto-top-up/USD", "/top-up", "/activity", "/alerts/USD", "/nowhere"):
        page = await visitor.get(path)
        if page.status_code == 200:
            assert 'action="/billing/leave"' in page.text, path
            assert "Sign out" in page.text, path


async def test_what_is_over_is_forgotten_after_thirty_days(harness):
    customer_id = await harness.customer()
    visitor = await harness.visitor(customer_id)
    await harness.link(customer_id)
    async with colleague(harness, "olga"):
        harness.clock.offset += dt.timedelta(days=29)
        await worker.periodic.slow_sweep(harness.engine)
        assert len(await harness.sql("SELECT 1 FROM portal_links")) == 2
        harness.clock.offset += dt.timedelta(days=2)
        fresh = await harness.visitor(customer_id)
        await worker.periodic.slow_sweep(harness.engine)
    assert len(await harness.sql("SELECT 1 FROM portal_links")) == 1
    assert len(await harness.sql("SELECT 1 FROM portal_sessions")) == 1
    assert await harness.sql("SELECT 1 FROM operator_sessions") == []
    assert (await visitor.get("/")).status_code == 401
    assert (await fresh.get("/")).status_code == 200


async def test_a_link_that_was_made_while_its_customer_was_erased_opens_nothing(harness):
    customer_id = await harness.customer()
    async with harness.engine.database.transaction() as tx:
        link = await portal_sessions.create_link(tx, customer_id)
        await harness.sql("UPDATE customers SET erased_at = now() WHERE customer_id = %s", (customer_id,))
    visitor = await harness.stranger()
    address = f"{harness.url}/billing/open/{link.token}"
    assert (await visitor.client.get(address)).status_code == 410
    assert (await visitor.client.post(address)).status_code == 410


async def test_a_customer_has_ten_pages_open_and_takes_nobody_elses_place(harness):
    hub = portal.live.Hub(harness.portal_deps.database)
    async with contextlib.AsyncExitStack() as stack:
        mine = [await stack.enter_async_context(hub.listen("cus_one")) for _ in range(12)]
        assert [queue is None for queue in mine] == [False] * 10 + [True] * 2
        assert await stack.enter_async_context(hub.listen("cus_other")) is not None
        hub.stop()
