"""brimful_client: thin, typed, and safe to send again."""

import asyncio
import datetime as dt
import inspect
import json
import pathlib
import typing
from decimal import Decimal

import httpx
import pytest

from brimful_client import calls
from brimful_client.client import AsyncClient, Client
from brimful_client.errors import ConnectionFailedError, Problem
from brimful_client.lease import WindDown
from support.harness import API_KEY, HOME

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
async def client(harness):
    async with AsyncClient(harness.url, API_KEY) as made:
        yield made


async def test_everything_it_has_works(harness, client):
    customer = await client.create_customer(name="Ada", external_id="ada", metadata={"plan": "pro"})
    assert await client.get_customer(customer.id) == customer
    assert await client.find_customer("ada") == customer
    await client.create_asset(code="CREDIT", name="Credits", precision=2, rates={"USD": "0.5"}, hold_bridge=3)
    assert (await client.get_asset("CREDIT")).hold_bridge == 3
    assert (await client.update_asset("CREDIT", hold_bridge=0)).hold_bridge == 0
    assert (await client.quote("CREDIT", source="USD", amount=Decimal(1))).destination_amount == 2
    gift = await client.adjust(customer.id, transaction_id="gift", asset="USD", amount="10.5", reason="gift")
    assert gift.created_at.tzinfo is not None
    await client.charge(customer.id, transaction_id="fee", asset="USD", amount=Decimal("0.5"))
    assert (await client.get_transaction(customer.id, "fee")).amount == Decimal("-0.5")
    used = await client.record_usage(id="e1", customer_external_id="ada", asset="USD", amount=1, occurred_at=now())
    assert (used.status, used.balance) == ("applied", 9)
    events = [client.usage_event(id=f"b{n}", customer_id=customer.id, asset="USD", amount="0.25") for n in range(3)]
    assert [result.status for result in (await client.record_usages([*events, events[0]])).results] == [
        "applied", "applied", "applied", "duplicate",
    ]  # fmt: skip
    page = await client.list_entries(customer.id, "USD", limit=2)
    assert [entry.amount for entry in page.items] == [Decimal("-0.25")] * 2
    rest = await client.list_entries(customer.id, "USD", cursor=page.next_cursor)
    assert len(rest.items) == 4
    held = await client.hold(customer.id, id="job", asset="USD", amount=3, expires_in_s=60)
    assert (await client.get_hold(customer.id, "job")) == held
    assert (await client.get_account(customer.id, "USD")).held == 3
    assert [hold.id for hold in (await client.list_holds(customer.id, state="open")).items] == ["job"]
    assert (await client.capture(customer.id, "job", amount=2)).state == "captured"
    await client.hold(customer.id, id="other", asset="USD", amount=1)
    assert (await client.release(customer.id, "other")).state == "released"
    assert (await client.set_alert(customer.id, "USD", threshold=1)).level == "ok"
    assert len((await client.list_alerts(customer.id)).items) == 1
    await client.remove_alert(customer.id, "USD")
    assert (await client.get_wallet(customer.id)).accounts[0].available == Decimal("6.25")
    link = await client.portal_link(customer.id, return_url=HOME, flow="auto_top_up", asset="USD")
    assert link.redirect_url.startswith(harness.url)
    token = await client.balance_token(customer.id, expires_in_s=60)
    assert token.token.startswith("bbt_")
    payment = await client.payment_link(customer.id, amount=25, currency="USD", return_url=HOME, asset="USD")
    assert (await client.get_top_up(payment.id)).destination.asset == "USD"
    assert [top_up.id for top_up in (await client.list_top_ups(customer.id)).items] == [payment.id]
    assert (await client.list_rules(customer.id)).items == []
    assert (await client.list_cards(customer.id)).items == []
    hook = await client.create_webhook(url="https://hooks.example.com/x", topics=["balance.low"])
    assert (await client.get_webhook(hook.id)).secret == hook.secret
    assert (await client.rotate_webhook(hook.id)).secret != hook.secret
    assert (await client.update_webhook(hook.id, topics=["*"])).topics == ["*"]
    tried = await client.test_webhook(hook.id, "balance.low", {"a": 1})
    assert (await client.replay_event(tried.id)).queued == 1
    assert (await client.replay_missed(hook.id, since=now())).queued == 0
    assert len((await client.list_webhooks()).items) == 1
    await client.delete_webhook(hook.id)


