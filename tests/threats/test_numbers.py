"""Threat: numbers. NaN, a million digits, an exponent that runs for minutes, foreign digits; in every field."""

import json
import re

import pytest

from support.api_requests import queries, writes
from support.attack import some
from support.forms import every_form, token_of
from support.malformed import NUMBERS, number_token
from support.seed import everything_allowed, filled, one_of_everything

AMOUNTS = re.compile(r"amount|threshold|limit|balance|units")


def no_number(raw):
    """Whether it must be refused: a JSON number may have an exponent, of two digits at most, and a text may not."""
    return bool(re.search(rb"(?i)nan|inf|_|x|e[+-]?\d{3}|^\".*e[+-]?\d", raw))


@pytest.fixture
async def things(harness):
    await everything_allowed(harness)
    return await one_of_everything(harness)


async def test_in_every_numeric_field_of_the_api(harness, things, attack):
    """Odd numbers in every numeric field of the API."""
    document = (await harness.api.get("/openapi.json")).json()
    fields, seen = 0, set()
    for write in writes(document):
        for turn, place in enumerate(write.numeric()):
            # Fields of one model are read by one type: the first two get everything, the others some of it.
            numbers = NUMBERS if turn < 2 and write.model not in seen else some(NUMBERS, 5)
            fields += 1
            for number in numbers:
                for raw in {json.dumps(number).encode(), number_token(number)}:
                    what = f"{write.method} {write.path} {place} {raw[:40]}"
                    body = write.with_field(place, raw)
                    with attack.timed(what):
                        answer = await harness.api.request(write.method, filled(write.path, things), content=body)
                    attack.judge(answer, what)
                    if no_number(raw) and answer.status_code < 400:
                        results = answer.json().get("results", [{"status": "?"}]) if answer.content else [{}]
                        if any(result.get("status") != "refused" for result in results):
                            attack.got_through(what)
        seen.add(write.model)
    assert fields >= 20


async def test_in_every_query_of_the_api(harness, things, attack):
    """Odd numbers in every query of the API."""
    document = (await harness.api.get("/openapi.json")).json()
    for path, names in queries(document):
        for name in names:
            for number in some(NUMBERS, 4):
                what = f"GET {path}?{name}={number[:40]!a}"
                text = number.encode("utf-8", "replace").decode()[:4000]
                with attack.timed(what):
                    answer = await harness.api.get(
                        filled(path, things), params={name: text, "customer_id": things["grace"]}
                    )
                attack.judge(answer, what)


async def test_in_every_amount_of_the_portal(harness, attack):
    """Odd numbers in every amount that a customer types."""
    customer_id, visitor = await harness.funded()
    found, _ = await every_form(visitor.client, f"{harness.url}/billing/", under=f"{harness.url}/billing")
    before = await harness.sql("SELECT * FROM rules")
    asked = 0
    for page, action, fields in found:
        for name in filter(AMOUNTS.search, fields):
            asked += 1
            for number in NUMBERS:
                what = f"{action} {name}={number[:40]!a}"
                form = {**fields, name: number.encode("utf-8", "replace"), "csrf": token_of(page)}
                with attack.timed(what):
                    answer = await visitor.client.post(f"{harness.url}{action}", data=form, follow_redirects=False)
                attack.judge(answer, what)
    assert asked >= 4
    assert await harness.sql("SELECT * FROM rules") == before
    assert await harness.charged() == 0
