"""Operators: people who look after an installation. A password and a second factor, both needed.

Passwords are kept as argon2id, each code of the second factor (RFC 6238) is taken once, and five tries from one address
are checked in a quarter of an hour. A viewer reads; an operator acts as well.
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
import zxcvbn

from brimful.auth import audit
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.db.pool import Database, Row, Tx
from brimful.web import rate_limit

Role = Literal["viewer", "operator"]
SESSION_IDLE = dt.timedelta(minutes=30)
SESSION_LIFE = dt.timedelta(hours=8)
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}", re.ASCII)
_PASSWORD_MIN = 12  # NIST SP 800-63B asks for 8; there is no reason to be short here
_PASSWORD_MAX = 200
# Of 4, by zxcvbn: a hundred million guesses or more. It knows 30,000 common passwords, names, words, keys in a row.
_SCORE_MIN = 3
_GUESSED_MAX = 72  # characters that it looks at
_HERE = ("brimful", "console", "operator", "viewer", "wallet", "billing")
_TRIES, _TRIES_EVERYWHERE, _EVERYWHERE = 5, 50, ""
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


async def create(tx: Tx, *, name: str, role: Role, password: str, merchant: str = "") -> str:
    """A new operator. Returns the secret of their second factor, which is not shown again."""
    if not _NAME.fullmatch(name):
        raise Refused("invalid_field", "A name has 1 to 100 of a-z, 0-9 and . _ @ + -", field="name")
    secret = pyotp.random_base32()
    values = (
        ids.new("opr"),
        name,
        role,
        _HASHER.hash(_validated_password(password, name, merchant)),
        secret,
        await tx.now(),
    )
    try:
        await tx.execute(_INSERT, values)
    except psycopg.errors.UniqueViolation:
        raise Refused("invalid_field", f"There is an operator {name} already.", field="name") from None
    return secret


def provisioning_uri(name: str, secret: str, issuer: str) -> str:
    """What an authenticator reads, as a link or as a picture of it."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


_LIST = """
    SELECT o.operator_id, o.name, o.role, o.created_at, o.disabled_at,
        (SELECT max(t.until) FROM operator_tries AS t WHERE t.operator_id = o.operator_id AND t.until > %(now)s
            AND t.tries >= CASE t.address WHEN '' THEN %(everywhere)s::int ELSE %(tries)s::int END) AS locked_until
    FROM operators AS o ORDER BY o.name
"""


async def list_all(tx: Tx) -> list[Operator]:
    """Everybody, also those who were disabled."""
    values = {"now": await tx.now(), "tries": _TRIES, "everywhere": _TRIES_EVERYWHERE}
    return [Operator(**row) for row in await tx.all(_LIST, values)]


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
    UPDATE operators SET password_hash = %s, totp_secret = %s
    WHERE name = %s AND disabled_at IS NULL
"""


async def renew(tx: Tx, name: str, *, password: str, merchant: str = "") -> str:
    """A new password and a new second factor, for somebody who lost theirs or is locked out; ends what they have open.
    Returns the secret.
    """
    secret = pyotp.random_base32()
    if not await tx.execute(_RENEW, (_HASHER.hash(_validated_password(password, name, merchant)), secret, name)):
        raise Refused("not_found", f"There is no operator {name!r}.")
    await tx.execute(_END_ALL, (await tx.now(), name))
    await unlock(tx, name)
    return secret


def _validated_password(password: str, name: str, merchant: str) -> str:
    """The password itself; refuses one that is short, or easy to guess from common ones and the names of this
    installation.
    """
    if not _PASSWORD_MIN <= len(password) <= _PASSWORD_MAX:
        raise Refused(
            "invalid_field", f"A password has {_PASSWORD_MIN} to {_PASSWORD_MAX} characters.", field="password"
        )
    about = [*_HERE, *re.split(r"[^a-z0-9]+", name), *merchant.lower().split(), merchant.replace(" ", "").lower()]
    if zxcvbn.zxcvbn(password[:_GUESSED_MAX], user_inputs=about)["score"] < _SCORE_MIN:
        raise Refused(
            "invalid_field", "This password is easy to guess: take four words that have nothing to do with each other.",
            field="password",
        )  # fmt: skip
    return password


_FIND = """
    SELECT operator_id, password_hash, totp_secret, totp_step FROM operators WHERE name = %s AND disabled_at IS NULL
"""
# An attempt is counted before it is checked: of many at once, no more than these are checked.
_TRY = """
    INSERT INTO operator_tries AS t (operator_id, address, tries, until)
    SELECT %(operator_id)s, address, 1, %(until)s FROM unnest(%(addresses)s::text[]) AS a (address)
    ON CONFLICT (operator_id, address) DO UPDATE SET
        tries = CASE WHEN t.until <= %(now)s THEN 1 ELSE t.tries + 1 END,
        until = CASE WHEN t.until <= %(now)s THEN excluded.until ELSE t.until END
    RETURNING address, tries
"""
_FORGET = "DELETE FROM operator_tries WHERE operator_id = %s"
# The step of a code is taken in this one statement: of two sign-ins with the same code one finds it taken. One who was
# renewed or disabled meanwhile does not come in.
_TAKE_STEP = """
    UPDATE operators SET totp_step = %(step)s
    WHERE operator_id = %(operator_id)s AND totp_step < %(step)s AND disabled_at IS NULL
        AND password_hash = %(password_hash)s AND totp_secret = %(totp_secret)s
