"""Operators: people who look after an installation. A password and a second factor, both needed.

Passwords are kept as argon2id, each code of the second factor (RFC 6238) is taken once, and five wrong tries in a row
close the account for a quarter of an hour. A viewer looks; an operator acts as well.
"""

import asyncio
import concurrent.futures
import dataclasses
import datetime as dt
import functools
import hashlib
import re
import secrets
from typing import Literal

import argon2
import psycopg.errors
import pyotp

from brimful import audit, ids
from brimful.db import Database, Row, Tx
from brimful.errors import Refused

__all__ = [
    "Operator",
    "OperatorSession",
    "Role",
    "create",
    "csrf_of",
    "disable",
    "list_all",
    "load",
    "provisioning_uri",
    "renew",
    "sign_in",
    "sign_out",
]

Role = Literal["viewer", "operator"]
SESSION_IDLE = dt.timedelta(minutes=30)
SESSION_LIFE = dt.timedelta(hours=8)
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}", re.ASCII)
_PASSWORD_MIN = 12  # NIST SP 800-63B asks for 8; there is no reason to be short here
_PASSWORD_MAX = 200
_FAILURES_MAX = 5
_LOCKED = dt.timedelta(minutes=15)
_STEP_S = 30
_WINDOW = 1  # steps that a clock may be off
_HASHER = argon2.PasswordHasher()


@dataclasses.dataclass(frozen=True)
class Operator:
    """One person."""

    operator_id: str
    name: str
    role: Role
    created_at: dt.datetime
    disabled_at: dt.datetime | None
    locked_until: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class OperatorSession:
    """Somebody who has signed in. Only `load` makes it from a cookie, and the console from a trusted proxy's header."""

    name: str
    role: Role
    csrf: str
    session_id: str | None = None

    @property
    def actor(self) -> str:
        """As the audit trail names them."""
        return f"operator:{self.name}"


_INSERT = """
    INSERT INTO operators (operator_id, name, role, password_hash, totp_secret, created_at)
    VALUES (%s, %s, %s, %s, %s, %s)
"""


async def create(tx: Tx, *, name: str, role: Role, password: str) -> str:
    """A new operator. Returns the secret of their second factor, which is not shown again."""
    if not _NAME.fullmatch(name):
        raise Refused("invalid_field", "A name has 1 to 100 of a-z, 0-9 and . _ @ + -", field="name")
    secret = pyotp.random_base32()
    values = (ids.new("opr"), name, role, _HASHER.hash(_judged(password)), secret, await tx.now())
    try:
        await tx.execute(_INSERT, values)
    except psycopg.errors.UniqueViolation:
        raise Refused("invalid_field", f"There is an operator {name} already.", field="name") from None
    return secret


def provisioning_uri(name: str, secret: str, issuer: str) -> str:
    """What an authenticator reads, as a link or as a picture of it."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


_LIST = "SELECT operator_id, name, role, created_at, disabled_at, locked_until FROM operators ORDER BY name"


async def list_all(tx: Tx) -> list[Operator]:
    """Everybody, also those who were disabled."""
    return [Operator(**row) for row in await tx.all(_LIST)]


_DISABLE = "UPDATE operators SET disabled_at = %s WHERE name = %s AND disabled_at IS NULL"
_END_ALL = """
    UPDATE operator_sessions AS s SET revoked_at = %s FROM operators AS o
    WHERE o.operator_id = s.operator_id AND o.name = %s AND s.revoked_at IS NULL
"""


async def disable(tx: Tx, name: str) -> None:
    """Let somebody in no more, and end what they have open."""
    now = await tx.now()
    if not await tx.execute(_DISABLE, (now, name)):
        raise Refused("not_found", f"There is no operator {name!r} who could be disabled.")
    await tx.execute(_END_ALL, (now, name))


_RENEW = """
    UPDATE operators SET password_hash = %s, totp_secret = %s, failures = 0, locked_until = NULL
    WHERE name = %s AND disabled_at IS NULL
"""


async def renew(tx: Tx, name: str, *, password: str) -> str:
    """A new password and a new second factor, for somebody who lost theirs or is locked out; ends what they have open.
    Returns the secret.
    """
    secret = pyotp.random_base32()
    if not await tx.execute(_RENEW, (_HASHER.hash(_judged(password)), secret, name)):
        raise Refused("not_found", f"There is no operator {name!r}.")
    await tx.execute(_END_ALL, (await tx.now(), name))
    return secret


def _judged(password: str) -> str:
    if not _PASSWORD_MIN <= len(password) <= _PASSWORD_MAX:
        raise Refused(
            "invalid_field", f"A password has {_PASSWORD_MIN} to {_PASSWORD_MAX} characters.", field="password"
        )
    return password


# A try is counted before it is judged: however many come at once, five wrong ones close the account.
_TRY = """
    UPDATE operators SET
        failures = CASE WHEN locked_until IS NULL THEN failures + 1 ELSE 1 END,
        locked_until = CASE WHEN locked_until IS NULL AND failures + 1 >= %(most)s THEN %(until)s::timestamptz END
    WHERE name = %(name)s AND disabled_at IS NULL AND (locked_until IS NULL OR locked_until <= %(now)s)
    RETURNING operator_id, password_hash, totp_secret, totp_step
