"""One history: from a seed, who acts next, what goes wrong and how far the clock jumps; then calm, and the end.

Each step has dice of its own, made of the seed and the step's number: a failing history keeps its meaning when
steps are left out, which is how it is shrunk.
"""

import asyncio
import collections
import dataclasses
import datetime as dt
import hashlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from decimal import Decimal
from typing import Any

from brimful import auto_top_up, jobs, ledger, payments, suspensions, worker
from brimful.auto_top_up.policy import Ask
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.core.failpoints import CrashError
from brimful.core.ids import CustomerId
from brimful.dev.simulation import actors, database, holders, provider_events
from brimful.dev.simulation.auditor import Auditor
from brimful.dev.simulation.database import Job
from brimful.dev.simulation.provider import CALL_FAULTS, DRIPS
from brimful.dev.simulation.scheduler import Parked
from brimful.dev.simulation.violation import Violation
from brimful.dev.simulation.world import PACE, Actor, SimulatedWorld
from brimful.gateway.stripe import adapter
from brimful.sandbox import intents
from brimful.sandbox.errors import ApiError

# What may go wrong. Some are faults of machines and networks, some are what cards and people do.
FAULTS = (
    *(f"call:{name}" for name in (*CALL_FAULTS, DRIPS)), "locked_account",
    "crash:before_commit", "crash:after_commit", "killed_at_a_call", "answer_after_kill", "provider_down",
    "webhook_lost", "webhook_duplicated", "webhook_reordered", "job_lost", "job_twice", "clock_back", "declined",
    "authentication", "stays_processing", "refund", "refund_fails", "dispute", "dispute_won", "dispute_du",
    "dispute_dp", "inquiry_escalates", "foreign_objects", "fraud_warning",
    "card_detached", "card_renewed", "rate_gone", "same_key_other_amount", "held_by_operator", "price_rose",
    *(f"asked:{why.value}" for why in Ask), "backup_paid",
    "credit_expires", "credit_begins_later", "credit_expired", "bonus_paid", "loss", "taken_back",
    "budget_exceeded", "winding_down", "resumable",
)  # fmt: skip
_STEPS = (25, 70)
_LOTS_MET = {"expiry": "credit_expired", "bonus": "bonus_paid"}  # by kind of entry
_EVENTS_MET = {"auto_top_up.backup_used": "backup_paid", "lease.resumable": "resumable"}
_CHECKPOINT_STEP = 8  # entries: a history has few
_ROUNDS_MAX = 600
_FUNDED = 0.6  # of histories begin with a rule, so that more is paid in them
_WITH_PAST = 0.2  # and some with days of quiet use
_BUDGETED = 0.3  # or with a budget
_HORIZON = dt.timedelta(days=40)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a history went."""

    seed: str
    steps: int
    debits: int  # that stand in the ledger
    credits: int  # by payments
    faults: dict[str, int]
    violation: str | None
    digest: str  # of everything that happened: the same seed gives the same one
    trail: tuple[str, ...]


class History:
    """A history in the making."""

    def __init__(
        self,
        seed: str,
        *,
        only: Sequence[int] | None = None,
        calm: bool = False,
    ) -> None:
        self.seed = seed
        self.world = SimulatedWorld(seed)
        self.auditor = Auditor(self.world)
        self.faults: collections.Counter[str] = collections.Counter()
        self.trail: list[str] = []
        self._only = only
        self.calm = calm
        self.dice = random.Random(seed)
        self.number = 0
        self.sent: list[tuple[Actor, str, str, Decimal]] = []
        self._counted: set[str] = set()  # ids of what was counted
        self._crash_in: int | None = None
        self.world.database.crash = self._crashes

    async def run(self) -> Outcome:
        """Live through it. A violation is an outcome, not an error."""
        counter = iter(range(1, 10**9))
        ids.derive(lambda: f"{next(counter):032x}")
        jobs.collect_with(database.keep)
        step, ledger.lot_store.STEP = ledger.lot_store.STEP, _CHECKPOINT_STEP
        count = random.Random(f"{self.seed}/length").randint(*_STEPS)
        wanted = range(count) if self._only is None else self._only
        violation = None
        try:
            await self.world.open()
            await self._begin()
            for number in wanted:
                await self._step(number)
            await self._calm_down()
        except Violation as found:
            violation = str(found)
        except Exception as error:  # noqa: BLE001 - an error of the product is a violation too
            violation = f"{type(error).__name__}: {error}"
        finally:
            await self.world.close()
            ids.derive(None)
            jobs.collect_with(None)
            ledger.lot_store.STEP = step
        digest = hashlib.sha256("\n".join(self.trail).encode()).hexdigest()[:16]
        kinds = collections.Counter(row["kind"] for row in self.world.tables.all("entries"))
        return Outcome(self.seed, len(wanted), kinds["usage"], kinds["top_up"], dict(self.faults), violation, digest,
                       tuple(self.trail))  # fmt: skip

    async def _begin(self) -> None:
        """What was before the first step, in some of them."""
        self.dice = random.Random(f"{self.seed}/begin")
        for share, act in (
            (_WITH_PAST, actors.live_quietly),
            (_FUNDED, actors.save_rule),
            (_BUDGETED, holders.set_budget),
        ):
            if self.dice.random() < share:
                await act(self)
                await self._rest()

    # --- a step ----------------------------------------------------------------------------------------------

    async def _step(self, number: int) -> None:
        self.number = number
        self.dice = random.Random(f"{self.seed}/{number}")
        names, weights = zip(*((act, weight) for act, weight in _ACTS), strict=True)
        [act] = self.dice.choices(names, weights)
        self._crash_in = None
        if not self.calm and self.dice.random() < 0.012:
            self._crash_in = self.dice.randint(0, 3)
        self.trail.append(f"{number} {act.__name__.strip('_')} {self.world.time.now:%d %H:%M:%S}")
        await act(self)
        await self._rest()

    async def _rest(self) -> None:
        await self.world.settle()
        self.raise_failures()
        self._announce()
        self.auditor.step()

    def raise_failures(self) -> None:
        """What tasks raised: planted crashes and refusals are part of the game, all else is a violation."""
        if self.world.tables.unknown is not None:
            raise NotImplementedError(self.world.tables.unknown)
        failures, self.world.scheduler.failures = self.world.scheduler.failures, []
        for error in failures:
            if not isinstance(error, (CrashError, Refused, ConnectionError)):
                raise error

    def _announce(self) -> None:
        """Count what cards did at the provider, and what waits for its customer."""
        for event in self.world.events:
            if event.get("counted"):
                continue
            event["counted"] = True
            if event["type"] == "payment_intent.payment_failed":
                error = event["data"]["object"]["last_payment_error"]
                self.met("authentication" if error.get("code") == "authentication_required" else "declined")

        for fault, name in self._happened():
            if name not in self._counted:
                self._counted.add(name)
                self.met(fault)

    def _happened(self) -> Iterator[tuple[str, str]]:
        """What our own rows say has happened, each under a name of its own."""
        tables = self.world.tables
        yield from ((f"asked:{row['asked']}", row["top_up_id"]) for row in tables.all("top_ups") if row["asked"])
        for row in tables.all("outgoing_events"):
            if row["type"] in _EVENTS_MET:
                yield _EVENTS_MET[row["type"]], row["event_id"]
        for row in tables.all("entries"):
            if row["kind"] in _LOTS_MET and (row["kind"] == "expiry" or row["amount"] > 0):
                yield _LOTS_MET[row["kind"]], row["key"]
        for row in tables.all("refunds"):
            if row["loss"]:
                yield "loss", row["refund_id"]

    def met(self, fault: str) -> None:
        assert fault in FAULTS, fault
        self.faults[fault] += 1
        self.trail.append(f"  ! {fault}")

    def _crashes(self, point: str) -> bool:
        """Whether the process breaks at this commit."""
        if self._crash_in is None:
            return False
        self._crash_in -= 1
        if self._crash_in >= 0:
            return False
        self._crash_in = None
        self.met("crash:before_commit" if point.startswith("before") else "crash:after_commit")
        return True

    def person(self) -> Actor:
        return self.dice.choice(self.world.actors)

    def asset(self) -> str:
        return self.dice.choice(("USD", "USD", "CREDIT"))

    # --- the worker ----------------------------------------------------------------------------------------------

    def _due(self) -> list[Job]:
        now = self.world.time.now
        return [job for job in self.world.database.jobs if job.at is None or job.at <= now]

    async def _work(self) -> None:
        due = self._due()
        if not due:
            return
        job = self.dice.choice(due)
        chance = 1.0 if self.calm else self.dice.random()
        if chance < 0.02:
            self.world.database.jobs.remove(job)
            self.met("job_lost")
            return
        if chance < 0.04:
            self.met("job_twice")
        else:
            self.world.database.jobs.remove(job)
        self._start(job)

    def _start(self, job: Job) -> None:
        context, arguments = self.dice.choice(self.world.contexts), job.arguments
        starts: dict[jobs.Name, Callable[[], Coroutine[Any, Any, None]]] = {
            jobs.Name.PAY: lambda: payments.turns.pay(context, **arguments),
            jobs.Name.REFUND: lambda: payments.reversals.send_refund(context, **arguments),
            jobs.Name.CARD: lambda: self._block(**arguments),
            jobs.Name.EVALUATE: lambda: self._evaluate(**arguments),
            jobs.Name.STRIPE_EVENT: lambda: self._apply(context, job),
        }
        start = starts.get(job.name)
        if start is not None:
            self.world.scheduler.spawn(start())

    async def _evaluate(self, customer_id: CustomerId, asset: str) -> None:
        async with self.world.database.transaction("audit") as tx:
            await auto_top_up.evaluate.evaluate_account(tx, customer_id, asset, PACE)

    async def _block(self, customer_id: CustomerId, card_id: str, reason: str) -> None:
        async with self.world.database.transaction() as tx:
            await auto_top_up.pauses.block_card(tx, customer_id, card_id, reason, PACE)

    async def _apply(self, context: payments.context.PaymentContext, job: Job) -> None:
        """An event whose object could not be read is tried again, as procrastinate would."""
        try:
            await payments.turns.apply_event(context, **job.arguments)
        except ConnectionError:
            self.world.database.jobs.append(Job(job.name, job.arguments, self.world.time.now + dt.timedelta(seconds=9)))

    async def _sweep(self) -> None:
        self.world.scheduler.spawn(worker.periodic.sweep(self.world.deps(self.dice.choice(self.world.contexts))))

    async def _resume(self) -> None:
        """Let a call through; sometimes it fails, sometimes its process is killed meanwhile."""
        for _ in range(self.dice.choice((1, 1, 2, 4))):
            parked = self.world.scheduler.parked
            if not parked:
                return
            await self._let(self.dice.choice(parked))
            await self._rest()

    async def _let(self, call: Parked) -> None:
        chance = 1.0 if self.calm else self.dice.random()
        if chance < 0.035:
            fault = self.dice.choice(CALL_FAULTS)
            self.met(f"call:{fault}")
            self.world.scheduler.let(call, fault)
        elif chance < 0.045:
            self.met("killed_at_a_call")
            self.world.scheduler.kill(call)
        elif 0.055 <= chance < 0.06:
            self.met(f"call:{DRIPS}")
            self.world.scheduler.let(call, DRIPS)
        elif chance < 0.055:
            # The call is carried out; its process dies before the answer reaches it.
            self.met("answer_after_kill")
            self.world.scheduler.let(call, None)
            if call.task is not None:
                await asyncio.sleep(0)
                call.task.cancel()
        else:
            self.world.scheduler.let(call, None)

    # --- the provider ----------------------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        events = self.world.events
        if not events:
            return
        chance = 1.0 if self.calm else self.dice.random()
        if chance < 0.08:
            events.pop(0)
            self.met("webhook_lost")
            return
        place = 0
        if chance < 0.2 and len(events) > 1:
            place = self.dice.randrange(1, len(events))
            self.met("webhook_reordered")
        event = events[place]
        if chance > 0.95 and not self.calm:
            self.met("webhook_duplicated")
        else:
            events.pop(place)
        await self._receive(event)

    async def _receive(self, event: dict[str, Any]) -> None:
        """As `stripe_inbox.receive` after the signature."""
        parsed = adapter.Event(event)
        if not payments.stripe_events.of_use(parsed):
            return
        async with self.world.database.transaction() as tx:
            await payments.stripe_events.store(tx, parsed)

    async def _at_the_provider(self) -> None:
        """What happens there by itself: money goes back, cards change, payments hang, or nothing answers."""
        acts, weights = zip(*provider_events.ACTS, strict=True)
        [act] = self.dice.choices(acts, weights)
        try:
            act(self.world, self.dice, self.met)
        except ApiError:
            return

    # --- the end ---------------------------------------------------------------------------------------------------

    async def _calm_down(self) -> None:
        """Faults off: everything runs and is delivered, and time passes, until nothing more happens."""
        self.calm, self._crash_in = True, None
        self.world.provider.down = False
        self.world.sandbox.switches.active.clear()
        for kind in ("operator", "key"):
            async with self.world.database.transaction() as tx:
                await suspensions.store.resume(tx, kind, actor="operator")
        self._resend_events()
        until = self.world.time.now + _HORIZON
        for _ in range(_ROUNDS_MAX):
            await self._run_dry()
            self._finish_all()
            if self.world.events or self.world.scheduler.parked or self._due():
                continue
            moment = self._next_moment()
            if moment is None or moment > until:
                break
            self.world.time.now = max(self.world.time.now, moment) + dt.timedelta(seconds=30)
            await self._sweep()
            await self._rest()
        else:
            raise Violation("I12: it never comes to rest")
        self.auditor.end()

    def _resend_events(self) -> None:
        """Send lost events of reversals again; in production reconciliation finds them."""
        sent = {event["id"] for event in self.world.events}
        lost = [event for event in self.world.sandbox.store.newest("event")
                if event["type"].startswith(("refund.", "charge.dispute", "radar.", "payment_method."))
                and event["id"] not in sent]  # fmt: skip
        self.world.events.extend(reversed(lost))

    async def _run_dry(self) -> None:
        while self.world.events:
            await self._receive(self.world.events.pop(0))
        while self.world.scheduler.parked:
            self.world.scheduler.let(self.world.scheduler.parked[0], None)
            await self.world.settle()
        for job in self._due():
            self.world.database.jobs.remove(job)
            self._start(job)
            await self.world.settle()
        await self._rest()

    def _finish_all(self) -> None:
        for intent in list(self.world.sandbox.store.newest("payment_intent")):
            if intent["status"] == "processing":
                intents.finish(self.world.sandbox, intent["id"], decline_code=None)

    def _next_moment(self) -> dt.datetime | None:
        """When something of ours wakes next: jobs, and what the sweep would find were they lost."""
        tables = self.world.tables
        moments = [job.at for job in self.world.database.jobs if job.at is not None]
        moments += [row["wake_at"] for table in ("top_ups", "refunds") for row in tables.all(table) if row["wake_at"]]
        moments += [row["received_at"] + dt.timedelta(seconds=61)
                    for row in tables.where("stripe_events", state="received")]  # fmt: skip
        live = tables.where("top_ups", ended_at=None)
        if live or tables.where("stripe_events", state="received") or tables.where("refunds", closed_at=None):
            return min(moments, default=None)
        return None


Act = Callable[[History], Awaitable[None]]
_ACTS: tuple[tuple[Act, float], ...] = (
    *actors.ACTS,
    *holders.ACTS,
    (History._work, 24),
    (History._sweep, 5),
    (History._resume, 30),
    (History._deliver, 9),
    (History._at_the_provider, 6),
)
