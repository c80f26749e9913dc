"""Identifiers: a prefix that names the kind, and a UUIDv7 that sorts by time."""

import re
import secrets
import zlib
from collections.abc import Callable
from typing import Any

import uuid_utils

PREFIXES = frozenset(
    {
        "cus",
        "ent",
        "card",
        "top",
        "pay",
        "con",
        "evt",
        "whk",
        "wrk",
        "ses",
        "key",
        "set",
        "req",
        "ref",
        "opr",
        "ose",
        "bud",
    }
)


_CUSTOMER = re.compile(r"cus_[0-9a-f]{32}", re.ASCII)
_NOBODY = bytes(16)


class CustomerId(str):
    """A customer's id: `cus_` and 32 hexadecimal digits for everybody, 16 bytes in the database, where it stands in
    every row and every key. What comes from outside becomes one at the door; what comes from the database is one.

    Any text may be one: a text that has not this form is the id of nobody, and so is the database's all-zero UUID.
    """

    __slots__ = ("_number",)

    @classmethod
    def of(cls, number: bytes) -> "CustomerId":
        """The id of these 16 bytes."""
        return cls("cus_" + number.hex())

    @property
    def number(self) -> bytes:
        """Its 16 bytes."""
        try:
            return self._number  # a debit names its customer in four statements
        except AttributeError:
            # A space between the digits would be read over, another letter raise: only this form is an id.
            self._number: bytes = bytes.fromhex(self[4:]) if _CUSTOMER.fullmatch(self) else _NOBODY
            return self._number

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: Callable[[object], Any]) -> Any:
        """In a path or a body it is a string."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, handler(str))


NOBODY = CustomerId.of(_NOBODY)


def new_customer() -> CustomerId:
    """The id of a new customer."""
    return CustomerId(new("cus"))


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
