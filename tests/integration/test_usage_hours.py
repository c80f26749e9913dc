"""The hours of use, rolled up from the entries."""

import datetime as dt
from decimal import Decimal

import pytest

from brimful import ledger, operations, worker
from integration.test_commands import command
from support.harness import LEDGER_KEYS


async def hours(harness, customer_id, asset="USD"):
    rows = await harness.sql(
        "SELECT used, first_seq, last_seq FROM usage_hours WHERE customer_id = %s AND asset = %s ORDER BY hour",
        (customer_id, asset),
    )
    return [(row["used"], row["first_seq"], row["last_seq"]) for row in rows]


async def at_half_past(harness):
    now = dt.datetime.now(dt.UTC) + harness.clock.offset
    harness.clock.offset += dt.timedelta(hours=1, minutes=30 - now.minute)


async def test_each_hour_sums_up_its_spending_once(harness):
    customer_id = await harness.customer()
    await at_half_past(harness)
    await harness.give(customer_id, 100)  # no spending
    await harness.use(customer_id, "2", "a")
    await worker.periodic.roll_up(harness.engine)
    await worker.periodic.roll_up(harness.engine)
    assert await hours(harness, customer_id) == [(2, 1, 2)]
    await harness.use(customer_id, "0.5", "b")
    await worker.periodic.roll_up(harness.engine)
    assert await hours(harness, customer_id) == [(Decimal("2.5"), 1, 3)]
    harness.clock.offset += dt.timedelta(hours=2)
    charge = {"transaction_id": "c", "asset": "USD", "amount": "7"}
    await harness.call("POST", f"/customers/{customer_id}/wallet/charges", charge, expect=201)
    harness.clock.offset -= dt.timedelta(hours=1)  # a clock that stepped back does not return to an hour that is done
    await harness.use(customer_id, "1", "d")
    await worker.periodic.roll_up(harness.engine)
    assert await hours(harness, customer_id) == [(Decimal("2.5"), 1, 3), (8, 4, 5)]
    findings = await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True)
    assert [finding.detail for finding in findings if not finding.ok] == []


async def test_it_reads_on_in_pieces_and_page_by_page(harness, monkeypatch):
    monkeypatch.setattr(ledger.usage_hours, "_ENTRIES_MAX", 3)
    customers = sorted([await harness.customer(f"Person {n}") for n in range(3)])
    await at_half_past(harness)
    for customer_id in customers:
        for number in range(4):
            await harness.use(customer_id, "1", f"{customer_id}-{number}")
    await worker.periodic.roll_up(harness.engine)
    assert [await hours(harness, customer_id) for customer_id in customers] == [[(4, 1, 4)]] * 3


async def test_old_hours_go_but_the_newest_says_how_far_it_was_read(harness):
    customer_id = await harness.customer()
    await at_half_past(harness)
    await harness.use(customer_id, "1", "a")
    await worker.periodic.roll_up(harness.engine)
    harness.clock.offset += dt.timedelta(days=40)
    await worker.periodic.roll_up(harness.engine)
    assert await hours(harness, customer_id) == [(1, 1, 1)]
    await harness.use(customer_id, "2", "b")
    await worker.periodic.roll_up(harness.engine)
    assert await hours(harness, customer_id) == [(2, 2, 2)]


@pytest.mark.tampers
async def test_an_hour_that_is_not_its_entries_is_found(harness):
    """I15."""
    customer_id = await harness.customer()
    await harness.use(customer_id, "1", "a")
    await worker.periodic.roll_up(harness.engine)
    await harness.sql("UPDATE usage_hours SET used = used + 1")
    findings = await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True)
    assert [finding.id for finding in findings if not finding.ok] == ["I15"]


async def test_a_person_who_is_erased_leaves_no_hours(harness):
    customer_id = await harness.customer()
    await harness.use(customer_id, "1", "a")
    await worker.periodic.roll_up(harness.engine)
    await command(harness, "customers", "erase", customer_id, "--yes")
    await worker.periodic.roll_up(harness.engine)
    assert await hours(harness, customer_id) == []
