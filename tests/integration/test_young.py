"""An account that is younger than what a page shows begins when it began, not at zero thirty days before."""

import re


async def test_preview_and_chart_begin_with_the_account(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 40)
    await harness.use(customer_id, "5", "first")
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    values = {"threshold": "10", "amount": "25", "limit": "100", "action": "preview"}
    page = await visitor.submit(await visitor.get("/auto-top-up/USD"), "", values)
    assert re.search(r"Lowest balance\W+(?:\w+\W+){0,4}\$35\.00", page.text), page.text
    await harness.pass_time(hours=24 * 10)
    visitor = await harness.visitor(customer_id)
    overview = await visitor.get("/")
    found = re.search(r'<path class="stroke" d="M(\d+) ', overview.text)
    assert found is not None, overview.text
    assert float(found[1]) > 600  # of 1,000: twenty of thirty days are empty
