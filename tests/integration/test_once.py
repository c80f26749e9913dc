"""`Idempotency-Key` on every POST: done once, answered again, of one API key."""

import asyncio

import pytest

from brimful.core.errors import Refused
from brimful.posting.group_commit import Recorder
from integration.test_commands import command
from support.harness import HOME
from support.seed import SCOPES, everything_allowed, key_with

LINK = {"return_url": HOME, "failure_url": HOME}
EVENT = {"customer_id": "{customer}", "asset": "USD", "amount": "1"}
AMOUNT = {"asset": "USD", "amount": "1"}
PRICE = {"source": "USD", "rate": "0.1"}
# Of each POST: path, a body, and another body with the same key.
CALLS = {
    "/usage": ("/usage", {"id": "u", **EVENT}, {"id": "u2", **EVENT}),
    "/assets": ("/assets", {"code": "TOKEN", "name": "Tokens"}, {"code": "TOK2", "name": "Tokens"}),
    "/assets/{code}/rates": ("/assets/CREDIT/rates", {**PRICE, "valid_from": "2030-01-01T00:00:00Z"}, PRICE),
    "/assets/{code}/quote": (
        "/assets/CREDIT/quote", {"source": "USD", "amount": "1"}, {"source": "USD", "amount": "2"}),
    "/customers": ("/customers", {"name": "Ada"}, {"name": "Bob"}),
    "/customers/{customer_id}/wallet/adjustments": (
        "/customers/{customer}/wallet/adjustments", {"transaction_id": "a", **AMOUNT},
        {"transaction_id": "b", **AMOUNT}),
    "/customers/{customer_id}/wallet/charges": (
        "/customers/{customer}/wallet/charges", {"transaction_id": "a", **AMOUNT},
        {"transaction_id": "b", **AMOUNT}),
    "/customers/{customer_id}/wallet/holds": (
        "/customers/{customer}/wallet/holds", {"id": "h", **AMOUNT}, {"id": "h2", **AMOUNT}),
    "/customers/{customer_id}/wallet/holds/{hold_id}/capture": (
        "/customers/{customer}/wallet/holds/job/capture", {"amount": "1"}, {"amount": "2"}),
    "/customers/{customer_id}/wallet/holds/{hold_id}/use": (
        "/customers/{customer}/wallet/holds/run/use", {"id": "u", "amount": "0.1"}, {"id": "u2", "amount": "0.2"}),
    "/customers/{customer_id}/wallet/holds/{hold_id}/release": (
        "/customers/{customer}/wallet/holds/job/release", None, {}),
    "/top-ups": (
        "/top-ups", {"customer_id": "{customer}", "amount": "40", "currency": "USD", **LINK},
        {"customer_id": "{customer}", "amount": "41", "currency": "USD", **LINK}),
    "/top-ups/{top_up_id}/refunds": ("/top-ups/{top_up}/refunds", {"amount": "5"}, {"amount": "6"}),
    "/billing-portal/sessions": (
        "/billing-portal/sessions", {"customer_id": "{customer}", **LINK},
        {"customer_id": "{customer}", "asset": "USD", **LINK}),
    "/balance-tokens": (
        "/balance-tokens", {"customer_id": "{customer}"}, {"customer_id": "{customer}", "expires_in_s": 60}),
    "/webhooks": ("/webhooks", {"url": "https://platform.example/a", "topics": ["*"]},
                  {"url": "https://platform.example/b", "topics": ["*"]}),
    "/webhooks/{webhook_id}/rotate": ("/webhooks/{webhook}/rotate", None, {}),
    "/webhooks/{webhook_id}/replay": (
        "/webhooks/{webhook}/replay", {"since": "2026-11-01T00:00:00Z"}, {"since": "2026-11-02T00:00:00Z"}),
    "/webhooks/{webhook_id}/test/{topic}": ("/webhooks/{webhook}/test/balance.low", {"a": "1"}, {"a": "2"}),
    "/webhooks/test/{topic}": ("/webhooks/test/balance.low", {"a": "1"}, {"a": "2"}),
    "/webhooks/events/{event_id}/replay": ("/webhooks/events/{event}/replay", {"webhook_id": "{webhook}"}, {}),
}  # fmt: skip
# What a second time would have left behind.
COUNTED = ("customers", "accounts", "entries", "holds", "top_ups", "refunds", "portal_links", "webhook_endpoints",
           "assets", "rates", "outgoing_events", "deliveries")  # fmt: skip


@pytest.fixture
async def world(harness):
    """Something of everything, so that each POST has what it is about."""
    await everything_allowed(harness)
    customer_id, _ = await harness.funded(balance=12, threshold="10", amount="25")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.call(
        "POST", f"/customers/{customer_id}/wallet/holds", {"id": "job", **AMOUNT, "amount": "2"}, expect=201
    )
    lease = {"id": "run", "asset": "USD", "lease": {"chunk": "1"}}
    await harness.call("POST", f"/customers/{customer_id}/wallet/holds", lease, expect=201)
    price = {"code": "CREDIT", "name": "Credits", "rates": [{"source": "USD", "rate": "0.10"}]}
    await harness.call("POST", "/assets", price, expect=201)
    webhook = {"url": "https://platform.example/hooks", "topics": ["*"]}
    made = await harness.call("POST", "/webhooks", webhook, expect=201)
    event = await harness.call("POST", "/webhooks/test/balance.low", {}, expect=202)
    [top_up] = await harness.top_ups(customer_id)
    return {"customer": customer_id, "webhook": made["id"], "event": event["id"], "top_up": top_up["id"]}


def filled(value, world):
    if isinstance(value, dict):
        return {name: filled(item, world) for name, item in value.items()}
    return value.format(**world) if isinstance(value, str) and value.startswith(("{", "/")) else value


