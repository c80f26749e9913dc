"""Old usage leaves the ledger for a file: read back before anything is dropped, below a checkpoint nobody can move."""

import datetime as dt
import pathlib
from decimal import Decimal

import psycopg
import pytest

from brimful import operations
from brimful.core.errors import ConfigurationError
from support.harness import LEDGER_KEYS

NOW = dt.timedelta(0)


async def archived(harness, directory, *, before=None, **more):
    [row] = await harness.sql("SELECT clock_timestamp() AS now")
    said = []
    done = await operations.archive.run(
        harness.database_url, LEDGER_KEYS, before=before or row["now"], directory=directory, say=said.append,
        age_min=NOW, **more,
    )  # fmt: skip
    return done, said


async def broken(harness):
    return [
        finding
        for finding in await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True)
        if not finding.ok
    ]


async def trial_balance(harness):
    return await harness.sql("SELECT * FROM trial_balance ORDER BY asset, currency, account")


@pytest.fixture
async def old(harness):
    """Two customers with usage, a top-up, a hold and an adjustment. Gives one's id and visitor."""
    customer_id, visitor = await harness.funded(balance=12, threshold="10")
    other = await harness.customer("Grace")
    await harness.give(other, 50)
    for number in range(6):
        await harness.use(customer_id, "1", f"e-{number}", description=f"request {number}")
        await harness.use(other, "2", f"g-{number}")
    await harness.work()
    return customer_id, visitor


@pytest.mark.flow
async def test_what_is_archived_leaves_its_keys_its_money_and_a_checkpoint(harness, old, tmp_path):
    customer_id, visitor = old
    balance, books = await harness.balance(customer_id), await trial_balance(harness)
    [before] = await harness.sql("SELECT count(*) AS n FROM entries")
    done, said = await archived(harness, tmp_path)
    assert (done.accounts, done.entries, done.dropped) == (2, before["n"], 12)
    assert "reading them back" in said[0]
    kinds = {row["kind"] for row in await harness.sql("SELECT DISTINCT kind FROM entries")}
    assert kinds == {"adjustment", "top_up"}
    # Everything is as it was: balances, the other sides, the portal, the invariants.
    assert await harness.balance(customer_id) == balance
    assert await trial_balance(harness) == books
    assert await broken(harness) == []
    for path in ("/", "/activity", "/auto-top-up/USD"):
        assert (await visitor.get(path)).status_code == 200
    # An id is never used twice, and what comes next continues the chain.
    assert (await harness.use(customer_id, "1", "e-3"))["status"] == "duplicate"
    assert (await harness.use(customer_id, "2", "e-3"))["code"] == "key_reused"
    assert (await harness.use(customer_id, "1", "later"))["status"] == "applied"
    assert await broken(harness) == []
    # The file is anybody's to read, and ours to check.
    assert [finding.ok for finding in operations.archive.check(tmp_path, LEDGER_KEYS)] == [True]
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(done.file).to_pylist()
    assert sum(row["amount"] for row in table if row["key"].startswith("g-")) == Decimal(-12)


async def test_a_second_archive_continues_the_first(harness, old, tmp_path):
    customer_id, _ = old
    await archived(harness, tmp_path)
    assert (await archived(harness, tmp_path))[1] == ["Nothing that old is left in the ledger."]
    for number in range(3):
        await harness.use(customer_id, "1", f"second-{number}")
    await harness.give(customer_id, 5, key="between")
    done, _ = await archived(harness, tmp_path)
    assert (done.entries, done.dropped) == (4, 3)
    assert await broken(harness) == []
    assert [finding.ok for finding in operations.archive.check(tmp_path, LEDGER_KEYS)] == [True, True]
    [mark] = await harness.sql("SELECT seq, dropped FROM archive_marks WHERE customer_id = %s", (customer_id,))
    [end] = await harness.sql("SELECT seq FROM accounts WHERE customer_id = %s AND asset = 'USD'", (customer_id,))
    assert (mark["seq"], mark["dropped"]) == (end["seq"], -9)


async def test_an_anchor_from_before_still_compares(harness, old, tmp_path):
    lines = [line async for line in operations.anchors.lines(harness.database_url, LEDGER_KEYS)]
    await archived(harness, tmp_path)
    assert (await operations.anchors.compare(harness.database_url, LEDGER_KEYS, lines)).ok


@pytest.mark.tampers
@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE archive_marks SET balance = balance + 1", "not one that was signed"),
        ("UPDATE archive_marks SET dropped = dropped - 1", "not one that was signed"),
        ("UPDATE archive_marks SET seq = seq - 1", "not one that was signed"),
        ("DELETE FROM archive_marks", "missing or added"),
        ("UPDATE entries SET amount = amount + 1 WHERE kind = 'adjustment'", "keeps"),
        ("DELETE FROM entries WHERE kind = 'adjustment'", "keeps"),
    ],
)  # fmt: skip
async def test_nobody_without_the_key_moves_the_checkpoint_or_what_stays_below_it(
    harness, old, tmp_path, statement, word
):
    await archived(harness, tmp_path)
    await harness.sql("DELETE FROM entry_notes")
    await harness.sql(statement)
    [found, *_] = await broken(harness)
    assert (found.id, word in found.detail) == ("I1", True), found


@pytest.mark.tampers
async def test_a_chain_that_does_not_hold_is_not_archived(harness, old, tmp_path):
    await harness.sql("UPDATE entries SET amount = -2, balance_after = balance_after - 1 WHERE key = 'e-2'")
    before = await harness.sql("SELECT count(*) AS n FROM entries")
    with pytest.raises(ConfigurationError, match="Nothing was dropped"):
        await archived(harness, tmp_path)
    assert await harness.sql("SELECT count(*) AS n FROM entries") == before
    assert await harness.sql("SELECT 1 FROM archive_marks") == []


async def test_a_file_that_is_not_what_was_written_drops_nothing(harness, old, tmp_path, monkeypatch):
    read = operations.archive._rows
    monkeypatch.setattr(operations.archive, "_rows", lambda path: [row for row in read(path) if row["key"] != "g-5"])
    before = await harness.sql("SELECT count(*) AS n FROM entries")
    with pytest.raises(ConfigurationError, match="Nothing was dropped"):
        await archived(harness, tmp_path)
    assert await harness.sql("SELECT count(*) AS n FROM entries") == before


async def test_a_file_that_was_changed_later_is_named(harness, old, tmp_path):
    done, _ = await archived(harness, tmp_path)
    whole = done.file.read_bytes()
    done.file.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    assert "changed after it was written" in operations.archive.check(tmp_path, LEDGER_KEYS)[0].detail
    done.file.write_bytes(whole)
    told = done.file.with_suffix(".json")
    told.write_text(told.read_text().replace('"accounts": 2', '"accounts": 3'))
    assert "not signed" in operations.archive.check(tmp_path, LEDGER_KEYS)[0].detail


async def test_a_quarter_stays_and_no_service_may_drop_an_entry(harness, old, tmp_path):
    [row] = await harness.sql("SELECT clock_timestamp() - interval '89 days' AS then")
    with pytest.raises(ConfigurationError, match="90 days"):
        await operations.archive.run(
            harness.database_url, LEDGER_KEYS, before=row["then"], directory=pathlib.Path(tmp_path), say=print
        )
    for deps in (harness.engine, harness.portal_deps):
        for statement in (
            "DELETE FROM entries",
            "INSERT INTO archive_marks DEFAULT VALUES",
            "DELETE FROM archived_keys",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with deps.database.transaction() as tx:
                    await tx.execute(statement)
