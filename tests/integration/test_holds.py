"""Holds: a job whose cost is not known yet sets units aside, and a running job is not cut."""

import asyncio
import datetime as dt
from decimal import Decimal

import psycopg.errors
import pytest
from hypothesis import given, settings, strategies as st

from brimful import posting, suspensions
from brimful.posting.holds import BatchHolds
from brimful.posting.model import Movement
from brimful.top_ups.bridges import Bridge

ACCOUNT = ("cus_a", "USD")
NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


async def hold(harness, customer_id, hold_id, amount, *, expect=201, **more):
    body = {"id": hold_id, "asset": "USD", "amount": str(amount), **more}
    return await harness.call("POST", f"/customers/{customer_id}/wallet/holds", body, expect=expect)


async def capture(harness, customer_id, hold_id, amount, *, expect=200, **more):
    path = f"/customers/{customer_id}/wallet/holds/{hold_id}/capture"
    return await harness.call("POST", path, {"amount": str(amount), **more}, expect=expect)


async def release(harness, customer_id, hold_id, *, expect=200):
    return await harness.call("POST", f"/customers/{customer_id}/wallet/holds/{hold_id}/release", expect=expect)


async def account(harness, customer_id):
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD", expect=200)
    return {name: Decimal(shown[name]) for name in ("balance", "held", "available", "pending_out")}


