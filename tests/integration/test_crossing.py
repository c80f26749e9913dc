"""Crossing the line: many at once, each asset for itself, and what must not be mistaken for it."""

import asyncio
from decimal import Decimal

import psycopg
import pytest

from brimful import posting
from brimful.db.pool import Database
from support.harness import recorder as own_recorder

pytestmark = pytest.mark.flow

RECORDERS = 8
DEBITS = 1000


async def storm(harness, customer_id, debits=DEBITS):
    """Debits of one account, 10 in all, through eight recorders, each with connections of its own, small batches."""
    amount = Decimal(-10) / debits
    databases = [Database(harness.database_url, "brimful_api", pool_max=2) for _ in range(RECORDERS)]
    recorders = []
    for database in databases:
        await database.open()
        recorder = own_recorder(database, batch_max=5, queue_max=10_000, writers=2)
        recorder.start()
        recorders.append(recorder)

    async def debit(number):
        movement = posting.model.Movement("usage", customer_id, "USD", f"storm-{number}", amount)
        [verdict] = await recorders[number % RECORDERS].submit([movement])
        return verdict

    try:
        return await asyncio.gather(*(debit(number) for number in range(debits)))
    finally:
        for recorder, database in zip(recorders, databases, strict=True):
            await recorder.stop()
            await database.close()


async def assert_one_top_up_and_every_debit(harness, customer_id, verdicts):
    assert [verdict.outcome for verdict in verdicts].count("applied") == len(verdicts)
    assert await harness.balance(customer_id) == Decimal(2)
    assert len(await harness.top_ups(customer_id)) == 1


async def test_a_thousand_debits_at_once_make_one_top_up(harness):
    """F1, I3."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    verdicts = await storm(harness, customer_id)
    await assert_one_top_up_and_every_debit(harness, customer_id, verdicts)


@pytest.mark.tampers
@pytest.mark.schema
async def test_the_same_storm_fails_without_the_unique_index(harness):
    """F1: the index is the lock; the check above is able to fail."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.sql("DROP INDEX top_ups_one_live_automatic")
    with pytest.raises((AssertionError, psycopg.Error)):
        verdicts = await storm(harness, customer_id, debits=100)
        await assert_one_top_up_and_every_debit(harness, customer_id, verdicts)


@pytest.mark.tampers
async def test_two_racing_requests_without_any_lock_make_one_top_up(harness):
    """F1: even if two transactions both judged the account, the index lets one insert."""
    customer_id, _ = await harness.funded(balance=30, threshold="10")
    [rule] = await harness.sql("SELECT * FROM rules WHERE customer_id = %s", (customer_id,))
    wish = f"""
        INSERT INTO top_ups (customer_id, top_up_id, asset, kind, state, currency, amount_minor, units, rate, card_id,
            consent_id, rule_version, limit_month, requested_at)
        VALUES ('{customer_id.number.hex()}', 'top_' || gen_random_uuid(), 'USD', 'automatic', 'requested', 'USD', 2500,
            25, 1, '{rule["card_id"]}', '{rule["consent_id"]}', 1, '2026-11-01', now())
        ON CONFLICT (customer_id, asset) WHERE kind = 'automatic' AND ended_at IS NULL DO NOTHING
    """
    await asyncio.gather(*(harness.sql(wish) for _ in range(20)))
    assert len(await harness.top_ups(customer_id)) == 1


async def test_each_asset_has_its_own_line_and_a_card_serves_both(harness):
    await harness.call(
        "POST", "/assets",
        {"code": "MINUTES", "name": "Render minutes", "precision": 2, "label": "minutes",
         "rates": [{"source": "USD", "rate": "0.20"}]},
        expect=201,
    )  # fmt: skip
    customer_id, visitor = await harness.funded(balance=20, threshold="10", amount="25")
    await harness.give(customer_id, 100, "MINUTES")
    await visitor.turn_on("MINUTES", threshold="60", amount="30", limit="90")

    await harness.use(customer_id, "50", "render-1", "MINUTES")
    await harness.work()

    assert await harness.balance(customer_id, "MINUTES") == Decimal(200)  # 100 - 50 + 30 / 0.20
    assert await harness.balance(customer_id, "USD") == Decimal(20)
    assert await harness.top_ups(customer_id, "USD") == []

    await harness.use(customer_id, "11", "request-1", "USD")
    await harness.work()
    assert await harness.balance(customer_id, "USD") == Decimal(34)
    cards = {row["card_id"] for row in await harness.sql("SELECT card_id FROM payments")}
    assert len(cards) == 1
    assert await harness.charged() == 5500


async def test_a_usage_id_that_looks_like_a_payments_id_is_only_a_usage_id(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "first")
    await harness.work()
    [payment] = await harness.sql("SELECT payment_id, stripe_intent_id FROM payments")
    for number, name in enumerate(payment.values()):
        answer = await harness.use(customer_id, "1", name)
        assert answer["status"] == "applied"
        assert await harness.balance(customer_id) == Decimal(34 - 1 - number)
    entries = await harness.sql(
        "SELECT source, kind FROM entries WHERE key = %s ORDER BY seq", (payment["payment_id"],)
    )
    assert [tuple(row.values()) for row in entries] == [("stripe", "top_up"), ("usage", "usage")]


async def test_a_bad_row_among_good_ones_is_refused_alone(harness):
    """F48."""
    customer_id = await harness.customer(external_id="c-1")
    good = [{"id": f"good-{n}", "customer_external_id": "c-1", "asset": "USD", "amount": "0.5"} for n in range(3)]
    bad = [
        {**good[0], "id": "nan", "amount": "NaN"},
        {**good[0], "id": "zero", "amount": "0"},
        {**good[0], "id": "minus", "amount": "-1"},
        {**good[0], "id": "fine", "amount": "0.0000000001"},
        {**good[0], "id": "asset", "asset": "NOPE"},
        {**good[0], "id": "stranger", "customer_external_id": "nobody"},
        {**good[0], "id": "unknown-field", "colour": "red"},
        {**good[0], "amount": "7"},
    ]
    answer = await harness.call("POST", "/usage", {"events": [good[0], *bad, *good[1:], good[2]]}, expect=200)
    results = answer["results"]
    assert [item["status"] for item in results] == ["applied"] + ["refused"] * 8 + ["applied"] * 2 + ["duplicate"]
    codes = [item.get("code") for item in results[1:9]]
    assert codes == [
        "amount_invalid", "amount_invalid", "amount_invalid", "amount_invalid", "asset_not_found",
        "customer_not_found", "invalid_field", "key_reused",
    ]  # fmt: skip
    assert await harness.balance(customer_id) == Decimal("-1.5")


async def test_a_row_the_database_refuses_does_not_fail_its_neighbours(harness):
    """F48: the batch is rolled back, run again, and split until the bad one stands alone."""
    good, other = await harness.customer(), await harness.customer()
    await harness.give(other, 5)
    await harness.sql(f"ALTER TABLE entries ADD CHECK (customer_id <> '{other.number.hex()}' OR kind <> 'usage')")
    events = [
        {"id": f"e-{n}", "customer_id": other if n == 4 else good, "asset": "USD", "amount": "1"} for n in range(9)
    ]
    answer = await harness.call("POST", "/usage", {"events": events}, expect=200)
    assert [item["status"] for item in answer["results"]] == ["applied"] * 4 + ["refused"] + ["applied"] * 4
    assert answer["results"][4]["code"] == "event_failed"
    assert (await harness.balance(good), await harness.balance(other)) == (Decimal(-8), Decimal(5))
