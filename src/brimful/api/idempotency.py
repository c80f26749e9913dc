"""`Idempotency-Key`: of one API key, for one path, the same key with the same body is done once, and its first answer
is given again. Every POST takes one.

The answer is kept in the transaction that does the work. A route whose work another transaction does (a debit, which
waits with others) has an id in its body that makes it one: its key is claimed before, and the answer kept afterwards.

What an answer opens is not in the database: its secret is derived from the key, with a key that lies outside, and the
kept answer has a mark in its place. Refusals are not kept, and answers for a day at least.
"""

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.exceptions import RequestValidationError
from psycopg.types.json import Jsonb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from brimful.core import ids
from brimful.core.errors import Refused
from brimful.db.pool import Row, Tx
from brimful.ledger.hash_chain import Keyring
from brimful.web import pages
from brimful.wiring import Deps

_HEADER = "idempotency-key"
_FORM = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_MARK = re.compile(r"\(secret (\d+)\)", re.ASCII)
_CLAIMED = 0  # the status of what has no answer yet
_LIFE = dt.timedelta(days=1)
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 2)) AS mine"
_FIND = """
    SELECT request_hash, status, response FROM idempotency
    WHERE key_id = %(key_id)s AND route = %(route)s AND key = %(key)s
"""
_KEEP = """
    INSERT INTO idempotency (key_id, route, key, request_hash, status, response, created_at)
    VALUES (%(key_id)s, %(route)s, %(key)s, %(hash)s, %(status)s, %(response)s, %(now)s)
    ON CONFLICT (key_id, route, key) DO UPDATE SET status = excluded.status, response = excluded.response
"""
_RELEASE = """
    DELETE FROM idempotency
    WHERE key_id = %(key_id)s AND route = %(route)s AND key = %(key)s AND status = 0
"""
# Two for each that comes: what is old never grows.
_FORGET = """
    DELETE FROM idempotency WHERE (key_id, route, key) IN (
        SELECT key_id, route, key FROM idempotency WHERE created_at < %s
        ORDER BY created_at LIMIT 2 FOR UPDATE SKIP LOCKED
    )
"""


class Replay(Exception):  # noqa: N818 - not an error: the answer is known
    """The request was carried out before, with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class Once:
    """A request with a key. Refuses a key of another form."""

    def __init__(self, deps: Deps, key_id: str, request: Request) -> None:
        self._deps = deps
        key = request.headers[_HEADER]
        if not _FORM.fullmatch(key):
            raise Refused("invalid_field", "Idempotency-Key must be 1 to 255 visible ASCII characters.")
        self._names = {"key_id": key_id, "route": f"{request.method} {request.scope['path']}", "key": key}
        self._digest = b""
        self._tx: Tx | None = None
        self._claimed = False
        self._secret: tuple[int, str] | None = None

    async def begin(self, tx: Tx, body: bytes) -> None:
        """Begin in the transaction that does the work.

        Raises:
            Replay: it was done before.
            Refused: the key had another body (422), or its first request still runs (409).
        """
        self._digest = hashlib.sha256(body).digest()
        locked = await tx.one(_LOCK, ("\n".join(self._names.values()),))
        if locked is None or not locked["mine"]:
            raise Refused("request_in_progress", "A request with this Idempotency-Key is still running.")
        kept = await tx.one(_FIND, self._names)
        if kept is not None:
            self._compare(kept)
        self._tx = tx

    async def claim(self, body: bytes) -> None:
        """The same for work that another transaction does, and that an id in the body makes one."""
        async with self._deps.database.transaction() as tx:
            await self.begin(tx, body)
            await self._write(tx, _CLAIMED, None)
        self._tx, self._claimed = None, True

    def _compare(self, kept: Row) -> None:
        if bytes(kept["request_hash"]) != self._digest:
            raise Refused("idempotency_mismatch", "This Idempotency-Key was used with another body.")
        if kept["status"] == _CLAIMED:
            return
        headers = {"Idempotent-Replayed": "true"}
        if kept["response"] is None:
            raise Replay(Response(status_code=kept["status"], headers=headers))
        whole = _MARK.sub(lambda found: self._derive(int(found[1]))[1], json.dumps(kept["response"]))
        raise Replay(JSONResponse(json.loads(whole), kept["status"], headers))

    async def around(self, work: Callable[[], Awaitable[Response]]) -> Response:
        """Do the work, which begins it, and keep its answer; a refusal is forgotten. After any other error the outcome
        is unknown: a claim stays, and the same body may be sent again.
        """
        try:
            response = await work()
        except Replay as known:
            return known.response
        except (Refused, RequestValidationError) as refused:
            if not isinstance(refused, Refused) or refused.status < 500:
                await self._end(None)
            raise
        if response.status_code < 500:
            await self._end(response if response.status_code < 300 else None)
        return response

    async def _end(self, response: Response | None) -> None:
        if self._tx is not None and response is not None:
            await self._keep(self._tx, response)
        if not self._claimed:  # what was refused before it began is nothing of ours
            return
        async with self._deps.database.transaction() as tx:
            if response is None:
                await tx.execute(_RELEASE, self._names)
            else:
                await self._keep(tx, response)

    async def _keep(self, tx: Tx, response: Response) -> None:
        content = bytes(response.body).decode()
        if self._secret is not None:
            number, secret = self._secret
            content = content.replace(secret, f"(secret {number})")
        await self._write(tx, response.status_code, json.loads(content) if content else None)
        await tx.execute(_FORGET, (await tx.now() - _LIFE,))

    async def _write(self, tx: Tx, status: int, response: Any) -> None:
        kept = {"hash": self._digest, "status": status, "response": Jsonb(response), "now": await tx.now()}
        await tx.execute(_KEEP, {**self._names, **kept})

    def secret(self) -> str:
        """A secret for what the answer opens: the same whenever it is given again."""
        self._secret = self._derive(None)
        return self._secret[1]

    def _derive(self, number: int | None) -> tuple[int, str]:
        keyring: Keyring = self._deps.keyring
        number, bits = keyring.derive(b"brimful link", "\n".join(self._names.values()).encode(), number)
        return number, base64.urlsafe_b64encode(bits).decode().rstrip("=")


def of(deps: Deps, key_id: str | None, request: Request) -> Once | None:
    """The request's key, if it is a POST of an API key that has one; the routes find it in the request's state."""
    given = request.method == "POST" and pages.header(request, _HEADER.encode()) is not None
    once = Once(deps, key_id, request) if given and key_id is not None else None
    request.state.once = once
    return once


def secret(request: Request) -> str:
    """A secret for what the answer opens."""
    once: Once | None = request.state.once
    return ids.secret() if once is None else once.secret()
