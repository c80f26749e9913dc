"""`Idempotency-Key`: the same key with the same body replays the first answer, for money POSTs without an id
of their own in the body.

What the answer opens is not in the database: its secret is derived from the key, with a key that lies outside, and the
kept answer has a mark in its place.
"""

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from psycopg.types.json import Jsonb
from starlette.requests import Request
from starlette.responses import JSONResponse

from brimful.core import ids
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.ledger.hash_chain import Keyring
from brimful.wiring import Deps

_FORM = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_MARK = re.compile(r"\(secret (\d+)\)", re.ASCII)
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 2)) AS mine"
_FIND = "SELECT request_hash, status, response FROM idempotency WHERE route = %s AND key = %s"
_KEEP = (
    "INSERT INTO idempotency (key, route, request_hash, status, response, created_at) VALUES (%s, %s, %s, %s, %s, %s)"
)


async def once(
    deps: Deps, request: Request, route: str, status: int, run: Callable[[Tx, str], Awaitable[dict[str, Any]]]
) -> JSONResponse:
    """Run the operation in one transaction, together with the record of its answer. It gets a secret for what its
    answer opens.

    Refuses the key with another body (422), and while the first request still runs (409). Without a key it
    just runs.
    """
    key = request.headers.get("idempotency-key")
    async with deps.database.transaction() as tx:
        if key is None:
            return JSONResponse(await run(tx, ids.secret()), status)
        if not _FORM.fullmatch(key):
            raise Refused("invalid_field", "Idempotency-Key must be 1 to 255 visible ASCII characters.")
        locked = await tx.one(_LOCK, (f"{route}:{key}",))
        if locked is None or not locked["mine"]:
            raise Refused("request_in_progress", "A request with this Idempotency-Key is still running.")
        digest = hashlib.sha256(await request.body()).digest()
        kept = await tx.one(_FIND, (route, key))
        if kept is not None:
            if bytes(kept["request_hash"]) != digest:
                raise Refused("idempotency_mismatch", "This Idempotency-Key was used with another body.")
            replayed = _MARK.sub(
                lambda found: _secret(deps.keyring, route, key, int(found[1]))[1], json.dumps(kept["response"])
            )
            return JSONResponse(json.loads(replayed), kept["status"], {"Idempotent-Replayed": "true"})
        number, secret = _secret(deps.keyring, route, key)
        answer = await run(tx, secret)
        marked = json.loads(json.dumps(answer).replace(secret, f"(secret {number})"))
        await tx.execute(_KEEP, (key, route, digest, status, Jsonb(marked), await tx.now()))
        return JSONResponse(answer, status)


def _secret(keyring: Keyring, route: str, key: str, number: int | None = None) -> tuple[int, str]:
    number, bits = keyring.derive(b"brimful link", f"{route}\n{key}".encode(), number)
    return number, base64.urlsafe_b64encode(bits).decode().rstrip("=")
