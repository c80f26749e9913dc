"""One cell of the crash table: a fault at a point, webhooks before, after or never; and what must hold afterwards."""

import asyncio
import contextlib
import sys
from decimal import Decimal

import httpx

from brimful import operations
from brimful.core import failpoints
from support.harness import API_KEY, LEDGER_KEYS, Harness, free_port

FAULTS = ("kill", "exception", "hang")
WEBHOOKS = ("before", "after", "never")
_PAID = [
    *(f"{side} {name}" for name in ("T1", "payment", "payment_intents.create", "created", "claim", "T2",
                                    "payment_intents.confirm", "T3") for side in ("before", "after")),
    "before webhook", "after webhook",
]  # fmt: skip
_DECLINED = [f"{side} {name}" for name in ("T3", "payment_intents.cancel", "read") for side in ("before", "after")]
_REFUNDED = [f"{side} {name}" for name in ("refunds.create", "refund") for side in ("before", "after")]
_ASKED = ["before T1", "after T1"]
# A story and a point of its life.
POINTS = (
    *(("paid", point) for point in _PAID),
    *(("declined", point) for point in _DECLINED),
    *(("refunded", point) for point in _REFUNDED),
    *(("backup", point) for point in _DECLINED),  # from the first card to the second
    *(("asked", point) for point in _ASKED),
)
_CARDS = {"declined": "4000000000009987", "backup": "4000000000000341"}


def cells():
    """Every cell that can be reached: an event is not applied where none comes."""
    for story, point in POINTS:
        for fault in FAULTS:
            for webhooks in WEBHOOKS:
                if not (point.endswith("webhook") and webhooks == "never"):
                    yield story, point, fault, webhooks


async def run(database_url, story, point, fault, webhooks):
    """Live through one cell; raises AssertionError when something does not hold."""
    async with Harness.opened(database_url) as harness:
        customer_id, visitor = await harness.funded(
            balance=12, threshold="10", number=_CARDS.get(story, "4242424242424242")
        )
        await _settings(harness, customer_id, visitor, story)
        if story == "refunded":
            await harness.use(customer_id, "3", "crossing")
            await harness.work()
            await harness.events_applied()
        await harness.switch(**_WEBHOOK_SWITCH[webhooks])
        reached = await _FAULT[fault](harness, customer_id, story, point)
        assert reached, f"{point} was never reached"
        await harness.switch(webhooks="on")
        for minutes in (0, 2, 6, 30):
            await harness.pass_time(minutes=minutes)
        await settled(harness, customer_id, story)
    findings = [finding for finding in await operations.verify.run(database_url, LEDGER_KEYS) if not finding.ok]
    assert findings == []


async def _settings(harness, customer_id, visitor, story):
    more = {}
    if story == "backup":
        await harness.add_card(visitor, "5555555555554444")
        found = await harness.sql("SELECT card_id FROM cards WHERE customer_id = %s AND last4 = '4444'", (customer_id,))
        more = {"backup": found[0]["card_id"]}
    elif story == "asked":
        more = {"most": "100", "ask_above": "50"}
    if more:
        page = await visitor.get("/auto-top-up/USD")
        review = await visitor.submit(page, "", {"action": "save", **more})
        await visitor.submit(review, "", {"agreed": "yes", "action": "save"})


_WEBHOOK_SWITCH = {
    "before": {"webhooks": "on"},
    "after": {"webhooks": "late", "seconds": 1.0},
    "never": {"webhooks": "off"},
}


async def act(harness, customer_id, story, *, url=None):
    """What begins the story: a debit that crosses the line, or a refund that is asked for."""
    if story == "refunded":
        [top_up] = await harness.top_ups(customer_id)
        await harness.sql(
            "INSERT INTO refunds (customer_id, refund_id, payment_id, amount_minor, currency, state, actor, wake_at, "
            "created_at) SELECT customer_id, 'ref_story', payment_id, 1000, 'USD', 'requested', 'test', "
            "clock_timestamp() - interval '1 minute', clock_timestamp() FROM payments WHERE top_up_id = %s",
            (top_up["id"],),
        )
        return
    amount = "60" if story == "asked" else "3"
    event = {"id": "crossing", "customer_id": customer_id, "asset": "USD", "amount": amount}
    for _ in range(3):  # a platform sends again, under the same id, until it is answered
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient(base_url=url or harness.url, timeout=10) as client:
                answer = await client.post("/v1/usage", json=event, headers={"Authorization": f"Bearer {API_KEY}"})
            if answer.status_code == 200:
                return
        url = None


