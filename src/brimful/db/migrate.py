"""Migrations: plain SQL files, forward only, run by yoyo under a lock."""

import pathlib
import urllib.parse
import warnings
from typing import Any

import psycopg
import psycopg.conninfo
import psycopg.errors
import psycopg.rows

from brimful.core.errors import ConfigurationError
from brimful.db.citus import cluster

with warnings.catch_warnings():  # yoyo asks for a per-user runtime directory that servers do not have
    warnings.simplefilter("ignore")
    import yoyo


MIGRATIONS = pathlib.Path(__file__).parent / "migrations"
_LOCK_WAIT_S = 60


def apply(url: str) -> list[str]:
    """Bring the database up to this version of Brimful. Returns the names of what was applied."""
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        if len(cluster.nodes(connection)) > 1:
            cluster.let_roles_in(connection)
    with _backend(url) as backend, backend.lock(timeout=_LOCK_WAIT_S):
        missing = backend.to_apply(yoyo.read_migrations(str(MIGRATIONS)))
        backend.apply_migrations(missing)
    _hand_over(url)
    return [migration.id for migration in missing]


_HAND_OVER = """
    DO $$
    DECLARE
        name text;
    BEGIN
        FOR name IN SELECT tablename FROM pg_tables
            WHERE tablename IN ('_yoyo_migration', '_yoyo_log', '_yoyo_version', 'yoyo_lock')
                AND schemaname = current_schema() AND tableowner = current_user LOOP
            EXECUTE format('ALTER TABLE %I OWNER TO brimful_owner', name);
        END LOOP;
    END
    $$
"""


def _hand_over(url: str) -> None:
    """The list of migrations belongs to the owner's role like everything else, so that another login may migrate."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_HAND_OVER)


_ANYBODY = "SELECT customer_id FROM customers LIMIT 1"


def has_customers(url: str) -> bool:
    """Whether a database is somebody's, and so nothing to be tried on. Changes nothing, migrated or not."""
    with psycopg.connect(url) as connection:
        try:
            return connection.execute(_ANYBODY).fetchone() is not None
        except psycopg.errors.UndefinedTable:
            return False


def pending(url: str) -> list[str]:
    """Names of migrations that the database lacks."""
    with _backend(url) as backend:
        return [migration.id for migration in backend.to_apply(yoyo.read_migrations(str(MIGRATIONS)))]


def check_server(url: str, *, allow_unsafe: bool = False) -> None:
    """Refuse a server that could lose what it acknowledged, or that is too old.

    Raises:
        ConfigurationError: cannot connect, older than 15, fsync or synchronous_commit off.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            if connection.info.server_version < 150000:
                raise ConfigurationError("Brimful needs PostgreSQL 15 or newer.")
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
                if row is not None and row[0] == "off" and not allow_unsafe:
                    raise ConfigurationError(
                        f"The database has {name} = off and may lose acknowledged money. Turn it on "
                        "(or set BRIMFUL_ALLOW_UNSAFE_DATABASE=yes for a throw-away database)."
                    )
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split()) or "no answer"
        raise ConfigurationError(f"DATABASE_URL cannot be reached: {reason}") from error


def _backend(url: str) -> Any:
    """Yoyo takes a URL of its own scheme, with every other parameter in the query."""
    parts = {name: str(value) for name, value in psycopg.conninfo.conninfo_to_dict(url).items() if value is not None}
    database = parts.pop("dbname", "postgres")
    quoted = {name: urllib.parse.quote(parts.pop(name, ""), safe="") for name in ("user", "password")}
    query = urllib.parse.urlencode(parts)
    try:
        return yoyo.get_backend(f"postgresql+psycopg://{quoted['user']}:{quoted['password']}@/{database}?{query}")
    except psycopg.OperationalError as error:
        raise ConfigurationError(f"DATABASE_URL cannot be reached: {' '.join(str(error).split())}") from error
