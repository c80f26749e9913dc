"""Leases: a running job is warned, not cut."""

import asyncio
import datetime as dt
import os
from decimal import Decimal

import pytest

from brimful import posting, suspensions
from brimful.posting.model import Movement


async def lease(harness, customer_id, hold_id="run-1", chunk="1", *, wind_down_s=10, expect=201, **more):
    terms = {"chunk": chunk, "wind_down_s": wind_down_s}
    body = {"id": hold_id, "asset": "USD", "lease": terms, **more}
    return await harness.call("POST", f"/customers/{customer_id}/wallet/holds", body, expect=expect)


async def use(harness, customer_id, use_id, amount, hold_id="run-1", *, expect=200):
    path = f"/customers/{customer_id}/wallet/holds/{hold_id}/use"
    return await harness.call("POST", path, {"id": use_id, "amount": str(amount)}, expect=expect)


async def told(harness, customer_id):
    return [kind for kind in await harness.events(customer_id) if kind.startswith("lease.")]


def tick(harness, **span):
    harness.clock.offset += dt.timedelta(**span)


@pytest.mark.flow
async def test_a_lease_renews_itself_until_the_balance_ends(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 4)
    made = await lease(harness, customer_id)
    assert (made["amount"], made["lease"]["state"], made["lease"]["used"]) == ("1", "running", "0")
    tick(harness, seconds=10)
    first = await use(harness, customer_id, "u1", "0.5")
    assert (first["status"], first["state"], first["held"], first["used"]) == ("applied", "running", "1", "0.5")
    assert (first["balance"], first["available"]) == ("3.5", "2.5")
    assert first["good_until"] is not None
    again = await use(harness, customer_id, "u1", "0.5")
    assert (again["status"], again["used"]) == ("duplicate", "0.5")
    assert (await use(harness, customer_id, "u1", "0.6", expect=409))["code"] == "key_reused"
    states = []
    for number in range(2, 9):
        tick(harness, seconds=10)
        states.append((await use(harness, customer_id, f"u{number}", "0.5"))["state"])
    assert states == ["running"] * 5 + ["winding_down"] * 2  # 20 s before the end: the notice, and one use
    assert await told(harness, customer_id) == ["lease.winding_down"]
    assert await harness.balance(customer_id) == 0
    [down] = await harness.sql("SELECT payload FROM outgoing_events WHERE type = 'lease.winding_down'")
    assert down["payload"]["data"]["why"] == "no_rule"
    await harness.give(customer_id, 10)
    assert await told(harness, customer_id) == ["lease.winding_down", "lease.resumable"]
    tick(harness, seconds=10)
    on = await use(harness, customer_id, "u9", "0.5")
    assert (on["state"], on["held"]) == ("running", "1")
    path = f"/customers/{customer_id}/wallet/holds/run-1"
    ended = await harness.call("POST", f"{path}/capture", {"amount": "0.25"}, expect=200)
    assert (ended["state"], ended["lease"]["state"], ended["lease"]["used"]) == ("captured", "ended", "4.75")
    assert (await use(harness, customer_id, "u10", "0.5", expect=409))["code"] == "hold_ended"


async def test_bad_input_changes_nothing(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 5)
    await lease(harness, customer_id)
    plain = {"id": "plain", "asset": "USD", "amount": "1"}
    await harness.call("POST", f"/customers/{customer_id}/wallet/holds", plain, expect=201)
    before = await harness.dump()
    assert (await lease(harness, customer_id, "run-1", "2", expect=409))["code"] == "key_reused"
    assert (await lease(harness, customer_id))["lease"]["chunk"] == "1"  # the same again
    assert (await lease(harness, customer_id, "x", "0", expect=422))["code"] == "amount_invalid"
    assert (await lease(harness, customer_id, "x", "5", expect=402))["code"] == "insufficient_funds"
    assert (await lease(harness, customer_id, "x", "9" * 19, expect=422))["code"] == "invalid_field"
    assert (await lease(harness, customer_id, "x", amount="1", expect=422))["code"] == "invalid_field"
    assert (await lease(harness, customer_id, "x", wind_down_s=-1, expect=422))["code"] == "invalid_field"
    assert (await use(harness, customer_id, "u", "-1", expect=422))["code"] == "amount_invalid"
    assert (await use(harness, customer_id, "a/b", "1", expect=422))["code"] == "invalid_field"
    assert (await use(harness, customer_id, "u", "1", "plain", expect=409))["code"] == "no_lease"
    assert (await use(harness, customer_id, "u", "1", "nobody", expect=404))["code"] == "hold_not_found"
    assert await harness.dump() == before


