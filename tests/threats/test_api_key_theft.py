"""Threat: an API key that is stolen, guessed or timed. Shown once, stored hashed, narrow, and soon another."""

import asyncio
import datetime as dt
import secrets
import statistics
import time

import httpx
import pytest

from brimful.auth import api_keys
from brimful.core.errors import Refused
from support.attack import times
from support.harness import API_KEY, Harness
from support.seed import key_with


async def test_a_dump_of_the_database_holds_no_key_that_works(harness):
    extra = await key_with(harness, ("usage",))
    dump = "".join((await harness.dump()).values())
    assert API_KEY not in dump
    assert extra not in dump
    for row in await harness.sql("SELECT * FROM api_keys"):
        for value in row.values():
            stolen = value.hex() if isinstance(value, bytes | memoryview) else str(value)
            answer = await harness.api.get("/v1/customers", headers={"Authorization": f"Bearer {stolen}"[:400]})
            assert answer.status_code == 401


async def test_a_key_has_an_end_and_can_be_taken_back(harness):
    async with harness.engine.database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE brimful_api")
        over = await api_keys.create(tx, name="over", good_for=dt.timedelta(0))
        good = await api_keys.create(tx, name="good", good_for=dt.timedelta(days=1))
        for secret in (good, over):
            try:
                principal = await api_keys.authenticate(tx, secret)
            except Refused as refused:
                assert (secret, refused.code) == (over, "unauthorized")  # noqa: PT017
            else:
                assert secret == good
        await api_keys.revoke(tx, principal.key_id)
        with pytest.raises(Refused, match="valid API key"):
            await api_keys.authenticate(tx, good)


async def test_a_key_is_changed_under_load_and_no_event_is_lost(harness):
    """Two live: the platform takes the new one into use, then the old one is revoked."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 1000)
    using, sent, refused = [await key_with(harness, ("usage",))], 0, []
    stop = asyncio.Event()

    async def platform(number):
        nonlocal sent
        count = 0
        while not stop.is_set():
            count += 1
            event = {"id": f"{number}-{count}", "customer_id": customer_id, "asset": "USD", "amount": "0.001"}
            headers = {"Authorization": f"Bearer {using[-1]}"}
            answer = await harness.api.post("/v1/usage", json=event, headers=headers)
            if answer.status_code != 200:
                refused.append(answer.text)
            sent += 1

    running = [asyncio.create_task(platform(number)) for number in range(4)]
    for _ in range(3):
        old = using[-1]
        using.append(await key_with(harness, ("usage",)))
        await asyncio.sleep(0.5)
        async with harness.engine.database.transaction() as tx:
            await tx.execute("SET LOCAL ROLE brimful_api")
            await api_keys.revoke(tx, (await api_keys.authenticate(tx, old)).key_id)
        await asyncio.sleep(0.5)
    stop.set()
    await asyncio.gather(*running)
    assert refused == []
    [row] = await harness.sql("SELECT count(*) AS n FROM entries WHERE kind = 'usage'")
    assert row["n"] == sent > 50


async def test_whoever_guesses_is_kept_waiting_and_nobody_else(database_url):
    async with Harness.opened(database_url, BRIMFUL_ADDRESS_RATE="1") as harness:
        await harness.call("GET", "/assets", expect=200)  # a key that is known
        async with httpx.AsyncClient(base_url=harness.url, timeout=30) as thief:

            async def guess(path="/v1/assets", address="203.0.113.7"):
                headers = {"Authorization": f"Bearer bfk_{secrets.token_urlsafe(32)}", "X-Forwarded-For": address}
                return await thief.get(path, headers=headers)

            answers = [await guess() for _ in range(25)]
            assert {answer.status_code for answer in answers[:10]} == {401}
            refused = [answer for answer in answers if answer.status_code == 429]
            assert len(refused) >= 5
            assert 1 <= int(refused[0].headers["retry-after"]) <= 10
            assert refused[0].json()["code"] == "too_many_requests"
            assert (await guess(address="203.0.113.8")).status_code == 401
            own = {"X-Forwarded-For": "203.0.113.7"}
            assert (await harness.api.get("/v1/assets", headers=own)).status_code == 200
            pages = [await thief.get("/billing/cards", headers={"X-Forwarded-For": "203.0.113.9"}) for _ in range(25)]
            assert {page.status_code for page in pages} == {401, 429}
            assert "retry-after" in pages[-1].headers
            signs = [await thief.get("/console/sign-in", headers={"X-Forwarded-For": "203.0.113.9"}) for _ in range(25)]
            assert {page.status_code for page in signs} == {200, 429}
            sixes = [await guess(address=f"2001:db8::{number:x}") for number in range(25)]
            assert 429 in {answer.status_code for answer in sixes}  # a /64 is one household


async def test_the_time_of_a_look_up_tells_nothing_of_a_key(harness, attack):
    """The time that it takes to refuse a key that is nearly right, and one that is not."""
    secret = await key_with(harness, ("usage",))
    spent = {"near": [], "far": []}
    async with harness.engine.database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE brimful_api")
        for number in range(times(300, 20_000)):
            guesses = {"near": secret[:-2] + f"{number % 90 + 10}", "far": "bfk_" + secrets.token_urlsafe(32)}
            for kind in ("near", "far") if number % 2 else ("far", "near"):
                begun = time.perf_counter_ns()
                try:
                    await api_keys.authenticate(tx, guesses[kind])
                except Refused:
                    spent[kind].append(time.perf_counter_ns() - begun)
                attack.count()
    # How often a near one takes longer than a far one: a half, if nothing is told.
    far = sorted(spent["far"])
    longer = sum(_below(far, one) for one in spent["near"]) / (len(far) * len(spent["near"]))
    medians = {kind: statistics.median(values) / 1000 for kind, values in spent.items()}
    if abs(longer - 0.5) > 0.15:
        attack.got_through(f"{longer:.3f} of the near ones take longer: {medians} microseconds")


def _below(ordered, value):
    import bisect

    return bisect.bisect_left(ordered, value)
