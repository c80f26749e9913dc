"""The plans of the hot statements, on seeded tables and on the connections that run them."""

import json
import re

import psycopg
import pytest

from brimful.auto_top_up.facts import _FACTS
from brimful.budgets.definitions import _FIND as _BUDGETS
from brimful.budgets.windows import _BUNDLES
from brimful.db.pool import role_conninfo
from brimful.jobs import _SESSION
from brimful.ledger.accounts import _LOCK, _UPDATE_HEADS
from brimful.ledger.keys import _FIND
from brimful.ledger.statements import _ADDITIONS
from brimful.posting.group_commit import PLANS

ACCOUNTS, EACH = 2_000, 10
SEED = (
    "INSERT INTO customers (customer_id, name, created_at) SELECT lpad(to_hex(n), 32, '0')::uuid, 'c', now() "
    f"FROM generate_series(1, {ACCOUNTS}) AS n",
    f"INSERT INTO accounts SELECT customer_id, 'USD', -{EACH}, {EACH}, decode(repeat('00', 17), 'hex'), NULL, now() "
    "FROM customers",
    "INSERT INTO entries (customer_id, asset, seq, key_digest, kind, amount, balance_after, source, key, recorded_at, "
    "mac) SELECT customer_id, 'USD', s, hashtextextended('k' || s, 0), 'usage', -1, -s, 'usage', "
    "'k' || s, now(), "
    f"decode(repeat('00', 17), 'hex') FROM customers, generate_series(1, {EACH}) AS s",
)
BATCH = {
    "customers": [f"{4 * n:032x}" for n in range(1, 501)],
    "assets": ["USD"] * 500,
    "one": f"{4:032x}",
    "digests": [8] * 500,
    "balances": [-11] * 500,
    "seqs": [11] * 500,
    "macs": [bytes(17)] * 500,
    "now": "2026-11-25T00:00:00Z",
    "month": "2026-11-01",
    "hour_ago": "2026-11-25T00:00:00Z",
    "day_ago": "2026-11-24T00:00:00Z",
    "without": "",
    "tags": ["[]"] * 500,
    "bundles": [0] * 500,
}


@pytest.fixture
def database_url(cluster):
    """One that nothing was deleted from: plans depend on pages."""
    name = cluster.fresh()
    yield cluster.url(name)
    cluster.discard(name)


@pytest.fixture(params=["analyzed", "never analyzed"])
def seeded(request, database_url):
    with psycopg.connect(database_url, autocommit=True) as owner:
        for statement in SEED:
            owner.execute(statement)
        if request.param == "analyzed":
            owner.execute("VACUUM ANALYZE")
    return database_url


def plan(url, sql, values, options, role="brimful_api"):
    """The generic plan of a prepared statement, as the connection with these options makes it."""
    names = []

    def place(match):
        if match[1] is not None and match[1] in names:
            return f"${names.index(match[1]) + 1}"
        names.append(match[1] or f"#{len(names)}")
        return f"${len(names)}"

    numbered = re.sub(r"%(?:\((\w+)\))?s", place, sql)
    with psycopg.connect(role_conninfo(url, role, options), autocommit=True) as connection:
        connection.execute(f"PREPARE hot AS {numbered}")
        given = [values[name] if isinstance(values, dict) else values[int(name[1:])] for name in names]
        arguments = f"({', '.join(['%s'] * len(given))})" if given else ""
        shown = psycopg.ClientCursor(connection).execute(f"EXPLAIN (FORMAT JSON) EXECUTE hot{arguments}", given)
        return json.dumps(shown.fetchone()[0])


HOT = {
    "lock": (_LOCK, [BATCH["customers"], ["USD"]], {"accounts_pkey"}),
    "known": (_FIND, BATCH, {"entries_customer_id_key_digest_key"}),
    "tails": (_UPDATE_HEADS, BATCH, {"accounts_pkey"}),
    "budgets": (_BUDGETS, BATCH, {"budgets_by_tag", "budgets_pkey"}),
    "bundles": (_BUNDLES, BATCH, {"budget_counters_pkey"}),
    "facts": (_FACTS, BATCH, {"accounts_pkey", "rules_pkey", "rule_states_pkey", "consents_pkey"}),
}


