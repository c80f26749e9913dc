"""Addresses that others give: taken apart strictly; a customer is only ever sent back to an origin that is listed."""

import re
import urllib.parse
from collections.abc import Sequence

from brimful.core.errors import Refused

_LENGTH_MAX = 2000
_PLAIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?:[/?#][\x21-\x5b\x5d-\x7e]*)?", re.ASCII)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def validate_return_url(url: str, origins: Sequence[str], *, loopback: bool, field: str) -> str:
    """The same URL; refuses one whose origin, after parsing, is not listed.

    Args:
        url: absolute, http or https, ASCII without backslashes, spaces or user names.
        origins: such as `https://app.example.com`.
        loopback: whether any loopback address will do (in sandbox mode only).
        field: named in the refusal.
    """
    parts = split(url)
    if parts is not None:
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        if origin in {listed.lower().rstrip("/") for listed in origins}:
            return url
        if loopback and parts.hostname in LOOPBACK:
            return url
    raise Refused(
        "origin_not_allowed",
        f"{field} must be an absolute URL on one of this platform's origins: list it in BRIMFUL_RETURN_ORIGINS.",
        field=field,
    )


def split(url: str) -> urllib.parse.SplitResult | None:
    """The parts of an absolute address in http or https, or None for any other text: of ASCII, without backslashes,
    spaces, user names, brackets without an address, or a port that is none.
    """
    if len(url) > _LENGTH_MAX or not _PLAIN.fullmatch(url):
        return None
    try:
        parts = urllib.parse.urlsplit(url)
        unusable = parts.port == 0  # reading it raises for a port that is no number
    except ValueError:
        return None
    return None if unusable else parts
