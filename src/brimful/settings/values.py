"""What a value may look like: each function takes the variable's text, and raises ValueError with the reason."""

import base64
import ipaddress
import pathlib
import re
import urllib.parse
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from brimful.core import colors
from brimful.core.urls import LOOPBACK

LIVE_KEYS = ("sk_live_", "rk_live_")
_CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3: text of normal size
_PORT_MAX = 65535
Role = Literal["viewer", "operator"]


def listed(text: str) -> tuple[str, ...]:
    """Parts between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def whole_number(text: object) -> int:
    value = str(text)
    if not (value.isascii() and value.isdigit() and 0 < len(value) <= 9):
        raise ValueError(f"{value!r} is not a whole number from 0 to 999999999")
    return int(value)


def positive(value: int) -> int:
    if value < 1:
        raise ValueError(f"{str(value)!r} is not a whole number from 1 to 999999999")
    return value


def seconds(text: str) -> tuple[int, ...]:
    parts = listed(text)
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} is not a list of seconds such as 14400,43200")
    return tuple(int(part) for part in parts)


def networks(text: str) -> tuple[str, ...]:
    parts = listed(text)
    for part in parts:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ValueError(f"{part!r} is no network such as 10.0.0.0/8") from None
    return parts


def ranges(text: str, *, single: bool = False) -> dict[str, tuple[Decimal, Decimal]]:
    number = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
    pattern = rf"([A-Z][A-Z0-9_]{{1,31}}):({number})" + ("" if single else rf"-({number})")
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for part in listed(text):
        match = re.fullmatch(pattern, part, re.ASCII)
        if match is None:
            raise ValueError(f"{part!r} does not look like {'USD:200' if single else 'USD:5-500'}")
        low, high = Decimal(match[2]), Decimal(match[2] if single else match[3])
        if low > high:
            raise ValueError(f"{part!r} has its bounds the wrong way round")
        found[match[1]] = (low, high)
    return found


def amounts(text: str) -> dict[str, Decimal]:
    return {code: low for code, (low, _) in ranges(text, single=True).items()}


def accent(value: str) -> str:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError(f"{value!r} is not a color such as #0b6e5b")
    ratio = colors.contrast(colors.rgb(value), (255, 255, 255))
    if ratio < _CONTRAST_MIN:
        raise ValueError(f"{value} has a contrast of {ratio:.1f}:1 with white; choose a darker color (4.5:1)")
    return value.lower()


def api_key(value: str) -> str:
    allowed = value.isascii() and value.replace("-", "").replace("_", "").isalnum()
    if not (allowed and 24 <= len(value) <= 128):
        raise ValueError("must be 24 to 128 characters of A-Z a-z 0-9 _ -")
    return value


def ledger_keys(text: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for part in listed(text):
        number, _, encoded = part.partition(":")
        try:
            keys[int(number)] = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise ValueError("must look like 1:BASE64,2:BASE64") from None
    if not keys or not all(0 < number < 256 and len(key) == 32 for number, key in keys.items()):
        raise ValueError("needs keys of 32 bytes, numbered 1 to 255")
    return keys


def address(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}", value) or int(value.rpartition(":")[2]) > _PORT_MAX:
        raise ValueError(f"{value!r} must look like 127.0.0.1:9464")
    return value


def lines(text: object) -> tuple[str, ...]:
    """Lines between bars: an address stands in one variable."""
    return tuple(part.strip() for part in str(text).split("|") if part.strip())


def link(value: str) -> str:
    """Where people can be sent: a page, or an address to write to."""
    parts = urllib.parse.urlsplit(value)
    here = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (here or (parts.scheme == "https" and parts.hostname) or (parts.scheme == "mailto" and "@" in parts.path)):
        raise ValueError(f"{value!r} is neither an https address nor one such as mailto:help@example.com")
    return value


def directory(value: str) -> str:
    if not pathlib.Path(value).is_dir():
        raise ValueError(f"{value!r} is no directory: create it, for the worker's user")
    return value


def smtp_url(value: str) -> str:
    parts = urllib.parse.urlsplit(value)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must look like smtp://user:password@host:587 or smtps://host")
    return value


def roles(text: str) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for part in listed(text):
        name, _, role = part.rpartition(":")
        if not name or role not in {"viewer", "operator"}:
            raise ValueError("must look like ada@example.com:operator,bob:viewer")
        roles[name.lower()] = "operator" if role == "operator" else "viewer"
    return roles


Whole = Annotated[int, BeforeValidator(whole_number)]
Positive = Annotated[Whole, AfterValidator(positive)]
Listed = Annotated[tuple[str, ...], BeforeValidator(listed)]
Ranges = Annotated[Mapping[str, tuple[Decimal, Decimal]], BeforeValidator(ranges)]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def require_https(public_url: str, *, sandbox: bool) -> None:
    """Links and cookies of real customers do not go in the clear; on this machine alone they may."""
    parts = urllib.parse.urlsplit(public_url)
    if parts.scheme != "https" and not sandbox and parts.hostname not in LOOPBACK:
        raise ValueError(f"BRIMFUL_PUBLIC_URL={public_url!r} must be https://: put a proxy with TLS before it")


def require_stripe_for_live_key(key: str | None, url: str | None) -> None:
    """A live key sent to another address than Stripe's would hand the account to a stranger."""
    if url is None:
        return
    if (key or "").startswith(LIVE_KEYS):
        raise ValueError(
            "STRIPE_API_KEY is a live key but STRIPE_API_URL points away from Stripe: remove one of the two"
        )
    host = urllib.parse.urlsplit(url).hostname
    if host not in LOOPBACK:
        raise ValueError(f"STRIPE_API_URL must be a loopback address (the sandbox), not {host!r}")
