"""A running `brimful up` with customers in every state: for the browser, and for screenshots."""

import asyncio
import base64
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import pathlib
import random
import shutil
import tempfile
import time
from decimal import Decimal

import httpx

from brimful import ledger, runtime
from brimful.core.clock import Clock
from brimful.core.ids import CustomerId
from brimful.db.pool import Database
from brimful.dev.demo.visitor import Visitor

HOME = "http://127.0.0.1/app"
VISA = "4242424242424242"
ASKS_ALWAYS = "4000002760003184"
LOST = "4000000000009987"
NO_FUNDS = "4000000000009995"


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@dataclasses.dataclass
class Stage:
    """What a browser story needs. Every customer is made through the API and the portal itself."""

    url: str
    sandbox_url: str
    environment: dict
    api: httpx.Client
    sandbox: httpx.Client

    def call(self, method, path, body=None, *, expect=(200, 201, 204)):
        answer = self.api.request(method, f"/v1{path}", json=body)
        assert answer.status_code in expect, answer.text
        return answer.json() if answer.content else None

    def customer(self, name="Ada Lovelace", **more):
        return CustomerId(self.call("POST", "/customers", {"name": name, **more})["id"])

    def give(self, customer_id, amount, asset="USD", key=None):
        body = {"transaction_id": key or f"gift-{asset}-{amount}", "asset": asset, "amount": str(amount),
                "description": "Welcome credit"}  # fmt: skip
        self.call("POST", f"/customers/{customer_id}/wallet/adjustments", body)

    def use(self, customer_id, amount, event_id, asset="USD", description="Video generation", **more):
        event = {"id": event_id, "customer_id": customer_id, "asset": asset, "amount": str(amount),
                 "description": description, **more}  # fmt: skip
        return self.call("POST", "/usage", event)

    def link(self, customer_id, **more):
        body = {"customer_id": customer_id, "return_url": HOME, "failure_url": HOME, **more}
        return self.call("POST", "/billing-portal/sessions", body)["redirect_url"]

    def top_ups(self, customer_id):
        return self.call("GET", f"/top-ups?customer_id={customer_id}")["items"]

    def balance(self, customer_id, asset="USD"):
        return Decimal(self.call("GET", f"/customers/{customer_id}/wallet/default:{asset}")["available"])

    def charged(self):
        return self.sandbox.get("/sandbox/books").json()["charged"]

    def switch(self, **wanted):
        answer = self.sandbox.post("/sandbox/switches", json=wanted)
        assert answer.status_code == 200, answer.text

    until = staticmethod(until)

    def state(self, customer_id, wanted):
        seen = []

        def there():
            seen[:] = [(item["state"], item["reason"]) for item in self.top_ups(customer_id)]
            return any(state == wanted for state, _ in seen)

        try:
            self.until(there, 90)  # the sweep has its turn, should a worker have been too slow
        except AssertionError:
            raise AssertionError(f"{customer_id} is not {wanted}: {seen}") from None

    def act(self, story, customer_id, **link):
        """Run `story(visitor)` as the customer, without a browser: for what a story needs to begin with."""

        async def run():
            visitor = Visitor(self.url)
            try:
                await visitor.open(self.link(customer_id, **link))
                return await story(visitor)
            finally:
                await visitor.close()

        return _apart(run())

    def with_card(self, customer_id, number=VISA):
        self.act(lambda visitor: visitor.add_card(number), customer_id)
        return customer_id

    def funded(self, name="Ada Lovelace", *, balance="31.40", number=VISA, threshold="10", amount="25", limit="100",
               asset="USD", **more):  # fmt: skip
        """A customer with a card, a balance and a rule that is on."""
        customer_id = self.customer(name)
        self.give(customer_id, balance, asset)
        self.with_card(customer_id, number)

        async def turn_on(visitor):
            await visitor.turn_on(asset, threshold=threshold, amount=amount, limit=limit, **more)

        self.act(turn_on, customer_id)
        return customer_id

    def minutes(self):
        """An asset of the platform's own, made once."""
        rates = [{"source": "USD", "rate": "0.20"}]
        body = {"code": "MINUTES", "name": "Render minutes", "label": "minute|minutes", "rates": rates}
        self.call("POST", "/assets", body, expect=(201, 409))

    def past(self, customer_id, asset="USD", *, days=30, per_day=14, opening="30", seed=7, refill="25"):
        """Backdated use, through the ledger itself with its clock moved: a balance that runs down and is refilled."""
        _apart(self._past(customer_id, asset, days, per_day, Decimal(opening), seed, Decimal(refill)))

    async def _past(self, customer_id, asset, days, per_day, opening, seed, refill):
        rolls = random.Random(seed)
        keyring = ledger.hash_chain.Keyring(_keys(self.environment["BRIMFUL_LEDGER_KEYS"]))
        clock = Clock()
        database = Database(self.environment["DATABASE_URL"], "brimful_api", clock=clock)
        await database.open()
        names = ("Video generation", "Voice minutes", "Image batch")
        balance = Decimal(0)
        try:
            for step in range(days * per_day + 1):
                clock.offset = -dt.timedelta(days=days) + dt.timedelta(days=1) / per_day * step
                if clock.offset > -dt.timedelta(minutes=30):
                    break
                drafts = []
                if step == 0 or balance < 10:
                    added = opening if step == 0 else refill
                    balance += added
                    drafts.append(
                        ledger.entries.Draft(
                            customer_id, asset, "adjustment", added, "api", f"past-{asset}-{step}", description="Credit"
                        )
                    )
                spent = Decimal(rolls.randint(2, 60)) / 100 if asset == "USD" else Decimal(rolls.randint(1, 2))
                balance -= spent
                drafts.append(ledger.entries.Draft(customer_id, asset, "usage", -spent, "usage", f"past-{asset}-{step}",
                                           description=rolls.choice(names)))  # fmt: skip
                async with database.transaction() as tx:
                    await ledger.accounts.create_missing(tx, [(customer_id, asset)])
                    locked = await ledger.accounts.lock(tx, [(customer_id, asset)])
                    await ledger.post.post(tx, keyring, locked, drafts)
        finally:
            await database.close()


def _keys(text):
    return {int(number): base64.b64decode(key) for number, _, key in (part.partition(":") for part in text.split(","))}


def _apart(coroutine):
    """Run a coroutine in a thread of its own: Playwright keeps a loop in this one."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


@contextlib.contextmanager
def opened(**extra):
    """A `brimful up` of its own, stopped at the end."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="brimful-stage-"))
    settings = {"BRIMFUL_CARDS_PER_HOUR": "50", "BRIMFUL_CONFIRM_ABOVE": "USD:200",
                "BRIMFUL_AMOUNTS": "USD:5-500,MINUTES:5-500", **extra}  # fmt: skip
    try:
        with runtime.local.up(home / "data", port=0, extra=settings, quiet=True) as running:
            headers = {"Authorization": f"Bearer {running.api_key}"}
            stripe = {"Authorization": f"Bearer {running.environment['STRIPE_API_KEY']}"}
            with (
                httpx.Client(base_url=running.url, headers=headers, timeout=30) as api,
                httpx.Client(base_url=running.sandbox_url, headers=stripe, timeout=30) as sandbox,
            ):
                yield Stage(running.url, running.sandbox_url, dict(running.environment), api, sandbox)
    finally:
        shutil.rmtree(home, ignore_errors=True)