@pytest.mark.parametrize("name", HOT)
def test_a_batch_reads_no_table_as_a_whole(seeded, name):
    sql, values, indexes = HOT[name]
    found = plan(seeded, sql, values, PLANS)
    assert "Seq Scan" not in found
    assert indexes <= set(re.findall(r'"Index Name": "(\w+)"', found))


def test_the_lookup_of_keys_is_one_probe_of_the_unique_index_per_key(seeded):
    found = plan(seeded, _FIND, BATCH, PLANS)
    assert "(customer_id = wanted.customer_id) AND (key_digest = wanted.key_digest)" in found
    assert "Hash Join" not in found
    assert "Merge Join" not in found


def test_a_batch_of_writes_moves_no_index_of_accounts(seeded):
    """HOT: the new version of an account's row stays in its page, and no index hears of it."""
    with psycopg.connect(role_conninfo(seeded, "brimful_api", PLANS), autocommit=True) as connection:
        connection.execute(_UPDATE_HEADS, BATCH)
    with psycopg.connect(seeded, autocommit=True) as owner:
        owner.execute("SELECT pg_stat_force_next_flush()")
        updated, hot = owner.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'accounts'"
        ).fetchone()
    assert updated == 500
    assert hot > 0.8 * updated


def test_entries_have_the_indexes_that_earn_their_place(database_url):
    """Another whole one would cost every debit; no foreign key checks each entry once more. The two partial ones hold
    what debits are not.
    """
    with psycopg.connect(database_url) as owner:
        names = {row[0] for row in owner.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'entries'")}
        keys = owner.execute(
            "SELECT count(*) FROM pg_constraint WHERE conrelid = 'entries'::regclass AND contype = 'f'"
        ).fetchone()
    assert names == {"entries_pkey", "entries_customer_id_key_digest_key", "entries_paid", "entries_additions"}
    assert keys == (0,)


def test_additions_are_found_without_reading_what_was_spent(seeded):
    values = {"customer_id": f"{4:032x}", "asset": "USD", "since": "2026-11-24T00:00:00Z"}
    assert "entries_additions" in plan(seeded, _ADDITIONS, values, PLANS)


_NEXT_JOB = """
    SELECT jobs.* FROM procrastinate_jobs AS jobs
    WHERE NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS other_jobs WHERE jobs.lock IS NOT NULL AND other_jobs.lock = jobs.lock
            AND (other_jobs.status = 'doing' OR (other_jobs.status = 'todo' AND (other_jobs.priority > jobs.priority
                OR (other_jobs.priority = jobs.priority AND other_jobs.id < jobs.id)))))
        AND jobs.status = 'todo' AND (jobs.scheduled_at IS NULL OR jobs.scheduled_at <= now())
    ORDER BY jobs.priority DESC, jobs.id ASC LIMIT 1 FOR UPDATE OF jobs SKIP LOCKED
"""  # as in procrastinate_fetch_job_v2


@pytest.mark.parametrize("analyzed", ["while empty", "never"])
def test_the_next_job_is_found_by_the_index_of_priorities(database_url, analyzed):
    with psycopg.connect(database_url, autocommit=True) as owner:
        if analyzed == "while empty":
            owner.execute("VACUUM ANALYZE procrastinate_jobs")
        owner.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, priority) "
            "SELECT 'default', 'pay', 10 FROM generate_series(1, 3000)"
        )
    found = plan(database_url, _NEXT_JOB, [], _SESSION, role="brimful_engine")
    assert "procrastinate_jobs_priority_idx_v1" in found
    assert '"Sort"' not in found
    assert "Seq Scan" not in found
