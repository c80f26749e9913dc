"""Distributing the database over several machines: which table goes where, and the way there (Citus).

Customer data is spread by `customer_id`, so that all of one customer is on one node; assets and rates are on every
node; what nobody looks up by customer stays on the coordinator (docs/scale.md). The keys were made for it from the
first migration: nothing about a statement changes, and plain PostgreSQL runs the same ones.
"""

from collections.abc import Callable
from typing import Any, LiteralString

import psycopg
import psycopg.rows
from psycopg import sql

from brimful.core.errors import ConfigurationError
from brimful.db import migrate
from brimful.db.citus import cluster

REFERENCE = ("assets", "rates", "offers")
# The first carries the others with it: they are placed as it is.
DISTRIBUTED = (
    "customers", "accounts", "entries", "entry_notes", "cards", "card_setups", "consents", "consent_evidence", "rules",
    "rule_states", "top_ups", "payments", "refunds", "disputes", "emails", "verified_marks", "holds", "alerts",
    "archive_marks", "archived_keys", "usage_hours", "threshold_changes", "lot_checkpoints",
    "scheduled_credits", "expiry_notices", "budgets", "budget_counters", "budget_windows", "leases", "spend_days",
)  # fmt: skip
# On the coordinator, and written in one transaction with customer data.
LOCAL = (
    "aliases", "audit", "card_tries", "credit_times", "suspensions", "deliveries", "delivery_attempts", "idempotency",
    "outgoing_events", "portal_links", "portal_sessions", "presets", "step_up_codes", "stripe_events",
)  # fmt: skip
# On the coordinator too, and in no transaction that a node takes part in. So are procrastinate's tables: a job that is
# lost costs time, and the sweep finds the same work.
APART = (
    "accepted_differences",
    "api_keys",
    "breakers",
    "card_attempts",
    "installation",
    "installation_key",
    "restore_guard",
    "operator_sessions",
    "operator_tries",
    "operators",
    "rate_limit_uses",
    "token_buckets",
    "verifications",
    "webhook_endpoints",
    "webhook_rejections",
    "workers",
)
_KEY = "customer_id"

Connection = psycopg.Connection[dict[str, Any]]
Say = Callable[[str], None]


# How each table is placed now: h is by hash of a column, t a copy on every node, s on the coordinator but known.
_PLACED: LiteralString = """
    SELECT c.relname AS name, p.partmethod, p.repmodel, p.colocationid,
        CASE WHEN p.partmethod = 'h' THEN column_to_column_name(p.logicalrelid, p.partkey) END AS key
    FROM pg_dist_partition AS p JOIN pg_class AS c ON c.oid = p.logicalrelid
    WHERE c.relnamespace = current_schema()::regnamespace
"""


def _placed(connection: Connection) -> dict[str, str]:
    """Table -> `reference`, `local`, or `distributed by COLUMN in GROUP`. Absent: the coordinator alone knows it."""
    found = {}
    for row in connection.execute(_PLACED).fetchall():
        if row["partmethod"] == "h":
            found[row["name"]] = f"distributed by {row['key']} in {row['colocationid']}"
        else:
            found[row["name"]] = "reference" if row["repmodel"] == "t" else "local"
    return found


def misplaced(connection: Connection) -> list[str]:
    """What `distribute` would still do, or cannot mend, in words; empty when every table is where it belongs."""
    placed = _placed(connection)
    together = placed.get(DISTRIBUTED[0], "")
    return [
        *(f"{name} is no reference table" for name in REFERENCE if placed.get(name) != "reference"),
        *(f"{name} is not distributed by {_KEY} with the others" for name in DISTRIBUTED
          if not together.startswith(f"distributed by {_KEY} ") or placed.get(name) != together),
        *(f"{name} is not one of the coordinator's that commit with the nodes" for name in LOCAL
          if placed.get(name) != "local"),
    ]  # fmt: skip


def distribute(url: str, say: Say) -> None:
    """Place every table. One transaction: it is done whole or not at all; done already, it does nothing.

    Args:
        url: of the coordinator, past any pooler, with a login that may create distributed tables (a superuser).
        say: called with each step, in words.

    Raises:
        ConfigurationError: no Citus, one too old, no worker node, migrations that are missing, or tables that somebody
            has placed in another way. Nothing has changed then.
    """
    missing = migrate.pending(url)
    if missing:
        raise ConfigurationError(f"The database lacks {len(missing)} migrations: run `brimful migrate` first.")
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        with connection.transaction():
            _assess(connection)
            _place(connection, say)
        connection.commit()
        _forget_local_copies(connection, say)