async def work(harness):
    """The background door, once: what is due by job, and what the sweep finds."""
    await harness.sweep()
    await harness.work()


async def _exception(harness, customer_id, story, point):
    seen = []

    async def fault(name):
        if name == point and not seen:
            seen.append(name)
            raise failpoints.CrashError(name)

    failpoints.arm(fault)
    try:
        await act(harness, customer_id, story)
        await work(harness)
        await harness.until(lambda: _reached(harness, seen), seconds=6)
    finally:
        failpoints.disarm()
    return bool(seen)


async def _reached(harness, seen):
    if not seen:
        await work(harness)
    return bool(seen)


async def _hang(harness, customer_id, story, point):
    """The process stands still at the point; others go on; then it wakes, a zombie."""
    seen, go_on = [], asyncio.Event()

    async def fault(name):
        if name == point and not seen:
            seen.append(name)
            await go_on.wait()

    failpoints.arm(fault)
    started = asyncio.create_task(act(harness, customer_id, story))
    zombie = asyncio.create_task(_until_reached(harness, seen, started))
    try:
        await harness.until(lambda: _is(seen), seconds=10)
        # A row that the zombie has locked keeps the others waiting, as it must; they are given a moment.
        other = asyncio.create_task(harness.pass_time(minutes=2))
        await asyncio.wait([other], timeout=2)
    finally:
        go_on.set()
        failpoints.disarm()
        await asyncio.gather(started, zombie, return_exceptions=True)
        await asyncio.gather(other, return_exceptions=True)
    return bool(seen)


async def _until_reached(harness, seen, started):
    while not seen:
        await harness.sweep()
        await harness.work()
        if not seen:
            await asyncio.sleep(0.1)
    await started


async def _is(seen):
    return bool(seen)


async def _kill(harness, customer_id, story, point):
    """A real process, SIGKILL: the API where the debit is posted, the worker everywhere else."""
    environment = {"PATH": "/usr/bin:/bin", **harness.environment, "BRIMFUL_CRASH_AT": f"{point}:kill",
                   "BRIMFUL_LOG_LEVEL": "CRITICAL"}  # fmt: skip
    if point.endswith("T1"):
        port = free_port()
        process = await _process(environment, "serve", "--port", str(port), "--internal-port", str(port))
        await harness.until(lambda: _answers(port))
        await act(harness, customer_id, story, url=f"http://127.0.0.1:{port}")
    else:
        await act(harness, customer_id, story)
        await harness.sql("UPDATE top_ups SET wake_at = now() - interval '1 minute' WHERE ended_at IS NULL")
        process = await _process(environment, "worker")
    try:
        code = await asyncio.wait_for(process.wait(), 90)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return code == -9


async def _process(environment, *arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "brimful", *arguments, env=environment, stderr=asyncio.subprocess.DEVNULL
    )


async def _answers(port):
    with contextlib.suppress(httpx.HTTPError):
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    return False


_FAULT = {"kill": _kill, "exception": _exception, "hang": _hang}


async def settled(harness, customer_id, story):
    """What must be true in the end, whatever happened on the way."""
    books = await harness.books()
    intents = list(harness.world.store.newest("payment_intent"))
    [top_up] = await harness.top_ups(customer_id)
    if story == "declined":
        assert books["charged"] == {}
        assert await harness.balance(customer_id) == Decimal(9)
        assert top_up["state"] == "failed", top_up
        assert (await harness.rule(customer_id))["paused"] == "card_declined"
        declined = [event for event in harness.world.store.newest("event")
                    if event["type"] == "payment_intent.payment_failed"]  # fmt: skip
        assert len(declined) == 1
        return
    if story == "asked":
        assert (top_up["state"], top_up["reason"], top_up["amount"]) == ("action_required", "approval_needed", "75")
        assert books["charged"] == {}
        return
    assert top_up["state"] == "succeeded", top_up
    assert books["charged"] == {"USD": 2500}
    assert sum(intent["status"] == "succeeded" for intent in intents) == 1
    assert all(intent["status"] in {"succeeded", "canceled", "requires_confirmation"} for intent in intents)
    if story == "refunded":
        assert books["refunded"] == {"USD": 1000}
        assert await harness.balance(customer_id) == Decimal(24)
    else:
        assert await harness.balance(customer_id) == Decimal(34)