def now():
    return dt.datetime.now(dt.UTC)


def test_every_call_is_an_operation_of_both_clients():
    made = {
        name
        for name, thing in vars(calls).items()
        if inspect.isfunction(thing) and thing.__module__ == calls.__name__ and not name.startswith("_")
    }
    for client in (Client, AsyncClient):
        have = {name for name in dir(client) if not name.startswith("_")}
        assert made - {"try_webhook", "usage_event"} <= have
        assert client.create_customer.__doc__ == calls.create_customer.__doc__


async def test_a_problem_says_what_the_server_said(client):
    with pytest.raises(Problem) as caught:
        await client.get_customer("cus_none")
    problem = caught.value
    assert (problem.code, problem.status) == ("customer_not_found", 404)
    assert problem.request_id.startswith("req_")
    customer = await client.create_customer(name="Poor")
    with pytest.raises(Problem) as caught:
        await client.record_usage(id="e", customer_id=customer.id, asset="USD", amount=1, if_insufficient="refuse")
    assert caught.value.extra["topup_url"] == "https://app.example/top-up"


async def test_an_amount_is_never_a_float(client):
    with pytest.raises(TypeError, match="never a float"):
        await client.record_usage(id="e", customer_id="c", asset="USD", amount=0.1)


@pytest.mark.parametrize("failure", ["lost answer", "busy", "full"])
async def test_what_is_lost_or_refused_for_a_moment_is_sent_again_under_the_same_key(harness, failure, monkeypatch):
    """F43: also a payment link, whose key the client makes."""
    monkeypatch.setattr("brimful_client.client._WAIT_S", 0.001)
    real = httpx.AsyncHTTPTransport()
    keys = []

    class Unlucky(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            keys.append(request.headers.get("idempotency-key"))
            answer = await real.handle_async_request(request)
            if len(keys) % 3 == 0:
                return answer
            if failure == "lost answer":
                await answer.aclose()
                raise httpx.ReadError("cut")
            return httpx.Response(503 if failure == "full" else 429, headers={"Retry-After": "0"})

    async with AsyncClient(harness.url, API_KEY, transport=Unlucky()) as client:
        customer_id = await harness.customer()
        used = await client.record_usage(id="e", customer_id=customer_id, asset="USD", amount=1)
        assert (used.status, used.balance) == ("duplicate", -1)
        link = await client.payment_link(customer_id, amount=20, currency="USD", return_url=HOME)
        assert [top_up.id for top_up in (await client.list_top_ups(customer_id)).items] == [link.id]
        assert len(set(keys[3:6])) == 1
        keys.clear()
        await client.create_customer(name="Only Once")
        assert (len(keys), len(set(keys)), None in keys) == (3, 1, False)
        assert [
            one["n"] for one in await harness.sql("SELECT count(*) AS n FROM customers WHERE name = 'Only Once'")
        ] == [1]
    await real.aclose()


async def test_nobody_there_is_told_after_the_last_try(monkeypatch):
    monkeypatch.setattr("brimful_client.client._WAIT_S", 0.001)
    async with AsyncClient("http://127.0.0.1:9", API_KEY, retries=2) as client:
        with pytest.raises(ConnectionFailedError, match="GET /assets/USD"):
            await client.get_asset("USD")


async def test_the_waiting_client_does_the_same(harness):
    def use_it():
        with Client(harness.url, API_KEY) as client:
            customer = client.create_customer(name="Sync")
            client.adjust(customer.id, transaction_id="t", asset="USD", amount=5)
            with pytest.raises(Problem, match="hold_not_found"):
                client.get_hold(customer.id, "none")
            return client.get_account(customer.id, "USD").available

    assert await asyncio.to_thread(use_it) == 5


def test_each_operation_answers_the_shape_that_the_document_names():
    """`find_customer` follows a redirect to the one customer; everything else is answered as it is asked."""
    document = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text("utf-8"))
    differ = {}
    for name, operation in inspect.getmembers(calls, inspect.isfunction):
        others = {"usage_event", "find_customer", "record_usage", "record_usages"}
        if name.startswith("_") or name in others or operation.__module__ != calls.__name__:
            continue
        needed = {
            parameter.name: dt.datetime.now(dt.UTC) if parameter.name == "since" else "x"
            for parameter in inspect.signature(operation).parameters.values()
            if parameter.default is parameter.empty
        }
        call = operation(**needed)
        named = _answer(document, call.method.lower(), "/v1" + call.path)
        own = call.shape.__name__ if not (inner := typing.get_args(call.shape)) else f"[{inner[0].__name__}]"
        if own != named:
            differ[name] = own, named
    assert differ == {}


