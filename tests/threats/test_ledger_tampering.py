"""Tampering with the owner's rights: what was changed, removed or inserted is named, by the chain or by an anchor."""

import dataclasses
import datetime as dt
import json
from decimal import Decimal

import pytest

from brimful import operations, worker
from support.harness import LEDGER_KEYS

COPY = "CREATE TABLE kept_{name} AS SELECT * FROM {name}"


async def anchored(harness):
    return [line async for line in operations.anchors.lines(harness.database_url, LEDGER_KEYS)]


async def test_an_anchor_holds_while_the_chain_only_grows(busy):
    anchor = await anchored(busy)
    [customer] = await busy.sql("SELECT customer_id AS id FROM customers")
    await busy.use(customer["id"], "1", "later")
    found = await operations.anchors.compare(busy.database_url, LEDGER_KEYS, anchor)
    assert (found.ok, found.detail.startswith("1 chains pass")) == (True, True)


@pytest.mark.tampers
async def test_the_end_that_was_cut_off_with_its_mark_is_named_by_an_anchor_alone(busy):
    """Account and signed mark are put back to what they were: the chain holds, and only what is kept outside knows."""
    await operations.verify.run(busy.database_url, LEDGER_KEYS)
    for name in ("accounts", "verified_marks"):
        await busy.sql(COPY.format(name=name))
    [customer] = await busy.sql("SELECT customer_id AS id, (SELECT max(seq) FROM entries) AS seq FROM customers")
    await busy.use(customer["id"], "5", "hidden")
    anchor = await anchored(busy)
    await busy.sql("DELETE FROM entries WHERE key = 'hidden'")
    await busy.sql("UPDATE accounts AS a SET balance = k.balance, seq = k.seq, mac = k.mac FROM kept_accounts AS k")
    await busy.sql("UPDATE verified_marks AS m SET seq = k.seq, balance = k.balance, mac = k.mac, "
                   "signature = k.signature FROM kept_verified_marks AS k")  # fmt: skip
    findings = {found.id: found.ok for found in await operations.verify.run(busy.database_url, LEDGER_KEYS, full=True)}
    assert findings["I1"] is True
    found = await operations.anchors.compare(busy.database_url, LEDGER_KEYS, anchor)
    assert found.ok is False
    assert f"entry {customer['seq'] + 1} of ({customer['id']}, USD)" in found.detail


FORGE = """
    INSERT INTO entries
    SELECT customer_id, seq + 1, 8, recorded_at, occurred_at, NULL, asset, 'usage', 'usage', -1, balance_after - 1,
        'forged', NULL, NULL, mac
    FROM entries ORDER BY seq DESC LIMIT 1
"""
TAMPERED = {
    "changed": ["UPDATE entries SET amount = amount - 1, balance_after = balance_after - 1 WHERE seq = 3"],
    "removed": ["DELETE FROM entries WHERE seq = 3"],
    "inserted": [FORGE, "UPDATE accounts SET seq = seq + 1, balance = balance - 1"],
}


@pytest.mark.tampers
@pytest.mark.parametrize("how", TAMPERED)
async def test_the_entry_is_named(busy, how):
    [last] = await busy.sql("SELECT max(seq) AS seq FROM entries")
    at = {
        "changed": 3,
        "removed": 4,
        "inserted": last["seq"] + 1,
    }
    # What follows a gap is the first that does not fit.
    for statement in TAMPERED[how]:
        await busy.sql(statement)
    [found] = [
        item for item in await operations.verify.run(busy.database_url, LEDGER_KEYS, full=True) if item.id == "I1"
    ]
    assert not found.ok
    assert f"entry {at[how]} of" in found.detail


@pytest.mark.tampers
async def test_units_that_were_changed_before_they_were_credited_are_named(harness):
    """The chain is whole: it was the engine itself that credited what stood in the row."""
    customer_id, _ = await harness.crossed()
    await harness.sql("UPDATE top_ups SET units = 99999")
    await harness.work()
    assert await harness.balance(customer_id) == Decimal(100_008)
    [found] = [
        item for item in await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True) if item.id == "I2"
    ]
    assert not found.ok
    assert f"({customer_id}, USD) credits 99999" in found.detail
    assert "its money buys 25" in found.detail


@pytest.mark.tampers
async def test_each_night_the_worker_reads_it_all_and_keeps_an_anchor_outside(harness, tmp_path, caplog):
    """An old entry was changed after it was verified: the hourly look goes on from its marks, the nightly finds it. And
    an end that was cut off since yesterday is named by yesterday's anchor.
    """
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "1", "today")
    engine = dataclasses.replace(
        harness.engine, settings=harness.engine.settings.model_copy(update={"anchor_dir": str(tmp_path)})
    )
    await worker.periodic.nightly(engine)
    [kept] = tmp_path.glob("anchor-20*.jsonl")
    assert len(kept.read_text().splitlines()) == 3
    assert caplog.messages == []
    before = kept.read_text()
    await worker.periodic.nightly(engine)
    assert kept.read_text() == before  # once a day, and never written over
    await harness.sql("UPDATE entries SET amount = 1000, balance_after = 1000 WHERE seq = 1")
    assert [item.ok for item in await operations.verify.run(harness.database_url, LEDGER_KEYS) if item.id == "I1"] == [
        True
    ]
    await worker.periodic.nightly(engine)
    assert any("ALARM I1 does not hold" in line for line in caplog.messages)
    await harness.sql("DELETE FROM entries WHERE key = 'today'")
    await worker.periodic.nightly(engine)
    assert any("ALARM anchor does not hold" in line and "entry 2 of" in line for line in caplog.messages)
    harness.clock.offset += dt.timedelta(days=1)
    caplog.clear()
    await worker.periodic.nightly(engine)
    assert any("ALARM anchor does not hold" in line for line in caplog.messages)  # again, until somebody acts
    assert list(tmp_path.iterdir()) == [kept]
    lost = engine.settings.model_copy(update={"anchor_dir": str(tmp_path / "gone")})
    await worker.periodic.nightly(dataclasses.replace(engine, settings=lost))
    assert any("ALARM no anchor was kept" in line for line in caplog.messages)


@pytest.mark.parametrize("spoil", ["mac", "line", "head", "signature", "nothing", "garbage"])
async def test_an_anchor_that_was_changed_is_not_believed(busy, spoil):
    anchor = await anchored(busy)
    row = json.loads(anchor[1])
    changed = {
        "mac": [anchor[0], json.dumps([*row[:3], "00" * 17], separators=(",", ":")) + "\n", anchor[2]],
        "line": [anchor[0], anchor[2]],
        "head": [anchor[0].replace("202", "201"), *anchor[1:]],
        "signature": [*anchor[:2], json.dumps({"signature": "00" * 17})],
        "nothing": [],
        "garbage": ["x\n", "y\n"],
    }[spoil]
    found = await operations.anchors.compare(busy.database_url, LEDGER_KEYS, changed)
    assert (found.ok, "the anchor itself was changed" in found.detail) == (False, True)
    other = await operations.anchors.compare(busy.database_url, {1: b"\x01" * 32}, anchor)
    assert other.ok is False
