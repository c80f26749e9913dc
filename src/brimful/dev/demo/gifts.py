"""One scene beside the trace: a gift that expires, and a bonus that goes back with its refund."""

import asyncio
import datetime as dt
import time
from decimal import Decimal
from typing import Any

import httpx

from brimful import runtime
from brimful.dev.demo import cast
from brimful.dev.demo.visitor import Visitor
from brimful_client.client import AsyncClient

_GIFT_S = 2
_PATIENCE_S = 60
_NOTHING = Decimal(0)
_CARD = "4242424242424242"


class GiftError(RuntimeError):
    """The scene did not end as it must."""


async def play(api: AsyncClient, running: runtime.local.Running, name: str) -> list[str]:
    """Play it, and say in lines what happened.

    Args:
        api: the platform's client.
        running: what `up` started, its sandbox among it.
        name: the customer's external id.

    Raises:
        GiftError: a credit is not what it must be.
    """
    customer = await api.create_customer(name="Gifted", external_id=name)
    async with _client(f"{running.url}/v1", running.api_key) as platform:
        offer = {"currency": "USD", "amount_from": "20", "percent": "10"}
        (await platform.put("/assets/USD/offers", json={"offers": [offer]})).raise_for_status()
        try:
            return [await _gift(api, customer.id), await _bonus(api, running, customer.id)]
        finally:
            await platform.put("/assets/USD/offers", json={"offers": []})


def _client(url: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


async def _gift(api: AsyncClient, customer_id: str) -> str:
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=_GIFT_S)
    await api.adjust(customer_id, transaction_id="paid", asset="USD", amount=12, purpose="paid")
    await api.adjust(customer_id, transaction_id="gift", asset="USD", amount=5, reason="gift", expires_at=ends)
    await api.record_usage(id=f"gift-{customer_id}", customer_id=customer_id, asset="USD", amount=2)
    await asyncio.sleep(_GIFT_S + 0.1)
    await api.record_usage(id=f"then-{customer_id}", customer_id=customer_id, asset="USD", amount=1)
    left = await _left(api, customer_id)
    _must(left == {"promotional": _NOTHING, "paid": Decimal(11)}, f"after the expiry: {left}")
    return "A gift of 5 USD: 2 were used, and 3 expired at their moment; of the 12 that were paid 11 are left."


async def _bonus(api: AsyncClient, running: runtime.local.Running, customer_id: str) -> str:
    visitor = Visitor(running.url)
    try:
        await visitor.open((await api.portal_link(customer_id, return_url=cast.HOME)).redirect_url)
        await visitor.add_card(_CARD)
        await visitor.turn_on("USD", threshold="10", amount="20", limit="100")
    finally:
        await visitor.close()
    await api.record_usage(id=f"cross-{customer_id}", customer_id=customer_id, asset="USD", amount=2)
    await _until(api, customer_id, Decimal(9 + 20 + 2))
    [top_up] = (await api.list_top_ups(customer_id)).items
    await _refund(running, top_up.id)
    await _until(api, customer_id, Decimal(9 + 10 + 1))
    left = await _left(api, customer_id)
    _must(left["bonus"] == 1, f"after the refund: {left}")
    return "A top-up of 20 USD brought a bonus of 2; with 10 USD refunded, 10 of it and 1 of its bonus went back."


async def _refund(running: runtime.local.Running, top_up_id: str) -> None:
    """Support gives 10 USD back, in Stripe's dashboard."""
    async with _client(running.sandbox_url, running.environment["STRIPE_API_KEY"]) as stripe:
        newest = (await stripe.get("/v1/payment_intents", params={"limit": 100})).json()["data"]
        [intent] = [item["id"] for item in newest if item["metadata"].get("top_up_id") == top_up_id]
        (await stripe.post("/v1/refunds", data={"payment_intent": intent, "amount": "1000"})).raise_for_status()


async def _left(api: AsyncClient, customer_id: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for grant in (await api.list_grants(customer_id, "USD")).items:
        found[grant.purpose] = found.get(grant.purpose, _NOTHING) + grant.available
    return found


async def _until(api: AsyncClient, customer_id: str, wanted: Decimal) -> None:
    deadline, seen = time.monotonic() + _PATIENCE_S, _NOTHING
    while time.monotonic() < deadline:
        seen = (await api.get_account(customer_id, "USD")).available
        if seen == wanted:
            return
        await asyncio.sleep(0.2)
    raise GiftError(f"{seen} USD are available, not {wanted}")


def _must(holds: bool, what: Any) -> None:
    if not holds:
        raise GiftError(str(what))
