"""A whole Brimful for one test: API, portal and sandbox behind real ports, the worker on call, a clock to move."""

import asyncio
import base64
import contextlib
import dataclasses
import datetime as dt
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from decimal import Decimal

import httpx
import psycopg
import psycopg.rows
import uvicorn

from brimful import api, console, ledger, portal, posting, runtime, settings, wiring, worker
from brimful.auth import api_keys
from brimful.auto_top_up.policy import Pace
from brimful.core.clock import Clock
from brimful.core.ids import CustomerId
from brimful.db.columns import ADAPTERS
from brimful.dev.demo.visitor import Visitor
from brimful.sandbox import app
from brimful.sandbox.store import Store
from brimful.sandbox.world import World
from brimful.web.http_limits import Bounded
from support import snapshots

API_KEY = "key_for_tests_0123456789abcdef"
STRIPE_KEY = "sk_test_house"
WEBHOOK_SECRET = "whsec_house"
LEDGER_KEYS = {1: bytes(range(32))}
HOME = "http://127.0.0.1/app"


def with_ids(params):
    """Parameters of SQL, in which what reads like a customer's id is one."""

    def read(value):
        return CustomerId(value) if isinstance(value, str) and re.fullmatch("cus_[0-9a-f]{32}", value) else value

    if isinstance(params, dict):
        return {name: read(value) for name, value in params.items()}
    return None if params is None else [read(value) for value in params]