"""
_OPEN = """
    INSERT INTO operator_sessions (session_id, operator_id, cookie_hash, created_at, seen_at, expires_at)
    VALUES (%s, %s, %s, %s, %s, %s)
"""


async def sign_in(database: Database, name: str, password: str, code: str, *, address: str) -> str:
    """A new session; returns the cookie's value. Refuses with one sentence for every cause."""
    known = await _proved(database, name, password, code, address=address)
    if known is not None:
        async with database.transaction() as tx:
            if await tx.execute(_TAKE_STEP, known):
                cookie, now = ids.secret(), await tx.now()
                opened = (ids.new("ose"), known["operator_id"], _hash(cookie), now, now, now + SESSION_LIFE)
                await tx.execute(_OPEN, opened)
                await tx.execute(_FORGET, (known["operator_id"],))
                await audit.record(tx, actor=f"operator:{name}", action="operator.signed_in")
                return cookie
    raise Refused("unauthorized", _WRONG)


_CHANGE = """
    UPDATE operators SET password_hash = %(new)s
    WHERE operator_id = %(operator_id)s AND password_hash = %(password_hash)s AND disabled_at IS NULL
"""
_END_OTHERS = """
    UPDATE operator_sessions SET revoked_at = %(now)s
    WHERE operator_id = %(operator_id)s AND session_id <> %(session_id)s AND revoked_at IS NULL
"""


async def change_password(
    database: Database, session: OperatorSession, password: str, code: str, new: str, *, merchant: str, address: str
) -> None:
    """A new password, given the old one; ends the operator's other sessions. Attempts are limited as at sign-in."""
    validated = _validated_password(new, session.name, merchant)
    known = await _proved(database, session.name, password, code, address=address)
    if known is not None:
        values = {**known, "new": await _hashed(validated), "session_id": session.session_id}
        async with database.transaction() as tx:
            if await tx.execute(_TAKE_STEP, known) and await tx.execute(_CHANGE, values):
                await tx.execute(_END_OTHERS, {**values, "now": await tx.now()})
                await tx.execute(_FORGET, (known["operator_id"],))
                await audit.record(tx, actor=session.actor, action="operator.password_changed")
                return
    raise Refused("unauthorized", _WRONG)


_WRONG = "Name, password or code is wrong. After five wrong tries, wait a quarter of an hour."


async def _proved(database: Database, name: str, password: str, code: str, *, address: str) -> Row | None:
    """Who they are, with the step of their code to be taken, if all of it is right.

    From one `address` five attempts are checked in a quarter of an hour, fifty from everywhere: a stranger who knows
    a name cannot shut its owner out from elsewhere by a few wrong passwords. One with many addresses can, for that
    long.
    """
    if _waiting() >= _WAITING_MAX:
        raise Refused("too_many_requests", "Too many people sign in at this moment. Try again in a few seconds.")
    async with database.transaction() as tx:
        known, now = await tx.one(_FIND, (name[:100],)), await tx.now()
        validated = known is not None and await _counted(tx, known["operator_id"], address)
    right = await _matches(_no_operator() if known is None else known["password_hash"], password)
    step = None if known is None else _step(known, code, now)
    if known is not None and validated and right and step is not None:
        return {**known, "step": step}
    if validated:
        async with database.transaction() as tx:
            await audit.record(tx, actor=f"operator:{name}", action="operator.sign_in_failed")
    return None


async def _counted(tx: Tx, operator_id: str, address: str) -> bool:
    """Count an attempt. Returns whether it may be checked."""
    now = await tx.now()
    values = {"operator_id": operator_id, "addresses": [rate_limit.network_of(address) or "?", _EVERYWHERE], "now": now,
              "until": now + _LOCKED}  # fmt: skip
    rows = await tx.all(_TRY, values)
    return all(row["tries"] <= (_TRIES_EVERYWHERE if row["address"] == _EVERYWHERE else _TRIES) for row in rows)


async def unlock(tx: Tx, name: str) -> None:
    """Let somebody try again at once."""
    known = await tx.one(_FIND, (name,))
    if known is None:
        raise Refused("not_found", f"There is no operator {name!r}.")
    await tx.execute(_FORGET, (known["operator_id"],))


# Each takes 64 MiB for a twentieth of a second: two at a time.
_HASHING = concurrent.futures.ThreadPoolExecutor(2, "argon2")
_WAITING_MAX = 12


def _waiting() -> int:
    """How many passwords wait to be hashed."""
    return _HASHING._work_queue.qsize()  # noqa: SLF001 - the executor has no public way


async def _hashed(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _HASHER.hash, password)


async def _matches(stored: str, password: str) -> bool:
    if len(password) > _PASSWORD_MAX:  # none is so long, and its beginning is another
        password = ""
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _verify, stored, password)


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except argon2.exceptions.VerificationError:
        return False


@functools.cache
def _no_operator() -> str:
    """Verified where the name is unknown, so that the time reveals nothing."""
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


_KEPT = dt.timedelta(days=30)


async def delete_expired(tx: Tx) -> None:
    """Sessions are not kept once they have been over for thirty days."""
    await tx.execute("DELETE FROM operator_sessions WHERE expires_at < %s", (await tx.now() - _KEPT,))


async def end(tx: Tx, cookie: str) -> None:
    """End the session behind a cookie, if there is one."""
    await tx.execute(
        "UPDATE operator_sessions SET revoked_at = %s WHERE cookie_hash = %s AND revoked_at IS NULL",
        (await tx.now(), _hash(cookie)),
    )


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
