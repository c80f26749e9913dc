"""Threat: mass assignment. A field that nobody asked for is refused; no form reaches a column that is not its own."""

import json

from support.api_requests import writes
from support.attack import some
from support.forms import every_form, token_of
from support.seed import everything_allowed, filled, one_of_everything

COLUMNS = """
    SELECT DISTINCT column_name AS name FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name !~ '^(_?yoyo|procrastinate)' ORDER BY 1
"""


async def test_no_write_of_the_api_takes_a_column_that_is_none_of_its_fields(harness, attack):
    """Every column's name at every write of the API."""
    await everything_allowed(harness)
    things = await one_of_everything(harness)
    columns = [row["name"] for row in await harness.sql(COLUMNS)]
    assert len(columns) > 100
    document = (await harness.api.get("/openapi.json")).json()
    for write in writes(document):
        holders = {place[:-1] for place, _ in write.fields if place[-1] != 0} | {()}
        for holder in holders:
            if holder and holder[-1] in {"metadata", "dimensions"}:  # any name is one
                continue
            own = {place[len(holder)] for place, _ in write.fields if place[: len(holder)] == holder}
            own |= {"external_accounts", "connect", "enabled", "since", "metadata", "topics", "rates", "destination"}
            for column in some([name for name in columns if name not in own], 6):
                body = write.with_field((*holder, column), json.dumps(things["grace"]).encode())
                answer = await harness.api.request(write.method, filled(write.path, things), content=body)
                attack.count()
                attack.judge(answer, f"{write.path} {column}")
                refused = answer.status_code == 422 or (
                    write.path == "/v1/usage" and '"code":"invalid_field"' in answer.text.replace(" ", "")
                )
                if not refused:
                    attack.got_through(f"{write.method} {write.path} {holder} {column}: {answer.status_code}")


async def test_no_form_of_the_portal_reaches_what_is_not_its_own(harness, attack):
    """Every column's name in every form of the portal."""
    things = await one_of_everything(harness)
    ada, grace = things["customer_id"], things["grace"]
    columns = [row["name"] for row in await harness.sql(COLUMNS)]
    visitor = await harness.visitor(ada)
    base = f"{harness.url}/billing"
    forms, _ = await every_form(visitor.client, f"{base}/", under=base)
    frozen = "SELECT customer_id, asset, balance, seq, held FROM accounts ORDER BY 1, 2"
    before = await harness.sql(frozen)
    for page, action, fields in forms:
        if action.endswith(("/remove", "/leave")):
            continue
        for start in range(0, len(columns), 30):  # more fields than fifty are no form
            more = {name: grace for name in columns[start : start + 30] if name not in fields}
            form = {**more, **fields, "csrf": token_of(page)}
            answer = await visitor.client.post(f"{harness.url}{action}", data=form, follow_redirects=False)
            attack.count(len(more))
            attack.judge(answer, action)
    assert await harness.sql(frozen) == before
    for table in ("rules", "cards", "consents", "card_setups", "alerts"):
        rows = await harness.sql(f"SELECT * FROM {table}")
        if [row for row in rows if row["customer_id"] != ada]:
            attack.got_through(f"{table} has a row of another")
        if [row for row in rows if grace in map(str, row.values())]:
            attack.got_through(f"{table} has what was slipped in")
    [row] = await harness.sql(
        "SELECT stripe_customer_id, erased_at, name FROM customers WHERE customer_id = %s", (grace,)
    )
    assert (row["stripe_customer_id"], row["erased_at"], row["name"]) == (None, None, "Grace")
