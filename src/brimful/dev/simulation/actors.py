"""What people do: the platform debits, the customer decides and pays, the operator looks, time passes."""

import datetime as dt
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from brimful import auto_top_up, ledger, payments, suspensions, top_ups, worker
from brimful.core import money
from brimful.core.ids import NOBODY
from brimful.dev.simulation import world
from brimful.dev.simulation.world import CREDIT, PACE, USD, Actor
from brimful.posting.model import Movement, Verdict
from brimful.sandbox import intents

if TYPE_CHECKING:
    from brimful.dev.simulation.history import History


# --- the platform ------------------------------------------------------------------------------------------


async def debit(h: "History") -> None:
    person, asset = h.person(), h.asset()
    account = h.world.tables.get("accounts", person.customer_id, asset)
    assert account is not None
    size = h.dice.choice((1, 1, 1, 3))
    movements = []
    for turn in range(size):
        amount = Decimal(h.dice.choice((1, 2, 5, 12, 30))) / (1 if asset == "USD" else Decimal("0.1"))
        movements.append(_usage(h, person, asset, f"use-{h.number}-{turn}", -amount))
    if not h.calm and h.dice.random() < 0.03:
        h.met("locked_account")
        h.world.database.locked[person.customer_id, asset] = h.dice.choice((1, 2, 5))
    await submit(h, movements)


def _usage(h: "History", person: Actor, asset: str, key: str, amount: Decimal) -> Movement:
    h.sent.append((person, asset, key, amount))
    return Movement(
        "usage", person.customer_id, asset, key, amount, covered_only=h.dice.random() < 0.3, subject=subject(h),
        dimensions={"team": h.dice.choice(("red", "blue"))} if h.dice.random() < 0.5 else None,
    )  # fmt: skip


def subject(h: "History") -> str | None:
    """Whom a debit is for."""
    return h.dice.choice((None, "a", "b"))


async def submit(h: "History", movements: list[Movement]) -> list[Verdict]:
    """Send, and again under the same keys when the process breaks: as a platform does."""
    for movement in movements:  # the same key may be sent again, and is recorded then
        key = movement.customer_id, movement.source, movement.key
        (h.auditor.covered.add if movement.covered_only else h.auditor.covered.discard)(key)
    for _ in range(4):
        task = h.world.scheduler.spawn(h.world.recorder.submit(movements))
        await h.world.settle()
        h.raise_failures()
        if task.done() and not task.cancelled() and task.exception() is None:
            _acknowledge(h, movements, task.result())
            verdicts: list[Verdict] = task.result()
            return verdicts
    return []


def _acknowledge(h: "History", movements: list[Movement], verdicts: Any) -> None:
    for movement, verdict in zip(movements, verdicts, strict=True):
        if verdict.code == "budget_exceeded":
            h.met("budget_exceeded")
        if verdict.outcome in {"applied", "duplicate"} and movement.kind not in {"hold", "release"} and movement.amount:
            key = movement.customer_id, movement.source, movement.key
            h.auditor.acknowledged[key] = movement.amount


async def repeat(h: "History") -> None:
    """The same event again; sometimes with another amount, which must be refused."""
    if not h.sent:
        return
    person, asset, key, amount = h.dice.choice(h.sent)
    other = h.dice.random() < 0.4
    if other:
        h.met("same_key_other_amount")
    await submit(h, [Movement("usage", person.customer_id, asset, key, amount - 1 if other else amount)])


async def give(h: "History") -> None:
    person, asset = h.person(), h.asset()
    amount = Decimal(h.dice.choice((5, 15, 40))) * (1 if asset == "USD" else 10)
    await submit(h, [Movement("adjustment", person.customer_id, asset, f"gift-{h.number}", amount, terms=_terms(h))])


def _terms(h: "History") -> ledger.lots.Terms | None:
    """Some credits expire, some begin later; the order in which they burn differs."""
    if h.dice.random() < 0.3:
        return None
    now, hours = h.world.time.now, h.dice.choice((1, 6, 20, 60))
    begins = now + dt.timedelta(hours=hours) if h.dice.random() < 0.3 else None
    ends = (begins or now) + dt.timedelta(hours=h.dice.choice((1, 6, 30))) if h.dice.random() < 0.7 else None
    if ends is not None:
        h.met("credit_expires")
    if begins is not None:
        h.met("credit_begins_later")
    return ledger.lots.Terms(
        h.dice.choice(("paid", "promotional", "correction")), h.dice.choice((10, 20, 50, 80)), begins, ends
    )