def _assess(connection: Connection) -> None:
    found = cluster.version(connection)
    if found is None:
        raise ConfigurationError(
            "This database has no Citus: install it on every node, add it to shared_preload_libraries, "
            "CREATE EXTENSION citus in this database, then add the nodes (docs/scale.md). Nothing was changed."
        )
    if found < cluster.VERSION_MIN:
        here, wanted = (".".join(map(str, version)) for version in (found, cluster.VERSION_MIN))
        raise ConfigurationError(
            f"Citus {here} does not carry grants on columns to the nodes: {wanted} or newer does. Nothing was changed."
        )
    known = cluster.nodes(connection)
    if not any(node.coordinator for node in known):
        raise ConfigurationError(
            "The coordinator does not know its own address: SELECT citus_set_coordinator_host('HOST', PORT) first."
        )
    if not any(node.active and node.holds_shards for node in known):
        raise ConfigurationError("No node holds shards: SELECT citus_add_node('HOST', PORT) for each worker first.")
    placed = _placed(connection)
    strange = [
        f"{name} is {placed[name]}" for name in (*REFERENCE, *DISTRIBUTED, *LOCAL)
        if name in placed and not _fits(name, placed)
    ]  # fmt: skip
    if strange:
        raise ConfigurationError(
            f"Somebody has placed tables in another way ({'; '.join(strange[:3])}): undistribute_table() them first. "
            "Nothing was changed."
        )


def _fits(name: str, placed: dict[str, str]) -> bool:
    """Whether a table is on its way to where it belongs."""
    if name in REFERENCE:
        return placed[name] in {"reference", "local"}
    if name in LOCAL:
        return placed[name] == "local"
    return placed[name] == "local" or (
        placed[name].startswith(f"distributed by {_KEY} ") and placed[name] == placed.get(DISTRIBUTED[0])
    )


_FOREIGN_KEYS: LiteralString = """
    SELECT conrelid::regclass::text AS "table", conname AS name, pg_get_constraintdef(oid) AS definition
    FROM pg_constraint
    WHERE contype = 'f' AND conrelid IN (SELECT unnest(%s::text[])::regclass) ORDER BY 1, 2
"""


def _place(connection: Connection, say: Say) -> None:
    placed = _placed(connection)
    references = [name for name in REFERENCE if placed.get(name) != "reference"]
    spread = [name for name in DISTRIBUTED if not placed.get(name, "").startswith("distributed")]
    at_home = [name for name in LOCAL if name not in placed]
    if not references and not spread and not at_home:
        say("Every table is where it belongs; nothing to do.")
        return
    # A table is moved whole, so nothing may be written between its move and the next one's.
    everything = sql.SQL(", ").join(map(sql.Identifier, (*REFERENCE, *DISTRIBUTED)))
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(everything))
    connection.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
    cluster.let_roles_in(connection)
    keys = connection.execute(_FOREIGN_KEYS, (spread,)).fetchall()
    for key in keys:  # a key between a table that has moved and one that has not cannot be
        connection.execute(_alter(key["table"], sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(key["name"]))))
    for name in references:
        connection.execute("SELECT create_reference_table(%s)", (name,))
        say(f"{name}: on every node")
    for name in spread:
        beside = {"colocate_with": "none" if name == DISTRIBUTED[0] else DISTRIBUTED[0]}
        connection.execute(
            "SELECT create_distributed_table(%(name)s, %(key)s, colocate_with => %(colocate_with)s)",
            {"name": name, "key": _KEY, **beside},
        )
        say(f"{name}: by {_KEY}")
    for key in keys:
        definition = sql.SQL("ADD CONSTRAINT {} {}").format(sql.Identifier(key["name"]), sql.SQL(key["definition"]))
        connection.execute(_alter(key["table"], definition))
    say(f"{len(keys)} foreign keys hold on the nodes")
    # Known to Citus, so that a transaction that writes them and a node's tables commits in two phases: both or none.
    for name in at_home:
        connection.execute(_AT_HOME, {"name": name})
    # Citus would refuse to write a table that another refers to once a statement has asked several nodes: a row that is
    # deleted could take rows of theirs with it. No key of ours does that from the coordinator to a node.
    connection.execute(sql.SQL("ALTER DATABASE {} SET citus.enforce_foreign_key_restrictions = off").format(
        sql.Identifier(connection.info.dbname)))  # fmt: skip
    say(f"{len(at_home)} tables stay on the coordinator and commit with the nodes")
    wrong = misplaced(connection)
    if wrong:
        raise ConfigurationError(f"It did not come out as it should ({wrong[0]}). Nothing was changed.")


_AT_HOME: LiteralString = """
    SELECT citus_add_local_table_to_metadata(%(name)s::regclass, cascade_via_foreign_keys => true)
    WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = %(name)s::regclass)
"""


def _alter(table: str, what: sql.Composable) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} {}").format(sql.Identifier(table), what)


_LOCAL_COPY: LiteralString = "SELECT pg_relation_size(%s::regclass) > 0 AS left_behind"


def _forget_local_copies(connection: Connection, say: Say) -> None:
    """What was copied to the nodes still lies, hidden, where it was; also what a run that was cut short has left."""
    for name in reversed((*REFERENCE, *DISTRIBUTED)):
        row = connection.execute(_LOCAL_COPY, (name,)).fetchone()
        if row is not None and row["left_behind"]:
            connection.execute("SELECT truncate_local_data_after_distributing_table(%s)", (name,))
            connection.commit()
            say(f"{name}: the copy that was left on the coordinator is gone")
