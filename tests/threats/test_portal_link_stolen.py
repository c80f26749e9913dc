"""Threat: a portal link that is stolen, guessed or scanned. Stored hashed, ten minutes, used once, not by looking."""

import asyncio
import secrets

from brimful import observability
from support.attack import times
from support.harness import HOME


async def test_a_link_opens_once_and_looking_does_not_use_it_up(harness):
    customer_id = await harness.customer()
    link = await harness.link(customer_id)
    strangers = [await harness.stranger() for _ in range(20)]
    for _ in range(10):  # mail scanners
        assert (await strangers[0].client.get(link)).status_code == 200
    answers = await asyncio.gather(*(stranger.client.post(link, follow_redirects=False) for stranger in strangers))
    assert sorted(answer.status_code for answer in answers) == [303] + [410] * 19
    assert (await strangers[0].client.get(link)).status_code == 410


async def test_of_many_exchanges_at_once_one_succeeds(harness, attack):
    """A hundred exchanges of one link at once: one session."""
    for _ in range(times(1, 20)):
        link = await harness.link(await harness.customer())
        strangers = [await harness.stranger() for _ in range(100)]
        answers = await asyncio.gather(*(one.client.post(link, follow_redirects=False) for one in strangers))
        attack.count(100)
        opened = [answer for answer in answers if answer.status_code == 303]
        if len(opened) != 1 or {answer.status_code for answer in answers} != {303, 410}:
            attack.got_through(f"{len(opened)} sessions from one link")
        for one in strangers:
            await one.close()
    [row] = await harness.sql("SELECT count(*) AS n FROM portal_sessions")
    assert row["n"] == times(1, 20)


async def test_the_database_has_nothing_that_opens_one(harness):
    """Also where an answer is kept to be given again under the same Idempotency-Key, and through a rotation of keys."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 5)
    body = {"customer_id": customer_id, "return_url": HOME, "failure_url": HOME}
    paid = {**body, "amount": "40", "currency": "USD"}
    for path, sent in (("/billing-portal/sessions", body), ("/top-ups", paid)):
        headers = {"Idempotency-Key": f"once-{path}"}
        first = await harness.call("POST", path, sent, headers=headers)
        again = await harness.call("POST", path, sent, headers=headers)
        assert first == again
        token = first["redirect_url"].rpartition("/")[2]
        assert len(token) == 43
        assert [table for table, rows in (await harness.dump()).items() if token in rows] == []
        assert (await (await harness.stranger()).client.get(first["redirect_url"])).status_code == 200
        assert token not in observability.logging.redact(
            f"GET /billing/open/{token} failed at https://pay.example/billing/open/{token}?x=1"
        )


async def test_its_page_is_not_kept_and_tells_nobody_where_it_was(harness):
    link = await harness.link(await harness.customer())
    headers = (await (await harness.stranger()).client.get(link)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"


async def test_a_guess_is_no_link(harness, attack):
    """Guessed links."""
    link = await harness.link(await harness.customer())
    token = link.rpartition("/")[2]
    near = [token[:-1], token + "A", token.swapcase(), token[::-1], "", "%00", "..", token.replace("-", "_") + "="]
    stranger = await harness.stranger()
    for guess in (*near, *(secrets.token_urlsafe(32) for _ in range(times(20, 2000)))):
        answer = await stranger.client.post(f"{harness.url}/billing/open/{guess}", follow_redirects=False)
        attack.count()
        if answer.status_code == 303:
            attack.got_through(guess)