async def take_away(h: "History") -> None:
    """A correction downwards."""
    person, asset = h.person(), h.asset()
    amount = -Decimal(h.dice.choice((1, 4, 9)))
    await submit(h, [Movement("adjustment", person.customer_id, asset, f"less-{h.number}", amount)])


# --- the customer --------------------------------------------------------------------------------------------


async def save_rule(h: "History") -> None:
    person, asset = h.person(), h.asset()
    chosen = world.usable(h.world, person)
    if not chosen:
        return
    before = h.world.tables.get("rules", person.customer_id, asset)
    factor = 1 if asset == "USD" else 10
    amount = h.dice.choice((500, 1000, 2500))
    limit = amount * h.dice.choice((1, 2, 4, 8))
    threshold = Decimal(h.dice.choice((5, 10, 20)) * factor)
    most = min(limit, amount * h.dice.choice((1, 1, 1, 2, 4)))
    how = h.dice.choice(("add", "add", "add", "target", "lasts"))
    back = how == "target"
    card_id = h.dice.choice(chosen)
    others = [one for one in chosen if one != card_id]
    form = auto_top_up.rules.RuleForm(
        asset=asset,
        card_id=card_id,
        backup_card_id=h.dice.choice(others) if others and h.dice.random() < 0.5 else None,
        currency="USD",
        threshold=threshold,
        amount_minor=amount if how == "add" else most,
        limit_minor=limit,
        version=0 if before is None else before["version"],
        turn_on=h.dice.random() < 0.8,
        agreed=True,
        charge_max_minor=most,
        target=threshold + h.dice.choice((3, 15, 40)) * factor if back else None,
        day_limit_minor=most * h.dice.choice((1, 2, 3)) if h.dice.random() < 0.4 else None,
        lasts_days=h.dice.choice((1, 3, 7)) if how == "lasts" else None,
        ask_above_minor=amount if how == "add" and most > amount and h.dice.random() < 0.4 else None,
        ask_after=h.dice.choice((1, 2, 3)) if h.dice.random() < 0.25 else None,
        brake=h.dice.random() < 0.5,
        promotional_counts=h.dice.random() < 0.7,
        threshold_low=threshold / h.dice.choice((2, 4)) if h.dice.random() < 0.3 else None,
    )

    async def act() -> None:
        async with h.world.database.transaction("rule") as tx:
            await auto_top_up.rules.save(
                tx,
                world.session_of(person.customer_id),
                {"USD": USD, "CREDIT": CREDIT}[asset],
                form,
                rendered="I agree",
                pace=PACE,
            )

    h.world.scheduler.spawn(act())


async def turn_off(h: "History") -> None:
    person, asset = h.person(), h.asset()

    async def act() -> None:
        async with h.world.database.transaction("rule") as tx:
            await auto_top_up.rules.turn_off(tx, world.session_of(person.customer_id), asset, PACE)

    h.world.scheduler.spawn(act())


async def remove_card(h: "History") -> None:
    person = h.person()
    chosen = world.usable(h.world, person)
    if not chosen:
        return
    card_id = h.dice.choice(chosen)

    async def act() -> None:
        async with h.world.database.transaction("rule") as tx:
            card = await auto_top_up.rules.remove_card(tx, world.session_of(person.customer_id), card_id, PACE)
        await h.world.provider.detach_card(card.stripe_payment_method_id)

    h.world.scheduler.spawn(act())


async def new_card(h: "History") -> None:
    person = h.person()
    if len(person.cards) < 4:
        await h.world.add_card(person, f"card_{person.customer_id}_{h.number}")


async def pay_now(h: "History") -> None:
    """A manual top-up with a card on file, the customer present."""
    person = h.person()
    chosen = world.usable(h.world, person)
    if not chosen:
        return
    card_id, top_up_id = h.dice.choice(chosen), f"top_manual_{h.number}"

    async def act() -> None:
        async with h.world.database.transaction() as tx:
            await top_ups.request.request_manual(
                tx, customer_id=person.customer_id, asset="USD", currency="USD", amount_minor=1500,
                units=money.units_bought(1500, "USD", rate=money.ONE, scale=9), rate=money.ONE,
                top_up_id=top_up_id,
            )  # fmt: skip
        await _pay_present(h, person, top_up_id, card_id)

    h.world.scheduler.spawn(act())


async def _pay_present(h: "History", person: Actor, top_up_id: str, card_id: str) -> None:
    session = world.session_of(person.customer_id)
    await payments.advance.pay_on_session(
        h.dice.choice(h.world.contexts), session, top_up_id, card_id, lambda _payment: "http://back"
    )


