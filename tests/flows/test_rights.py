"""Who may do what: nobody but the customer writes rules, cards and consents; no customer sees another's."""

import asyncio
import re

import psycopg
import pytest

from brimful.db.pool import role_conninfo
from support.house import HOME

FORBIDDEN = [
    ("brimful_api", "INSERT INTO rules SELECT * FROM rules"),
    ("brimful_api", "UPDATE rules SET enabled = true"),
    ("brimful_api", "INSERT INTO cards SELECT * FROM cards"),
    ("brimful_api", "UPDATE cards SET state = 'active'"),
    ("brimful_api", "INSERT INTO consents SELECT * FROM consents"),
    ("brimful_api", "INSERT INTO card_setups SELECT * FROM card_setups"),
    ("brimful_api", "SELECT * FROM consent_evidence"),
    ("brimful_engine", "UPDATE rules SET enabled = true"),
    ("brimful_engine", "INSERT INTO consents SELECT * FROM consents"),
    ("brimful_engine", "INSERT INTO card_setups SELECT * FROM card_setups"),
    ("brimful_portal", "INSERT INTO cards SELECT * FROM cards"),
    ("brimful_portal", "UPDATE consents SET action = 'given'"),
    ("brimful_portal", "SELECT * FROM api_keys"),
    *[
        (role, statement)
        for role in ("brimful_api", "brimful_portal", "brimful_engine")
        for statement in ("DELETE FROM accounts", "UPDATE accounts SET customer_id = 'cus_other'")
    ],
    *[
        (role, f"{verb} {table}{rest}")
        for role in ("brimful_api", "brimful_portal", "brimful_engine")
        for table in ("entries", "consents", "consent_evidence")
        for verb, rest in (("UPDATE", " SET customer_id = customer_id"), ("DELETE FROM", ""), ("TRUNCATE", ""))
    ],
]


@pytest.mark.parametrize(("role", "statement"), FORBIDDEN)
def test_the_database_refuses_what_a_role_must_not_do(database_url, role, statement):
    with (
        psycopg.connect(role_conninfo(database_url, role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


async def test_no_api_key_writes_rules_cards_or_consents(house):
    customer_id, _ = await house.funded()
    before = await house.sql("SELECT * FROM rules")
    for path in ("auto-top-ups", "auto-top-ups/USD", "cards", "cards/card_1", "consents"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            refused = await house.call(method, f"/customers/{customer_id}/{path}", {"enabled": True}, expect=403)
            assert refused["code"] == "customer_only"
            assert "/v1/billing-portal/sessions" in refused["detail"]
    assert await house.sql("SELECT * FROM rules") == before


async def test_without_a_key_nothing_answers(house):
    paths = [("GET", "/customers"), ("POST", "/usage"), ("POST", "/top-ups"), ("POST", "/billing-portal/sessions")]
    for method, path in paths:
        for headers in ({"Authorization": "Bearer wrong_key_0123456789abcdef"}, {"Authorization": "nonsense"}):
            refused = await house.call(method, path, {}, expect=401, headers=headers)
            assert refused["code"] == "unauthorized"


async def test_two_customers_never_see_each_others_anything(house):
    one, first = await house.funded(balance=12, threshold="10", name="One")
    two, second = await house.funded(balance=77, name="Two")
    await house.use(one, "3", "crossing")
    await house.work()
    [top_up] = await house.top_ups(one)
    [card] = await house.sql("SELECT card_id FROM cards WHERE customer_id = %s", (one,))
    [setup] = await house.sql("SELECT setup_id FROM card_setups WHERE customer_id = %s", (one,))
    assert (await second.get(f"/top-ups/{top_up['id']}")).status_code == 404
    assert (await second.get(f"/confirm/{top_up['id']}")).status_code == 404
    assert (await second.get(f"/cards/added/{setup['setup_id']}")).status_code == 404
    cards = await second.get("/cards")
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', cards.text).group(1)
    url = f"{house.url}/billing/cards/{card['card_id']}/remove"
    assert (await second.client.post(url, data={"csrf": token})).status_code == 422
    page = await second.get("/auto-top-up/USD")
    values = {"card": card["card_id"], "threshold": "20", "action": "save", "agreed": "yes"}
    assert (await second.submit(page, "", values)).status_code == 422
    overview = (await second.get("/")).text
    assert "One" not in overview
    assert "$34.00" not in overview
    assert (await house.sql("SELECT state FROM cards WHERE customer_id = %s", (one,)))[0]["state"] == "active"


async def test_a_link_opens_once_and_looking_does_not_use_it_up(house):
    customer_id = await house.customer()
    link = await house.link(customer_id)
    strangers = [await house.stranger() for _ in range(20)]
    for _ in range(10):  # mail scanners
        assert (await strangers[0].client.get(link)).status_code == 200
    answers = await asyncio.gather(*(stranger.client.post(link, follow_redirects=False) for stranger in strangers))
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * 19
    assert (await strangers[0].client.get(link)).status_code == 410


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


async def test_forms_need_their_token_and_their_origin(house):
    customer_id, visitor = await house.funded()
    url = f"{house.url}/billing/auto-top-up/USD/off"
    assert (await visitor.client.post(url, data={})).status_code == 403
    assert (await visitor.client.post(url, data={"csrf": "0" * 48})).status_code == 403
    page = await visitor.get("/auto-top-up/USD")
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text).group(1)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert (await visitor.client.post(url, data={"csrf": token}, headers=headers)).status_code == 403
    assert (await house.rule(customer_id))["enabled"] is True


async def test_every_page_carries_its_policy_and_the_cookie_its_attributes(house):
    customer_id = await house.customer()
    link = await house.link(customer_id)
    stranger = await house.stranger()
    answer = await stranger.client.post(link, follow_redirects=False)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    for path in ("/", "/cards", "/nowhere", "/static/portal.css"):
        headers = (await stranger.get(path)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "//evil.example", "https://app.example@evil.example/", "javascript:alert(1)",
     "https:\\\\evil.example", "http://127.0.0.1.evil.example/", "https://аpp.example/", "", "http://127.0.0.1:x/"],
)  # fmt: skip
async def test_nobody_is_sent_to_a_strange_place(house, url):
    customer_id = await house.customer()
    body = {"customer_id": customer_id, "return_url": url, "failure_url": HOME}
    refused = await house.call("POST", "/billing-portal/sessions", body, expect=422)
    assert refused["code"] == "origin_not_allowed"


async def test_names_and_descriptions_are_shown_as_text(house):
    polyglot = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    customer_id = await house.customer(name=polyglot)
    await house.give(customer_id, 5)
    await house.use(customer_id, "1", "x", description=polyglot)
    text = (await (await house.visitor(customer_id)).get("/")).text
    assert "<script>" not in text
    assert "<img" not in text
