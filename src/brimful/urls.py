"""Return addresses: a customer is only ever sent back to an origin that the platform has listed."""

import re
import urllib.parse
from collections.abc import Sequence

from brimful.errors import Refused

__all__ = ["judge_return_url"]

_LENGTH_MAX = 2000
_PLAIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(?:[/?#][\x21-\x5b\x5d-\x7e]*)?", re.ASCII)
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def judge_return_url(url: str, origins: Sequence[str], *, loopback: bool, field: str) -> str:
    """The same URL; refuses one whose origin, after parsing, is not listed.

    Args:
        url: absolute, http or https, ASCII without backslashes, spaces or user names.
        origins: such as `https://app.example.com`.
        loopback: whether any loopback address will do (in sandbox mode only).
        field: named in the refusal.
    """
    parts = _parts(url)
    if parts is not None:
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        if origin in {listed.lower().rstrip("/") for listed in origins}:
            return url
        if loopback and _host(parts) in _LOOPBACK:
            return url
    raise Refused(
        "origin_not_allowed",
        f"{field} must be an absolute URL on one of this platform's origins: list it in BRIMFUL_RETURN_ORIGINS.",
        field=field,
    )


def _parts(url: str) -> urllib.parse.SplitResult | None:
    try:
        return urllib.parse.urlsplit(url) if len(url) <= _LENGTH_MAX and _PLAIN.fullmatch(url) else None
    except ValueError:  # brackets without an address between them
        return None


def _host(parts: urllib.parse.SplitResult) -> str | None:
    try:
        odd = parts.port == 0  # reading it raises for a port that is no number
    except ValueError:
        odd = True
    return None if odd else parts.hostname
