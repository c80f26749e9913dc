"""The cast: sample customers with balances, cards saved on the sandbox's page, and rules set by portal forms."""

import asyncio
import dataclasses
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx

from brimful.demo.visitor import Visitor

__all__ = ["ASSETS", "RATE", "SEED", "Customer", "Price", "cast_parts", "prepare", "set_up"]

SEED = 20231116
ASSETS = ("USD", "TOKENS")
RATE = Decimal("0.0003")  # USD for one token bought
_PARALLEL = 6
_GOOD = ("4242424242424242", "5555555555554444", "378282246310005")
_TROUBLE = {7: "4000000000000341", 11: "4000002760003184", 13: "4000000000009995", 17: "4000000000009987"}
_NAMES = ("Ada", "Blaise", "Chandra", "Dorothy", "Edsger", "Frances", "Grace", "Hedy", "Ivan", "Joan", "Katherine",
          "Linus", "Margaret", "Niklaus", "Olga", "Paul", "Radia", "Shafi", "Tim", "Ursula")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Price:
    """What a request costs: USD per 1,000 prompt and answer tokens; token customers pay in tokens."""

    prompt: Decimal = Decimal("0.24")
    answer: Decimal = Decimal("0.90")

    def usd(self, context: int, generated: int) -> Decimal:
        return (context * self.prompt + generated * self.answer) / 1000


@dataclasses.dataclass
class Customer:
    """One of the cast. `weight` is its share of the traffic."""

    name: str
    card: str
    assets: tuple[str, ...]
    weight: float
    threshold: int
    amount: int
    limit: int
    customer_id: str = ""


def cast_parts(count: int, seed: int) -> list[Customer]:
    """Who there is: few heavy users and many light ones; some cards that decline or need their owner."""
    dice = random.Random(seed)
    parts = []
    for place in range(count):
        held = (("USD",), ("TOKENS",), ("USD", "TOKENS"))[place % 3]
        tight = place % 10 == 3
        amount = dice.choice((10, 15, 20))
        parts.append(
            Customer(
                name=f"{_NAMES[place % len(_NAMES)]} {place + 1}",
                card=_TROUBLE.get(place % 20, _GOOD[place % len(_GOOD)]),
                assets=held,
                weight=1 / (place + 1) ** 0.8,
                threshold=dice.choice((5, 8, 10)),
                amount=amount,
                limit=amount * 2 if tight else 5000,
            )
        )
    return parts


async def set_up(api: httpx.AsyncClient) -> None:
    """The platform's own part: a unit with a price."""
    answer = await api.post(
        "/v1/assets",
        json={
            "code": "TOKENS", "name": "Tokens", "precision": 0, "label": "tokens",
            "rates": [{"source": "USD", "rate": str(RATE)}],
        },
    )  # fmt: skip
    if answer.status_code not in {201, 409}:
        answer.raise_for_status()


async def prepare(
    api: httpx.AsyncClient, base_url: str, cast: list[Customer], run_id: str, ready: Callable[[], None]
) -> None:
    """Bring every customer to the stage, a few at a time."""
    gate = asyncio.Semaphore(_PARALLEL)

    async def one(place: int, customer: Customer) -> None:
        async with gate:
            await _create(api, customer, f"{run_id}-{place}")
            await _visit(api, base_url, customer)
            ready()

    await asyncio.gather(*(one(place, customer) for place, customer in enumerate(cast)))


async def _create(api: httpx.AsyncClient, customer: Customer, external_id: str) -> None:
    made = await _post(api, "/v1/customers", {"name": customer.name, "external_id": external_id})
    customer.customer_id = made["id"]
    for asset in customer.assets:
        gift = Decimal(customer.threshold + 3)
        amount = gift if asset == "USD" else (gift / RATE).to_integral_value()
        await _post(
            api, f"/v1/customers/{customer.customer_id}/wallet/adjustments",
            {"transaction_id": f"gift-{asset}", "asset": asset, "amount": str(amount), "reason": "gift",
             "description": "Welcome gift"},
        )  # fmt: skip


async def _visit(api: httpx.AsyncClient, base_url: str, customer: Customer) -> None:
    """What the customer does in the portal: one card, a rule for each asset that uses it."""
    link = await portal_link(api, customer.customer_id)
    visitor = Visitor(base_url)
    try:
        await visitor.open(link)
        await visitor.add_card(customer.card)
        for asset in customer.assets:
            line = Decimal(customer.threshold)
            threshold = line if asset == "USD" else (line / RATE).to_integral_value()
            await visitor.turn_on(
                asset, threshold=str(threshold), amount=str(customer.amount), limit=str(customer.limit)
            )
    finally:
        await visitor.close()


async def portal_link(api: httpx.AsyncClient, customer_id: str) -> str:
    """A link into the portal, as the platform makes it."""
    home = "http://127.0.0.1/glitch"
    wanted = {"customer_id": customer_id, "return_url": home, "failure_url": home}
    made = await _post(api, "/v1/billing-portal/sessions", wanted)
    return str(made["redirect_url"])


async def _post(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await api.post(path, json=body)
    answer.raise_for_status()
    result: dict[str, Any] = answer.json()
    return result
