"""The cast: sample customers with balances, cards saved on the sandbox's page, and rules set by portal forms."""

import asyncio
import dataclasses
import random
from collections.abc import Callable
from decimal import Decimal

from brimful.dev.demo.visitor import Visitor
from brimful_client.client import AsyncClient
from brimful_client.errors import Problem

SEED = 20231116
ASSETS = ("USD", "TOKENS")
RATE = Decimal("0.0003")  # USD for one token bought
HOME = "http://127.0.0.1/glitch"  # the platform's own page
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


async def set_up(api: AsyncClient) -> None:
    """The platform's own part: a unit with a price."""
    try:
        await api.create_asset(code="TOKENS", name="Tokens", precision=0, label="tokens", rates={"USD": RATE})
    except Problem as problem:
        if problem.code != "asset_exists":
            raise


async def prepare(
    api: AsyncClient, base_url: str, cast: list[Customer], run_id: str, ready: Callable[[], None]
) -> None:
    """Bring every customer to the stage, a few at a time."""
    gate = asyncio.Semaphore(_PARALLEL)

    async def one(place: int, customer: Customer) -> None:
        async with gate:
            await _create(api, customer, f"{run_id}-{place}")
            await _visit(api, base_url, customer)
            ready()

    await asyncio.gather(*(one(place, customer) for place, customer in enumerate(cast)))


async def _create(api: AsyncClient, customer: Customer, external_id: str) -> None:
    made = await api.create_customer(name=customer.name, external_id=external_id)
    customer.customer_id = made.id
    for asset in customer.assets:
        gift = Decimal(customer.threshold + 3)
        amount = gift if asset == "USD" else (gift / RATE).to_integral_value()
        await api.adjust(
            made.id, transaction_id=f"gift-{asset}", asset=asset, amount=amount, reason="gift",
            description="Welcome gift",
        )  # fmt: skip


async def _visit(api: AsyncClient, base_url: str, customer: Customer) -> None:
    """What the customer does in the portal: one card, a rule for each asset that uses it."""
    link = await api.portal_link(customer.customer_id, return_url=HOME)
    visitor = Visitor(base_url)
    try:
        await visitor.open(link.redirect_url)
        await visitor.add_card(customer.card)
        for asset in customer.assets:
            line = Decimal(customer.threshold)
            threshold = line if asset == "USD" else (line / RATE).to_integral_value()
            await visitor.turn_on(
                asset, threshold=str(threshold), amount=str(customer.amount), limit=str(customer.limit)
            )
    finally:
        await visitor.close()
