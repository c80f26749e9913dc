"""The schema: equal to the committed one, every statement valid under it, the checks in the database too."""

import contextlib
import importlib
import importlib.metadata
import pathlib
import re
import subprocess

import psycopg
import psycopg.errors
import pytest

from brimful import db, runtime

SOURCE = pathlib.Path(runtime.embedded_postgres.__file__).parents[1]
COMMITTED = SOURCE / "db" / "schema.sql"


def dumped(url, version="18"):
    """Our tables and views as pg_dump of the wheel writes them, without what differs from run to run.

    The job tables are procrastinate's: they stand in 0002.jobs.sql alone.
    """
    program = runtime.embedded_postgres.program(version, "pg_dump")
    done = subprocess.run(
        [str(program), "--schema-only", "--no-owner", "--table=public.*", "--exclude-table=*yoyo*",
         "--exclude-table=procrastinate*", "--dbname", url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(("--", "\\", "SET ", "SELECT "))]
    return "\n".join(line for line in lines if "yoyo" not in line) + "\n"


def test_all_migrations_together_are_the_committed_schema(tmp_path):
    """On 18 whatever the other tests run on: its pg_dump wrote the committed one."""
    directory = runtime.embedded_postgres.DataDirectory(tmp_path / "data").open(version="18")
    with runtime.embedded_postgres.running(directory) as server:
        db.migrate.apply(server.url())
        assert dumped(server.url()) == COMMITTED.read_text()
    directory.remove()


def test_the_job_tables_are_those_of_the_pinned_library():
    """Upgrading procrastinate needs a migration: this test is how one notices."""
    ours = (db.migrate.MIGRATIONS / "0002.jobs.sql").read_text()
    shipped = importlib.metadata.distribution("procrastinate").locate_file("procrastinate/sql/schema.sql")
    assert pathlib.Path(shipped).read_text().strip() in ours


def test_nothing_is_pending_and_applying_again_changes_nothing(database_url):
    assert db.migrate.pending(database_url) == []
    assert db.migrate.apply(database_url) == []


def statements():
    """Every SQL constant that a module of the source holds, composed ones too."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if "sandbox" in path.parts or path.name in {"__main__.py", "bench.py"}:
            continue  # the sandbox's SQLite is its own; the bench's script is pgbench's
        name = ".".join(["brimful", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
        for constant, value in vars(importlib.import_module(name)).items():
            if constant.isupper():
                for part, sql in parts(constant, value):
                    if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", sql):
                        found[f"{path.relative_to(SOURCE)}:{part}"] = sql
    return list(found.items())


def parts(name, value):
    """(name, text) of a constant, or of each text in a tuple or a dictionary."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, (tuple, list)):
        for number, one in enumerate(value):
            yield from parts(f"{name}[{number}]", one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from parts(f"{name}[{key}]", one)


STATEMENTS = statements()
# Citus' own tables and functions, which are not here.
CITUS = re.compile(r"pg_dist_|citus_|run_command_on|get_shard_id")
HERE = [(name, sql) for name, sql in STATEMENTS if not CITUS.search(sql)]


def test_there_are_statements_to_prepare():
    assert len(STATEMENTS) > 100


@pytest.mark.parametrize(("name", "sql"), HERE, ids=[name for name, _ in HERE])
def test_every_statement_is_prepared_against_the_real_schema(cluster, name, sql):
    numbered, places = sql, {}

    def place(match):
        key = match.group(1) or f"#{len(places)}"
        return f"${places.setdefault(key, len(places) + 1)}"

    numbered = re.sub(r"%(?:\((\w+)\))?s", place, numbered)
    with psycopg.connect(cluster.url(cluster.template)) as connection:
        try:
            connection.execute(f"PREPARE it AS {numbered}".encode())
        except (psycopg.errors.IndeterminateDatatype, psycopg.errors.AmbiguousFunction):
            pass  # a bare placeholder has no type until psycopg sends one; the statement itself was parsed


BAD_ROWS = [
    "INSERT INTO assets VALUES ('usd', 'x', 'currency', 2, NULL, NULL, now())",
    "INSERT INTO assets VALUES ('ABC', 'x', 'unit', 13, NULL, NULL, now())",
    "INSERT INTO rates VALUES ('USD', 'USD', now(), NULL, 0, now())",
    "INSERT INTO rates VALUES ('USD', 'USD', now(), now() - interval '1 s', 1, now())",
    "UPDATE accounts SET seq = -1",
    "UPDATE accounts SET mac = 'short'",
    "UPDATE entries SET amount = -amount",
    "UPDATE entries SET kind = 'gift'",
    "UPDATE entries SET source = 'me'",
    "UPDATE entries SET money_minor = 5",
    "UPDATE rules SET threshold = 0",
    "UPDATE rules SET amount_minor = 0",
    "UPDATE rules SET limit_minor = amount_minor - 1",
    "UPDATE rules SET currency = 'dollars'",
    "UPDATE top_ups SET state = 'done'",
    "UPDATE top_ups SET ended_at = NULL",
    "UPDATE top_ups SET amount_minor = -1",
    "UPDATE top_ups SET units = 0",
    "UPDATE top_ups SET consent_id = NULL",
    "UPDATE payments SET state = 'lost'",
    "UPDATE payments SET closed_at = NULL",
    "UPDATE payments SET state = 'abandoned'",
    "UPDATE cards SET last4 = '12'",
    "UPDATE consents SET action = 'withdrawn'",
    "UPDATE card_setups SET state = 'open'",
]


async def test_the_database_checks_amounts_states_and_currencies_itself(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    accepted = []
    for statement in BAD_ROWS:
        with contextlib.suppress(psycopg.IntegrityError):
            await harness.sql(statement)
            accepted.append(statement)
    assert accepted == []
