"""What the measurements stand on: a server of their own, accounts, the API beside it, and a table to print."""

import contextlib
import dataclasses
import math
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import click
import psycopg
import psycopg.rows

from brimful import db, operations, runtime, settings
from brimful.core.errors import ConfigurationError
from brimful.ledger.hash_chain import Keyring

_NOBODY = "http://127.0.0.1:9"  # nothing here is paid; a sandbox lets pages be read without TLS
ACCOUNT = "cus_%032d"  # as long as the product's own ids

_CUSTOMERS = """
    INSERT INTO customers (customer_id, name, created_at)
    SELECT lpad(n::text, 32, '0')::uuid, 'c', now() FROM generate_series(%s::int, %s::int) AS n
"""
_ACCOUNTS = """
    INSERT INTO accounts (customer_id, asset, created_at)
    SELECT lpad(n::text, 32, '0')::uuid, 'USD', now() FROM generate_series(%s::int, %s::int) AS n
"""


@dataclasses.dataclass(frozen=True)
class Location:
    """A database and the keys of its ledger, for `settings.ledger_keyring`."""

    url: str
    keys: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Testbed:
    """One embedded server, with the durability it ships with, and the environment of processes on it."""

    directory: runtime.embedded_postgres.DataDirectory
    server: runtime.embedded_postgres.Server
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.server.url()

    @property
    def keys(self) -> dict[str, str]:
        """For `settings.ledger_keyring`."""
        return {"BRIMFUL_LEDGER_KEYS": self.environment["BRIMFUL_LEDGER_KEYS"]}

    @contextlib.contextmanager
    def api(self) -> Iterator[str]:
        """The API on a free port; its address."""
        with runtime.local.serving(self.environment, log=self.directory.path / "serve.log") as url:
            yield url


@contextlib.contextmanager
def testbed() -> Iterator[Testbed]:
    """A new server, migrated; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="brimful-bench-") as scratch:
        directory = runtime.embedded_postgres.DataDirectory(pathlib.Path(scratch) / "data").open(version="18")
        try:
            with runtime.embedded_postgres.running(directory) as server:
                db.migrate.apply(server.url())
                environment = runtime.local.environment_for(directory, server, url="", sandbox_url=_NOBODY, extra={})
                yield Testbed(directory, server, environment)
        finally:
            directory.remove()


@contextlib.contextmanager
def borrowed(url: str) -> Iterator[None]:
    """Somebody's database for the while: migrated, with nobody in it, and empty again afterwards.

    Raises:
        ConfigurationError: it holds customers.
    """
    if db.migrate.has_customers(url):
        raise ConfigurationError("The database that is to be measured holds customers: name an empty one.")
    db.migrate.apply(url)
    try:
        yield
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("TRUNCATE customers, entries, entry_notes CASCADE")


def location_count(url: str) -> int:
    """In how many places customers lie: shards, or one."""
    with psycopg.connect(url, row_factory=psycopg.rows.dict_row) as connection:
        if not db.citus.cluster.nodes(connection):
            return 1
        row = connection.execute(
            "SELECT count(*) AS n FROM pg_dist_shard WHERE logicalrelid = 'accounts'::regclass"
        ).fetchone()
        return max(1, row["n"] if row is not None else 1)


def seed_accounts(url: str, upto: int, *, after: int = 0) -> None:
    """Customers `ACCOUNT % n` for `after` < n <= `upto`, each with an empty USD account."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_CUSTOMERS, (after + 1, upto))
        connection.execute(_ACCOUNTS, (after + 1, upto))
    clean_up(url)


