"""What a coordinator knows of its cluster (Citus)."""

import dataclasses
from typing import Any, LiteralString

import psycopg
from psycopg import sql

VERSION_MIN = (13, 1)  # the first that carries grants on single columns to the nodes
ROLES = ("brimful_owner", "brimful_api", "brimful_portal", "brimful_engine")

Connection = psycopg.Connection[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    address: str
    active: bool
    holds_shards: bool
    coordinator: bool


_VERSION: LiteralString = "SELECT extversion FROM pg_extension WHERE extname = 'citus'"


def version(connection: Connection) -> tuple[int, ...] | None:
    """Citus' version, such as (13, 2); None on a plain PostgreSQL."""
    row = connection.execute(_VERSION).fetchone()
    return None if row is None else tuple(int(part) for part in row["extversion"].partition("-")[0].split("."))


_NODES: LiteralString = """
    SELECT nodename || ':' || nodeport AS address, isactive AS active, shouldhaveshards AS holds_shards,
        groupid = 0 AS coordinator
    FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid, nodename, nodeport
"""


def nodes(connection: Connection) -> list[Node]:
    """Its machines, the coordinator first; none on a plain PostgreSQL."""
    if version(connection) is None:
        return []
    return [Node(**row) for row in connection.execute(_NODES).fetchall()]


_KNOWN: LiteralString = "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname = ANY(%s)"


def let_roles_in(connection: Connection) -> None:
    """The coordinator speaks to a node under the role that speaks to it, so each must be able to log in there. Which
    address a node lets in is its own pg_hba.conf's.
    """
    known = {row["rolname"]: row["rolcanlogin"] for row in connection.execute(_KNOWN, (list(ROLES),)).fetchall()}
    for role in ROLES:
        if not known.get(role):
            change = sql.SQL("ALTER ROLE {} LOGIN" if role in known else "CREATE ROLE {} LOGIN")
            connection.execute(change.format(sql.Identifier(role)))


# Asked of each node through the coordinator, by Citus' own command.
_DURABLE: LiteralString = """
    SELECT nodename || ':' || nodeport AS address, result, success FROM run_command_on_all_nodes($$
        SELECT string_agg(name || ' = ' || setting, ', ') FROM pg_settings
        WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
    $$) JOIN pg_dist_node USING (nodeid)
"""


def silent(connection: Connection) -> list[str]:
    """Nodes that the coordinator cannot reach."""
    rows = connection.execute("SELECT * FROM citus_check_cluster_node_health()").fetchall()
    return sorted({f"{row['to_nodename']}:{row['to_nodeport']}" for row in rows if not row["result"]})


def unsafe(connection: Connection) -> list[str]:
    """Nodes whose settings could lose what was acknowledged, and which."""
    rows = connection.execute(_DURABLE).fetchall()
    return [f"{row['address']} has {row['result']}" for row in rows if row["success"] and row["result"]]