def _answer(document, method, path):
    """The name of the schema of the answer; in brackets that of a list's items."""
    parts = path.split("/")
    fitting = [
        template
        for template, methods in document["paths"].items()
        if method in methods
        and template.count("/") == path.count("/")
        and all(one.startswith("{") or one == own for one, own in zip(template.split("/"), parts, strict=True))
    ]
    operation = document["paths"][min(fitting, key=lambda template: template.count("{"))][method]
    [answer] = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    if "content" not in answer:
        return "NoneType"
    name = answer["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    items = document["components"]["schemas"][name]["properties"].get("items")
    return name if items is None else f"[{items['items']['$ref'].rsplit('/', 1)[1]}]"


async def test_a_lease_warns_once_and_gives_back_what_is_left(harness, client):
    customer = await client.create_customer(name="Ada")
    await client.adjust(customer.id, transaction_id="gift", asset="USD", amount=3)
    made = await client.set_budget(
        customer.id, "team", asset="USD", amount=20, window="month", dimension=("team", "red"), hard=False
    )
    assert (made.left, made.dimension.value) == (20, "red")
    terms = {"chunk": 1, "wind_down_s": 10, "subject": "agent", "dimensions": {"team": "red"}}
    async with client.lease(customer.id, "USD", **terms) as lease:
        notices = []
        for _ in range(5):
            harness.clock.offset += dt.timedelta(seconds=5)
            try:
                await lease.use("0.5")
            except WindDown as notice:
                notices.append(notice)
        [notice] = notices
        assert notice.why == "no_rule"
        assert 0 < notice.seconds_left <= 30
        assert not await lease.wait(timeout_s=0)
        await client.adjust(customer.id, transaction_id="more", asset="USD", amount=3)
        assert await lease.wait(timeout_s=5, every_s=0.01)
        assert lease.used == Decimal("2.5")
    assert (await client.get_hold(customer.id, lease.hold_id)).state == "released"
    assert (await client.get_account(customer.id, "USD")).available == Decimal("3.5")
    assert (await client.list_budgets(customer.id, asset="USD")).items[0].used == Decimal("2.5")
    assert (await client.get_spend(customer.id, "USD", dimension="team")).spent[0].used == Decimal("2.5")
    why = await client.explain_debit(customer.id, "USD", amount=9, subject="a", dimensions={"team": "red"})
    assert (why.allowed, why.code, len(why.budgets)) == (False, "insufficient_funds", 1)
    assert (await client.get_budget(customer.id, "team")).held == 0
    await client.end_budget(customer.id, "team")


def test_a_lease_that_waits_for_each_answer():
    sent = []

    def answer(request):
        sent.append((request.method, request.url.path, json.loads(request.content or b"null")))
        if request.url.path.endswith("/use"):
            state = "winding_down" if len(sent) > 2 else "running"
            body = {"id": "u", "hold_id": "run", "status": "applied", "state": state, "why": "paused", "held": "1",
                    "used": "1", "at": "2026-11-24T10:00:00Z", "good_until": "2026-11-24T10:00:30Z", "balance": "1",
                    "available": "1"}  # fmt: skip
            return httpx.Response(200, json=body)
        if request.url.path.endswith("/release"):
            return httpx.Response(409, json={"code": "hold_ended", "detail": "It has expired."})
        body = {"id": "run", "customer_id": "c", "asset": "USD", "amount": "1", "state": "open",
                "expires_at": "2026-11-24T10:00:00Z", "created_at": "2026-11-24T10:00:00Z"}  # fmt: skip
        return httpx.Response(201, json=body)

    with (
        Client("http://brimful.test", "key", transport=httpx.MockTransport(answer)) as client,
        client.lease("c", "USD", chunk="1", id="run") as lease,
    ):
        lease.use(1)
        with pytest.raises(WindDown, match="in 30 s: paused") as notice:
            lease.use(1)
        assert notice.value.seconds_left <= 30
        lease.use(1)
        assert not lease.wait(timeout_s=0)
    ids = [body["id"] for _, path, body in sent if path.endswith("/use")]
    assert len(set(ids)) == 4
