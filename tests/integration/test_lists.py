"""Lists: what is added while somebody pages neither repeats a row nor hides one."""

import pytest


async def paged(harness, path, between, **params):
    """Every item by cursor, two at a time; `between` adds one before each further page."""
    items, cursor = [], None
    while True:
        page = await harness.call(
            "GET", path, params={"limit": 2, **params, **({} if cursor is None else {"cursor": cursor})}, expect=200
        )
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items, page["total_count"]
        await between(len(items))


async def test_customers_are_paged_while_others_come(harness):
    made = [await harness.customer(f"C{number}") for number in range(5)]
    items, total = await paged(harness, "/customers", lambda number: harness.customer(f"new {number}"))
    assert [item["id"] for item in items] == made[::-1]
    assert total == 7


async def test_assets_are_paged_while_others_come(harness):
    async def create(code):
        await harness.call("POST", "/assets", {"code": code, "name": code}, expect=201)

    for code in ("AA1", "CC1", "EE1"):
        await create(code)
    before = {item["code"] for item in (await harness.call("GET", "/assets", params={"limit": 200}))["items"]}
    items, _ = await paged(harness, "/assets", lambda number: create(f"AA{number}X"))
    codes = [item["code"] for item in items]
    assert len(codes) == len(set(codes))
    assert before <= set(codes)


async def test_grants_are_paged_while_others_come(harness):
    customer_id = await harness.customer()
    for number in range(5):
        await harness.give(customer_id, number + 1, key=f"g-{number}")
    path = f"/customers/{customer_id}/wallet/default:USD/grants"
    items, total = await paged(harness, path, lambda number: harness.give(customer_id, 50 + number, key=f"n-{number}"))
    assert len({item["id"] for item in items}) == len(items) == 5
    assert total == 7


@pytest.mark.parametrize("path", ["/customers", "/assets"])
async def test_a_place_given_twice_or_of_another_list_is_refused(harness, path):
    for number in range(3):
        await harness.customer(f"C{number}")
        await harness.call("POST", "/assets", {"code": f"X{number}", "name": "x"}, expect=201)
    cursor = (await harness.call("GET", path, params={"limit": 1}, expect=200))["next_cursor"]
    other = (await harness.call("GET", {"/customers": "/assets", "/assets": "/customers"}[path], params={"limit": 1},
                                expect=200))["next_cursor"]  # fmt: skip
    for params in ({"cursor": cursor, "offset": 1}, {"cursor": other}, {"cursor": "%"}):
        refused = await harness.call("GET", path, params=params, expect=422)
        assert refused["errors"][0]["field"] in {"cursor", "offset"}
