"""Credits for the stories: grants, what is left of each, a payment and what goes back of it, offers."""

import datetime as dt
from decimal import Decimal

from brimful.core import clock

DAY = dt.timedelta(days=1)


async def now(harness):
    [row] = await harness.sql("SELECT clock_timestamp() AS now")
    return row["now"] + harness.clock.offset


async def moment(harness, **ahead):
    return clock.rfc3339(await now(harness) + dt.timedelta(**ahead))


async def grant(harness, customer_id, amount, key, *, expect=201, asset="USD", **terms):
    body = {"transaction_id": key, "asset": asset, "amount": str(amount), **terms}
    return await harness.call("POST", f"/customers/{customer_id}/wallet/adjustments", body, expect=expect)


async def grants(harness, customer_id, **params):
    path = f"/customers/{customer_id}/wallet/default:USD/grants"
    return await harness.call("GET", path, params=params, expect=200)


async def left(harness, customer_id):
    """{transaction_id or kind: what is left}"""
    items = (await grants(harness, customer_id))["items"]
    return {item["transaction_id"] or item["kind"]: Decimal(item["available"]) for item in items}


async def kinds(harness, customer_id):
    query = "SELECT kind, amount FROM entries WHERE customer_id = %s ORDER BY seq"
    return [(row["kind"], row["amount"]) for row in await harness.sql(query, (customer_id,))]


async def paid(harness, **more):
    """A customer whose automatic top-up of $25 was paid: balance 34, line 10. Returns (customer_id, PaymentIntent)."""
    customer_id, _ = await harness.funded(balance=12, threshold="10", **more)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    [intent] = [item for item in (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
                if item["status"] == "succeeded"]  # fmt: skip
    return customer_id, intent["id"]


async def refund(harness, intent, amount):
    made = await harness.sandbox.post("/v1/refunds", data={"payment_intent": intent, "amount": str(amount)})
    await harness.events_applied()
    return made.json()["id"]


async def last_event(harness, customer_id, topic):
    rows = await harness.sql(
        "SELECT payload FROM outgoing_events WHERE customer_id = %s AND type = %s ORDER BY event_id DESC LIMIT 1",
        (customer_id, topic),
    )
    return rows[0]["payload"]["data"]


async def offer(harness, *offers, expect=200, asset="USD"):
    body = {"offers": [{"currency": "USD", **one} for one in offers]}
    return await harness.call("PUT", f"/assets/{asset}/offers", body, expect=expect)