"""
# The step of a code is taken in this one statement: of two sign-ins with the same code one finds it taken.
_TAKE_STEP = """
    UPDATE operators SET failures = 0, locked_until = NULL, totp_step = %(step)s
    WHERE operator_id = %(operator_id)s AND totp_step < %(step)s AND disabled_at IS NULL
"""
_OPEN = """
    INSERT INTO operator_sessions (session_id, operator_id, cookie_hash, created_at, seen_at, expires_at)
    VALUES (%s, %s, %s, %s, %s, %s)
"""


async def sign_in(database: Database, name: str, password: str, code: str) -> str:
    """A new session; returns the cookie's value. Refuses with one sentence, whatever was wrong."""
    async with database.transaction() as tx:
        now = await tx.now()
        values = {"name": name[:100], "now": now, "most": _FAILURES_MAX, "until": now + _LOCKED}
        known = await tx.one(_TRY, values)
    right = await _matches(_nobody() if known is None else known["password_hash"], password)
    step = None if known is None else _step(known, code, now)
    if known is not None and right and step is not None:
        async with database.transaction() as tx:
            if await tx.execute(_TAKE_STEP, {"operator_id": known["operator_id"], "step": step}):
                cookie = ids.secret()
                opened = (ids.new("ose"), known["operator_id"], _hash(cookie), now, now, now + SESSION_LIFE)
                await tx.execute(_OPEN, opened)
                await audit.record(tx, actor=f"operator:{name}", action="operator.signed_in")
                return cookie
    if known is not None:
        async with database.transaction() as tx:
            await audit.record(tx, actor=f"operator:{name}", action="operator.sign_in_failed")
    raise Refused("unauthorized", "Name, password or code is wrong. After five wrong tries, wait a quarter of an hour.")


# Each takes 64 MiB for a twentieth of a second: two at a time, whoever knocks.
_HASHING = concurrent.futures.ThreadPoolExecutor(2, "argon2")


async def _matches(stored: str, password: str) -> bool:
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _verify, stored, password[:_PASSWORD_MAX])


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except argon2.exceptions.VerificationError:
        return False


@functools.cache
def _nobody() -> str:
    """Verified where the name is unknown, so that the time tells nothing."""
    return _HASHER.hash(secrets.token_urlsafe(24))


def _step(known: Row, code: str, now: dt.datetime) -> int | None:
    """The step whose code this is, if it was not taken before."""
    current = int(now.timestamp()) // _STEP_S
    totp = pyotp.TOTP(known["totp_secret"])
    for step in range(current - _WINDOW, current + _WINDOW + 1):
        right = totp.at(step * _STEP_S).encode()
        if step > known["totp_step"] and secrets.compare_digest(right, code.strip().encode("utf-8", "replace")):
            return step
    return None


_LOAD = """
    UPDATE operator_sessions AS s SET seen_at = %(now)s
    FROM operators AS o
    WHERE s.cookie_hash = %(cookie_hash)s AND s.revoked_at IS NULL AND s.expires_at > %(now)s
        AND s.seen_at > %(idle_since)s AND o.operator_id = s.operator_id AND o.disabled_at IS NULL
    RETURNING s.session_id, o.name, o.role
"""


async def load(tx: Tx, cookie: str) -> OperatorSession | None:
    """The session behind a cookie, or None when it has ended."""
    now = await tx.now()
    values = {"cookie_hash": _hash(cookie), "now": now, "idle_since": now - SESSION_IDLE}
    row = await tx.one(_LOAD, values)
    return None if row is None else OperatorSession(row["name"], row["role"], csrf_of(cookie), row["session_id"])


async def sign_out(tx: Tx, session: OperatorSession) -> None:
    """End a session."""
    await tx.execute(
        "UPDATE operator_sessions SET revoked_at = %s WHERE session_id = %s", (await tx.now(), session.session_id)
    )


def csrf_of(secret: str) -> str:
    """The token of forms, bound to what the browser holds."""
    return hashlib.blake2b(secret.encode(), person=b"console csrf", digest_size=24).hexdigest()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
