"""Old usage leaves the ledger for a file: read back before anything is dropped, below a checkpoint nobody can move."""

import datetime as dt
import pathlib
from decimal import Decimal

import psycopg
import pytest

from brimful import anchors, archive, verify
from brimful.errors import ConfigurationError
from support.house import LEDGER_KEYS

NOW = dt.timedelta(0)


async def archived(house, directory, *, before=None, **more):
    [row] = await house.sql("SELECT clock_timestamp() AS now")
    said = []
    done = await archive.run(
        house.database_url, LEDGER_KEYS, before=before or row["now"], directory=directory, say=said.append,
        age_min=NOW, **more,
    )  # fmt: skip
    return done, said


async def broken(house):
    return [finding for finding in await verify.run(house.database_url, LEDGER_KEYS, full=True) if not finding.ok]


async def trial_balance(house):
    return await house.sql("SELECT * FROM trial_balance ORDER BY asset, currency, account")


@pytest.fixture
async def old(house):
    """Two customers with usage, a top-up, a hold and an adjustment. Gives one's id and visitor."""
    customer_id, visitor = await house.funded(balance=12, threshold="10")
    other = await house.customer("Grace")
    await house.give(other, 50)
    for number in range(6):
        await house.use(customer_id, "1", f"e-{number}", description=f"request {number}")
        await house.use(other, "2", f"g-{number}")
    await house.work()
    return customer_id, visitor


@pytest.mark.flow
async def test_what_is_archived_leaves_its_keys_its_money_and_a_checkpoint(house, old, tmp_path):
    customer_id, visitor = old
    balance, books = await house.balance(customer_id), await trial_balance(house)
    [before] = await house.sql("SELECT count(*) AS n FROM entries")
    done, said = await archived(house, tmp_path)
    assert (done.accounts, done.entries, done.dropped) == (2, before["n"], 12)
    assert "reading them back" in said[0]
    kinds = {row["kind"] for row in await house.sql("SELECT DISTINCT kind FROM entries")}
    assert kinds == {"adjustment", "top_up"}
    # Everything is as it was: balances, the other sides, the portal, the invariants.
    assert await house.balance(customer_id) == balance
    assert await trial_balance(house) == books
    assert await broken(house) == []
    for path in ("/", "/activity", "/auto-top-up/USD"):
        assert (await visitor.get(path)).status_code == 200
    # An id is never used twice, and what comes next continues the chain.
    assert (await house.use(customer_id, "1", "e-3"))["status"] == "duplicate"
    assert (await house.use(customer_id, "2", "e-3"))["code"] == "key_reused"
    assert (await house.use(customer_id, "1", "later"))["status"] == "applied"
    assert await broken(house) == []
    # The file is anybody's to read, and ours to check.
    assert [finding.ok for finding in archive.check(tmp_path, LEDGER_KEYS)] == [True]
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(done.file).to_pylist()
    assert sum(row["amount"] for row in table if row["key"].startswith("g-")) == Decimal(-12)


async def test_a_second_archive_continues_the_first(house, old, tmp_path):
    customer_id, _ = old
    await archived(house, tmp_path)
    assert (await archived(house, tmp_path))[1] == ["Nothing that old is left in the ledger."]
    for number in range(3):
        await house.use(customer_id, "1", f"second-{number}")
    await house.give(customer_id, 5, key="between")
    done, _ = await archived(house, tmp_path)
    assert (done.entries, done.dropped) == (4, 3)
    assert await broken(house) == []
    assert [finding.ok for finding in archive.check(tmp_path, LEDGER_KEYS)] == [True, True]
    [mark] = await house.sql("SELECT seq, dropped FROM archive_marks WHERE customer_id = %s", (customer_id,))
    [end] = await house.sql("SELECT seq FROM accounts WHERE customer_id = %s AND asset = 'USD'", (customer_id,))
    assert (mark["seq"], mark["dropped"]) == (end["seq"], -9)


async def test_an_anchor_from_before_still_compares(house, old, tmp_path):
    lines = [line async for line in anchors.lines(house.database_url, LEDGER_KEYS)]
    await archived(house, tmp_path)
    assert (await anchors.compare(house.database_url, LEDGER_KEYS, lines)).ok


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
    house, old, tmp_path, statement, word
):
    await archived(house, tmp_path)
    await house.sql("DELETE FROM entry_notes")
    await house.sql(statement)
    [found, *_] = await broken(house)
    assert (found.id, word in found.detail) == ("I1", True), found


@pytest.mark.tampers
async def test_a_chain_that_does_not_hold_is_not_archived(house, old, tmp_path):
    await house.sql("UPDATE entries SET amount = -2, balance_after = balance_after - 1 WHERE key = 'e-2'")
    before = await house.sql("SELECT count(*) AS n FROM entries")
    with pytest.raises(ConfigurationError, match="Nothing was dropped"):
        await archived(house, tmp_path)
    assert await house.sql("SELECT count(*) AS n FROM entries") == before
    assert await house.sql("SELECT 1 FROM archive_marks") == []


async def test_a_file_that_is_not_what_was_written_drops_nothing(house, old, tmp_path, monkeypatch):
    read = archive._rows
    monkeypatch.setattr(archive, "_rows", lambda path: [row for row in read(path) if row["key"] != "g-5"])
    before = await house.sql("SELECT count(*) AS n FROM entries")
    with pytest.raises(ConfigurationError, match="Nothing was dropped"):
        await archived(house, tmp_path)
    assert await house.sql("SELECT count(*) AS n FROM entries") == before


async def test_a_file_that_was_changed_later_is_named(house, old, tmp_path):
    done, _ = await archived(house, tmp_path)
    whole = done.file.read_bytes()
    done.file.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    assert "changed after it was written" in archive.check(tmp_path, LEDGER_KEYS)[0].detail
    done.file.write_bytes(whole)
    told = done.file.with_suffix(".json")
    told.write_text(told.read_text().replace('"accounts": 2', '"accounts": 3'))
    assert "not signed" in archive.check(tmp_path, LEDGER_KEYS)[0].detail


async def test_a_quarter_stays_and_no_service_may_drop_an_entry(house, old, tmp_path):
    [row] = await house.sql("SELECT clock_timestamp() - interval '89 days' AS then")
    with pytest.raises(ConfigurationError, match="90 days"):
        await archive.run(
            house.database_url, LEDGER_KEYS, before=row["then"], directory=pathlib.Path(tmp_path), say=print
        )
    for deps in (house.engine, house.portal_deps):
        for statement in (
            "DELETE FROM entries",
            "INSERT INTO archive_marks DEFAULT VALUES",
            "DELETE FROM archived_keys",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with deps.database.transaction() as tx:
                    await tx.execute(statement)