@pytest.mark.flow
async def test_a_job_sets_units_aside_and_pays_what_it_cost(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    made = await hold(harness, customer_id, "job-1", "6", description="A long job")
    assert (made["state"], made["amount"], made["captured"]) == ("open", "6", None)
    assert await account(harness, customer_id) == {"balance": 10, "held": 6, "available": 4, "pending_out": 6}
    poor = await harness.use(customer_id, "5", "other", if_insufficient="refuse")
    assert poor["code"] == "insufficient_funds"  # what is held is not available
    done = await capture(harness, customer_id, "job-1", "2.5")
    assert (done["state"], done["captured"]) == ("captured", "2.5")
    assert await account(harness, customer_id) == {"balance": Decimal("7.5"), "held": 0, "available": Decimal("7.5"),
                                                 "pending_out": 0}  # fmt: skip
    path = f"/customers/{customer_id}/wallet/default:USD/entries"
    [entry, _] = (await harness.call("GET", path, expect=200))["items"]
    assert (entry["kind"], entry["amount"], entry["key"], entry["description"]) == (
        "usage", "-2.5", "job-1", "A long job",
    )  # fmt: skip


async def test_every_step_twice_is_once(harness):
    """F43, I7."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    for _ in range(2):
        await hold(harness, customer_id, "a", "3")
        await hold(harness, customer_id, "b", "4")
    assert (await hold(harness, customer_id, "a", "4", expect=409))["code"] == "key_reused"
    for _ in range(2):
        await capture(harness, customer_id, "a", "3")
        await release(harness, customer_id, "b")
    assert (await capture(harness, customer_id, "a", "2", expect=409))["code"] == "hold_ended"
    assert (await capture(harness, customer_id, "b", "1", expect=409))["code"] == "hold_ended"
    assert (await release(harness, customer_id, "a", expect=409))["code"] == "hold_ended"
    assert await account(harness, customer_id) == {"balance": 7, "held": 0, "available": 7, "pending_out": 0}


async def test_an_overrun_is_what_the_platform_lets_it_be(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    for name in "abcd":
        await hold(harness, customer_id, name, "2")
    assert (await capture(harness, customer_id, "a", "3", expect=422))["code"] == "overrun_refused"
    assert (await capture(harness, customer_id, "a", "4.1", overrun="covered", expect=402))["code"] == (
        "insufficient_funds"
    )  # 2 are available besides
    await capture(harness, customer_id, "a", "4", overrun="covered")
    await capture(harness, customer_id, "b", "9", overrun="record")
    now = await account(harness, customer_id)
    assert (now["balance"], now["held"], now["available"]) == (-3, 4, -7)


async def test_a_hold_that_is_not_covered_is_refused_and_nothing_changes(harness):
    """I11."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 5)
    refused = await hold(harness, customer_id, "big", "6", expect=402)
    assert (refused["balance"], refused["topup_url"]) == ("5", "https://app.example/top-up")
    for wrong in ({"id": "a b"}, {"amount": "0"}, {"amount": "-1"}, {"expires_in_s": 0}, {"asset": "NONE"}, {"x": 1}):
        body = {"id": "x", "asset": "USD", "amount": "1", **wrong}
        answer = await harness.api.post(f"/v1/customers/{customer_id}/wallet/holds", json=body)
        assert answer.status_code in {404, 422}, answer.text
    for path in ("none", "none/capture", "none/release"):
        method, body = ("GET", None) if path == "none" else ("POST", {"amount": "1"} if "capture" in path else None)
        await harness.call(method, f"/customers/{customer_id}/wallet/holds/{path}", body, expect=404)
    other = await harness.customer()
    await hold(harness, customer_id, "mine", "1")
    await harness.call("GET", f"/customers/{other}/wallet/holds/mine", expect=404)
    assert (await account(harness, customer_id))["held"] == 1


async def test_what_nobody_captures_is_freed_once_and_told(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    await hold(harness, customer_id, "short", "6", expires_in_s=60)
    await hold(harness, customer_id, "long", "1", expires_in_s=7200)
    harness.clock.offset += dt.timedelta(minutes=2)
    engine = harness.engine.database, harness.engine.keyring, harness.engine.pace
    freed = await asyncio.gather(*(posting.expire_holds.expire_due(*engine) for _ in range(3)))
    assert sum(freed) == 1
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/holds", expect=200)
    assert {item["id"]: item["state"] for item in shown["items"]} == {"short": "expired", "long": "open"}
    assert (await account(harness, customer_id))["held"] == 1
    assert (await capture(harness, customer_id, "short", "1", expect=409))["code"] == "hold_ended"
    assert await harness.events(customer_id) == ["hold.expired"]


async def test_the_line_is_judged_on_what_is_available(harness):
    customer_id, _ = await harness.funded(balance=30, threshold="10", amount="25")
    await hold(harness, customer_id, "job", "22")
    [top_up] = await harness.top_ups(customer_id)
    assert top_up["state"] == "requested"
    await harness.work()
    assert (await account(harness, customer_id))["available"] == Decimal(33)
    await release(harness, customer_id, "job")
    assert len(await harness.top_ups(customer_id)) == 1
    assert (await harness.rule(customer_id))["reason"] == "armed"


async def test_a_release_ends_a_top_up_that_only_waits(harness):
    customer_id, _ = await harness.funded(balance=30, threshold="10", amount="25", number="4000000000000341")
    await hold(harness, customer_id, "job", "22")
    await harness.work()  # declined: it waits for its next try
    assert await harness.state_is(customer_id, "retry_wait")
    await release(harness, customer_id, "job")
    assert await harness.state_is(customer_id, "canceled")


async def test_a_top_up_in_flight_bridges_a_hold_within_the_platforms_bound(harness):
    customer_id, _ = await harness.funded(balance=30, threshold="10", amount="25")
    assert (await hold(harness, customer_id, "early", "31", expect=402))["code"] == "insufficient_funds"
    await harness.call("PATCH", "/assets/USD", {"hold_bridge": "4"}, expect=200)
    assert (await hold(harness, customer_id, "still", "31", expect=402))["code"] == "insufficient_funds"
    await harness.use(customer_id, "25", "crossing")  # 5 are left, 25 are on their way
    await hold(harness, customer_id, "bridged", "9")
    assert (await hold(harness, customer_id, "beyond", "0.01", expect=402))["code"] == "insufficient_funds"
    assert (await account(harness, customer_id))["available"] == -4
    await harness.work()
    assert (await account(harness, customer_id))["available"] == 21


async def test_a_top_up_that_waits_while_charging_is_suspended_bridges_nothing(harness):
    customer_id, _ = await harness.funded(balance=30, threshold="10", amount="25")
    await harness.call("PATCH", "/assets/USD", {"hold_bridge": "4"}, expect=200)
    async with harness.engine.database.transaction() as tx:
        await suspensions.store.suspend(tx, "operator", "a test", actor="opr")
    await harness.use(customer_id, "25", "crossing")
    assert (await hold(harness, customer_id, "job", "9", expect=402))["code"] == "insufficient_funds"
    await hold(harness, customer_id, "covered", "5")
    await release(harness, customer_id, "covered")
    async with harness.engine.database.transaction() as tx:
        await suspensions.store.resume(tx, "operator", actor="opr")
    await hold(harness, customer_id, "bridged", "9")


async def test_what_is_not_covered_says_what_there_is_what_it_takes_and_what_comes(harness):
    """34 less 30 held is 4: an answer that tells 34 alone refuses 5 of 34."""
    customer_id, _ = await harness.funded(balance=34, threshold="3", amount="25")
    recorded = await harness.use(customer_id, "1", "first")
    assert (recorded["balance"], recorded["available"]) == ("33", "33")
    await hold(harness, customer_id, "job", "30")
    told = {"balance": "33", "available": "3", "requested": "5", "top_up": None}

    def said(answer):
        return {name: answer.get(name, "not told") for name in told}

    charge = {"transaction_id": "fee", "asset": "USD", "amount": "5"}
    path = f"/customers/{customer_id}/wallet/charges"
    assert said(await harness.use(customer_id, "5", "poor", if_insufficient="refuse")) == told
    assert said(await harness.call("POST", path, charge, expect=402)) == told
    assert said(await hold(harness, customer_id, "more", "5", expect=402)) == told
    over = await capture(harness, customer_id, "job", "35", overrun="covered", expect=402)
    assert said(over) == told | {"requested": "35"}
    batch = [{"id": key, "customer_id": customer_id, "asset": "USD", "amount": amount, "if_insufficient": "refuse"}
             for key, amount in (("crossing", "1"), ("poor", "5"))]  # fmt: skip
    crossed, poor = (await harness.call("POST", "/usage", {"events": batch}, expect=200))["results"]
    assert (crossed["balance"], crossed["available"], "requested" in crossed) == ("32", "2", False)
    coming = {"id": poor["top_up"]["id"], "state": "requested", "units": "25"}
    told |= {"balance": "32", "available": "2", "top_up": coming}
    assert said(poor) == told
    assert said(await harness.call("POST", path, charge, expect=402)) == told


async def test_a_hold_after_a_credit_does_not_wait_for_the_pace(harness):
    """The pace rests where a credit left the account below its line, not where something came later."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()  # 9 + 25 = 34
    await hold(harness, customer_id, "job", "30")
    assert [top_up["state"] for top_up in await harness.top_ups(customer_id)] == ["requested", "succeeded"]
    await harness.work()  # 59 - 30
    await hold(harness, customer_id, "more", "29")
    await harness.work()
    assert (await harness.rule(customer_id))["reason"] == "armed"


async def test_a_credit_that_leaves_what_is_available_below_the_line_waits_for_the_pace(harness):
    customer_id, _ = await harness.funded(balance=100, threshold="10", amount="25")
    await hold(harness, customer_id, "job", "100")
    await harness.use(customer_id, "40", "over")  # -40 available
    await harness.work()
    assert [top_up["state"] for top_up in await harness.top_ups(customer_id)] == ["succeeded"]
    assert (await harness.rule(customer_id))["reason"] == "pace"


@pytest.mark.tampers
async def test_a_broken_account_stops_no_other_from_being_freed(harness):
    broken, well = await harness.customer(), await harness.customer()
    for customer_id in sorted((broken, well)):
        await harness.give(customer_id, 10)
        await hold(harness, customer_id, "job", "5", expires_in_s=1)
    await harness.sql("UPDATE accounts SET held = 0 WHERE customer_id = %s", (broken,))
    harness.clock.offset += dt.timedelta(minutes=1)
    engine = harness.engine.database, harness.engine.keyring, harness.engine.pace
    assert await posting.expire_holds.expire_due(*engine) == 1
    assert (await account(harness, well))["held"] == 0


async def test_lists_are_paged_without_gaps_and_narrowed(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 50)
    for number in range(7):
        await hold(harness, customer_id, f"h{number}", "1")
    await release(harness, customer_id, "h3")
    seen, cursor = [], None
    while True:
        params = {"limit": "3", "state": "open", **({"cursor": cursor} if cursor else {})}
        page = await harness.call("GET", f"/customers/{customer_id}/wallet/holds", params=params, expect=200)
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["h6", "h5", "h4", "h2", "h1", "h0"]
    await harness.call("GET", f"/customers/{customer_id}/wallet/holds", params={"cursor": "aGJvZ3Vz"}, expect=422)


async def test_a_storm_of_captures_writes_one_debit(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    await hold(harness, customer_id, "job", "10")
    path = f"/v1/customers/{customer_id}/wallet/holds/job/capture"
    answers = await asyncio.gather(
        *(harness.api.post(path, json={"amount": str(1 + number % 3)}) for number in range(60)),
        *(harness.api.post(path.replace("capture", "release")) for _ in range(20)),
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    rows = await harness.sql("SELECT amount FROM entries WHERE source = 'hold'")
    state = (await harness.call("GET", f"/customers/{customer_id}/wallet/holds/job"))["state"]
    assert len(rows) == (state == "captured")


@pytest.mark.tampers
async def test_the_database_refuses_a_second_end_and_verify_names_what_is_wrong(harness):
    from brimful import operations
    from support.harness import LEDGER_KEYS

    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    await hold(harness, customer_id, "job", "5")
    await capture(harness, customer_id, "job", "5")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await harness.sql(
            "INSERT INTO entries SELECT customer_id, seq + 1, key_digest, recorded_at, occurred_at, money_minor, "
            "asset, kind, source, amount, balance_after, key, payment_id, currency, mac FROM entries "
            "WHERE source = 'hold'"
        )
    for break_it in (
        "UPDATE accounts SET held = 1",
        "UPDATE holds SET state = 'released', captured = NULL",
        "UPDATE holds SET captured = 4",
    ):
        await harness.sql(break_it)
        found = {finding.id: finding for finding in await operations.verify.run(harness.database_url, LEDGER_KEYS)}
        assert not found["I1"].ok, break_it
        await harness.sql("UPDATE accounts SET held = 0")
        await harness.sql("UPDATE holds SET state = 'captured', captured = 5")


# --- decided purely ---------------------------------------------------------------------------------------------


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hold", "capture", "release", "usage", "credit"]),
        st.sampled_from("abcd"),
        st.integers(1, 9),
        st.sampled_from(["refuse", "covered", "record"]),
    ),
    max_size=40,
)


def movement(kind, key, amount, overrun, number):
    if kind == "credit":
        return Movement("adjustment", *ACCOUNT, f"c{number}", Decimal(amount))
    if kind == "usage":
        return Movement("usage", *ACCOUNT, f"u{number}", -Decimal(amount), covered_only=True)
    if kind == "release":
        return Movement("release", *ACCOUNT, key, Decimal(0))
    return Movement(kind, *ACCOUNT, key, -Decimal(amount), overrun=overrun, expires_in=HOUR)


@settings(deadline=None, max_examples=300)
@given(STEPS, st.integers(0, 5), st.integers(0, 5), st.lists(st.integers(1, 40), max_size=4))
def test_whatever_happens_nothing_is_captured_twice_and_the_bound_holds(steps, bound, in_flight, cuts):
    """Judged in one batch or in many, the outcome is the same."""
    moves = [movement(*step, number) for number, step in enumerate(steps)]
    bridges = {ACCOUNT: Bridge(Decimal(bound), Decimal(in_flight))}

    def run(batches):
        balance, batch_holds, verdicts = Decimal(12), BatchHolds(bridges=bridges), []
        for batch in batches:
            batch_holds = BatchHolds(dict(batch_holds.held), dict(batch_holds.known), bridges)
            part = posting.decide.decide(batch, {ACCOUNT: balance}, {}, NOW, batch_holds)
            verdicts += part
            balance = part[-1].balance if part else balance
        return balance, batch_holds, verdicts

    balance, batch_holds, verdicts = run([moves])
    places = sorted({min(cut, len(moves)) for cut in cuts})
    pieces = [moves[a:b] for a, b in zip([0, *places], [*places, len(moves)], strict=True)]
    assert run(pieces)[2] == verdicts
    captured, held, bridged = {}, {}, Decimal(12)
    for move, verdict in zip(moves, verdicts, strict=True):
        if verdict.outcome != "applied":
            continue
        if move.kind == "hold":
            held[move.key] = -move.amount
            assert bridged - sum(held.values()) >= -min(bound, in_flight)
        elif move.kind in {"capture", "release"}:
            over = -move.amount - held.pop(move.key)
            assert move.kind == "release" or move.key not in captured
            captured[move.key] = move.kind
            assert move.kind == "release" or over <= 0 or move.overrun != "refuse"
        if move.kind not in {"hold", "release"}:
            bridged += move.amount
        if move.kind == "usage":
            assert bridged - sum(held.values()) >= 0
    assert balance == bridged
    assert batch_holds.held.get(ACCOUNT, 0) == sum(held.values())
