"""The stage of a history: customers with accounts and cards, the product's rooms wired to tables and provider."""

import asyncio
import dataclasses
import datetime as dt
import random
from collections.abc import Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from brimful import assets, ledger, posting
from brimful.auth import portal_sessions
from brimful.auto_top_up.policy import Pace
from brimful.core.ids import CustomerId
from brimful.dev.simulation.database import MemoryDatabase, Time
from brimful.dev.simulation.provider import Provider
from brimful.dev.simulation.scheduler import Scheduler
from brimful.dev.simulation.tables import Tables
from brimful.gateway.limits import CustomerLocks
from brimful.payments.context import PaymentContext
from brimful.sandbox.store import Store
from brimful.sandbox.world import World

KEYS = {1: bytes(range(32))}
PACE = Pace(5, dt.timedelta(seconds=60))
_PROCESSES = 3
RETRY_WAITS = (dt.timedelta(hours=4), dt.timedelta(hours=12))
USD = assets.Asset("USD", "US dollars", "currency", 9, None, "$", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
CREDIT = assets.Asset("CREDIT", "Credits", "unit", 2, None, None, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
# Test cards and how often a customer has one: most succeed.
CARDS = (
    ("4242424242424242", 10), ("5555555555554444", 4), ("4000000000000341", 2), ("4000000000009995", 2),
    ("4000000000009987", 2), ("4000002760003184", 2), ("4000000000000119", 1), ("4000000000000259", 1),
)  # fmt: skip


@dataclasses.dataclass
class Actor:
    """A customer, as the history knows them."""

    customer_id: CustomerId
    stripe_id: str
    cards: list[str]


class SimulatedWorld:
    """Everything that acts in one history."""

    def __init__(self, seed: str) -> None:
        self.dice = random.Random(f"{seed}/stage")
        self.time = Time()
        self.tables = Tables(lambda: self.time.now)
        self.database = MemoryDatabase(self.tables, self.time)
        self.scheduler = Scheduler()
        self.events: list[dict[str, Any]] = []  # sent by the provider, not yet delivered
        self.sandbox = World(Store(None), "http://provider", clock=self.time.seconds)
        self.sandbox.on_event = self.events.append
        self.provider = Provider(self.sandbox, self.scheduler, idle=self.database.idle, clock=self.time.seconds)
        self.keyring = ledger.hash_chain.Keyring(KEYS)
        # Each is a process of its own: a customer's turn in one says nothing to the others.
        self.contexts = [self._context() for _ in range(_PROCESSES)]
        self.context = self.contexts[0]
        self.recorder = posting.group_commit.Recorder(
            self.database,
            self.keyring,
            PACE,
            batch_max=50,
            queue_max=1000,
            writers=2,
            aside_again_s=0,
        )
        self.actors: list[Actor] = []
        self._shared = False

    def _context(self) -> PaymentContext:
        return PaymentContext(
            database=self.database,
            gateway=self.provider,
            keyring=self.keyring,
            pace=PACE,
            merchant="M",
            retry_waits=RETRY_WAITS,
            locks=CustomerLocks(),
            manual_per_day=20,
        )

    async def open(self) -> None:
        """Customers with accounts and cards."""
        self.recorder.start()
        await asyncio.sleep(0)
        for asset in (USD, CREDIT):
            bridge = Decimal(self.dice.choice((0, 0, 15, 60)))
            await self._put("assets", {**dataclasses.asdict(asset), "bridge_max": bridge})
        await self.set_rate(Decimal("0.10"))
        if self.dice.random() < 0.5:
            await self._put("offers", {
                "asset": "USD", "version": 1, "place": 0, "currency": "USD", "from_minor": 1000,
                "percent": Decimal(self.dice.choice((7, 10, 100))),
                "expires_after_days": self.dice.choice((None, 1, 1)), "valid_from": self.time.now, "valid_to": None,
                "recorded_at": self.time.now,
            })  # fmt: skip
        shared = self.dice.random() < 0.15  # the same plastic, saved by everybody
        for number in range(self.dice.choice((1, 1, 2))):
            await self._customer(number, shared)

    async def _customer(self, number: int, shared: bool) -> None:
        customer_id = CustomerId(f"cus_{number + 1:032x}")
        stripe_id = f"cus_at_stripe_{number}"
        self.sandbox.store.save("customer", {"id": stripe_id, "object": "customer"})
        await self._put("customers", {
            "customer_id": customer_id, "external_id": None, "name": "C", "email": None, "time_zone": "UTC",
            "metadata": {}, "external_accounts": [], "stripe_customer_id": stripe_id, "created_at": self.time.now,
            "locale": None, "erased_at": None,
        })  # fmt: skip
        person = Actor(customer_id, stripe_id, [])
        self.actors.append(person)
        self._shared = shared
        for turn in range(self.dice.choice((1, 1, 2))):
            await self.add_card(person, f"card_{number}_{turn}")
        async with self.database.transaction() as tx:
            await ledger.accounts.create_missing(tx, [(customer_id, "USD"), (customer_id, "CREDIT")])

    async def add_card(self, person: Actor, card_id: str) -> None:
        """A card on file, as after Checkout."""
        numbers, weights = zip(*CARDS, strict=True)
        [number] = self.dice.choices(numbers, weights)
        method = self.sandbox.save_card(number, person.stripe_id)
        card = method["card"]
        card["fingerprint"] = "shared" if self._shared else f"print_{card_id}"
        await self._put("cards", {
            "customer_id": person.customer_id, "card_id": card_id, "stripe_payment_method_id": method["id"],
            "fingerprint": card["fingerprint"], "brand": card["brand"], "last4": card["last4"],
            "exp_month": card["exp_month"], "exp_year": card["exp_year"], "country": card["country"],
            "wallet": None,
            "state": "active", "state_reason": None, "is_default": False, "consent_id": f"con_{card_id}",
            "created_at": self.time.now, "updated_at": self.time.now,
        })  # fmt: skip
        await self._put("aliases", {"kind": "payment_method", "value": method["id"],
                                    "customer_id": person.customer_id, "target_id": card_id})  # fmt: skip
        person.cards.append(card_id)

    async def set_rate(self, rate: Decimal | None) -> None:
        """A new price of a credit, or none for now."""
        for row in self.tables.where("rates", asset="CREDIT", valid_to=None):
            closed = {**row, "valid_to": max(self.time.now, row["valid_from"] + dt.timedelta(microseconds=1))}
            self.tables.delete("rates", row)
            await self._put("rates", closed, again=True)
        if rate is not None:
            self.time.tick()
            await self._put("rates", {"asset": "CREDIT", "currency": "USD", "valid_from": self.time.now,
                                      "valid_to": None, "rate": rate, "rate_per": Decimal(1),
                                      "recorded_at": self.time.now})  # fmt: skip

    async def _put(self, table: str, row: dict[str, Any], *, again: bool = False) -> None:
        """A row that the product's other processes would have made."""
        self.tables.insert(table, row)
        self.tables.commit()
        self.database.observe("PUT AGAIN" if again else "PUT", table, row)

    def deps(self, context: PaymentContext) -> Any:
        """What the sweep needs of `Deps`, in one of the processes."""
        return SimpleNamespace(database=self.database, payments=context, pace=PACE, keyring=self.keyring)

    async def settle(self) -> None:
        await self.scheduler.settle(lambda: self.database.pulse)

    async def close(self) -> None:
        await self.scheduler.stop()
        await self.recorder.stop()


def session_of(customer_id: CustomerId) -> portal_sessions.PortalSession:
    """The customer's own hand."""
    return portal_sessions.PortalSession(
        session_id="ses_simulated", customer_id=customer_id, kind="portal", top_up_id=None, return_url=None,
        failure_url=None, flow="overview", asset=None, csrf="", customer_name="C", time_zone="UTC",
    )  # fmt: skip


def usable(world: SimulatedWorld, person: Actor) -> Sequence[str]:
    """The person's cards that may be chosen."""
    return [card for card in person.cards if (row := world.tables.get("cards", person.customer_id, card)) is not None
            and row["state"] == "active"]  # fmt: skip
