"""A house where something has happened, for what looks at the books."""

import pytest


@pytest.fixture
async def busy(house):
    customer_id, _ = await house.funded(balance=12, threshold="10")
    for number in range(4):
        await house.use(customer_id, "1", f"e-{number}")
    await house.work()
    return house
