"""Texts that others give: what can be kept and shown, and in one writing."""

import unicodedata

from brimful.core.errors import Refused

# They turn the direction of what follows: a name could read as another. U+200C and U+200D join letters and pictures.
_TURNS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> bool:
    """Whether it holds no control character, no lone surrogate, and none that turns directions."""
    return text.isprintable() or not any(
        unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in _TURNS for char in text
    )


def one_writing(text: str) -> str:
    """NFC: of two texts that look the same there is one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def clean(value: str, field: str) -> str:
    """A name: plain, trimmed, in one writing; refuses one of which nothing would be seen."""
    text = one_writing(value).strip()
    if not plain(text) or all(unicodedata.category(char) in {"Cf", "Zs"} for char in text):
        raise Refused("invalid_field", f"{field} must be plain text without control characters.", field=field)
    return text
