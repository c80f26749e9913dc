"""Every route of every door with every caller, on their own things and on others', as the table in `access` says."""

import re

import httpx
import pytest

from brimful import access, api, console, portal, sessions
from support.desk import colleague
from support.house import STRIPE_KEY
from support.pressing import token_of
from support.things import SCOPES, filled, key_with, one_of_everything

HIDDEN = ("Ada Lovelace", "31.4159")


@pytest.fixture
async def things(house):
    return await one_of_everything(house)


def test_every_row_has_its_route_and_every_route_its_row(house):
    """The doors refuse to open with a route that has no row; here, that no row is left without a route."""
    json_door = api.build(house.engine)
    known = {(method, route.path) for route in json_door.state.routes for method in route.methods}
    known |= {(method, route.path) for route in json_door.router.routes if hasattr(route, "methods")
              for method in route.methods or ()}  # fmt: skip
    rows = {(row.method, row.path) for row in access.rows("api")} - {("POST", "/v1/usage"), ("GET", "/docs")}
    assert rows - known == set()
    for door, app in (("billing", portal.build(house.portal_deps)), ("console", console.build(house.engine))):
        known = {(method, route.path) for route in app.routes for method in getattr(route, "methods", None) or {"GET"}}
        assert {(row.method, row.path) for row in access.rows(door)} - known == set()
        assert {(m, p) for m, p in known if m != "HEAD"} - {
            (row.method, row.path) for row in access.rows(door)
        } == set()


def test_a_route_without_a_row_keeps_its_door_shut(house, monkeypatch):
    for door, build, deps in (("api", api.build, house.engine), ("billing", portal.build, house.portal_deps),
                              ("console", console.build, house.engine)):  # fmt: skip
        left = {key: row for key, row in access.DOORS.items() if row.door != door or "anyone" in row.who}
        monkeypatch.setattr(access, "DOORS", left)
        with pytest.raises(AssertionError):
            build(deps)
        monkeypatch.undo()


async def test_the_api(house, things):
    full = {"Authorization": f"Bearer {await key_with(house, SCOPES)}"}
    visitor = await house.visitor(things["customer_id"])
    cookies = dict(visitor.client.cookies)
    async with httpx.AsyncClient(base_url=house.url, timeout=30) as client, colleague(house, "olga") as olga:
        for row in access.rows("api"):
            path = filled(row.path, things)

            async def status(method=row.method, path=path, **options):
                return (await client.request(method, path, json={}, **options)).status_code

            if "anyone" in row.who:
                assert await status() < 400, row
                continue
            if "stripe" in row.who:
                assert {await status(), await status(headers=full)} == {400}, row
                continue
            for cookie in ({}, cookies, dict(olga.http.cookies)):
                header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookie.items())}
                assert await status(headers=header) == 401, row
            assert await status(headers={"Authorization": f"Bearer {STRIPE_KEY}"}) == 401, row
            answer = await client.request(row.method, path, json={}, headers=full)
            if "refused" in row.who:
                assert (answer.status_code, answer.json()["code"]) == (403, "customer_only"), row
                continue
            assert answer.status_code not in {401, 403, 405}, (row, answer.text)
            lacking = {"Authorization": f"Bearer {await key_with(house, tuple(s for s in SCOPES if s != row.scope))}"}
            refused = await client.request(row.method, path, json={}, headers=lacking)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), row
        for row in access.rows("api"):
            if "refused" in row.who:  # whatever its scopes: also one that has none of these
                narrow = {"Authorization": f"Bearer {await key_with(house, ('usage',))}"}
                answer = await client.request(row.method, filled(row.path, things), json={}, headers=narrow)
                assert answer.json()["code"] == "customer_only", row


async def opened(house, link):
    visitor = await house.stranger()
    page = await visitor.open(link)
    return visitor.client, {"csrf": token_of(page)}


