"""Three kinds of "no": the card's, the platform's, and none of Stripe's at all. Only the first stops a rule."""

import os
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from brimful import payments
from brimful.gateway import snapshots
from brimful.gateway.gateway import Failure, FailureKind
from brimful.gateway.limits import Breaker
from brimful.gateway.stripe import transport
from brimful.gateway.stripe.adapter import StripeGateway
from support.harness import STRIPE_KEY
from support.seed import key_with


async def settled(harness, times=8, **pause):
    """Until everything has come to rest, and the reasons why rules are paused."""
    for _ in range(times):
        await harness.work()
        await harness.pass_time(**(pause or {"minutes": 3}))
    rows = await harness.sql("SELECT pause_reason FROM rule_states")
    return [row["pause_reason"] for row in rows]


# Whatever a proxy, a firewall or a sign-in page may answer with.
NOBODY = [
    *({"fault": "proxy", "status": status} for status in (200, 204, 301, 302, 307, 400, 401, 403, 404, 408, 429, 503)),
    *({"fault": "proxy_after", "status": status} for status in (200, 302, 404)),
    {"fault": "cut"},
]


@pytest.mark.parametrize("call", ["payment_intents.create", "payment_intents.confirm"])
@pytest.mark.parametrize("nobody", NOBODY, ids=lambda fault: f"{fault['fault']}-{fault.get('status', '')}")
async def test_what_is_not_stripes_answer_is_no_answer(harness, call, nobody):
    """The outcome is unknown: read, and sent again under its key. No rule pauses, nothing is suspended."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(webhooks="off")
    await harness.switch(call=call, times=2, **nobody)
    await harness.use(customer_id, "3", "crossing")
    assert await settled(harness, 4) == [None]
    assert (await harness.balance(customer_id), await harness.charged()) == (Decimal(34), 2500)
    assert await harness.sql("SELECT 1 FROM audit WHERE action = 'charging.suspended'") == []


async def test_a_proxy_that_redirects_everything_for_a_quarter_of_an_hour_pauses_nobody(harness, monkeypatch):
    monkeypatch.setattr(Breaker, "PROBE_S", 0.01)
    people = [(await harness.funded(name=f"P{number}", balance=12, threshold="10"))[0] for number in range(3)]
    await harness.switch(call="*", fault="proxy", status=302, times=10_000)
    for customer_id in people:
        await harness.use(customer_id, "3", "crossing")
    await settled(harness, 5)
    assert await harness.charged() == 0
    await harness.sandbox.delete("/sandbox/switches")
    assert await settled(harness) == [None, None, None]
    assert [await harness.balance(one) for one in people] == [Decimal(34)] * 3


async def test_a_refund_whose_answer_was_cut_is_given_back_once(harness):
    customer_id, _ = await harness.crossed()
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    await harness.switch(call="refunds.create", fault="cut")
    key = await key_with(harness, ("refunds",))
    await harness.call("POST", f"/top-ups/{top_up['id']}/refunds", {"amount": "10"}, expect=201,
                       headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "r-1"})  # fmt: skip
    await harness.work()
    assert [row["state"] for row in await harness.sql("SELECT state FROM refunds")] != ["refused"]
    await settled(harness, 3)
    assert [row["state"] for row in await harness.sql("SELECT state FROM refunds")] == ["succeeded"]
    assert (await harness.books())["refunded"] == {"USD": 1000}


@pytest.mark.parametrize("call", ["customers.create", "payment_intents.create"])
async def test_json_of_somebody_else_is_no_answer(harness, call):
    """An object, and none of Stripe's."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10")
    await harness.switch(call=call, fault="garbled", times=2)
    if call == "customers.create":
        gateway = harness.engine.payments.gateway
        answer = await gateway.create_customer(key="k", name="Ada", email=None, metadata={})
        assert (answer.kind, answer.code) == (FailureKind.NO_ANSWER, "unreadable")
        return
    await harness.use(customer_id, "3", "crossing")
    assert await settled(harness, 4) == [None]
    assert await harness.charged() == 2500


