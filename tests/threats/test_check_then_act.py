"""Threat: between a check and its act. Checks stand inside the transaction that acts, under its locks.

The whole of it is walked by the state machine (tests/simulation); here are the races that somebody would try.
"""

import asyncio
from decimal import Decimal

from support.attack import times
from support.forms import token_of
from support.harness import HOME
from support.seed import everything_allowed


async def test_a_balance_is_spent_once_however_many_ask(harness, attack):
    """Charges, holds and usage at once against a balance that covers a few of them."""
    for turn in range(times(1, 20)):
        customer_id = await harness.customer()
        await harness.give(customer_id, 10)
        path = f"/customers/{customer_id}/wallet"
        calls = []
        for number in range(20):
            name = f"{turn}-{number}"
            calls.append(
                harness.call("POST", f"{path}/charges", {"transaction_id": name, "asset": "USD", "amount": "1"})
            )
            calls.append(harness.call("POST", f"{path}/holds", {"id": name, "asset": "USD", "amount": "1"}))
            calls.append(harness.use(customer_id, "1", name, if_insufficient="refuse"))
        answers = await asyncio.gather(*calls)
        attack.count(len(answers))
        taken = [answer for answer in answers if answer.get("code") != "insufficient_funds"]
        [row] = await harness.sql("SELECT balance, held FROM accounts WHERE customer_id = %s", (customer_id,))
        if len(taken) != 10 or row["balance"] - row["held"] != 0:
            attack.got_through(f"{len(taken)} of 10, {row}")


async def test_a_payment_is_refunded_once_however_many_ask(harness, attack):
    """Refunds at once of one payment."""
    customer_id, _ = await harness.crossed()
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    await everything_allowed(harness)
    path, body = f"/top-ups/{top_up['id']}/refunds", {"amount": "10"}
    asked = [harness.call("POST", path, body, headers={"Idempotency-Key": f"r-{number}"}) for number in range(20)]
    answers = await asyncio.gather(*asked)
    attack.count(len(answers))
    await harness.events_applied()
    [row] = await harness.sql("SELECT coalesce(sum(amount_minor), 0) AS minor FROM refunds")
    books = await harness.books()
    if row["minor"] > 2500 or books.get("refunded", {}).get("USD", 0) > 2500:
        attack.got_through(f"{row}")
    assert len([answer for answer in answers if "id" in answer]) == 2, answers[:2]  # 10 and 10 of 25


async def test_a_link_is_paid_once_however_many_press(harness, attack):
    """One payment link, pressed from several windows at once."""
    customer_id = await harness.customer()
    wanted = {"customer_id": customer_id, "amount": "40", "currency": "USD", "return_url": HOME, "failure_url": HOME}
    link = (await harness.call("POST", "/top-ups", wanted, expect=201))["redirect_url"]
    windows = [await harness.stranger() for _ in range(5)]
    pages = [await window.open(link) for window in windows]
    answers = await asyncio.gather(
        *(
            window.client.post(f"{harness.url}/billing/pay", data={"csrf": token_of(page)}, follow_redirects=True)
            for window, page in zip(windows, pages, strict=True)
        )
    )
    attack.count(len(answers))
    for window, page in zip(windows, answers, strict=True):
        if "number" in page.text:
            await window.submit(page, "", {"number": "4242424242424242"})
    await harness.events_applied()
    if await harness.charged() != 4000 or await harness.balance(customer_id) != Decimal(40):
        attack.got_through(f"{await harness.charged()}")
