"""State: objects in memory, each written through to SQLite, so that a restart finds them again.

`synchronous=OFF` survives a killed process, which is all a sandbox has to.
"""

import json
import pathlib
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS objects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (kind, id));
    CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS top_ups (id TEXT PRIMARY KEY, body TEXT NOT NULL);
"""


class Store:
    """Objects by kind and id, in the order in which they were made."""

    def __init__(self, path: pathlib.Path | None) -> None:
        self._sql = None if path is None else sqlite3.connect(path, isolation_level=None)
        self._kinds: dict[str, dict[str, Object]] = {}
        self._answers: dict[str, Object] = {}
        self.top_ups: dict[str, Object] = {}
        self._n = 0
        if self._sql is not None:
            self._load(self._sql)

    def _load(self, sql: sqlite3.Connection) -> None:
        sql.execute("PRAGMA synchronous = OFF")
        sql.execute("PRAGMA journal_mode = WAL")
        sql.executescript(_SCHEMA)
        for kind, body, n in sql.execute("SELECT kind, body, n FROM objects ORDER BY n"):
            item = json.loads(body)
            self._kinds.setdefault(kind, {})[item["id"]] = item
            self._n = n
        self._answers = {key: json.loads(body) for key, body in sql.execute("SELECT * FROM idempotency")}
        self.top_ups = {key: json.loads(body) for key, body in sql.execute("SELECT * FROM top_ups")}

    def save(self, kind: str, item: Object) -> Object:
        """Add or change an object."""
        known = self._kinds.setdefault(kind, {})
        if item["id"] not in known:
            self._n += 1
        known[item["id"]] = item
        if self._sql is not None:
            self._sql.execute(
                "INSERT INTO objects VALUES (?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
                (item["id"], kind, json.dumps(item), self._n),
            )
        return item

    def get(self, kind: str, item_id: str) -> Object | None:
        return self._kinds.get(kind, {}).get(item_id)

    def newest(self, kind: str) -> Iterator[Object]:
        """Every object of a kind, newest first."""
        return reversed(list(self._kinds.get(kind, {}).values()))

    def answer(self, key: str) -> Object | None:
        """What was answered under an idempotency key."""
        return self._answers.get(key)

    def keep_answer(self, key: str, answer: Object) -> None:
        self._answers[key] = answer
        if self._sql is not None:
            self._sql.execute("INSERT OR REPLACE INTO idempotency VALUES (?, ?)", (key, json.dumps(answer)))

    def note_top_up(self, top_up_id: str, name: str) -> None:
        """Keep the time (epoch milliseconds) at which something first happened for a top-up of the caller's."""
        times = self.top_ups.setdefault(top_up_id, {})
        if name not in times:
            times[name] = time.time() * 1000
            if self._sql is not None:
                self._sql.execute("INSERT OR REPLACE INTO top_ups VALUES (?, ?)", (top_up_id, json.dumps(times)))

    def close(self) -> None:
        if self._sql is not None:
            self._sql.close()
