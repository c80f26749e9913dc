"""Scenes: what a sample customer does in the sandbox so that an event happens. For `brimful trigger`.

Each is given the API and its address, and returns the customer's id.
"""

import asyncio
import datetime as dt
import os
from collections.abc import Awaitable, Callable

from brimful.dev.demo import cast
from brimful.dev.demo.visitor import Visitor
from brimful_client.client import AsyncClient

_GOOD, _LOST, _ASKS = "4242424242424242", "4000000000009987", "4000002760003184"
_DISPUTED = "4000000000000259"

Scene = Callable[[AsyncClient, str], Awaitable[str]]


async def _alerted(api: AsyncClient, amount: str) -> str:
    """A customer with 10 USD and an alert at 5 uses some."""
    made = await api.create_customer(name="Trigger", external_id=f"trigger-{os.urandom(4).hex()}")
    await api.adjust(made.id, transaction_id="gift", asset="USD", amount=10, reason="gift")
    await api.set_alert(made.id, "USD", threshold=5)
    await api.record_usage(id="use", customer_id=made.id, asset="USD", amount=amount)
    return made.id


async def _low(api: AsyncClient, _url: str) -> str:
    """A balance falls below its alert."""
    return await _alerted(api, "6")


async def _depleted(api: AsyncClient, _url: str) -> str:
    """A balance is used up."""
    return await _alerted(api, "10")


async def _ready(api: AsyncClient, url: str, card: str) -> str:
    """A customer with 13 USD, a saved card and a rule: 20 USD below 10."""
    player = cast.Customer("Trigger", card, ("USD",), 1, 10, 20, 500)
    await cast.set_up(api)
    await cast.prepare(api, url, [player], f"trigger-{os.urandom(4).hex()}", lambda: None)
    return player.customer_id


async def _crossing(api: AsyncClient, url: str, card: str) -> str:
    customer_id = await _ready(api, url, card)
    await api.record_usage(id="use", customer_id=customer_id, asset="USD", amount=4)
    return customer_id


async def _set_up(api: AsyncClient, url: str) -> str:
    """A customer saves a card and turns auto top-up on."""
    return await _ready(api, url, _GOOD)


async def _paid(api: AsyncClient, url: str) -> str:
    """A balance falls below its threshold: the card is charged."""
    return await _crossing(api, url, _GOOD)


async def _paused(api: AsyncClient, url: str) -> str:
    """The card is lost: the top-up fails, and the rule is paused."""
    return await _crossing(api, url, _LOST)


async def _asked(api: AsyncClient, url: str) -> str:
    """The bank wants the customer to confirm the payment."""
    return await _crossing(api, url, _ASKS)


async def _disputed(api: AsyncClient, url: str) -> str:
    """The card is charged, and its holder contests it."""
    return await _crossing(api, url, _DISPUTED)


async def _turned_off(api: AsyncClient, url: str) -> str:
    """A customer turns auto top-up off."""
    customer_id = await _ready(api, url, _GOOD)
    link = await api.portal_link(customer_id, return_url=cast.HOME)
    visitor = Visitor(url)
    try:
        await visitor.open(link.redirect_url)
        page = await visitor.get("/auto-top-up/USD")
        await visitor.submit(page, "/billing/auto-top-up/USD/off", {})
    finally:
        await visitor.close()
    return customer_id


async def _expired(api: AsyncClient, _url: str) -> str:
    """A hold runs out; it is freed within a quarter of a minute."""
    made = await api.create_customer(name="Trigger", external_id=f"trigger-{os.urandom(4).hex()}")
    await api.adjust(made.id, transaction_id="gift", asset="USD", amount=10, reason="gift")
    await api.hold(made.id, id="job", asset="USD", amount=5, expires_in_s=1)
    return made.id


async def _credit_expired(api: AsyncClient, _url: str) -> str:
    """A gift expires: the debit after it finds it gone."""
    made = await api.create_customer(name="Trigger", external_id=f"trigger-{os.urandom(4).hex()}")
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    await api.adjust(made.id, transaction_id="gift", asset="USD", amount=10, reason="gift", expires_at=ends)
    await asyncio.sleep(1.1)
    await api.record_usage(id="use", customer_id=made.id, asset="USD", amount=1)
    return made.id


SCENES: dict[str, Scene] = {
    "balance.low": _low,
    "balance.depleted": _depleted,
    "card.added": _set_up,
    "consent.recorded": _set_up,
    "auto_top_up.enabled": _set_up,
    "auto_top_up.disabled": _turned_off,
    "consent.withdrawn": _turned_off,
    "auto_top_up.triggered": _paid,
    "top_up.succeeded": _paid,
    "top_up.failed": _paused,
    "auto_top_up.paused": _paused,
    "top_up.action_required": _asked,
    "dispute.opened": _disputed,
    "hold.expired": _expired,
    "credit.expired": _credit_expired,
}