async def test_a_sign_of_life_keeps_a_lease(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 5)
    await lease(harness, customer_id, expires_in_s=60)
    for _ in range(3):
        tick(harness, seconds=50)
        assert (await use(harness, customer_id, "alive", "0"))["state"] == "running"
    tick(harness, seconds=61)
    engine = harness.engine.database, harness.engine.keyring, harness.engine.pace
    assert await posting.expire_holds.expire_due(*engine) == 1  # the process died: what it held is given back
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/holds/run-1", expect=200)
    assert (shown["state"], shown["lease"]["state"]) == ("expired", "ended")
    assert await harness.balance(customer_id) == 5
    assert await harness.events(customer_id) == ["hold.expired"]


async def test_a_budget_ends_a_lease_too(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    body = {"asset": "USD", "amount": "3", "window": "day", "subject": "run-1"}
    await harness.call("PUT", f"/customers/{customer_id}/budgets/run", body, expect=200)
    await lease(harness, customer_id, subject="run-1")
    states = []
    for number in range(6):
        tick(harness, seconds=10)
        answer = await use(harness, customer_id, f"u{number}", "0.5")
        states.append((answer["state"], answer["held"]))
    assert states == [("running", "1")] * 4 + [("winding_down", "0.5"), ("winding_down", "0")]
    assert answer["why"] == "budget:run"
    shown = await harness.call("GET", f"/customers/{customer_id}/budgets/run", expect=200)
    assert (shown["used"], shown["held"], shown["beyond"]) == ("3", "0", "0")


async def test_a_budget_that_is_raised_or_begins_anew_wakes_a_lease(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    path = f"/customers/{customer_id}/budgets/run"
    body = {"asset": "USD", "amount": "1", "window": "day", "subject": "run-1"}
    await lease(harness, customer_id, wind_down_s=0, subject="run-1", expires_in_s=2 * 86_400)
    await harness.call("PUT", path, body, expect=200)  # after the lease: it counts what is used from now on
    tick(harness, seconds=10)
    assert (await use(harness, customer_id, "u1", "3"))["state"] == "winding_down"
    shown = await harness.call("GET", path, expect=200)
    assert (shown["used"], shown["beyond"]) == ("2", "1")  # of three, one was set aside before there was a budget
    await harness.call("PUT", path, {**body, "amount": "50"}, expect=200)
    assert await told(harness, customer_id) == ["lease.winding_down", "lease.resumable"]
    await harness.call("PUT", path, {**body, "amount": "20"}, expect=200)
    tick(harness, seconds=10)
    assert (await use(harness, customer_id, "u2", "19"))["state"] == "winding_down"
    assert await told(harness, customer_id) == ["lease.winding_down", "lease.resumable", "lease.winding_down"]
    tick(harness, hours=24)  # its window ends, and nobody moves anything
    await harness.sweep()
    assert (await told(harness, customer_id))[-1] == "lease.resumable"


async def test_usage_that_drains_the_balance_is_heard(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    await lease(harness, customer_id, wind_down_s=30)
    tick(harness, seconds=10)
    await use(harness, customer_id, "u1", "0.5")
    await harness.use(customer_id, "99.9", "beside")
    assert await told(harness, customer_id) == ["lease.winding_down"]


async def test_two_uses_of_one_lease_in_one_batch(harness):
    """The lease was made before the budget: the first use sets aside in it, the second gives that back."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    await lease(harness, customer_id)
    body = {"asset": "USD", "amount": "50", "window": "day"}
    await harness.call("PUT", f"/customers/{customer_id}/budgets/all", body, expect=200)
    writer = posting.batch.BatchWriter(harness.engine.database, harness.engine.keyring, harness.engine.pace)
    uses = [Movement("use", customer_id, "USD", f"run-1/{n}", Decimal("-0.5")) for n in range(2)]
    verdicts = await writer.write(uses)
    assert [verdict.outcome for verdict in verdicts] == ["applied", "applied"]
    ended = await harness.call("POST", f"/customers/{customer_id}/wallet/holds/run-1/release", expect=200)
    assert ended["lease"]["used"] == "1"
    again = await use(harness, customer_id, "0", "0.5")
    assert (again["status"], again["held"]) == ("duplicate", "0")


async def drained(harness, **more):
    """A customer with a rule whose balance is little above its threshold, and a lease."""
    customer_id, _ = await harness.funded(balance=12, threshold="10", amount="25", **more)
    await lease(harness, customer_id, chunk="1", wind_down_s=30)
    return customer_id


async def turned_on(harness, balance, **more):
    customer_id = await harness.customer()
    await harness.give(customer_id, balance)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor)
    await visitor.turn_on("USD", **{"threshold": "10", "amount": "25", "limit": "400", **more})
    return customer_id, visitor


async def burn(harness, customer_id, first, *, count, amount="1", hold_id="run-1"):
    answers = []
    for number in range(first, first + count):
        tick(harness, seconds=10)
        answers.append(await use(harness, customer_id, f"u{number}", amount, hold_id))
    return answers


async def test_while_a_top_up_comes_nobody_is_warned(harness):
    customer_id = await drained(harness)
    answers = await burn(harness, customer_id, 0, count=8)
    assert {answer["state"] for answer in answers} == {"running"}
    assert (await harness.top_ups(customer_id))[0]["state"] == "requested"
    await harness.work()
    answers = await burn(harness, customer_id, 8, count=20)
    assert {answer["state"] for answer in answers} == {"running"}
    assert await told(harness, customer_id) == []


async def test_a_bridge_carries_a_lease_over_a_top_up_that_is_in_flight(harness):
    await harness.call("PATCH", "/assets/USD", {"hold_bridge": "5"}, expect=200)
    customer_id = await drained(harness)
    answers = await burn(harness, customer_id, 0, count=18)
    states = [answer["state"] for answer in answers]
    assert states[:11] == ["running"] * 11
    assert set(states[11:14]) == {"bridged"}
    assert states[-1] == "winding_down"
    assert min(Decimal(answer["available"]) for answer in answers[:-2]) >= -5


@pytest.mark.parametrize("why", ["declined", "suspended", "asked about"])
async def test_a_top_up_that_does_not_come_winds_down_and_a_paid_one_resumes(harness, why):
    if why == "asked about":
        customer_id, _ = await turned_on(harness, balance=12, ask_after="1")
        await harness.use(customer_id, "3", "crossing")
        await harness.work()
        await harness.use(customer_id, "22", "once more")
        await lease(harness, customer_id, wind_down_s=30)
    else:
        number = {"declined": "4000000000000341"}.get(why, "4242424242424242")
        customer_id = await drained(harness, number=number)
    if why == "suspended":
        async with harness.engine.database.transaction() as tx:
            await suspensions.store.suspend(tx, "operator", "a look", actor="test")
    await burn(harness, customer_id, 0, count=4)
    await harness.work()
    answers = await burn(harness, customer_id, 4, count=7)
    assert answers[-1]["state"] == "winding_down"
    assert Decimal(answers[-1]["held"]) > 0 or len({answer["state"] for answer in answers}) > 1
    expected = {"declined": {"paused", "retry_wait"}, "suspended": {"suspended"}, "asked about": {"action_required"}}
    assert answers[-1]["why"] in expected[why]
    assert "lease.winding_down" in await told(harness, customer_id)
    await harness.give(customer_id, 50)
    assert (await told(harness, customer_id))[-1] == "lease.resumable"
    assert (await burn(harness, customer_id, 20, count=1))[0]["state"] == "running"


async def test_many_leases_of_one_wallet_are_warned_before_they_end(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    names = [f"run-{number}" for number in range(20)]
    await asyncio.gather(*(lease(harness, customer_id, name, wind_down_s=20) for name in names))
    good_until, ended = dict.fromkeys(names), set()
    for turn in range(60):
        tick(harness, seconds=5)
        now = dt.datetime.now(dt.UTC) + harness.clock.offset
        running = [name for name in names if name not in ended]
        answers = await asyncio.gather(*(use(harness, customer_id, f"u{turn}", "0.25", name) for name in running))
        for name, answer in zip(running, answers, strict=True):
            if answer["state"] == "winding_down":
                assert good_until[name] is None or now < good_until[name], name
                assert Decimal(answer["held"]) > 0, name
                ended.add(name)
            good = answer["good_until"]
            good_until[name] = None if good is None else dt.datetime.fromisoformat(good)
    assert ended == set(names)
    assert await harness.balance(customer_id) >= 0


LEASES = int(os.environ.get("BRIMFUL_LEASES", "60"))  # 200 in the long form


@pytest.mark.timeout(180)
async def test_many_leases_of_a_declined_card_are_warned_and_resume_once_it_is_paid(harness):
    """The bar of leases: nobody is cut unwarned, the bridge holds, and a payment wakes all of them."""
    await harness.call("PATCH", "/assets/USD", {"hold_bridge": "5"}, expect=200)
    customer_id, visitor = await harness.funded(balance=LEASES * 5 // 2, threshold="10", number="4000000000000341")
    names = [f"run-{number}" for number in range(LEASES)]
    await asyncio.gather(*(lease(harness, customer_id, name, wind_down_s=20) for name in names))
    good_until, warned = dict.fromkeys(names), {}
    for turn in range(40):
        tick(harness, seconds=5)
        now = dt.datetime.now(dt.UTC) + harness.clock.offset
        running = [name for name in names if name not in warned]
        answers = await asyncio.gather(*(use(harness, customer_id, f"u{turn}", "0.25", name) for name in running))
        for name, answer in zip(running, answers, strict=True):
            assert Decimal(answer["available"]) >= -5
            if answer["state"] == "winding_down":
                assert good_until[name] is None or now < good_until[name], name
                assert Decimal(answer["held"]) > 0, name
                warned[name] = answer["why"]
            good = answer["good_until"]
            good_until[name] = None if good is None else dt.datetime.fromisoformat(good)
        await harness.work()  # the top-up, and its decline
        if len(warned) == len(names):
            break
    assert set(warned) == set(names)
    assert set(warned.values()) <= {"paused", "retry_wait", "waiting_for_top_up"}
    assert (await told(harness, customer_id)).count("lease.winding_down") == LEASES
    page = await visitor.get("/top-up?asset=USD")
    values = {"amount": "400", "card": "new"}
    check = await visitor.submit(page, "/billing/top-up", values)
    check = (
        await visitor.submit(check, "/billing/top-up", {**values, "large": "yes"}) if "large" in check.text else check
    )
    stripe = await visitor.submit(check, "/billing/top-up", values)
    result = await visitor.choose_card(stripe, "4242424242424242")
    assert "$400.00 added" in result.text
    assert (await told(harness, customer_id)).count("lease.resumable") == LEASES
    answers = await asyncio.gather(*(use(harness, customer_id, "again", "0.25", name) for name in names))
    assert {answer["state"] for answer in answers} == {"running"}
    assert {answer["held"] for answer in answers} == {"1"}
