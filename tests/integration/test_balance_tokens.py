"""Balance tokens: a page reads its customer's balances, and nothing else, for minutes."""

import base64
import datetime as dt

import httpx
import pytest

from brimful.auth import balance_tokens
from brimful.auth.balance_tokens import BalanceToken
from brimful.core import ids
from brimful.ledger.hash_chain import Keyring
from support.harness import LEDGER_KEYS

ORIGIN = "https://shop.example"


@pytest.fixture
async def browser(harness):
    async with httpx.AsyncClient(base_url=harness.url) as client:
        yield client


async def read(browser, token, **headers):
    return await browser.get("/v1/balances", headers={"Authorization": f"Bearer {token}", **headers})


def now(harness):
    return dt.datetime.now(dt.UTC) + harness.clock.offset


async def test_a_page_reads_the_balances_of_its_customer_for_a_quarter_of_an_hour(harness, browser):
    customer_id = await harness.customer("Ada", external_id="ada")
    await harness.customer("Grace", external_id="grace")
    await harness.give(customer_id, "12.5")
    made = await harness.call("POST", "/balance-tokens", {"customer_id": "external_id:ada"}, expect=201)
    answer = await read(browser, made["token"], Origin=ORIGIN)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {"items": [{
        "asset": "USD", "name": "US dollars", "currency": True, "symbol": "$", "available": "12.5", "runs_dry_at": None,
        "auto_top_up": False,
    }]}  # fmt: skip
    await harness.use(customer_id, "6", "an-hour-of-use")
    [balance] = (await read(browser, made["token"])).json()["items"]
    dry = dt.datetime.fromisoformat(balance["runs_dry_at"])
    assert dt.timedelta(hours=1) < dry - now(harness) < dt.timedelta(hours=1, minutes=10)
    await harness.pass_time(minutes=15)
    ended = await read(browser, made["token"], Origin=ORIGIN)
    assert (ended.status_code, ended.headers["access-control-allow-origin"]) == (401, "*")


async def test_a_rule_that_is_on_keeps_it_funded_and_says_so(harness, browser):
    customer_id, _ = await harness.crossed()
    made = await harness.call("POST", "/balance-tokens", {"customer_id": customer_id}, expect=201)
    [balance] = (await read(browser, made["token"])).json()["items"]
    assert (balance["auto_top_up"], balance["runs_dry_at"]) == (True, None)


async def test_a_browser_may_ask_first_and_only_here(harness):
    ask = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    answer = await harness.api.request("OPTIONS", "/v1/balances", headers=ask)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    for path in ("/v1/customers", "/v1/balance-tokens", "/v1/usage", "/billing/"):
        answer = await harness.api.request("OPTIONS", path, headers=ask)
        assert "access-control-allow-origin" not in answer.headers, path
    wrong = await harness.api.request(
        "OPTIONS", "/v1/balances", headers={**ask, "Access-Control-Request-Method": "POST"}
    )
    assert wrong.status_code == 400


async def test_a_token_does_nothing_else_and_a_key_is_none(harness, browser):
    customer_id = await harness.customer()
    token = (await harness.call("POST", "/balance-tokens", {"customer_id": customer_id}, expect=201))["token"]
    header = {"Authorization": f"Bearer {token}"}
    others = ("POST /v1/balance-tokens", "POST /v1/billing-portal/sessions", f"GET /v1/customers/{customer_id}/wallet",
              "GET /v1/customers", f"GET /v1/customers/{customer_id}")  # fmt: skip
    for method, path in (other.split() for other in others):
        answer = await browser.request(method, path, headers=header, json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
    assert (await browser.post("/v1/usage", headers=header, json={})).status_code == 401
    assert (await harness.api.get("/v1/balances")).status_code == 403
    assert (await browser.get("/v1/balances")).status_code == 401


async def test_a_token_that_we_did_not_make_is_refused(harness, browser):
    customer_id = await harness.customer()
    good = (await harness.call("POST", "/balance-tokens", {"customer_id": customer_id}, expect=201))["token"]
    raw = bytearray(base64.urlsafe_b64decode(good.removeprefix("bbt_") + "=="))
    forged = []
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        forged.append("bbt_" + base64.urlsafe_b64encode(changed).decode().rstrip("="))
    other = Keyring({1: bytes(32)})
    far = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    forged += [balance_tokens.issue(other, BalanceToken(ids.CustomerId(customer_id), far)), "bbt_", "bbt_é", good[:-2],
               good + "AAAA", "bbt_" + "A" * 5000]  # fmt: skip
    for token in forged:
        header = {"Authorization": f"Bearer {token}".encode("latin-1")}
        answer = await browser.get("/v1/balances", headers=header)
        assert answer.status_code in {401, 431}, token[:80]
    assert (await read(browser, good)).status_code == 200


async def test_tokens_outlive_a_rotation_of_the_ledgers_keys(harness, browser):
    customer_id = ids.CustomerId(await harness.customer())
    token = BalanceToken(customer_id, (now(harness) + dt.timedelta(minutes=5)).replace(microsecond=0))
    old = balance_tokens.issue(Keyring(LEDGER_KEYS), token)
    assert balance_tokens.read(Keyring({**LEDGER_KEYS, 2: bytes(range(32, 64))}), old) == token
    nobody = balance_tokens.issue(Keyring(LEDGER_KEYS), BalanceToken(ids.new_customer(), token.expires_at))
    assert (await read(browser, nobody)).status_code == 404


@pytest.mark.parametrize("expires_in_s", [59, 3601, 0, -1, True, "900", 1.5, None])
async def test_a_life_that_is_none_is_refused(harness, expires_in_s):
    body = {"customer_id": await harness.customer(), "expires_in_s": expires_in_s}
    refused = await harness.call("POST", "/balance-tokens", body, expect=422)
    assert refused["errors"][0]["field"] == "expires_in_s"
