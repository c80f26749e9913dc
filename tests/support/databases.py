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
_SCHEMA = """
    SELECT md5(string_agg(part, E'\\n' ORDER BY part)) AS digest FROM (
        SELECT concat_ws(' ', c.oid::regclass, c.relkind, c.relowner::regrole, c.relacl, c.reloptions, c.relhasrules,
            CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) WHEN 'i' THEN pg_get_indexdef(c.oid) END) AS part
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', attrelid::regclass, attname, atttypid::regtype, attnotnull, attacl)
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        WHERE attnum > 0 AND NOT attisdropped AND c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled, tgfoid::regproc) FROM pg_trigger
        UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', oid::regprocedure, prosrc, proacl) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
        UNION ALL SELECT concat_ws(' ', setdatabase = 0, setrole, setconfig) FROM pg_db_role_setting
        WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        UNION ALL SELECT concat_ws(' ', 'database', datconnlimit, datallowconn) FROM pg_database
        WHERE datname = current_database()
    ) AS parts
"""
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
                if connection.execute(_SCHEMA).fetchone() != self.as_made["schema"]:
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
        "schema": connection.execute(_SCHEMA).fetchone(),
    }
