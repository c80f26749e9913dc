"""Who calls: an API key, by `Authorization: Bearer` or `X-CREDYT-API-KEY`, with its scopes."""

import time

from starlette.requests import Request

from brimful.api.rate_limit_headers import KeyRateLimit
from brimful.auth import api_keys, balance_tokens, permissions
from brimful.db.pool import Database
from brimful.ledger.hash_chain import Keyring
from brimful.web.pages import AddressRateLimit, header

_REMEMBER_S = 5  # a revoked key is refused after at most this
_REMEMBER_MAX = 1000


class Auth:
    """Looks keys up, and remembers good ones for a few seconds: the hot route asks on every request."""

    def __init__(
        self, database: Database, keyring: Keyring, rate_limit: KeyRateLimit, strangers: AddressRateLimit
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._rate_limit = rate_limit
        self._strangers = strangers
        self._known: dict[str, tuple[api_keys.Principal, float]] = {}

    async def principal(self, request: Request) -> api_keys.Principal:
        """The caller; refuses a missing or unknown key, and one that is over its rate limit."""
        secret = _secret(request)
        known = self._known.get(secret)
        if known is None:  # a key that was good before is never kept waiting by those who guess
            self._strangers.admit(request)
        principal = known[0] if known is not None and known[1] > time.monotonic() else await self._look_up(secret)
        state = request.scope.setdefault("state", {})
        if "rate_limit" not in state:  # once per request
            self._rate_limit.take(principal.key_id, state)
        return principal

    async def _look_up(self, secret: str) -> api_keys.Principal:
        self._known.pop(secret, None)
        async with self._database.transaction() as tx:
            principal = await api_keys.authenticate(tx, secret)
        if len(self._known) >= _REMEMBER_MAX:
            self._known.clear()
        self._known[secret] = principal, time.monotonic() + _REMEMBER_S
        return principal

    async def caller(self, request: Request) -> permissions.Caller:
        """The caller, for `permissions.authorize`; a balance token is left in the request's state."""
        if _secret(request).startswith(balance_tokens.PREFIX):
            self._strangers.admit(request)
            request.state.balance_token = balance_tokens.read(self._keyring, _secret(request))
            return permissions.Caller("balance_token")
        principal = await self.principal(request)
        return permissions.Caller("key", principal.scopes, principal.key_id)


def _secret(request: Request) -> str:
    scheme, _, token = (header(request, b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return header(request, b"x-credyt-api-key") or ""
