"""Which table goes where once the database is distributed, and what `brimful distribute` refuses."""

import contextlib
import pathlib
import re
import secrets

import psycopg
import psycopg.rows
import pytest

from brimful import db, operations, runtime
from brimful.core.errors import ConfigurationError
from support import citus

TABLES = pathlib.Path(__file__).parents[2] / "docs" / "tables.md"
PLACES = {
    "distributed": db.citus.distribute.DISTRIBUTED,
    "reference": db.citus.distribute.REFERENCE,
    "local": db.citus.distribute.LOCAL,
    "apart": db.citus.distribute.APART,
}


def connected(url):
    return psycopg.connect(url, row_factory=psycopg.rows.dict_row)


@contextlib.contextmanager
def empty(cluster):
    """A database without a table."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(cluster.admin_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield cluster.url(name)
    finally:
        with psycopg.connect(cluster.admin_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_every_table_has_one_place_and_the_page_says_which(database_url):
    with connected(database_url) as connection:
        there = {row["relname"] for row in connection.execute(citus.TABLES)}
    named = [name for names in PLACES.values() for name in names]
    assert sorted(named) == sorted(name for name in there if not name.startswith("procrastinate_"))
    rows = dict(re.findall(r"^\| (\w+)\b[^|]*\| (.+) \|$", TABLES.read_text(), re.MULTILINE))
    for kind, names in PLACES.items():
        shown = set(re.findall(r"`(\w+)`", rows[kind]))
        assert shown == set(names), kind


def test_keys_of_customer_data_are_led_by_the_customer_and_nothing_fires_on_it(database_url):
    with connected(database_url) as connection:
        keys = connection.execute(
            "SELECT indrelid::regclass::text AS name, (SELECT attname FROM pg_attribute WHERE attrelid = indrelid "
            "AND attnum = indkey[0]) AS first FROM pg_index WHERE indisunique"
        ).fetchall()
        triggers = connection.execute("SELECT tgrelid::regclass::text AS name FROM pg_trigger WHERE NOT tgisinternal")
        fired = {row["name"] for row in triggers}
        foreign = connection.execute(
            "SELECT conrelid::regclass::text AS name, confrelid::regclass::text AS other, (SELECT attname FROM "
            "pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]) AS first FROM pg_constraint "
            "WHERE contype = 'f'"
        ).fetchall()
    assert {row["first"] for row in keys if row["name"] in db.citus.distribute.DISTRIBUTED} == {"customer_id"}
    assert fired & set(db.citus.distribute.DISTRIBUTED) == set()
    for row in foreign:
        if row["name"] in db.citus.distribute.DISTRIBUTED and row["other"] in db.citus.distribute.DISTRIBUTED:
            assert row["first"] == "customer_id", row
        elif row["name"] in db.citus.distribute.DISTRIBUTED:
            assert row["other"] in db.citus.distribute.REFERENCE, row
        else:
            assert row["other"] not in db.citus.distribute.DISTRIBUTED, row


def test_a_plain_database_is_told_what_it_lacks_and_nothing_changes(database_url, cluster):
    if isinstance(cluster, citus.Spread):
        said = []
        db.citus.distribute.distribute(database_url, said.append)
        assert said == ["Every table is where it belongs; nothing to do."]
        with connected(database_url) as connection:
            assert db.citus.distribute.misplaced(connection) == []
        assert operations.doctor._nodes(database_url).ok
        return
    with pytest.raises(ConfigurationError, match=r"has no Citus.*Nothing was changed"):
        db.citus.distribute.distribute(database_url, print)
    assert operations.doctor._nodes(database_url).detail == "one PostgreSQL, not distributed"


def test_migrations_come_first(cluster):
    with empty(cluster) as url, pytest.raises(ConfigurationError, match="run `brimful migrate` first"):
        db.citus.distribute.distribute(url, print)


@pytest.mark.parametrize(
    ("placed", "wrong"),
    [
        ({"customers": "distributed by customer_id in 1", "accounts": "distributed by customer_id in 2"}, "accounts"),
        ({"customers": "distributed by name in 1"}, "customers"),
        ({"audit": "distributed by at in 1"}, "audit"),
        ({"assets": "distributed by code in 1"}, "assets"),
        ({"customers": "distributed by customer_id in 1", "accounts": "distributed by customer_id in 1",
          "assets": "reference", "audit": "local", "entries": "local"}, None),
    ],
)  # fmt: skip
def test_what_somebody_has_placed_otherwise_is_refused(placed, wrong):
    strange = [name for name in placed if not db.citus.distribute._fits(name, placed)]
    assert strange == ([] if wrong is None else [wrong])


@pytest.mark.schema
async def test_up_does_not_take_a_database_whose_keys_lie_elsewhere(harness, tmp_path):
    await harness.customer()
    await harness.sql("DELETE FROM _yoyo_migration WHERE migration_id = '0005.grants'")
    with (
        pytest.raises(ConfigurationError, match="is not where its keys lie"),
        runtime.local.up(tmp_path / "data", port=0, quiet=True, database_url=harness.database_url),
    ):
        pass
    assert db.migrate.pending(harness.database_url) == ["0005.grants"]  # it was not even brought up to this version


def test_a_database_without_tables_is_nobodys(cluster):
    with empty(cluster) as url:
        assert not db.migrate.has_customers(url)
