"""The operator's commands, as an operator runs them."""

import asyncio
import subprocess
import sys


async def command(house, *arguments, status=0):
    environment = {"PATH": "/usr/bin:/bin", **house.environment}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "brimful", *arguments], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


async def test_stop_explain_start_refund_reconcile(house):
    customer_id, _ = await house.funded(balance=12, threshold="10")
    await command(house, "charging", "stop", "--reason", "a look at the numbers")
    await house.use(customer_id, "3", "crossing")
    await house.work()
    assert "a look at the numbers" in await command(house, "charging", "show")
    told = await command(house, "explain", customer_id, "USD")
    assert told.startswith("A top-up is requested. Charging is held: a look at the numbers.")
    assert "Charging goes on." in await command(house, "charging", "start", "--reason", "looked")
    await house.pass_time(minutes=2)
    [top_up] = await house.top_ups(customer_id)
    assert top_up["state"] == "succeeded"
    for _ in range(2):
        assert "7.50 USD" in await command(house, "refund", customer_id, top_up["id"], "--amount", "7.50", "--key", "k")
    await house.work()
    await house.events_applied()
    assert (await house.books())["refunded"] == {"USD": 750}
    assert "1 payments, 1 refunds" in await command(house, "reconcile")
    assert "nothing to give back" not in await command(house, "verify", "--full")
    [audit] = await house.sql("SELECT actor FROM audit WHERE action = 'refund.requested' LIMIT 1")
    assert audit["actor"] == "command line"


async def test_a_wrong_customer_or_amount_is_one_line(house):
    customer_id, _ = await house.funded()
    await command(house, "explain", customer_id, "EUR", status=2)
    await command(house, "refund", customer_id, "top_nobody", status=2)
