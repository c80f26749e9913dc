"""Secrets are changed while everything runs, and no event is lost: the ledger's key, and the database's login.

The others: an API key (threats/test_api_key_theft.py), Stripe's webhook secret (threats/test_forged_events_in.py),
Stripe's key (test_paying.py), a webhook's (test_webhooks.py), an operator's (test_signing_in.py).
"""

import asyncio
import base64
import contextlib
from decimal import Decimal

import psycopg
import pytest

from brimful import operations
from support.harness import HOME, LEDGER_KEYS, Harness

KEYS = {**LEDGER_KEYS, 2: bytes(range(32, 64))}
BOTH = ",".join(f"{number}:{base64.b64encode(key).decode()}" for number, key in KEYS.items())


async def test_a_new_ledger_key_is_handed_out_then_signs_and_nothing_stops(database_url):
    """Three processes, one after the other, each beside the one before: old, old with the new one known, new."""
    steps = ({}, {"BRIMFUL_LEDGER_KEYS": BOTH, "BRIMFUL_LEDGER_SIGNING": "1"}, {"BRIMFUL_LEDGER_KEYS": BOTH})
    sent, links, customer_id, before = 0, [], None, contextlib.AsyncExitStack()
    headers = {"Idempotency-Key": "one"}
    for step, more in enumerate(steps):
        stack = contextlib.AsyncExitStack()
        harness = await stack.enter_async_context(
            Harness.opened(database_url, BRIMFUL_PUBLIC_URL="http://127.0.0.1:1", **more)
        )
        if customer_id is None:
            customer_id = await harness.customer()
            await harness.give(customer_id, 100)
            old = harness
        both = [(old, f"{step}-old"), (harness, f"{step}-new")]
        calls = [one.use(customer_id, "0.01", f"{name}-{number}") for one, name in both for number in range(10)]
        answers = await asyncio.gather(*calls)
        assert {answer["status"] for answer in answers} == {"applied"}
        sent += len(answers)
        body = {"customer_id": customer_id, "return_url": HOME, "failure_url": HOME}
        links.append(await harness.call("POST", "/billing-portal/sessions", body, headers=headers, expect=200))
        await before.aclose()  # the one before stops once its successor works
        before, old = stack, harness
    assert await old.balance(customer_id) == Decimal(100) - Decimal("0.01") * sent
    await before.aclose()
    assert links[0] == links[1] == links[2]  # an answer that was kept is given again, whichever key made its link
    assert all(finding.ok for finding in await operations.verify.run(database_url, KEYS, full=True))
    with psycopg.connect(database_url) as connection:
        signers = {row[0][0] for row in connection.execute("SELECT mac FROM entries")}
    assert signers == {1, 2}
    [lacking] = [
        finding for finding in await operations.verify.run(database_url, LEDGER_KEYS, full=True) if finding.id == "I1"
    ]
    assert not lacking.ok
    assert "key 2" in lacking.detail


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_databases_login_is_another_and_the_old_one_is_closed(cluster):
    """As docs/operate/secrets.md has it."""
    name = cluster.clone()
    url = cluster.url(name)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE ROLE brimful_1 LOGIN PASSWORD 'one'")
        owner.execute("CREATE ROLE brimful_2 LOGIN PASSWORD 'two'")
        for login in ("brimful_1", "brimful_2"):
            owner.execute(f"GRANT brimful_owner, brimful_api, brimful_portal, brimful_engine TO {login}")
        logins = [
            psycopg.conninfo.make_conninfo(url, user=f"brimful_{n}", password=word)
            for n, word in ((1, "one"), (2, "two"))
        ]
        async with Harness.opened(logins[0]) as first:
            customer_id = await first.customer()
            await first.give(customer_id, 10)
            async with Harness.opened(logins[1]) as second:
                owner.execute("ALTER ROLE brimful_1 NOLOGIN")
                used = await asyncio.gather(
                    *(one.use(customer_id, "1", f"{n}") for n, one in enumerate((first, second)))
                )
                assert [answer["status"] for answer in used] == ["applied", "applied"]
                assert await second.balance(customer_id) == Decimal(8)
                with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
                    psycopg.connect(logins[0])
        for login in ("brimful_1", "brimful_2"):
            owner.execute(f"DROP OWNED BY {login}")
            owner.execute(f"DROP ROLE {login}")
    cluster.drop(name)
