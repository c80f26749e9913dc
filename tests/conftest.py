"""What every test gets: a PostgreSQL for each test process, a database as the template is, a harness on it."""

import contextlib
import functools
import os
import pathlib
import secrets
import shutil
import tempfile

import jinja2
import psycopg
import psycopg.conninfo
import psycopg.sql
import pytest

from brimful import db, operations, runtime
from support import citus
from support.databases import Cluster
from support.events import documented
from support.harness import LEDGER_KEYS, Harness
from support.receiver import receiving

# Tests speak to loopback: no client needs the certificates of the whole world, which take it 15 ms to load.
os.environ["SSL_CERT_FILE"] = str(pathlib.Path(__file__).parent / "support" / "one-certificate.pem")

UNSAFE_BUT_FAST = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB", "jit": "off",
    "autovacuum": "off", "wal_level": "minimal", "max_wal_senders": "0", "track_counts": "on",
}  # fmt: skip


class _Compiled(jinja2.BytecodeCache):
    """Templates are compiled once per test process, not once per harness."""

    def __init__(self):
        self.kept = {}

    def load_bytecode(self, bucket):
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket):
        self.kept[bucket.key] = bucket.bytecode_to_string()


jinja2.Environment.__init__ = functools.partialmethod(jinja2.Environment.__init__, bytecode_cache=_Compiled())


def pytest_addoption(parser):
    parser.addoption("--postgres", default="18", help="18 or 16 of the wheel, or `url` for DATABASE_URL")


def pytest_collection_modifyitems(config, items):
    """The tests that have a time of their own, the long ones, come first: no worker ends with one, alone. On a
    distributed database, which cannot be cloned, tests that change its schema are left out; on any other, those of its
    nodes. PostgreSQL 16 lies between two versions that have all the stories: it has the first of each file.
    """
    items.sort(key=lambda item: -max((mark.args[0] for mark in item.iter_markers("timeout")), default=0))
    if config.getoption("--postgres") == "16" and "flow" in config.getoption("markexpr"):
        first = {item.path: item for item in reversed(items) if "flow" in item.keywords}
        config.hook.pytest_deselected(items=[item for item in items if item not in first.values()])
        items[:] = [item for item in items if item in first.values()]
    spread = config.getoption("--postgres") == "url" and citus.has_nodes(os.environ["DATABASE_URL"])
    without = "schema" if spread else "nodes"
    out = [item for item in items if without in item.keywords]
    items[:] = [item for item in items if without not in item.keywords]
    config.hook.pytest_deselected(items=out)


@contextlib.contextmanager
def local_server(version="18"):
    """A PostgreSQL of the wheel, thrown away at the end. Gives the address of its administrator."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="brimful-test-"))
    directory = runtime.embedded_postgres.DataDirectory(home / "data")
    directory.open(version=version)
    assert directory.lock()
    server = runtime.embedded_postgres.Server(directory, UNSAFE_BUT_FAST)
    server.start()
    try:
        _quick_password(server.url("postgres"))
        yield server.url("postgres")
    finally:
        server.stop()
        directory.unlock()
        directory.remove()
        shutil.rmtree(home, ignore_errors=True)


def _quick_password(url):
    """The same password hashed once instead of 4,096 times: a connection costs its client 5 ms less."""
    role = psycopg.conninfo.conninfo_to_dict(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET scram_iterations = 1")
        change = psycopg.sql.SQL("ALTER ROLE {} PASSWORD {}")
        connection.execute(change.format(psycopg.sql.Identifier(role["user"]), psycopg.sql.Literal(role["password"])))


@pytest.fixture(scope="session")
def cluster(request):
    choice = request.config.getoption("--postgres")
    template = f"template_{secrets.token_hex(4)}"
    if choice == "url":
        yield from _on_server(os.environ["DATABASE_URL"], template)
        return
    with local_server(choice) as url:
        yield from _on_server(url, template)


def _on_server(admin_url, template):
    if citus.has_nodes(admin_url):
        with citus.database(admin_url, template) as cluster:
            yield cluster
        return
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {template}")
    cluster = Cluster(admin_url, template)
    db.migrate.apply(cluster.url(template))
    try:
        yield cluster
    finally:
        for name in [*cluster.clean, template]:
            cluster.discard(name)


@pytest.fixture
def database_url(cluster):
    name = cluster.clone()
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture
async def harness(request, database_url):
    """A whole Brimful. When the story is told every invariant must hold, unless the story itself broke the rows."""
    async with Harness.opened(database_url) as opened:
        yield opened
        await documented(opened)
        if "tampers" not in request.keywords:
            found = await operations.verify.run(database_url, LEDGER_KEYS, full=True)
            assert [finding for finding in found if not finding.ok] == []


@pytest.fixture
async def receiver():
    """A platform's webhook endpoint."""
    async with receiving() as one:
        yield one


@pytest.fixture
async def busy(harness):
    """A harness where something has happened, for what looks at the books."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    for number in range(4):
        await harness.use(customer_id, "1", f"e-{number}")
    await harness.work()
    return harness
