"""The API: what it takes, what it refuses, and how it says so."""

from decimal import Decimal

from support.harness import HOME

BAD_AMOUNTS = [
    "0", "-1", '"0"', '"-1"', '"NaN"', "NaN", '"Infinity"', "1e999", "1e5000000", '"1e5"', "9" * 60, f'"{"9" * 60}"',
    '"١٢"', '"1_000"', '" 12"', '"1,5"', '"+1"', '"0x10"', '"01"', '"."', '"1."', '".5"', "true", "null", "[]", "{}",
    '""', '"12.1234567891"', "1e-10", "12e999",
]  # fmt: skip


async def test_an_amount_that_is_none_is_refused_and_nothing_changes(harness):
    """I11."""
    customer_id = await harness.customer()
    path = f"/v1/customers/{customer_id}/wallet/adjustments"
    for amount in BAD_AMOUNTS:
        body = f'{{"id": "e", "customer_id": "{customer_id}", "asset": "USD", "amount": {amount}}}'
        answer = await harness.api.post("/v1/usage", content=body)
        assert answer.status_code in {400, 422}, (amount, answer.text)
        assert answer.json()["code"] in {"amount_invalid", "malformed_json", "invalid_field"}, amount
        if amount not in {'"-1"', "-1"}:  # an adjustment may take away
            body = f'{{"transaction_id": "t", "asset": "USD", "amount": {amount}}}'
            assert (await harness.api.post(path, content=body)).status_code in {400, 422}, amount
    assert await harness.sql("SELECT 1 FROM entries") == []


BAD_BODIES = [
    (b"", "malformed_json"),
    (b"{", "malformed_json"),
    (b"\xff\xfe", "malformed_json"),
    (b"[" * 100_000, "invalid_field"),
    (b'{"a":' * 50_000, "invalid_field"),
    (b'{"events": []}', "invalid_field"),
    (b'{"events": 5}', "invalid_field"),
    (b'{"id": "a\\u0000b", "customer_id": "c", "asset": "USD", "amount": 1}', "invalid_field"),
    (b'{"id": "", "customer_id": "c", "asset": "USD", "amount": 1}', "invalid_field"),
    (b'{"id": "x", "asset": "USD", "amount": 1}', "invalid_field"),
    (b'{"id": "x", "customer_id": "c", "asset": "USD"}', "invalid_field"),
    (b'{"id": "x", "customer_id": "cus_none", "asset": "USD", "amount": 1}', "customer_not_found"),
    (b'{"id": "x", "customer_id": "c", "asset": "usd", "amount": 1}', "asset_not_found"),
    (b'{"id": "' + b"x" * 3_000_000 + b'"}', "body_too_large"),
]


async def test_a_body_that_is_none_is_refused(harness):
    for body, code in BAD_BODIES:
        answer = await harness.api.post("/v1/usage", content=body)
        assert answer.json()["code"] == code, (body[:80], answer.text)
        assert answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        other = await harness.api.post("/v1/customers", content=body)
        assert 400 <= other.status_code < 500, body[:80]


async def test_unknown_fields_are_refused_on_every_write(harness):
    customer_id = await harness.customer()
    for path, body in [
        ("/customers", {"name": "x", "customer_id": "cus_mine"}),
        ("/assets", {"code": "ABC", "name": "x", "kind": "currency"}),
        (f"/customers/{customer_id}/wallet/adjustments",
         {"transaction_id": "t", "asset": "USD", "amount": 1, "seq": 9}),
        ("/billing-portal/sessions",
         {"customer_id": customer_id, "return_url": HOME, "failure_url": HOME, "top_up_id": "top_x"}),
    ]:  # fmt: skip
        refused = await harness.call("POST", path, body, expect=422)
        assert refused["code"] == "invalid_field"
        assert refused["request_id"].startswith("req_")


async def test_unknown_query_parameters_are_refused_and_the_known_ones_are_named(harness):
    customer_id = await harness.customer()
    for path, wrong, takes in [
        ("/customers", "page", "it takes cursor, external_id, limit, offset"),
        ("/top-ups", "status", "it takes"),
        (f"/customers/{customer_id}/wallet/default:USD/grants", "expires", "expired_from"),
        (f"/customers/{customer_id}/wallet", "asset", "it takes none"),
    ]:
        refused = await harness.call("GET", path, params={wrong: "1"}, expect=422)
        assert refused["code"] == "invalid_field"
        assert f"{wrong!r} is no query parameter" in refused["detail"]
        assert takes in refused["detail"]


