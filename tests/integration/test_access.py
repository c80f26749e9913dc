"""Every route of every door with every caller, on their own things and on others', as the table in `access` says."""

import re

import httpx
import pytest

from brimful import api, console, portal
from brimful.auth import permissions, portal_sessions
from support.forms import token_of
from support.harness import STRIPE_KEY
from support.operator import colleague
from support.seed import SCOPES, filled, key_with, one_of_everything

HIDDEN = ("Ada Lovelace", "31.4159")


@pytest.fixture
async def things(harness):
    return await one_of_everything(harness)


def test_every_row_has_its_route_and_every_route_its_row(harness):
    """The doors refuse to open with a route that has no row; here, that no row is left without a route."""
    api_app = api.app.build(harness.engine)
    known = {(method, route.path) for route in api_app.state.routes for method in route.methods}
    known |= {(method, route.path) for route in api_app.router.routes if hasattr(route, "methods")
              for method in route.methods or ()}  # fmt: skip
    rows = {(row.method, row.path) for row in permissions.rows_of("api")} - {("POST", "/v1/usage"), ("GET", "/docs")}
    assert rows - known == set()
    for door, app in (
        ("billing", portal.app.build(harness.portal_deps)),
        ("console", console.app.build(harness.engine)),
    ):
        known = {(method, route.path) for route in app.routes for method in getattr(route, "methods", None) or {"GET"}}
        assert {(row.method, row.path) for row in permissions.rows_of(door)} - known == set()
        assert {(m, p) for m, p in known if m != "HEAD"} - {
            (row.method, row.path) for row in permissions.rows_of(door)
        } == set()


def test_a_route_without_a_row_keeps_its_door_shut(harness, monkeypatch):
    apps = {
        "api": (api.app.build, harness.engine),
        "billing": (portal.app.build, harness.portal_deps),
        "console": (console.app.build, harness.engine),
    }
    for surface, (build, deps) in apps.items():
        left = {k: row for k, row in permissions.PERMISSIONS.items() if row.surface != surface or "anyone" in row.who}
        monkeypatch.setattr(permissions, "PERMISSIONS", left)
        with pytest.raises(AssertionError):
            build(deps)
        monkeypatch.undo()


async def test_the_api(harness, things):
    full = {"Authorization": f"Bearer {await key_with(harness, SCOPES)}"}
    visitor = await harness.visitor(things["customer_id"])
    cookies = dict(visitor.client.cookies)
    async with httpx.AsyncClient(base_url=harness.url, timeout=30) as client, colleague(harness, "olga") as olga:
        for row in permissions.rows_of("api"):
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
            if "balance_token" in row.who:  # its own caller is in test_balance_tokens.py
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), row
                continue
            if "refused" in row.who:
                assert (answer.status_code, answer.json()["code"]) == (403, "customer_only"), row
                continue
            assert answer.status_code not in {401, 403, 405}, (row, answer.text)
            lacking = {"Authorization": f"Bearer {await key_with(harness, tuple(s for s in SCOPES if s != row.scope))}"}
            refused = await client.request(row.method, path, json={}, headers=lacking)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), row
        for row in permissions.rows_of("api"):
            if "refused" in row.who:  # whatever its scopes: also one that has none of these
                narrow = {"Authorization": f"Bearer {await key_with(harness, ('usage',))}"}
                answer = await client.request(row.method, filled(row.path, things), json={}, headers=narrow)
                assert answer.json()["code"] == "customer_only", row


async def opened(harness, link):
    visitor = await harness.stranger()
    page = await visitor.open(link)
    return visitor.client, {"csrf": token_of(page)}


async def turn_off_link(harness, customer_id):
    async with harness.engine.database.transaction() as tx:
        link = await portal_sessions.create_link(tx, customer_id, flow="turn_off", asset="USD")
    return f"{harness.url}/billing/open/{link.token}"


async def test_the_portal(harness, things):
    """Each caller opens a session of their own for each route: some routes end it."""
    ada, grace = things["customer_id"], things["grace"]
    full = {"Authorization": f"Bearer {await key_with(harness, SCOPES)}"}
    ways = {
        "customer": lambda: harness.link(ada), "payment_link": lambda: _of(things["pay_link"]),
        "turn_off_link": lambda: turn_off_link(harness, ada),
    }  # fmt: skip
    async with httpx.AsyncClient(base_url=harness.url, timeout=30) as nobody, colleague(harness, "olga") as olga:
        for row in permissions.rows_of("billing"):
            if "anyone" in row.who:
                continue
            url = f"{harness.url}/billing{filled(row.path, things)}"
            form = {"data": {"csrf": "x"}} if row.method == "POST" else {}
            for client, headers in ((nobody, {}), (nobody, full), (olga.http, {})):
                assert (await client.request(row.method, url, headers=headers, **form)).status_code == 401, row
            for who, way in ways.items():
                client, token = await opened(harness, await way())
                own = things | ({"top_up_id": things["paid"]} if who == "payment_link" else {})
                url = f"{harness.url}/billing{filled(row.path, own)}"
                answer = await asked(client, row, url, token)
                assert (answer.status_code == 403) is (who not in row.who), (row, who, answer.status_code)
            if re.search(r"\{(top_up|card|setup|consent)_id\}", row.path):
                client, token = await opened(harness, await harness.link(grace))
                answer = await asked(client, row, f"{harness.url}/billing{filled(row.path, things)}", token)
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


async def test_a_payment_link_sees_its_own_top_up_and_no_other(harness, things):
    client, _ = await opened(harness, things["pay_link"])
    for path in ("/top-ups/{top_up_id}", "/confirm/{top_up_id}", "/receipts/{top_up_id}"):
        answer = await client.get(f"{harness.url}/billing{filled(path, things)}")
        assert answer.status_code in {403, 404}, path


async def test_the_console_knows_no_other_caller(harness, things):
    """Viewers and operators are walked in test_console.py."""
    full = {"Authorization": f"Bearer {await key_with(harness, SCOPES)}"}
    visitor, _ = await opened(harness, await harness.link(things["customer_id"]))
    async with httpx.AsyncClient(base_url=f"{harness.url}/console", timeout=30) as nobody:
        for row in permissions.rows_of("console"):
            if "anyone" in row.who:
                continue
            path = filled(row.path, things)
            expected = 303 if row.method == "GET" else 401
            assert (await nobody.request(row.method, path, headers=full)).status_code == expected, row
            answer = await visitor.request(row.method, f"{harness.url}/console{path}", follow_redirects=False)
            assert answer.status_code == expected, row


async def test_two_customers_in_every_path_of_the_api_are_two(harness, things):
    """Ids of one under the name of the other: nothing is found, whatever the key may."""
    full = {"Authorization": f"Bearer {await key_with(harness, SCOPES)}"}
    async with httpx.AsyncClient(base_url=harness.url, headers=full, timeout=30) as client:
        for row in permissions.rows_of("api"):
            if "{customer_id}" not in row.path or "refused" in row.who or row.method not in {"GET", "DELETE"}:
                continue
            answer = await client.request(row.method, filled(row.path, things, customer_id=things["grace"]))
            assert [word for word in HIDDEN if word in answer.text] == [], row
            if "hold_id" in row.path or "transaction_id" in row.path:
                assert answer.status_code == 404, row
