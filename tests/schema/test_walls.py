"""Walls for SQL: one room writes a table, its own floor and higher ones read it. Over the parsed statements."""

import configparser

import psycopg
import pytest
from pglast.visitors import Visitor

from schema.test_schema import SOURCE
from schema.test_shape import SOURCES, parsed
from support import citus

OWNERS = {
    "api": "idempotency",
    "assets": "assets rates",
    "auth": "api_keys audit operator_sessions operator_tries operators portal_links portal_sessions step_up_codes",
    "auto_top_up": "presets rule_states rules threshold_changes",
    "budgets": "budget_counters budget_windows budgets",
    "cards": "card_attempts card_setups card_tries cards consent_evidence consents",
    "customers": "aliases customers",
    "email": "emails",
    "grants": "expiry_notices offers scheduled_credits",
    "gateway": "breakers token_buckets",
    "ledger": "accounts archive_marks archived_keys entries entry_notes holds lot_checkpoints spend_days usage_hours",
    "leases": "leases",
    "notifications": "alerts deliveries delivery_attempts outgoing_events webhook_endpoints",
    "operations": "installation verifications verified_marks workers",
    "payments": ("accepted_differences disputes installation_key refunds stripe_events webhook_rejections"),
    "suspensions": "restore_guard suspensions",
    "top_ups": "credit_times payments top_ups",
    "web": "rate_limit_uses",
}
OWNER = {table: room for room, tables in OWNERS.items() for table in tables.split()}
EXCEPTIONS = {
    "operations/erase.py": "what names a person is removed from every room in one transaction, by the owner's role",
    "operations/archive.py": "usage leaves the ledger for a file, checked and marked, by the owner's role",
    "db/migrate.py": "before the first migration, whether a database has customers",
}
# Not tables of ours: the server's, the job queue's, the migrations' and the views of the invariants.
OTHERS = ("pg_", "procrastinate_", "_yoyo", "citus_", "broken_", "trial_balance")


class Tables(Visitor):
    """The tables that a statement writes and reads."""

    def __init__(self):
        self.written, self.read, self._local = set(), set(), set()

    def visit_CommonTableExpr(self, ancestors, node):
        self._local.add(node.ctename)

    def visit_InsertStmt(self, ancestors, node):
        self.written.add(node.relation.relname)

    visit_UpdateStmt = visit_DeleteStmt = visit_InsertStmt

    def visit_RangeVar(self, ancestors, node):
        if node.relname not in self._local:
            self.read.add(node.relname)


def floors():
    """{room: its floor, counted from below}, as the import linter has them."""
    config = configparser.ConfigParser()
    config.read(SOURCE.parents[1] / ".importlinter")
    layers = config["importlinter:contract:floors"]["layers"].split("\n")
    rows = [[room.strip() for room in layer.split("|")] for layer in reversed(layers) if layer.strip()]
    return {room: number for number, row in enumerate(rows) for room in row}


FLOOR = floors()


def crossings(name, sql):
    """What a statement does to tables that its room may not write, or may not see."""
    file = name.partition(":")[0]
    room = file.partition("/")[0].removesuffix(".py")
    tables = Tables()
    tables(parsed(sql))
    written = {f"writes {table}" for table in tables.written if OWNER.get(table, room) != room}
    read = {f"reads {table}" for table in tables.read - tables.written if FLOOR[OWNER.get(table, room)] > FLOOR[room]}
    return written | read


def test_every_table_has_one_owner(database_url):
    with psycopg.connect(database_url) as connection:
        there = {name for (name,) in connection.execute(citus.TABLES)}
    assert {name for name in there if not name.startswith(OTHERS)} == set(OWNER)


@pytest.mark.parametrize("file", sorted({name.partition(":")[0] for name in SOURCES}))
def test_a_room_writes_its_own_tables_and_reads_none_of_a_higher_floor(file):
    found = {
        f"{name} {crossing}"
        for name, sql in SOURCES.items()
        if name.startswith(f"{file}:")
        for crossing in crossings(name, sql)
    }
    assert (found != set()) == (file in EXCEPTIONS), found
