"""One PostgreSQL for each test process, a template database, and for each test one that is as the template is.

Making a database from the template costs more than most stories (it copies 500 files), so that one is used again:
emptied, and filled with the template's own rows. One whose schema, rights or triggers a test has changed is dropped.
"""

import dataclasses
import secrets

import psycopg
import psycopg.conninfo
import psycopg.rows

_USES = 25  # deleted rows leave pages behind, and plans depend on them

_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
_SEQUENCES = "SELECT schemaname || '.' || sequencename AS name, last_value, start_value FROM pg_sequences"
# A row of a catalogue that was changed has another xmin, and a copy of a database keeps those of its template.
_OURS = "oid >= 16384"
_CATALOGUES = {
    "pg_class": _OURS, "pg_attribute": "attrelid >= 16384", "pg_attrdef": _OURS, "pg_constraint": _OURS,
    "pg_index": "indexrelid >= 16384", "pg_trigger": _OURS, "pg_rewrite": _OURS, "pg_proc": _OURS, "pg_type": _OURS,
    "pg_default_acl": "true", "pg_namespace": "nspname !~ '^pg_(temp|toast)'",
    "pg_db_role_setting": "setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))",
}  # fmt: skip
_SCHEMA = " UNION ALL ".join(
    [
        f"SELECT '{name}', count(*), sum(xmin::text::bigint) FROM {name} WHERE {which}"
        for name, which in _CATALOGUES.items()
    ]
    + ["SELECT 'database', datconnlimit, datallowconn::int FROM pg_database WHERE datname = current_database()"]
)
_DISCONNECT = """
    SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclasses.dataclass
class Cluster:
    """A running PostgreSQL and its migrated template."""

    admin_url: str
    template: str
    uses: dict[str, int] = dataclasses.field(default_factory=dict)
    clean: list[str] = dataclasses.field(default_factory=list)
    as_made: dict = dataclasses.field(default_factory=dict)

    def url(self, database):
        return psycopg.conninfo.make_conninfo(self.admin_url, dbname=database)

    def clone(self):
        """The name of a database as the template is: a used one, or a new one."""
        if self.clean:
            return self.clean.pop()
        if not self.as_made:
            with self._connected(self.template) as connection:
                self.as_made = _state(connection)
        return self.fresh()

    def fresh(self):
        """A new one, which nothing was deleted from."""
        name = f"test_{secrets.token_hex(6)}"
        with self._connected() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        return name

    def drop(self, name):
        """Keep it for the next test if it can be made as the template is."""
        self.uses[name] = self.uses.get(name, 0) + 1
        if self.uses[name] < _USES and self.as_made and self._reset(name):
            self.clean.append(name)
        else:
            self.discard(name)

    def discard(self, name):
        with self._connected() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _reset(self, name):
        try:
            with self._connected(name) as connection:
                connection.execute(_DISCONNECT)
                if connection.execute(_SCHEMA).fetchall() != self.as_made["schema"]:
                    return False
                with connection.transaction():
                    connection.execute("SET LOCAL session_replication_role = replica")
                    connection.execute("SET LOCAL lock_timeout = '3s'")
                    connection.execute(";".join(f"DELETE FROM {table}" for table in self.as_made["tables"]))
                    for table, rows in self.as_made["rows"].items():
                        connection.execute(
                            f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb)",
                            (rows,),
                        )
                    for sequence in self.as_made["sequences"]:
                        called = sequence["last_value"] is not None
                        value = sequence["last_value"] if called else sequence["start_value"]
                        connection.execute("SELECT setval(%s, %s, %s)", (sequence["name"], value, called))
        except psycopg.Error:
            return False  # it was dropped, renamed, or something still holds it
        return True

    def _connected(self, database=None):
        url = self.admin_url if database is None else self.url(database)
        return psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row)


def _state(connection):
    tables = [row["relname"] for row in connection.execute(_TABLES)]
    rows = {}
    for table in tables:
        found = connection.execute(f"SELECT jsonb_agg(to_jsonb(t))::text AS rows FROM {table} AS t").fetchone()["rows"]
        if found is not None:
            rows[table] = found
    return {
        "tables": tables,
        "rows": rows,
        "sequences": connection.execute(_SEQUENCES).fetchall(),
        "schema": connection.execute(_SCHEMA).fetchall(),
    }