async def take_back(h: "History") -> None:
    """The unspent part of an automatic top-up, while debits run."""
    paid = h.world.tables.where("top_ups", state="succeeded", kind="automatic")
    if not paid:
        return
    row = h.dice.choice(paid)

    async def act() -> None:
        async with h.world.database.transaction("take_back") as tx:
            await payments.take_back.take_back(
                tx, world.session_of(row["customer_id"]), row["top_up_id"], keyring=h.world.keyring,
                window=dt.timedelta(hours=24), pace=PACE,
            )  # fmt: skip
        h.met("taken_back")

    h.world.scheduler.spawn(act())


async def confirm(h: "History") -> None:
    """The customer comes: confirms what the bank asks for, or leaves the bank's page again."""
    asked = [item for item in h.world.sandbox.store.newest("payment_intent")
             if item["status"] == "requires_action"]  # fmt: skip
    if asked:
        intents.authenticate(h.world.sandbox, h.dice.choice(asked), agreed=h.dice.random() < 0.8)
        return
    waiting = [row for row in h.world.tables.where("top_ups", state="action_required") if row["card_id"]]
    if waiting:
        row = h.dice.choice(waiting)
        person = next(one for one in h.world.actors if one.customer_id == row["customer_id"])
        h.world.scheduler.spawn(_pay_present(h, person, row["top_up_id"], row["card_id"]))


# --- the operator and the clock ------------------------------------------------------------------------------


async def operate(h: "History") -> None:
    chance = h.dice.random()
    if chance < 0.25:
        h.met("held_by_operator")
        async with h.world.database.transaction() as tx:
            await suspensions.store.suspend(tx, "operator", "looking at something", actor="operator")
    elif chance < 0.6:
        async with h.world.database.transaction() as tx:
            await suspensions.store.resume(tx, "operator", actor="operator")
    elif chance < 0.8:
        await our_refund(h)
    elif chance < 0.9:
        h.met("rate_gone")
        await h.world.set_rate(None)
    else:
        rate = Decimal(h.dice.choice(("0.05", "0.10", "0.25", "60")))
        if any(row["asset"] == "CREDIT" and row["rate"] < rate for row in h.world.tables.all("rules") if row["rate"]):
            h.met("price_rose")
        await h.world.set_rate(rate)


async def live_quietly(h: "History") -> None:
    """Eight days of a little use, which make a burst unusual."""
    [person, *_] = h.world.actors
    for number in range(25):
        h.world.time.now += dt.timedelta(hours=8)
        await submit(h, [Movement("usage", person.customer_id, "USD", f"quiet-{number}", Decimal(-1))])
    await roll_up(h)


async def roll_up(h: "History") -> None:
    """The hourly job, and what follows from it."""

    async def act() -> None:
        async with h.world.database.transaction() as tx:
            await ledger.usage_hours.roll_up(tx, (NOBODY, ""), limit=100)
        for row in list(h.world.tables.all("rules")):
            async with h.world.database.transaction() as tx:
                await auto_top_up.evaluate.follow_account(tx, row["customer_id"], row["asset"], PACE)

    h.world.scheduler.spawn(act())


async def look_after_credits(h: "History") -> None:
    """The worker's job for what expires and begins, and for checkpoints."""
    deps = h.world.deps(h.dice.choice(h.world.contexts))

    async def act() -> None:
        await worker.periodic.post_due_credits(deps)
        await worker.periodic.advance_lots(deps)

    h.world.scheduler.spawn(act())


async def our_refund(h: "History") -> None:
    paid = h.world.tables.where("top_ups", state="succeeded")
    if not paid:
        return
    row = h.dice.choice(paid)

    async def act() -> None:
        async with h.world.database.transaction() as tx:
            await payments.reversals.request_refund(
                tx, row["customer_id"], row["top_up_id"], amount_minor=500, actor="o"
            )

    h.world.scheduler.spawn(act())


async def pass_time(h: "History") -> None:
    if not h.calm and h.dice.random() < 0.05:
        h.met("clock_back")
        h.world.time.go_back(dt.timedelta(seconds=h.dice.choice((1, 30))))
        return
    seconds = h.dice.choice((1, 20, 70, 300, 1800, 5 * 3600, 13 * 3600, 26 * 3600))
    h.world.time.now += dt.timedelta(seconds=seconds)


ACTS: tuple[tuple[Callable[["History"], Awaitable[None]], float], ...] = (
    (debit, 20),
    (repeat, 3),
    (give, 3),
    (take_away, 0.5),
    (look_after_credits, 1.5),
    (save_rule, 6),
    (turn_off, 1),
    (remove_card, 0.7),
    (new_card, 1),
    (pay_now, 2),
    (confirm, 4),
    (take_back, 1),
    (operate, 1.5),
    (roll_up, 1),
    (pass_time, 8),
)