async def test_the_same_id_with_another_body_is_refused_and_a_refusal_is_not_remembered(harness):
    """F43, I7."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    first = await harness.use(customer_id, "2", "e")
    again = await harness.use(customer_id, "2", "e")
    assert (first["status"], again["status"], again["balance"]) == ("applied", "duplicate", "8")
    other = await harness.use(customer_id, "3", "e")
    assert other["code"] == "key_reused"
    poor = await harness.use(customer_id, "9", "big", if_insufficient="refuse")
    assert (poor["code"], poor["status"], poor["topup_url"]) == (
        "insufficient_funds", 402, "https://app.example/top-up",
    )  # fmt: skip
    await harness.give(customer_id, 5, key="more")
    assert (await harness.use(customer_id, "9", "big", if_insufficient="refuse"))["status"] == "applied"
    assert await harness.balance(customer_id) == Decimal(4)


async def test_charges_are_refused_when_the_balance_does_not_cover_them(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 5)
    path = f"/customers/{customer_id}/wallet/charges"
    refused = await harness.call("POST", path, {"transaction_id": "c", "asset": "USD", "amount": "6"}, expect=402)
    assert refused["balance"] == "5"
    await harness.call("POST", path, {"transaction_id": "c", "asset": "USD", "amount": "5"}, expect=201)
    assert await harness.balance(customer_id) == 0


async def test_adjustments_and_charges_answer_with_the_new_balance_again_too(harness):
    customer_id = await harness.customer()
    gift = {"transaction_id": "gift", "asset": "USD", "amount": "10"}
    hold = {"id": "job", "asset": "USD", "amount": "4"}
    fee = {"transaction_id": "fee", "asset": "USD", "amount": "1.5"}
    wallet = f"/customers/{customer_id}/wallet"
    made = await harness.call("POST", f"{wallet}/adjustments", gift, expect=201)
    assert (made["id"], made["balance"], made["available"]) == ("gift", "10", "10")
    await harness.call("POST", f"{wallet}/holds", hold, expect=201)
    for _ in range(2):
        taken = await harness.call("POST", f"{wallet}/charges", fee, expect=201)
        assert (taken["id"], taken["balance"], taken["available"]) == ("fee", "8.5", "4.5")
        assert taken["created_at"]


async def test_a_balance_that_was_never_used_is_zero(harness):
    customer_id = await harness.customer()
    wallet = f"/customers/{customer_id}/wallet"
    shown = await harness.call("GET", f"{wallet}/default:EUR", expect=200)
    assert (shown["available"], shown["pending_in"], shown["pending_out"]) == ("0", "0", "0")
    assert (await harness.call("GET", f"{wallet}/default:EUR/entries", expect=200))["items"] == []
    assert (await harness.call("GET", f"{wallet}/default:EUR/grants", expect=200))["items"] == []
    assert (await harness.call("GET", wallet, expect=200))["accounts"] == []  # nothing was opened by looking
    assert (await harness.call("GET", f"{wallet}/default:NONE", expect=404))["code"] == "asset_not_found"
    assert (await harness.call("GET", f"{wallet}/other:EUR", expect=404))["code"] == "account_not_found"
    assert (await harness.call("GET", "/customers/cus_none/wallet/default:EUR", expect=404))[
        "code"
    ] == "customer_not_found"


async def test_a_customer_is_named_by_the_platforms_own_id_wherever_theirs_would_stand(harness):
    customer_id = await harness.customer(external_id="acme co/7")
    name = "external_id:acme co%2F7"
    gift = {"transaction_id": "gift", "asset": "USD", "amount": "10", "reason": "gift"}
    refused = await harness.call("GET", "/customers/external_id:nobody/wallet", expect=404)
    assert refused["code"] == "customer_not_found"
    slash = await harness.api.get(f"/v1/customers/{name}")
    assert slash.status_code == 404  # a path holds no slash: such a customer is found by ?external_id=
    await harness.call("PATCH", f"/customers/{customer_id}", {"external_id": "acme"}, expect=204)
    name = "external_id:acme"
    assert (await harness.call("GET", f"/customers/{name}", expect=200))["id"] == customer_id
    await harness.call("POST", f"/customers/{name}/wallet/adjustments", gift, expect=201)
    assert await harness.balance(customer_id) == 10
    for path in ("wallet", "wallet/default:USD/entries", "wallet/holds", "alerts", "auto-top-ups", "cards", "presets"):
        ours = await harness.call("GET", f"/customers/{customer_id}/{path}", expect=200)
        assert await harness.call("GET", f"/customers/{name}/{path}", expect=200) == ours
    places = {"return_url": HOME, "failure_url": HOME}
    await harness.call("POST", "/billing-portal/sessions", {"customer_id": name, **places}, expect=200)
    link = {"customer_id": name, "amount": "25", "currency": "USD", **places}
    made = await harness.call("POST", "/top-ups", link, expect=201)
    other = await harness.customer("Other")
    another = await harness.call("POST", "/top-ups", {**link, "customer_id": other}, expect=201)
    for whose, ids in ((name, [made["id"]]), (None, [another["id"], made["id"]])):
        params = {} if whose is None else {"customer_id": whose}
        page = await harness.call("GET", "/top-ups", params=params, expect=200)
        assert [item["id"] for item in page["items"]] == ids
    limited = await harness.call("GET", "/top-ups", params={"limit": 1}, expect=200)
    rest = await harness.call("GET", "/top-ups", params={"cursor": limited["next_cursor"]}, expect=200)
    assert [item["id"] for item in rest["items"]] == [made["id"]]


async def test_exact_numbers_stay_exact(harness):
    customer_id = await harness.customer()
    body = f'{{"id": "e", "customer_id": "{customer_id}", "asset": "USD", "amount": 0.1}}'
    for number in range(3):
        await harness.api.post("/v1/usage", content=body.replace('"e"', f'"e{number}"'))
    assert await harness.balance(customer_id) == Decimal("-0.3")


async def test_entries_are_paged_by_a_cursor_without_gaps(harness):
    customer_id = await harness.customer()
    for number in range(7):
        await harness.use(customer_id, "1", f"e{number}")
    seen, cursor = [], None
    while True:
        params = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        path = f"/customers/{customer_id}/wallet/default:USD/entries"
        page = await harness.call("GET", path, params=params, expect=200)
        seen += [item["seq"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    await harness.call("GET", path, params={"cursor": "bogus"}, expect=422)


async def test_lists_are_narrowed(harness):
    customer_id, _ = await harness.crossed()
    await harness.work()
    await harness.use(customer_id, "1", "more")
    entries = f"/customers/{customer_id}/wallet/default:USD/entries"
    shown = await harness.call("GET", entries, params={"kind": "usage"}, expect=200)
    assert [item["key"] for item in shown["items"]] == ["more", "crossing"]
    for narrowed, count in (({"kind": "automatic"}, 1), ({"kind": "manual"}, 0), ({"state": "succeeded"}, 1),
                            ({"state": "failed"}, 0)):  # fmt: skip
        params = {"customer_id": customer_id, **narrowed}
        assert len((await harness.call("GET", "/top-ups", params=params, expect=200))["items"]) == count
    await harness.call("GET", "/top-ups", params={"customer_id": customer_id, "state": "odd"}, expect=422)
    await harness.call("GET", "/top-ups", params={"customer_id": customer_id, "cursor": "x"}, expect=422)


async def test_the_openapi_document_has_every_route(harness):
    document = (await harness.api.get("/openapi.json")).json()
    assert "/v1/usage" in document["paths"]
    assert "/v1/top-ups" in document["paths"]


async def test_a_rate_that_overlaps_is_refused_and_a_later_one_closes_the_one_before(harness):
    rates = [{"source": "USD", "rate": "0.10"}]
    await harness.call("POST", "/assets", {"code": "CREDIT", "name": "Credits", "rates": rates}, expect=201)
    await harness.call("POST", "/assets/CREDIT/rates", {"source": "USD", "rate": "0.20"}, expect=204)
    shown = await harness.call("GET", "/assets/CREDIT", expect=200)
    [schedule] = shown["rates"]
    assert [item["rate"] for item in schedule["schedule"]] == ["0.1", "0.2"]
    quoted = await harness.call("POST", "/assets/CREDIT/quote", {"source": "USD", "amount": "1"}, expect=200)
    assert quoted["destination_amount"] == "5"
    past = {"source": "USD", "rate": "1", "valid_from": "2020-01-01T00:00:00Z", "valid_to": "2030-01-01T00:00:00Z"}
    refused = await harness.call("POST", "/assets/CREDIT/rates", past, expect=409)
    assert refused["code"] == "rate_overlaps"
