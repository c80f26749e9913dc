"""API keys: shown once, stored hashed, with scopes."""

import dataclasses
import datetime as dt
import hashlib
import re

from brimful.core import ids
from brimful.core.errors import Refused
from brimful.db.pool import Tx

# What a key may do. No scope writes rules, cards or consents: that is the customer's own hand only.
SCOPES = ("customers", "assets", "wallets", "usage", "budgets", "top_ups", "portal", "webhooks")
# Off unless it is asked for by name: it sends money away.
RARE_SCOPES = ("refunds",)
_FORM = re.compile(r"[A-Za-z0-9_-]{24,128}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Principal:
    """Who calls the API."""

    key_id: str
    scopes: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Key:
    """A key as a list shows it: its secret is not stored."""

    key_id: str
    name: str
    scopes: list[str]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None  # to the hour


_INSERT = """
    INSERT INTO api_keys (key_id, name, hash, scopes, created_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (hash) DO NOTHING
"""


async def create(tx: Tx, *, name: str, scopes: tuple[str, ...] = SCOPES, good_for: dt.timedelta | None = None) -> str:
    """A new key, for ever or for a time. Returns its secret, which is never shown again."""
    secret = "bfk_" + ids.secret()
    await ensure(tx, secret, name=name, scopes=scopes, good_for=good_for)
    return secret


async def ensure(
    tx: Tx, secret: str, *, name: str, scopes: tuple[str, ...] = SCOPES, good_for: dt.timedelta | None = None
) -> None:
    """Make this secret a key, if it is not one yet."""
    every = (*SCOPES, *RARE_SCOPES)
    unknown = set(scopes) - set(every)
    if unknown:
        raise Refused("invalid_field", f"Unknown scopes {sorted(unknown)}: choose from {', '.join(every)}.")
    now = await tx.now()
    expires_at = None if good_for is None else now + good_for
    await tx.execute(_INSERT, (ids.new("key"), name, _hash(secret), list(scopes), now, expires_at))


_LIST = "SELECT key_id, name, scopes, created_at, expires_at, revoked_at, last_used_at FROM api_keys ORDER BY key_id"


async def list_all(tx: Tx) -> list[Key]:
    """Every key, the oldest first, also those that were revoked."""
    return [Key(**row) for row in await tx.all(_LIST)]


async def revoke(tx: Tx, key_id: str) -> None:
    """Take a key back. Processes remember a good key for five seconds."""
    values = (await tx.now(), key_id)
    if not await tx.execute("UPDATE api_keys SET revoked_at = %s WHERE key_id = %s AND revoked_at IS NULL", values):
        raise Refused("not_found", f"There is no key {key_id!r} that could be revoked: `brimful keys list` shows them.")


_FIND = """
    SELECT key_id, scopes, coalesce(last_used_at < clock_timestamp() - interval '1 hour', true) AS stale FROM api_keys
    WHERE hash = %s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""


async def authenticate(tx: Tx, secret: str | None) -> Principal:
    """Who holds this secret. The look-up is by hash, so its time reveals nothing about any key."""
    row = await tx.one(_FIND, (_hash(secret),)) if secret and _FORM.fullmatch(secret) else None
    if row is None:
        raise Refused(
            "unauthorized", "Give a valid API key: Authorization: Bearer KEY. `brimful keys create` makes one."
        )
    if row["stale"]:
        await tx.execute("UPDATE api_keys SET last_used_at = %s WHERE key_id = %s", (await tx.now(), row["key_id"]))
    return Principal(row["key_id"], frozenset(row["scopes"]))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
