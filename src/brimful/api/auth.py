"""Who calls: an API key, by `Authorization: Bearer` or `X-CREDYT-API-KEY`, with its scopes."""

import time

from starlette.requests import Request

from brimful import access, keys
from brimful.api.quota import KeyQuota
from brimful.db import Database
from brimful.web import Crowd

__all__ = ["Auth"]

_REMEMBER_S = 5  # a revoked key is refused after at most this
_REMEMBER_MAX = 1000


class Auth:
    """Looks keys up, and remembers good ones for a few seconds: the hot route asks on every request."""

    def __init__(self, database: Database, quota: KeyQuota, strangers: Crowd) -> None:
        self._database = database
        self._quota = quota
        self._strangers = strangers
        self._known: dict[str, tuple[keys.Principal, float]] = {}

    async def principal(self, request: Request) -> keys.Principal:
        """The caller; refuses a missing or unknown key, and one that has used up its quota."""
        secret = _secret(request)
        known = self._known.get(secret)
        if known is None:  # a key that was good before is never kept waiting by those who guess
            self._strangers.admit(request)
        principal = known[0] if known is not None and known[1] > time.monotonic() else await self._look_up(secret)
        state = request.scope.setdefault("state", {})
        if "quota" not in state:  # once per request
            self._quota.take(principal.key_id, state)
        return principal

    async def _look_up(self, secret: str) -> keys.Principal:
        self._known.pop(secret, None)
        async with self._database.transaction() as tx:
            principal = await keys.authenticate(tx, secret)
        if len(self._known) >= _REMEMBER_MAX:
            self._known.clear()
        self._known[secret] = principal, time.monotonic() + _REMEMBER_S
        return principal

    async def caller(self, request: Request) -> access.Caller:
        """The caller, for `access` to judge."""
        principal = await self.principal(request)
        return access.Caller("key", principal.scopes)


def _secret(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-credyt-api-key", "")