# All that is used counts in the lowest, and in the two above it.
_BUDGETS = """
    INSERT INTO budgets (customer_id, budget_id, asset, tag, span, amount, hard, ancestors, set_by, created_at,
        since_seq, bundle)
    SELECT lpad(n::text, 32, '0')::uuid, b.id, 'USD', b.tag, b.span, 1000000000, true, b.above, 'platform', now(), 0, 0
    FROM generate_series(%s::int, %s::int) AS n, (VALUES
        ('company', '["team", "none"]', 'month', '{}'::text[]),
        ('team', '["none"]', 'week', '{company}'),
        ('key', '[]', 'day', '{team,company}')) AS b (id, tag, span, above)
"""
_BUDGETED = """
    UPDATE accounts SET budgeted = true
    WHERE customer_id BETWEEN lpad(%s::int::text, 32, '0')::uuid AND lpad(%s::int::text, 32, '0')::uuid
"""


def seed_budgets(url: str, upto: int, *, after: int) -> None:
    """The accounts of `seed_accounts`, each with a tree of three hard budgets that is never exhausted."""
    seed_accounts(url, upto, after=after)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_BUDGETS, (after + 1, upto))
        connection.execute(_BUDGETED, (after + 1, upto))
    clean_up(url)


_FILL = """
    INSERT INTO entries (customer_id, seq, key_digest, recorded_at, asset, kind, source, amount,
        balance_after, key, mac)
    SELECT lpad(n::text, 32, '0')::uuid, s, hashtextextended('k' || n || '-' || s, 0), now(), 'USD', 'usage',
        'usage', -0.5, -0.5 * s, md5('k' || n || '-' || s), %s
    FROM generate_series(%s::int, %s::int) AS n, generate_series(1, %s::int) AS s
"""
_ENDS = """
    UPDATE accounts SET seq = %(each)s::int, balance = -0.5 * %(each)s::int, mac = %(mac)s
    WHERE customer_id BETWEEN lpad(%(first)s::int::text, 32, '0')::uuid
        AND lpad(%(last)s::int::text, 32, '0')::uuid
"""
_MARKS = "COPY verified_marks (customer_id, asset, seq, balance, mac, signature) FROM STDIN"
_STEP = 1_000_000  # entries in one statement


def seed_entries(ground: Testbed | Location, upto: int, *, after: int = 0, each: int) -> None:
    """The accounts of `seed_accounts`, with `each` entries. Their macs are constants, and so are those of the
    reference's debits: every account is marked as verified up to where it stands.
    """
    seed_accounts(ground.url, upto, after=after)
    keyring, mac = Keyring(settings.environment.ledger_keyring(ground.keys)), bytes(17)
    with psycopg.connect(ground.url, autocommit=True, context=db.columns.ADAPTERS) as connection:
        connection.execute("SET synchronous_commit = off")
        step = max(1, _STEP // each)
        for first in range(after + 1, upto + 1, step):
            connection.execute(_FILL, (mac, first, min(first + step - 1, upto), each))
        connection.execute(_ENDS, {"each": each, "first": after + 1, "last": upto, "mac": mac})
        connection.execute("TRUNCATE verified_marks")
        ends = connection.execute("SELECT customer_id, asset, seq, balance, mac FROM accounts").fetchall()
        with connection.cursor() as cursor, cursor.copy(_MARKS) as rows:
            for end in ends:
                rows.write_row((*end, keyring.sign(b"mark", operations.verify.mark(*end))))
    clean_up(ground.url)


def clean_up(url: str) -> None:
    """What autovacuum would do in a minute, so that it does not do it while something is measured."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


@dataclasses.dataclass(frozen=True)
class Times:
    """Times of single answers in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> "Times":
        """The nearest-rank percentiles; NaN when nothing was measured."""
        if not milliseconds:
            return cls(math.nan, math.nan)
        ranked = sorted(milliseconds)
        return cls(*(ranked[max(0, math.ceil(len(ranked) * share) - 1)] for share in (0.5, 0.99)))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> None:
    """Print a table: the first column to the left, numbers to the right, and a note on how it was measured."""
    widths = [max(len(line[place]) for line in (heads, *rows)) for place in range(len(heads))]
    for line in (heads, *rows):
        first, *others = [text.rjust(width) for text, width in zip(line, widths, strict=True)]
        click.echo("  ".join([line[0].ljust(len(first)), *others]).rstrip())
    click.echo(f"({note})")
