"""Threat: numbers. NaN, a million digits, an exponent that runs for minutes, foreign digits; in every field."""

import json
import re

import pytest

from support.attack import some
from support.odd import NUMBERS, number_token
from support.pressing import every_form, token_of
from support.requests import queries, writes
from support.things import everything_allowed, filled, one_of_everything

AMOUNTS = re.compile(r"amount|threshold|limit|balance|units")


@pytest.fixture
async def things(house):
    await everything_allowed(house)
    return await one_of_everything(house)


async def test_in_every_numeric_field_of_the_api(house, things, attack):
    """Odd numbers in every numeric field of the API."""
    document = (await house.api.get("/openapi.json")).json()
    fields = 0
    for write in writes(document):
        for place in write.numeric():
            fields += 1
            for number in NUMBERS:
                for raw in {json.dumps(number).encode(), number_token(number)}:
                    what = f"{write.method} {write.path} {place} {raw[:40]}"
                    body = write.with_field(place, raw)
                    with attack.timed(what):
                        answer = await house.api.request(write.method, filled(write.path, things), content=body)
                    attack.judge(answer, what)
                    if re.search(rb"(?i)nan|inf|e[+-]?\d|_|x", raw) and answer.status_code < 400:
                        results = answer.json().get("results", [{"status": "?"}]) if answer.content else [{}]
                        if any(result.get("status") != "refused" for result in results):
                            attack.got_through(what)
    assert fields >= 20


async def test_in_every_query_of_the_api(house, things, attack):
    """Odd numbers in every query of the API."""
    document = (await house.api.get("/openapi.json")).json()
    for path, names in queries(document):
        for name in names:
            for number in some(NUMBERS, 4):
                what = f"GET {path}?{name}={number[:40]!a}"
                text = number.encode("utf-8", "replace").decode()[:4000]
                with attack.timed(what):
                    answer = await house.api.get(
                        filled(path, things), params={name: text, "customer_id": things["grace"]}
                    )
                attack.judge(answer, what)


async def test_in_every_amount_of_the_portal(house, attack):
    """Odd numbers in every amount that a customer types."""
    customer_id, visitor = await house.funded()
    found, _ = await every_form(visitor.client, f"{house.url}/billing/", under=f"{house.url}/billing")
    before = await house.sql("SELECT * FROM rules")
    asked = 0
    for page, action, fields in found:
        for name in filter(AMOUNTS.search, fields):
            asked += 1
            for number in NUMBERS:
                what = f"{action} {name}={number[:40]!a}"
                form = {**fields, name: number.encode("utf-8", "replace"), "csrf": token_of(page)}
                with attack.timed(what):
                    answer = await visitor.client.post(f"{house.url}{action}", data=form, follow_redirects=False)
                attack.judge(answer, what)
    assert asked >= 4
    assert await house.sql("SELECT * FROM rules") == before
    assert await house.charged() == 0
