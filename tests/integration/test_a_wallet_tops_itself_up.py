"""The story of the product, from an empty wallet to a charge that nobody asked for twice."""

from decimal import Decimal

import pytest

pytestmark = pytest.mark.flow


async def test_a_debit_crosses_the_line_and_the_wallet_is_funded(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10", amount="25", limit="100")

    answer = await harness.use(customer_id, "2.50", "request-1")
    assert answer["status"] == "applied"
    assert answer["balance"] == "9.5"
    [waiting] = await harness.top_ups(customer_id)
    assert (waiting["kind"], waiting["state"], waiting["amount"]) == ("automatic", "requested", "25")

    await harness.work()

    assert await harness.balance(customer_id) == Decimal("34.5")
    [done] = await harness.top_ups(customer_id)
    assert (done["state"], done["status"], done["balance_after"]) == ("succeeded", "succeeded", "34.5")
    assert await harness.charged() == 2500
    assert (await harness.rule(customer_id))["reason"] == "armed"
    kinds = await harness.events(customer_id)
    assert kinds[-2:] == ["auto_top_up.triggered", "top_up.succeeded"]


async def test_at_the_line_nothing_happens_and_a_cent_below_it_does(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "2", "to-the-line")
    assert await harness.top_ups(customer_id) == []
    await harness.use(customer_id, "0.000001", "below-it")
    assert len(await harness.top_ups(customer_id)) == 1
