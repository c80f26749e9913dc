"""Identifiers: a prefix that names the kind, and a UUIDv7 that sorts by time."""

import secrets
import zlib
from collections.abc import Callable

import uuid_utils

PREFIXES = frozenset(
    {"cus", "ent", "card", "top", "pay", "con", "evt", "whk", "wrk", "ses", "key", "set", "req", "ref", "opr", "ose"}
)


def _uuid7() -> str:
    return uuid_utils.uuid7().hex


_number: Callable[[], str] = _uuid7


def new(prefix: str) -> str:
    """A new id such as `cus_0192f0c1a7b27c3e8d4f5a6b7c8d9e0f`."""
    assert prefix in PREFIXES, prefix
    return f"{prefix}_{_number()}"


def derive(number: Callable[[], str] | None) -> None:
    """Take ids from elsewhere: a simulation counts, so that a seed repeats itself. None returns to UUIDv7."""
    global _number  # noqa: PLW0603 - one process is one simulation or none
    _number = number or _uuid7


def secret() -> str:
    """256 random bits for tokens and keys, safe in a URL."""
    return secrets.token_urlsafe(32)


def jitter(seconds: float) -> float:
    """A wait between half and one and a half of `seconds`, so that a herd spreads."""
    return seconds * (0.5 + secrets.randbelow(1000) / 1000)


def spread(name: str) -> float:
    """A factor between 0.75 and 1.25 that belongs to a name: a herd spreads, and each of it the same way again."""
    return 0.75 + zlib.crc32(name.encode()) % 1000 / 2000
