"""What people do with budgets, holds and leases."""

import datetime as dt
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from brimful import budgets, leases, posting
from brimful.dev.simulation import actors
from brimful.dev.simulation.world import PACE
from brimful.posting.model import Movement, Overrun

if TYPE_CHECKING:
    from brimful.dev.simulation.history import History


async def set_budget(h: "History") -> None:
    """A new budget, below another now and then; or another amount for one that stands."""
    person, asset = h.person(), h.asset()
    there = [row for row in h.world.tables.where("budgets", customer_id=person.customer_id, asset=asset)
             if row["ended_at"] is None]  # fmt: skip
    factor = 1 if asset == "USD" else 10
    amount = Decimal(h.dice.choice((0, 20, 60, 200)) * factor)
    if there and h.dice.random() < 0.3:
        row = h.dice.choice(there)
        above = next(iter(row["ancestors"]), None)
        form = budgets.store.Form(row["budget_id"], asset, row["tag"], row["span"], amount, row["hard"], None, above)
    else:
        tag = h.dice.choice((budgets.tags.ALL, budgets.tags.of_subject("a"), budgets.tags.of_subject("b"),
                             budgets.tags.of_dimension("team", "red")))  # fmt: skip
        above = h.dice.choice([None, None, *(row["budget_id"] for row in there)])
        spans: tuple[budgets.model.Span, ...] = ("day", "week", "month", "rolling_24h", "total")
        span = h.dice.choice(spans)
        form = budgets.store.Form(f"b{h.number}", asset, tag, span, amount, h.dice.random() < 0.7, None, above)

    async def act() -> None:
        async with h.world.database.transaction() as tx:
            await budgets.store.set_budget(tx, person.customer_id, form, "platform")

    h.world.scheduler.spawn(act())


async def end_budget(h: "History") -> None:
    there = [row for row in h.world.tables.all("budgets") if row["ended_at"] is None]
    if not there:
        return
    row = h.dice.choice(there)

    async def act() -> None:
        async with h.world.database.transaction() as tx:
            await budgets.store.end(tx, row["customer_id"], row["budget_id"], "platform")

    h.world.scheduler.spawn(act())


async def hold(h: "History") -> None:
    person, asset = h.person(), h.asset()
    amount = Decimal(h.dice.choice((1, 5, 20))) * (1 if asset == "USD" else 10)
    lease = leases.model.LeaseTerms(h.dice.choice((0, 30, 600))) if h.dice.random() < 0.5 else None
    await actors.submit(h, [Movement(
        "hold", person.customer_id, asset, f"hold-{h.number}", -amount, subject=actors.subject(h), lease=lease,
        expires_in=dt.timedelta(seconds=h.dice.choice((20, 600, 86_400))),
    )])  # fmt: skip


async def end_hold(h: "History") -> None:
    """Capture, use or release what is set aside; more than that now and then, twice now and then."""
    there = [row for row in h.world.tables.all("holds") if "/" not in row["hold_id"]]
    if not there:
        return
    row = h.dice.choice(there)
    customer_id, hold_id, asset = row["customer_id"], row["hold_id"], row["asset"]
    amount = (row["amount"] + h.dice.choice((0, 0, -1, 7))).max(Decimal(1))
    kind = h.dice.choice(("use", "use", "capture", "release") if row["leased"] else ("capture", "release"))
    if kind == "release":
        await actors.submit(h, [Movement("release", customer_id, asset, hold_id, Decimal(0))])
    elif kind == "capture":
        overruns: tuple[Overrun, ...] = ("refuse", "covered", "record")
        overrun = h.dice.choice(overruns)
        await actors.submit(h, [Movement("capture", customer_id, asset, hold_id, -amount, overrun=overrun)])
    else:
        key = f"{hold_id}/{h.number if h.dice.random() < 0.8 else 0}"
        await actors.submit(h, [Movement("use", customer_id, asset, key, h.dice.choice((-amount, Decimal(0))))])


async def expire_holds(h: "History") -> None:
    async def act() -> None:
        await posting.expire_holds.expire_due(h.world.database, h.world.keyring, PACE)

    h.world.scheduler.spawn(act())


async def stream(h: "History") -> None:
    """Jobs that use leases as they should: each stops when it hears that it winds down, and none is cut before."""
    person, tables = h.person(), h.world.tables
    bound = next(row["bridge_max"] for row in tables.all("assets") if row["code"] == "USD")
    names = [f"stream-{h.number}-{number}" for number in range(h.dice.choice((1, 3, 8)))]
    notice = h.dice.choice((0, 5, 20))
    chunk = Decimal(h.dice.choice((1, 2)))
    begun = await actors.submit(h, [Movement(
        "hold", person.customer_id, "USD", name, -chunk, lease=leases.model.LeaseTerms(notice),
        expires_in=dt.timedelta(hours=1),
    ) for name in names])  # fmt: skip
    running = [name for name, verdict in zip(names, begun, strict=False) if verdict.outcome == "applied"]
    good: dict[str, dt.datetime | None] = dict.fromkeys(running)
    for turn in range(25):
        h.world.time.now += dt.timedelta(seconds=4)
        uses = [Movement("use", person.customer_id, "USD", f"{name}/{turn}", -chunk / 4) for name in running]
        at = h.world.time.now
        for name, verdict in zip(list(running), await actors.submit(h, uses), strict=False):
            lease = verdict.lease
            if lease is None:
                continue
            h.auditor.warned_in_time(name, lease, good[name], at, verdict.held)
            h.auditor.within_bridge(name, verdict.available, bound)
            good[name] = lease.good_until
            if lease.state == "winding_down":
                h.met("winding_down")
                running.remove(name)
        if not running:
            break
    if h.dice.random() < 0.5:  # else their processes died, or wait until they may go on
        await actors.submit(h, [Movement("release", person.customer_id, "USD", name, Decimal(0)) for name in good])
        return
    h.world.time.now += dt.timedelta(seconds=4)
    if h.dice.random() < 0.5:
        gift = Movement("adjustment", person.customer_id, "USD", f"more-{h.number}", Decimal(60))
        await actors.submit(h, [gift])


ACTS: tuple[tuple[Callable[["History"], Awaitable[None]], float], ...] = (
    (set_budget, 1.5),
    (end_budget, 0.3),
    (hold, 2),
    (end_hold, 3),
    (expire_holds, 1),
    (stream, 1),
)