async def test_an_answer_that_is_too_long_is_not_read_to_its_end(harness, monkeypatch):
    monkeypatch.setattr(transport, "ANSWER_MAX", 200_000)
    await harness.switch(call="customers.list", fault="flood")
    answer = await harness.engine.payments.gateway.check_key()
    assert "more than 200000 bytes" in answer.message


async def test_a_payment_that_stripe_refuses_for_itself_pauses_its_rule(harness, monkeypatch):
    """What it would refuse again is not sent again."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    refusal = Failure(FailureKind.REFUSED, "amount_too_small", "Amount must be at least 3000 usd", "amount", 400)

    async def refused(_request):
        return refusal

    monkeypatch.setattr(harness.engine.payments.gateway, "create_intent", refused)
    await harness.use(customer_id, "3", "crossing")
    assert await settled(harness, 2) == ["refused:amount_too_small"]
    assert [item["state"] for item in await harness.top_ups(customer_id)] == ["failed"]


@pytest.mark.parametrize("fault", [{"fault": "drip", "seconds": 0.3}, {"fault": "flood"}])
async def test_an_answer_without_an_end_has_a_deadline(harness, fault):
    gateway = StripeGateway(STRIPE_KEY, url=str(harness.sandbox.base_url).rstrip("/"), timeout_s=1)
    await harness.switch(call="customers.list", **fault)
    began = time.monotonic()
    answer = await gateway.check_key()
    await gateway.close()
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.NO_ANSWER
    assert time.monotonic() - began < 30


async def test_a_turn_has_an_end_and_the_others_have_theirs(harness, monkeypatch):
    monkeypatch.setattr(payments.turns, "_TURN_S", 0.3)
    customer_id, _ = await harness.crossed()
    await harness.switch(call="payment_intents.create", fault="slow", seconds=20)
    [top_up] = await harness.sql("SELECT top_up_id FROM top_ups")
    with pytest.raises(ConnectionError, match="again later"):
        await payments.turns.pay(harness.engine.payments, customer_id, top_up["top_up_id"])
    assert [row["failures"] for row in await harness.sql("SELECT failures FROM top_ups")] == [0]


# --- the platform's --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "error", "kind"), [
    (400, {"type": "invalid_request_error", "code": "amount_too_small", "param": "amount"}, FailureKind.REFUSED),
    (404, {"type": "invalid_request_error", "code": "resource_missing", "param": "id"}, FailureKind.REFUSED),
    (400, {"type": "invalid_request_error", "code": "parameter_unknown"}, FailureKind.ACCOUNT),
    (400, {"type": "invalid_request_error", "code": "testmode_charges_only"}, FailureKind.ACCOUNT),
    (400, {"type": "invalid_request_error", "param": "currency"}, FailureKind.ACCOUNT),
    (401, {"type": "invalid_request_error", "code": "api_key_expired"}, FailureKind.ACCOUNT),
    (403, {"type": "invalid_request_error"}, FailureKind.ACCOUNT),
    (400, {"type": "idempotency_error"}, FailureKind.KEY_REUSED),
    (409, {"type": "idempotency_error", "code": "idempotency_key_in_use"}, FailureKind.BUSY),
    (429, {"type": "invalid_request_error", "code": "rate_limit"}, FailureKind.BUSY),
    (500, {"type": "api_error"}, FailureKind.SERVER_ERROR),
    (502, None, FailureKind.NO_ANSWER),
    (404, {"code": 404, "message": "Not Found"}, FailureKind.NO_ANSWER),
])  # fmt: skip
def test_whose_no_it_is(status, error, kind):
    assert snapshots.failure(status, {"error": error}).kind is kind


async def test_the_code_is_read_where_the_sdk_does_not_look(harness, caplog):
    """stripe 16.1.0 leaves `error.code` empty for 401, 403, 409, 424, 429 and 5xx."""
    await harness.switch(call="customers.list", fault="lock_timeout", times=9)
    gateway = harness.engine.payments.gateway
    answer = await gateway.check_key()
    assert (answer.kind, answer.code, answer.status) == (FailureKind.BUSY, "lock_timeout", 429)


async def test_a_key_of_another_account_suspends_charging_and_pauses_nobody(harness):
    """Stripe says "no such customer" of everybody."""
    people = [(await harness.funded(name=f"P{number}", balance=12, threshold="10"))[0] for number in range(2)]
    await harness.switch(webhooks="off")
    kept = {kind: harness.world.store._kinds.pop(kind) for kind in ("customer", "payment_method")}
    for customer_id in people:
        await harness.use(customer_id, "3", "crossing")
    assert await settled(harness, 4) == [None, None]
    [suspension] = await harness.sql("SELECT kind, reason FROM suspensions")
    assert suspension["kind"] == "key"
    assert "does not know our customers" in suspension["reason"]
    assert len(await harness.sql("SELECT 1 FROM audit WHERE action = 'charging.suspended'")) == 1
    harness.world.store._kinds.update(kept)
    assert await settled(harness) == [None, None]
    assert await harness.sql("SELECT 1 FROM suspensions") == []
    assert [await harness.balance(one) for one in people] == [Decimal(34)] * 2


async def test_a_customer_deleted_at_stripe_loses_their_card_and_nobody_else_notices(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    other, _ = await harness.funded(name="Bob", balance=12, threshold="10")
    [row] = await harness.sql("SELECT stripe_customer_id AS id FROM customers WHERE customer_id = %s", (customer_id,))
    await harness.sandbox.delete(f"/v1/customers/{row['id']}")
    for one in (customer_id, other):
        await harness.use(one, "3", "crossing")
    await settled(harness, 4)
    assert (await harness.rule(customer_id))["paused"] == "card_removed"
    assert await harness.balance(other) == Decimal(34)
    assert await harness.sql("SELECT 1 FROM audit WHERE action = 'charging.suspended'") == []
    # A new card makes a new customer there, and says so.
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    [change] = await harness.sql("SELECT before, after FROM audit WHERE action = 'customer.replaced_at_stripe'")
    assert change["before"]["stripe_customer_id"] == row["id"]
    [now] = await harness.sql("SELECT stripe_customer_id AS id FROM customers WHERE customer_id = %s", (customer_id,))
    assert change["after"]["stripe_customer_id"] == now["id"] != row["id"]
    await visitor.turn_on("USD", threshold="10", amount="25", limit="100")
    await settled(harness, 3)
    assert await harness.balance(customer_id) == Decimal(34)


async def test_a_key_that_may_not_refund_stops_that_refund_alone(harness):
    customer_id, _ = await harness.crossed()
    await harness.work()
    await harness.switch(call="refunds.create", fault="forbidden", times=100)
    [row] = await harness.sql("SELECT top_up_id FROM top_ups")
    async with harness.engine.database.transaction() as tx:
        await payments.reversals.request_refund(tx, customer_id, row["top_up_id"], amount_minor=500, actor="test")
    await settled(harness, 3)
    assert await harness.sql("SELECT 1 FROM suspensions") == []
    assert [row["state"] for row in await harness.sql("SELECT state FROM refunds")] == ["requested"]
    await harness.sandbox.delete("/sandbox/switches")
    await settled(harness, 3)
    assert [row["state"] for row in await harness.sql("SELECT state FROM refunds")] == ["succeeded"]


async def test_a_release_that_sends_other_parameters_finds_what_the_old_one_made(harness, monkeypatch):
    """The answer to create was lost, and the retry comes from the next release: the payment keeps what it asked for."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.create", fault="drop_after")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    real = payments.create._intent_metadata
    monkeypatch.setattr(payments.create, "_intent_metadata", lambda *of: {**real(*of), "release": "next"})
    assert await settled(harness, 4) == [None]
    [intent] = (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
    assert (intent["status"], intent["metadata"].get("release")) == ("succeeded", None)
    [sent] = await harness.sql("SELECT request FROM payments")
    assert sent["request"]["metadata"] == intent["metadata"]  # so the key was never spent on something else


async def test_a_key_that_was_used_with_other_parameters_finds_its_payment_by_the_list(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.switch(call="payment_intents.create", fault="drop_after")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.sql("UPDATE payments SET request = jsonb_set(request, '{description}', '\"of another release\"')")
    assert await settled(harness, 4) == [None]
    assert await harness.charged() == 2500
    assert len((await harness.sandbox.get("/v1/payment_intents")).json()["data"]) == 1


# --- what a customer is called there ----------------------------------------------------------------------------


async def test_a_new_name_and_address_reach_stripe(harness):
    customer_id, _ = await harness.funded(name="Ada", email="ada@example.com", balance=12)
    await harness.call("PATCH", f"/customers/{customer_id}", {"name": "Ada Lovelace", "email": "al@example.com"})
    await harness.work()
    [customer] = (await harness.sandbox.get("/v1/customers")).json()["data"]
    assert (customer["name"], customer["email"]) == ("Ada Lovelace", "al@example.com")
    await harness.call("PATCH", f"/customers/{customer_id}", {"email": "ada@intranet"})  # not to Stripe's taste
    await harness.work()
    assert (await harness.sandbox.get(f"/v1/customers/{customer['id']}")).json()["email"] is None


async def test_an_e_mail_that_stripe_refuses_does_not_keep_a_card_out(harness):
    customer_id, _ = await harness.funded(name="Ada", email="ada@intranet", balance=12)
    [customer] = (await harness.sandbox.get("/v1/customers")).json()["data"]
    assert (customer["name"], customer["email"]) == ("Ada", None)


async def test_the_customer_at_stripe_is_replaced_only_by_one_that_is_there(harness):
    customer_id, _ = await harness.funded(balance=12)
    path = f"/customers/{customer_id}"

    def account(name):
        return {"external_accounts": [{"provider": "stripe", "provider_id": name}]}

    other = (await harness.sandbox.post("/v1/customers", data={"name": "Ada"})).json()["id"]
    for wanted, words in (("cus_nobody", "has no customer cus_nobody"), (other, "1 saved cards belong to")):
        refused = await harness.call("PATCH", path, account(wanted), expect=422)
        assert words in refused["detail"]
    [before] = await harness.sql("SELECT stripe_customer_id AS id FROM customers")
    await harness.sandbox.delete(f"/v1/customers/{before['id']}")
    await harness.call("PATCH", path, account(other), expect=204)
    assert await harness.sql("SELECT stripe_customer_id AS id FROM customers") == [{"id": other}]
    third = await harness.customer("Bob")
    taken = await harness.call("PATCH", f"/customers/{third}", account(other))
    assert taken["code"] == "external_id_taken"


def test_the_sdk_writes_nothing_into_the_home_directory(tmp_path):
    """stripe 16.1.0 keeps a telemetry id there, and raises where there is no home."""
    script = (
        "import asyncio\n"
        "from brimful.gateway.stripe.adapter import StripeGateway\n"
        "gateway = StripeGateway('sk_test_x', url='http://127.0.0.1:9')\n"
        "failure = asyncio.run(gateway.check_key())\n"
        "print(failure.kind.value)\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    for environment in ({"HOME": str(home)}, {"HOME": "/nonexistent"}):
        done = subprocess.run([sys.executable, "-c", script], env={"PATH": os.environ["PATH"], **environment},
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.stdout.strip() == "no_answer", done.stderr
    assert list(home.iterdir()) == []
