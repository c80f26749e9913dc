"""Verification finds what it says it looks for: each break is made with the owner's rights, and named."""

import pytest

from brimful import operations
from support.harness import LEDGER_KEYS


async def broken(harness):
    findings = await operations.verify.run(harness.database_url, LEDGER_KEYS)
    return {finding.id: finding.detail for finding in findings if not finding.ok}


async def test_all_is_well_at_first(busy):
    assert await broken(busy) == {}


BREAKS = {
    "I1 an amount changed": ["UPDATE entries SET amount = amount - 1 WHERE seq = 3"],
    "I1 amounts and balances changed alike": [
        "UPDATE entries SET amount = CASE seq WHEN 3 THEN -2 ELSE amount END, "
        "balance_after = balance_after - CASE WHEN seq >= 3 THEN 1 ELSE 0 END",
        "UPDATE accounts SET balance = balance - 1",
    ],
    "I1 an entry removed": ["DELETE FROM entries WHERE seq = 3"],
    "I1 the newest removed": ["DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)"],
    "I1 a key changed": ["UPDATE entries SET key = 'other' WHERE seq = 2"],
    "I1 a key that would not be found": ["UPDATE entries SET key_digest = key_digest + 8 WHERE seq = 2"],
    "I1 a time changed": ["UPDATE entries SET recorded_at = recorded_at - interval '1 day' WHERE seq = 2"],
    "I1 a balance changed": ["UPDATE accounts SET balance = balance + 1"],
    "I2 a payment nobody credited": ["UPDATE payments SET amount_minor = amount_minor + 1"],
    "I3 two live ones": [
        "DROP INDEX top_ups_one_live_automatic",
        "UPDATE top_ups SET state = 'unknown', ended_at = NULL",
        "INSERT INTO top_ups (customer_id, top_up_id, asset, kind, state, currency, amount_minor, units, rate, "
        "card_id, consent_id, rule_version, limit_month, requested_at) SELECT customer_id, 'top_2', asset, kind, "
        "state, currency, amount_minor, units, rate, card_id, consent_id, rule_version, limit_month, requested_at "
        "FROM top_ups",
    ],
    "I4 paid and not credited": ["UPDATE payments SET payment_id = 'pay_other'"],
    "I5 paid twice": [
        "INSERT INTO payments (customer_id, payment_id, top_up_id, kind, presence, state, currency, amount_minor, "
        "created_at, closed_at) SELECT customer_id, 'pay_2', top_up_id, kind, presence, state, currency, amount_minor, "
        "created_at, closed_at FROM payments",
    ],
    "I8 over the limit": [
        "UPDATE consents SET limit_minor = amount_minor",
        "UPDATE top_ups SET amount_minor = 99999",
    ],
    "I9 without a consent": ["UPDATE consents SET recorded_at = now() + interval '1 day'"],
    "I10 another amount than agreed": ["UPDATE consents SET amount_minor = amount_minor - 1"],
    "I14 beyond what was stated": ["UPDATE consents SET exposure_day_minor = 2499"],
    "I12 armed at another threshold": ["UPDATE accounts SET trigger_below = 1"],
    "I12 not armed though nothing is in the way": ["UPDATE accounts SET trigger_below = NULL"],
    "I12 silence below the threshold": ["UPDATE rules SET threshold = 1000"],
}


@pytest.mark.tampers
@pytest.mark.parametrize("name", BREAKS)
async def test_it_finds(busy, name):
    for statement in BREAKS[name]:
        await busy.sql(statement)
    assert name.split()[0] in await broken(busy)


@pytest.mark.tampers
async def test_it_reads_on_from_signed_marks_and_full_believes_none(busy):
    assert await broken(busy) == {}
    [customer] = await busy.sql("SELECT customer_id AS id FROM customers")
    await busy.use(customer["id"], "1", "one more")
    findings = await operations.verify.run(busy.database_url, LEDGER_KEYS)
    assert findings[0].detail.startswith("1 entries, since the last verification")
    await busy.sql("UPDATE entries SET key = 'other' WHERE seq = 2")  # below the mark
    assert await broken(busy) == {}
    full = await operations.verify.run(busy.database_url, LEDGER_KEYS, full=True)
    assert not full[0].ok


@pytest.mark.tampers
async def test_a_mark_that_was_changed_is_not_believed(busy):
    """Not even one that agrees with its account: it would hide whatever was changed before it."""
    assert await broken(busy) == {}
    [customer] = await busy.sql("SELECT customer_id AS id FROM customers")
    await busy.use(customer["id"], "1", "one more")
    await busy.sql("UPDATE entries SET key = 'other' WHERE seq = (SELECT max(seq) FROM entries)")
    await busy.sql(
        "UPDATE verified_marks AS m SET seq = a.seq, balance = a.balance, mac = a.mac FROM accounts AS a "
        "WHERE a.customer_id = m.customer_id AND a.asset = m.asset"
    )
    assert "I1" in await broken(busy)


@pytest.mark.tampers
@pytest.mark.parametrize("verified_before", [True, False])
async def test_entries_without_their_account_are_named(busy, verified_before):
    """No constraint holds this (it would cost every debit a fifth), so it is looked for."""
    if verified_before:
        assert await broken(busy) == {}
    for table in ("rules", "top_ups"):
        await busy.sql(f"ALTER TABLE {table} DROP CONSTRAINT {table}_customer_id_asset_fkey")
    await busy.sql("DELETE FROM accounts")
    found = await operations.verify.run(busy.database_url, LEDGER_KEYS, full=not verified_before)
    assert "has entries and no account" in found[0].detail


async def test_the_metric_reads_the_same(busy):
    await operations.verify.run(busy.database_url, LEDGER_KEYS)
    text = (await busy.api.get("/metrics")).text
    assert 'brimful_invariant_ok{invariant="I1"} 1.0' in text
    assert 'brimful_charging_suspended{kind="operator"} 0.0' in text
