"""Identifiers: a prefix that tells the kind, and a UUIDv7 that sorts by time."""

import secrets

import uuid_utils

__all__ = ["PREFIXES", "jitter", "new", "secret"]

PREFIXES = frozenset({"cus", "ent", "card", "top", "pay", "con", "evt", "whk", "ses", "key", "set", "req"})


def new(prefix: str) -> str:
    """A new id such as `cus_0192f0c1a7b27c3e8d4f5a6b7c8d9e0f`."""
    assert prefix in PREFIXES, prefix
    return f"{prefix}_{uuid_utils.uuid7().hex}"


def secret() -> str:
    """256 random bits for tokens and keys, safe in a URL."""
    return secrets.token_urlsafe(32)


def jitter(seconds: float) -> float:
    """A wait between half and one and a half of `seconds`, so that a herd spreads."""
    return seconds * (0.5 + secrets.randbelow(1000) / 1000)
