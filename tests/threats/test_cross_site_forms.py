"""Threat: forms sent from elsewhere, pages in a frame. A token, the origin, and no frames."""

import re

from brimful.auth import permissions
from support.forms import token_of
from support.operator import colleague
from support.seed import filled, one_of_everything

ELSEWHERE = (
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "odd"},
)  # fmt: skip


async def test_forms_need_their_token_and_their_origin(harness):
    customer_id, visitor = await harness.funded()
    url = f"{harness.url}/billing/auto-top-up/USD/off"
    assert (await visitor.client.post(url, data={})).status_code == 403
    assert (await visitor.client.post(url, data={"csrf": "0" * 48})).status_code == 403
    page = await visitor.get("/auto-top-up/USD")
    token = token_of(page)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert (await visitor.client.post(url, data={"csrf": token}, headers=headers)).status_code == 403
    assert (await harness.rule(customer_id))["enabled"] is True


async def test_no_form_is_taken_from_elsewhere(harness, attack):
    """Every form of portal and console, sent from elsewhere or without its token."""
    things = await one_of_everything(harness)
    visitor = await harness.visitor(things["customer_id"])
    async with colleague(harness, "olga") as olga:
        doors = (
            ("billing", visitor.client, token_of(await visitor.get("/cards"))),
            ("console", olga.http, olga.csrf),
        )
        before = [await harness.sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("rules", "cards", "top_ups")]
        for door, client, token in doors:
            for row in permissions.rows_of(door):
                if row.method != "POST" or row.path.startswith(("/open", "/sign-in")):
                    continue
                url = f"{harness.url}/{door}{filled(row.path, things)}"
                bad = [({"csrf": token}, headers) for headers in ELSEWHERE]
                bad += [({}, {}), ({"csrf": ""}, {}), ({"csrf": token[:-1]}, {}), ({"csrf": "0" * len(token)}, {})]
                for data, headers in bad:
                    answer = await client.post(url, data=data, headers=headers, follow_redirects=False)
                    attack.count()
                    if answer.status_code != 403:
                        attack.got_through(f"{row.path} {data} {headers}: {answer.status_code}")
        after = [await harness.sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("rules", "cards", "top_ups")]
        assert after == before
        for headers in ELSEWHERE[:2]:
            link = await harness.link(things["customer_id"])
            assert (await (await harness.stranger()).client.post(link, headers=headers)).status_code == 403


async def test_no_page_is_shown_in_a_frame(harness):
    things = await one_of_everything(harness)
    visitor = await harness.visitor(things["customer_id"])
    async with colleague(harness, "olga") as olga:
        for door, client in (("billing", visitor.client), ("console", olga.http)):
            for row in permissions.rows_of(door):
                if row.method == "GET" and row.path not in {"/live", "/static"}:
                    answer = await client.get(f"{harness.url}/{door}{filled(row.path, things)}", follow_redirects=False)
                    policy = answer.headers["content-security-policy"]
                    assert re.search(r"frame-ancestors 'none'", policy), row
    for path in ("/v1/customers", "/docs/", "/metrics", "/nowhere", "/healthz", "/v1/usage"):
        headers = (await harness.api.get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store"), path
        assert "access-control-allow-origin" not in headers
