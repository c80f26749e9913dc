"""Customers that are set up once per test process, through the portal's own forms, and then put into other databases.

Most stories begin with the same customer: a saved card, a balance, a rule that is on. Making one takes a session,
Stripe's page, a worker and three forms. What that leaves behind in our tables, at the sandbox and in the browser is
kept, and put into the next test's database as it is. Only a harness in which nothing has happened yet takes part.
"""

import copy
import dataclasses
import json
from typing import Any

import psycopg
import psycopg.rows

from support import citus

_TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND relname !~ '^(_?yoyo|procrastinate_periodic)' AND relname <> 'api_keys'
"""
_kept: dict[tuple, "_Snapshot"] = {}
_pristine: dict[str, list] = {}
_asked: dict[str, bool] = {}


@dataclasses.dataclass
class _Snapshot:
    result: Any  # the customer's id
    urls: tuple[str, str]
    tables: dict[str, list]
    sandbox: tuple
    cookies: list


async def remembered(harness, key, make):
    """(customer_id, visitor) as `make()` returns them: made anew, or put in from the one that was made first."""
    if harness.touched or harness.settings_differ or _has_nodes(harness.database_url):
        return await make()
    if key in _kept:
        return await _restore(harness, _kept[key])
    if not _pristine:
        _pristine.update(await _rows(harness))
    customer_id, visitor = await make()
    await harness.events_applied()
    tables = {name: rows for name, rows in (await _rows(harness)).items() if rows != _pristine[name]}
    if not any(name.startswith("procrastinate_") for name in tables):
        store = harness.world.store
        state = copy.deepcopy((store._kinds, store._answers, store.top_ups, store._n))
        _kept[key] = _Snapshot(customer_id, _urls(harness), tables, state, list(visitor.client.cookies.jar))
    return customer_id, visitor


def _has_nodes(url):
    """A node does not hear of `session_replication_role`. Asked once: a test process has one server."""
    if "nodes" not in _asked:
        _asked["nodes"] = citus.has_nodes(url)
    return _asked["nodes"]


def _urls(harness):
    return harness.url, harness.world.base_url


async def _rows(harness):
    async with await _connected(harness) as connection:
        names = [row["relname"] for row in await (await connection.execute(_TABLES)).fetchall()]
        found = {}
        for name in names:
            cursor = await connection.execute(f"SELECT to_jsonb(t) AS row FROM {name} AS t")
            found[name] = [row["row"] for row in await cursor.fetchall()]
    return found


async def _restore(harness, kept):
    def here(value):
        text = json.dumps(value)
        for old, new in zip(kept.urls, _urls(harness), strict=True):
            text = text.replace(old, new)
        return json.loads(text)

    async with await _connected(harness) as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")  # no order among the tables
        for name, rows in kept.tables.items():
            await connection.execute(f"DELETE FROM {name}")
            await connection.execute(
                f"INSERT INTO {name} SELECT * FROM jsonb_populate_recordset(NULL::{name}, %s::jsonb)",
                (json.dumps(here(rows)),),
            )
    store = harness.world.store
    store._kinds, store._answers, store.top_ups, store._n = (*here(kept.sandbox[:3]), kept.sandbox[3])
    visitor = await harness.stranger()
    for cookie in kept.cookies:
        visitor.client.cookies.jar.set_cookie(cookie)
    return kept.result, visitor


async def _connected(harness):
    return await psycopg.AsyncConnection.connect(
        harness.database_url, row_factory=psycopg.rows.dict_row, autocommit=True
    )