async def counts(harness):
    return {table: (await harness.sql(f"SELECT count(*) AS n FROM {table}"))[0]["n"] for table in COUNTED}


async def test_the_table_has_every_post(harness):
    paths = (await harness.api.get("/openapi.json")).json()["paths"]
    assert {f"/v1{path}" for path in CALLS} == {path for path, methods in paths.items() if "post" in methods}
    for path in CALLS:
        assert "Idempotency-Key" in {found["name"] for found in paths[f"/v1{path}"]["post"]["parameters"]}


@pytest.mark.parametrize("call", CALLS)
async def test_it_is_done_once_and_answered_again(harness, world, call):
    """F43."""
    path, body, other = (filled(value, world) for value in CALLS[call])
    headers = {"Idempotency-Key": "order-7"}
    first = await harness.api.post(f"/v1{path}", json=body, headers=headers)
    assert first.status_code < 300, first.text
    done = await counts(harness)
    again = await harness.api.post(f"/v1{path}", json=body, headers=headers)
    assert (again.status_code, again.headers.get("idempotent-replayed")) == (first.status_code, "true")
    assert again.content == b"" if first.status_code == 204 else again.json() == first.json()
    changed = await harness.call("POST", path, other, expect=422, headers=headers)
    assert changed["code"] == "idempotency_mismatch"
    assert await counts(harness) == done


@pytest.mark.parametrize("call", ["/customers", "/usage"])
async def test_a_key_belongs_to_the_api_key_that_sent_it(harness, world, call):
    path, body, other = (filled(value, world) for value in CALLS[call])
    await harness.call("POST", path, body, headers={"Idempotency-Key": "order-7"})
    headers = {"Idempotency-Key": "order-7", "Authorization": f"Bearer {await key_with(harness, SCOPES)}"}
    answer = await harness.api.post(f"/v1{path}", json=other, headers=headers)
    assert (answer.status_code < 300, answer.headers.get("idempotent-replayed")) == (True, None)


@pytest.mark.parametrize("call", ["/customers", "/customers/{customer_id}/wallet/charges"])
async def test_what_was_refused_may_be_sent_again_put_right(harness, world, call):
    path, body, _ = (filled(value, world) for value in CALLS[call])
    headers = {"Idempotency-Key": "order-7"}
    await harness.call("POST", path, {**body, "colour": "red"}, expect=422, headers=headers)
    if "amount" in body:
        await harness.call("POST", path, {**body, "amount": "1000"}, expect=402, headers=headers)
    await harness.call("POST", path, body, expect=201, headers=headers)


async def test_after_an_unknown_outcome_the_key_stays_with_its_body(harness, world, monkeypatch):
    """The recorder may have written it: another body under the same key could be a second debit."""
    path, headers = f"/customers/{world['customer']}/wallet/charges", {"Idempotency-Key": "order-7"}
    real = Recorder.submit

    async def lost(recorder, movements):
        await real(recorder, movements)
        raise Refused("unavailable", "The answer was lost.")

    before = await harness.balance(world["customer"])
    fee = {"transaction_id": "fee-1", **AMOUNT}
    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "submit", lost)
        await harness.call("POST", path, fee, expect=503, headers=headers)
    other = await harness.call("POST", path, {**fee, "transaction_id": "fee-2"}, expect=422, headers=headers)
    assert other["code"] == "idempotency_mismatch"
    await harness.call("POST", path, fee, expect=201, headers=headers)
    assert await harness.balance(world["customer"]) == before - 1


async def test_ten_at_once_are_one(harness, world):
    headers = {"Idempotency-Key": "order-7"}
    answers = await asyncio.gather(
        *(harness.api.post("/v1/customers", json={"name": "Ada"}, headers=headers) for _ in range(10))
    )
    codes = [answer.status_code for answer in answers]
    assert set(codes) <= {201, 409}
    assert 201 in codes
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1


async def test_of_two_charges_with_one_key_at_once_one_is_made(harness, world):
    """The recorder makes them in a transaction of its own: the key is claimed before."""
    path = f"/customers/{world['customer']}/wallet/charges"
    before = await harness.balance(world["customer"])
    headers = {"Idempotency-Key": "fee"}
    fees = [{"transaction_id": f"fee-{number}", **AMOUNT} for number in range(6)]
    answers = await asyncio.gather(*(harness.call("POST", path, fee, headers=headers) for fee in fees))
    codes = [answer.get("code") for answer in answers]
    assert codes.count(None) == 1
    assert set(codes) <= {None, "idempotency_mismatch", "request_in_progress"}
    assert await harness.balance(world["customer"]) == before - 1


async def test_answers_are_forgotten_after_a_day(harness, world):
    for number in range(4):
        await harness.call(
            "POST", "/customers", {"name": "Ada"}, expect=201, headers={"Idempotency-Key": f"old-{number}"}
        )
    await harness.pass_time(hours=25)
    for number in range(2):
        await harness.call(
            "POST", "/customers", {"name": "Ada"}, expect=201, headers={"Idempotency-Key": f"new-{number}"}
        )
    kept = await harness.sql("SELECT key FROM idempotency ORDER BY key")
    assert [row["key"] for row in kept] == ["new-0", "new-1"]


async def test_an_answer_that_names_an_erased_customer_is_forgotten(harness):
    headers = {"Idempotency-Key": "order-7"}
    made = await harness.call("POST", "/customers", {"name": "Ada"}, expect=201, headers=headers)
    await harness.call("POST", "/customers", {"name": "Bob"}, expect=201, headers={"Idempotency-Key": "order-8"})
    await command(harness, "customers", "erase", made["id"], "--yes")
    assert [row["key"] for row in await harness.sql("SELECT key FROM idempotency")] == ["order-8"]