async def turn_off_link(house, customer_id):
    async with house.engine.database.transaction() as tx:
        link = await sessions.create_link(tx, customer_id, flow="turn_off", asset="USD")
    return f"{house.url}/billing/open/{link.token}"


async def test_the_portal(house, things):
    """Each caller opens a session of their own for each route: some routes end it."""
    ada, grace = things["customer_id"], things["grace"]
    full = {"Authorization": f"Bearer {await key_with(house, SCOPES)}"}
    ways = {
        "customer": lambda: house.link(ada), "payment_link": lambda: _of(things["pay_link"]),
        "turn_off_link": lambda: turn_off_link(house, ada),
    }  # fmt: skip
    async with httpx.AsyncClient(base_url=house.url, timeout=30) as nobody, colleague(house, "olga") as olga:
        for row in access.rows("billing"):
            if "anyone" in row.who:
                continue
            url = f"{house.url}/billing{filled(row.path, things)}"
            form = {"data": {"csrf": "x"}} if row.method == "POST" else {}
            for client, headers in ((nobody, {}), (nobody, full), (olga.http, {})):
                assert (await client.request(row.method, url, headers=headers, **form)).status_code == 401, row
            for who, way in ways.items():
                client, token = await opened(house, await way())
                own = things | ({"top_up_id": things["paid"]} if who == "payment_link" else {})
                url = f"{house.url}/billing{filled(row.path, own)}"
                answer = await asked(client, row, url, token)
                assert (answer.status_code == 403) is (who not in row.who), (row, who, answer.status_code)
            if re.search(r"\{(top_up|card|setup|consent)_id\}", row.path):
                client, token = await opened(house, await house.link(grace))
                answer = await asked(client, row, f"{house.url}/billing{filled(row.path, things)}", token)
                assert answer.status_code in {404, 422}, (row, answer.status_code)
                assert [word for word in HIDDEN if word in answer.text] == [], row


async def asked(client, row, url, token):
    if row.path == "/live":
        async with client.stream("GET", url) as answer:
            return answer
    if row.method == "GET":
        return await client.get(url, follow_redirects=False)
    return await client.post(url, data=token, follow_redirects=False)


async def _of(link):
    return link


async def test_a_payment_link_sees_its_own_top_up_and_no_other(house, things):
    client, _ = await opened(house, things["pay_link"])
    for path in ("/top-ups/{top_up_id}", "/confirm/{top_up_id}", "/receipts/{top_up_id}"):
        answer = await client.get(f"{house.url}/billing{filled(path, things)}")
        assert answer.status_code in {403, 404}, path


async def test_the_console_knows_no_other_caller(house, things):
    """Viewers and operators are walked in test_console.py."""
    full = {"Authorization": f"Bearer {await key_with(house, SCOPES)}"}
    visitor, _ = await opened(house, await house.link(things["customer_id"]))
    async with httpx.AsyncClient(base_url=f"{house.url}/console", timeout=30) as nobody:
        for row in access.rows("console"):
            if "anyone" in row.who:
                continue
            path = filled(row.path, things)
            expected = 303 if row.method == "GET" else 401
            assert (await nobody.request(row.method, path, headers=full)).status_code == expected, row
            answer = await visitor.request(row.method, f"{house.url}/console{path}", follow_redirects=False)
            assert answer.status_code == expected, row


async def test_two_customers_in_every_path_of_the_api_are_two(house, things):
    """Ids of one under the name of the other: nothing is found, whatever the key may."""
    full = {"Authorization": f"Bearer {await key_with(house, SCOPES)}"}
    async with httpx.AsyncClient(base_url=house.url, headers=full, timeout=30) as client:
        for row in access.rows("api"):
            if "{customer_id}" not in row.path or "refused" in row.who or row.method not in {"GET", "DELETE"}:
                continue
            answer = await client.request(row.method, filled(row.path, things, customer_id=things["grace"]))
            assert [word for word in HIDDEN if word in answer.text] == [], row
            if "hold_id" in row.path or "transaction_id" in row.path:
                assert answer.status_code == 404, row
