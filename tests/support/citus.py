"""A distributed database for the tests, where DATABASE_URL leads to a coordinator with nodes (Citus).

Such a database cannot be cloned: each test process makes one, and empties it before each test.
"""

import contextlib
import dataclasses

import psycopg
import psycopg.conninfo
import psycopg.rows
from psycopg import sql
from psycopg.types.json import Jsonb

from brimful import db
from brimful.db.citus.distribute import distribute

TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND relname !~ '^(_?yoyo|pg_dist)' ORDER BY 1
"""


SCHEMA = """
    SELECT tablename AS owner, indexdef AS part FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT attrelid::regclass::text, attname || coalesce(attacl::text, '') FROM pg_attribute
        WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    UNION ALL SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1, 2
"""


def _connected(url, **parts):
    url = psycopg.conninfo.make_conninfo(url, **parts)
    return psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row)


def _nodes(url):
    """(host, port) of each, the coordinator first."""
    with _connected(url) as connection:
        return [tuple(node.address.rsplit(":", 1)) for node in db.citus.cluster.nodes(connection)]


def has_nodes(url):
    return len(_nodes(url)) > 1


@dataclasses.dataclass
class Spread:
    """One database over all nodes; `clone` empties it and gives it again."""

    admin_url: str
    template: str
    rows: dict = dataclasses.field(default_factory=dict)
    schema: list = dataclasses.field(default_factory=list)

    def url(self, database):
        return psycopg.conninfo.make_conninfo(self.admin_url, dbname=database)

    def clone(self):
        with _connected(self.url(self.template)) as connection:
            whole = connection.execute(SCHEMA).fetchall() == self.schema
        if not whole:  # a test has changed it
            self.remove()
            self.make()
        with _connected(self.url(self.template)) as connection:
            names = sql.SQL(", ").join(sql.Identifier(name) for name in self.rows)
            connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))
            for name, rows in self.rows.items():
                for row in rows:
                    columns = sql.SQL(", ").join(map(sql.Identifier, row))
                    places = sql.SQL(", ").join([sql.Placeholder()] * len(row))
                    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})")
                    values = [Jsonb(value) if isinstance(value, dict) else value for value in row.values()]
                    connection.execute(statement.format(sql.Identifier(name), columns, places), values)
        return self.template

    def drop(self, name):
        """It is used again."""

    fresh, discard = clone, drop

    def make(self):
        """A new database on every node, distributed. One at a time: roles are of a whole server."""
        with _connected(self.admin_url) as connection:
            connection.execute("SELECT pg_advisory_lock(hashtext('spread'))")
            self._make()

    def _make(self):
        everywhere = _nodes(self.admin_url)
        for host, port in everywhere:
            with _connected(self.admin_url, host=host, port=port) as connection:
                connection.execute(f"CREATE DATABASE {self.template}")
            with _connected(self.admin_url, host=host, port=port, dbname=self.template) as connection:
                connection.execute("CREATE EXTENSION citus")
        there = self.url(self.template)
        (host, port), *others = everywhere
        with _connected(there) as connection:
            connection.execute("SELECT citus_set_coordinator_host(%s, %s::int)", (host, port))
            for host, port in others:
                connection.execute("SELECT citus_add_node(%s, %s::int)", (host, port))
        db.migrate.apply(there)
        distribute(there, lambda _: None)
        with _connected(there) as connection:
            names = [row["relname"] for row in connection.execute(TABLES)]
            self.rows = {one: connection.execute(f"SELECT * FROM {one}").fetchall() for one in names}
            self.schema = connection.execute(SCHEMA).fetchall()

    def remove(self):
        for host, port in reversed(_nodes(self.admin_url)):
            with _connected(self.admin_url, host=host, port=port) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {self.template} WITH (FORCE)")


@contextlib.contextmanager
def database(url, name):
    """One for this process, gone afterwards."""
    made = Spread(url, name)
    try:
        made.make()
        yield made
    finally:
        made.remove()
