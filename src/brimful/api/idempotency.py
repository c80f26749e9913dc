"""`Idempotency-Key`: the same key with the same body replays the first answer, for money POSTs without an id
of their own in the body.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

from psycopg.types.json import Jsonb
from starlette.requests import Request
from starlette.responses import JSONResponse

from brimful.db import Database, Tx
from brimful.errors import Refused

__all__ = ["once"]

_FORM = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 2)) AS mine"
_FIND = "SELECT request_hash, status, response FROM idempotency WHERE route = %s AND key = %s"
_KEEP = (
    "INSERT INTO idempotency (key, route, request_hash, status, response, created_at) VALUES (%s, %s, %s, %s, %s, %s)"
)


async def once(
    database: Database, request: Request, route: str, status: int, run: Callable[[Tx], Awaitable[dict[str, Any]]]
) -> JSONResponse:
    """Run the operation in one transaction, together with the record of its answer.

    Refuses the key with another body (422), and while the first request still runs (409). Without a key it
    just runs.
    """
    key = request.headers.get("idempotency-key")
    async with database.transaction() as tx:
        if key is None:
            return JSONResponse(await run(tx), status)
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
            return JSONResponse(kept["response"], kept["status"], {"Idempotent-Replayed": "true"})
        answer = await run(tx)
        await tx.execute(_KEEP, (key, route, digest, status, Jsonb(answer), await tx.now()))
        return JSONResponse(answer, status)