def free_port():
    """A port that nobody listens on, below those that outgoing connections are given: until it is used, one of those
    would take it away now and then on a busy machine.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


_RESERVED = {}


def reserved_port():
    """A port for `served`, taken from now on: otherwise another test would take it now and then before it listens."""
    while True:
        # Without the protocol asyncio leaves TCP_NODELAY off, and each answer waits 40 ms for an acknowledgment.
        taken, port = socket.socket(proto=socket.IPPROTO_TCP), free_port()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
            taken.listen(1)  # a port that is only bound may be bound twice
        except OSError:
            taken.close()
            continue
        _RESERVED[port] = taken
        return port


async def _tick(server):
    """The date in every answer."""
    while True:
        await server.on_tick(0)
        await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def served(app, port, *, http="h11"):
    """A real uvicorn on a real port, in this event loop, without its own loop, whose ticks would be waited for."""
    # On a busy machine a test pauses for longer than the five seconds after which a connection is closed: just then the
    # next request may be on its way.
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, access_log=False, http=http, timeout_keep_alive=600
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[_RESERVED.pop(port)])
    ticking = asyncio.create_task(_tick(server))
    try:
        yield
    finally:
        ticking.cancel()
        for listening in server.servers:
            listening.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        while server.server_state.connections or server.server_state.tasks:
            await asyncio.sleep(0.002)
        await server.lifespan.shutdown()


def recorder(database, **sizes):
    """A recorder of its own over a database, as a process of the API has one."""
    keyring = ledger.hash_chain.Keyring(LEDGER_KEYS)
    pace = Pace(5, dt.timedelta(seconds=60))
    return posting.group_commit.Recorder(database, keyring, pace, **sizes)


@dataclasses.dataclass
class Harness:
    """What a story needs."""

    url: str
    database_url: str
    environment: dict
    clock: Clock
    engine: wiring.Deps
    portal_deps: wiring.Deps
    api: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    world: World
    visitors: list[Visitor]
    read_code: Callable[[], Awaitable[str]] | None = None  # a customer's mailbox, where mail is set up
    touched: bool = False  # whether anything has happened here
    settings_differ: bool = False  # from those of other tests

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, database_url, **extra):
        port, sandbox_port = reserved_port(), reserved_port()
        url, sandbox_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
        encoded = base64.b64encode(LEDGER_KEYS[1]).decode()
        environment = {
            "DATABASE_URL": database_url,
            "BRIMFUL_LEDGER_KEYS": f"1:{encoded}",
            "BRIMFUL_PUBLIC_URL": url,
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_API_URL": sandbox_url,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "BRIMFUL_TOPUP_URL": "https://app.example/top-up",
            "BRIMFUL_CARDS_PER_HOUR": "20",
            "BRIMFUL_STRIPE_RATE": "1000",
            "BRIMFUL_STRIPE_ENDPOINT_RATE": "1000",
            "BRIMFUL_ALLOW_UNSAFE_DATABASE": "yes",
            **extra,
        }
        config = settings.environment.read(environment)
        clock = Clock()
        roles = ("brimful_api", "brimful_portal", "brimful_engine")
        api_deps, portal_deps, engine = (wiring.build(config, role, clock=clock) for role in roles)
        world = World(Store(None), sandbox_url)
        webhook = (f"{url}/v1/stripe/webhooks", WEBHOOK_SECRET)
        async with contextlib.AsyncExitStack() as stack:
            for opened in (api_deps, portal_deps, engine):
                await wiring.open_all(opened)
                stack.push_async_callback(wiring.close, opened)
            async with api_deps.database.transaction() as tx:
                await api_keys.ensure(tx, API_KEY, name="tests")
            api_app = api.app.build(api_deps)
            both = runtime.serve.mounted(
                api_app,
                portal.app.build(portal_deps),
                console.app.build(engine),
                lambda _app: api_app.router.lifespan_context(api_app),
            )
            await stack.enter_async_context(served(app.build(world, key=STRIPE_KEY, webhook=webhook), sandbox_port))
            await stack.enter_async_context(served(both, port, http=Bounded))
            headers = {"Authorization": f"Bearer {API_KEY}"}
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers, timeout=30))
            sandbox = await stack.enter_async_context(
                httpx.AsyncClient(base_url=sandbox_url, headers={"Authorization": f"Bearer {STRIPE_KEY}"}, timeout=30)
            )
            harness = cls(url, database_url, environment, clock, engine, portal_deps, client, sandbox, world, [])
            harness.settings_differ = bool(extra)
            client.event_hooks["request"].append(harness.touch)
            sandbox.event_hooks["request"].append(harness.touch)
            yield harness
            for visitor in harness.visitors:
                await visitor.close()

    async def touch(self, _request=None):
        """Something happens here from now on."""
        self.touched = True

    # --- the platform --------------------------------------------------------------------------------------

    async def call(self, method, path, body=None, *, expect=None, **options):
        """One call; checks its status if one is expected. Returns the JSON."""
        answer = await self.api.request(method, f"/v1{path}", json=body, **options)
        if expect is not None:
            assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    async def customer(self, name="Ada", **more):
        return CustomerId((await self.call("POST", "/customers", {"name": name, **more}, expect=201))["id"])

    async def give(self, customer_id, amount, asset="USD", key=None):
        body = {"transaction_id": key or f"gift-{asset}-{amount}", "asset": asset, "amount": str(amount)}
        await self.call("POST", f"/customers/{customer_id}/wallet/adjustments", body, expect=201)

    async def use(self, customer_id, amount, event_id, asset="USD", **more):
        event = {"id": event_id, "customer_id": customer_id, "asset": asset, "amount": str(amount), **more}
        return await self.call("POST", "/usage", event)

    async def balance(self, customer_id, asset="USD"):
        shown = await self.call("GET", f"/customers/{customer_id}/wallet/default:{asset}", expect=200)
        return Decimal(shown["available"])

    async def top_ups(self, customer_id, asset=None):
        params = {"customer_id": customer_id, **({} if asset is None else {"asset": asset})}
        return (await self.call("GET", "/top-ups", params=params, expect=200))["items"]

    async def rule(self, customer_id, asset="USD"):
        return await self.call("GET", f"/customers/{customer_id}/auto-top-ups/{asset}", expect=200)

    async def events(self, customer_id):
        """Types of the events we would send, in order."""
        query = "SELECT type FROM outgoing_events WHERE customer_id = %s ORDER BY event_id"
        return [row["type"] for row in await self.sql(query, (customer_id,))]

    # --- the customer --------------------------------------------------------------------------------------

    async def link(self, customer_id, **more):
        body = {"customer_id": customer_id, "return_url": HOME, "failure_url": HOME, **more}
        return (await self.call("POST", "/billing-portal/sessions", body, expect=200))["redirect_url"]

    async def visitor(self, customer_id, **more):
        visitor = await self.stranger()
        await visitor.open(await self.link(customer_id, **more))
        return visitor

    async def stranger(self):
        self.touched = True
        visitor = Visitor(self.url)
        visitor.code = self.read_code
        self.visitors.append(visitor)
        return visitor

    async def add_card(self, visitor, number="4242424242424242"):
        """Add a card on Stripe's page; the worker runs meanwhile, as it does in life."""
        page = await visitor.get("/cards")
        page = await visitor.submit(page, "/billing/cards/add", {"agreed": "yes"})
        page = await visitor.choose_card(page, number)
        await self.work()
        return await visitor.until_saved(page)

    async def funded(self, *, number="4242424242424242", balance=30, threshold="10", amount="25", limit="100", **more):
        """A customer with a card, a balance and a rule that is on. Returns (customer_id, visitor)."""

        async def make():
            customer_id = await self.customer(**more)
            await self.give(customer_id, balance)
            visitor = await self.visitor(customer_id)
            await self.add_card(visitor, number)
            await visitor.turn_on("USD", threshold=threshold, amount=amount, limit=limit)
            return customer_id, visitor

        key = (number, str(balance), threshold, amount, limit, repr(sorted(more.items())))
        return await snapshots.remembered(self, key, make)

    async def crossed(self, **more):
        """The same, with a debit that crosses the line. Returns (customer_id, visitor)."""
        customer_id, visitor = await self.funded(balance=12, threshold="10", **more)
        await self.use(customer_id, "3", "crossing")
        return customer_id, visitor

    async def with_credits(self, *, balance, rate="0.10", threshold="50", amount="10", limit="100"):
        """A customer with credits, bought at `rate` USD, and a rule for them. Returns (customer_id, visitor)."""

        async def make():
            rates = [{"source": "USD", "rate": rate}]
            await self.call("POST", "/assets", {"code": "CREDIT", "name": "Credits", "rates": rates}, expect=201)
            customer_id = await self.customer()
            await self.give(customer_id, balance, "CREDIT")
            visitor = await self.visitor(customer_id)
            await self.add_card(visitor)
            await visitor.turn_on("CREDIT", threshold=threshold, amount=amount, limit=limit)
            return customer_id, visitor

        return await snapshots.remembered(self, ("CREDIT", str(balance), rate, threshold, amount, limit), make)

    # --- behind the scenes ---------------------------------------------------------------------------------

    async def work(self):
        """Run every job that is due, as a real procrastinate worker."""
        await worker.queue.run(self.engine, until_idle=True)

    def start_work(self):
        """The same, beside the story."""
        return asyncio.create_task(self.work())

    async def events_applied(self):
        """Every event that the sandbox has to tell is told and applied."""

        async def applied():
            await self.work()
            deliveries = list(self.world.store.newest("delivery"))
            waiting = await self.sql("SELECT 1 FROM stripe_events WHERE state = 'received'")
            return all(delivery["done"] for delivery in deliveries) and not waiting

        await self.until(applied)

    async def state_is(self, customer_id, state):
        """Whether the customer's top-ups are one, in that state."""
        return [item["state"] for item in await self.top_ups(customer_id)] == [state]

    async def until(self, condition, seconds=20):
        """Wait until an async condition holds: for what other processes do."""
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            if await condition():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("it did not happen in time")

    async def sweep(self):
        await worker.periodic.sweep(self.engine)

    async def stay_in_the_month(self, *, hours):
        """Begin the next month now, if it would begin within so many hours: its limit would be free again."""
        now = dt.datetime.now(dt.UTC) + self.clock.offset
        if (now + dt.timedelta(hours=hours)).month != now.month:
            await self.pass_time(hours=hours)

    async def pass_time(self, **span):
        """Move the database's clock as the product reads it, then let the sweep and the jobs look."""
        self.clock.offset += dt.timedelta(**span)
        await self.sweep()
        await self.work()

    async def switch(self, **wanted):
        answer = await self.sandbox.post("/sandbox/switches", json=wanted)
        assert answer.status_code == 200, answer.text

    async def books(self):
        return (await self.sandbox.get("/sandbox/books")).json()

    async def charged(self):
        """Minor units of USD that the sandbox took, by its own books."""
        return (await self.books())["charged"].get("USD", 0)

    async def dump(self):
        """Every row of every table as text, by table."""
        names = await self.sql(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        rows = {
            name: await self.sql(f"SELECT t::text AS row FROM {name} AS t") for name in (n["relname"] for n in names)
        }
        return {name: "\n".join(row["row"] for row in found) for name, found in rows.items()}

    async def sql(self, query, params=None):
        """Look into the database as its owner."""
        self.touched = True
        async with await psycopg.AsyncConnection.connect(
            self.database_url, row_factory=psycopg.rows.dict_row, autocommit=True, context=ADAPTERS
        ) as connection:
            cursor = await connection.execute(query, with_ids(params))
            return await cursor.fetchall() if cursor.description is not None else []
