"""Values as the environment has them: judged, and refused in one line."""

import base64
import ipaddress
import pathlib
import re
import urllib.parse
from collections.abc import Mapping
from decimal import Decimal

from brimful.errors import ConfigurationError
from brimful.urls import LOOPBACK

__all__ = [
    "LIVE_KEYS",
    "address",
    "directory",
    "integer",
    "integers",
    "ledger_keys",
    "listed",
    "networks",
    "one_of",
    "preset_key",
    "ranges",
    "refuse_live_key_elsewhere",
    "refuse_plain_http",
    "required",
    "signing",
    "smtp_url",
]

LIVE_KEYS = ("sk_live_", "rk_live_")
_PORT_MAX = 65535


def ranges(env: Mapping[str, str], name: str, *, single: bool = False) -> dict[str, tuple[Decimal, Decimal]]:
    """`USD:5-500,MINUTES:10-1000`, or with `single` `USD:200`."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    number = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
    pattern = rf"([A-Z][A-Z0-9_]{{1,31}}):({number})" + ("" if single else rf"-({number})")
    for part in listed(env.get(name, "")):
        match = re.fullmatch(pattern, part, re.ASCII)
        if match is None:
            form = "USD:200,EUR:200" if single else "USD:5-500,MINUTES:10-1000"
            raise ConfigurationError(f"{name} must look like {form}; {part!r} does not.")
        low, high = Decimal(match[2]), Decimal(match[2] if single else match[3])
        if low > high:
            raise ConfigurationError(f"{name}: {part!r} has its bounds the wrong way round.")
        found[match[1]] = (low, high)
    return found


def one_of(env: Mapping[str, str], name: str, default: str, known: tuple[str, ...]) -> str:
    """One of a few words, in capitals."""
    value = env.get(name, default).upper()
    if value not in known:
        raise ConfigurationError(f"{name}={env[name]!r} is not one of {', '.join(known)}.")
    return value


def address(env: Mapping[str, str], name: str) -> str | None:
    """host:port, or None."""
    value = env.get(name)
    if value is not None and not (
        re.fullmatch(r"[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}", value) and int(value.rpartition(":")[2]) <= _PORT_MAX
    ):
        raise ConfigurationError(f"{name}={value!r} must look like 127.0.0.1:9464.")
    return value


def directory(env: Mapping[str, str], name: str) -> str | None:
    """A directory that is there, or None."""
    value = env.get(name)
    if value is not None and not pathlib.Path(value).is_dir():
        raise ConfigurationError(f"{name}={value!r} is no directory: create it, for the worker's user.")
    return value


def smtp_url(value: str | None) -> str | None:
    """The address of a mail server, or None."""
    if value is None:
        return None
    parts = urllib.parse.urlsplit(value)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ConfigurationError("BRIMFUL_SMTP_URL must look like smtp://user:password@host:587 or smtps://host.")
    return value


def refuse_plain_http(public_url: str, *, sandbox: bool) -> None:
    """Links and cookies of real customers do not go in the clear; on this machine alone they may."""
    parts = urllib.parse.urlsplit(public_url)
    if parts.scheme != "https" and not sandbox and parts.hostname not in LOOPBACK:
        raise ConfigurationError(f"BRIMFUL_PUBLIC_URL={public_url!r} must be https://: put a proxy with TLS before it.")


def networks(text: str) -> tuple[str, ...]:
    """Networks such as 10.0.0.0/8, comma-separated."""
    found = listed(text)
    for part in found:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ConfigurationError(f"BRIMFUL_TRUSTED_PROXIES: {part!r} is no network such as 10.0.0.0/8.") from None
    return found


def required(env: Mapping[str, str], name: str, what: str) -> str:
    """A value that must be there."""
    value = env.get(name)
    if value is None:
        raise ConfigurationError(f"{name} is not set: give {what}.")
    return value


def integer(env: Mapping[str, str], name: str, default: int, *, least: int = 0) -> int:
    """A whole number of at most nine digits."""
    value = env.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and 0 < len(value) <= 9) or int(value) < least:
        raise ConfigurationError(f"{name}={value!r} is not a whole number from {least} to 999999999.")
    return int(value)


def integers(value: str) -> tuple[int, ...]:
    """Seconds, comma-separated."""
    parts = listed(value)
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigurationError(f"BRIMFUL_RETRY_WAITS_S={value!r} is not a list of seconds such as 14400,43200.")
    return tuple(int(part) for part in parts)


def listed(value: str) -> tuple[str, ...]:
    """Parts between commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def preset_key(value: str | None) -> str | None:
    """An API key that was chosen, not made."""
    if value is None:
        return None
    allowed = value.isascii() and value.replace("-", "").replace("_", "").isalnum()
    if not (allowed and 24 <= len(value) <= 128):
        raise ConfigurationError("BRIMFUL_API_KEY must be 24 to 128 characters of A-Z a-z 0-9 _ -.")
    return value


def signing(env: Mapping[str, str]) -> int:
    """The key that signs: the highest, unless another is named while a new one is handed out."""
    known = ledger_keys(env.get("BRIMFUL_LEDGER_KEYS", ""))
    number = integer(env, "BRIMFUL_LEDGER_SIGNING", max(known), least=1)
    if number not in known:
        raise ConfigurationError(f"BRIMFUL_LEDGER_SIGNING={number} is none of the numbers in BRIMFUL_LEDGER_KEYS.")
    return number


def ledger_keys(value: str) -> dict[int, bytes]:
    """Keys by number."""
    keys: dict[int, bytes] = {}
    for part in listed(value):
        number, _, encoded = part.partition(":")
        try:
            keys[int(number)] = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise ConfigurationError("BRIMFUL_LEDGER_KEYS must look like 1:BASE64,2:BASE64.") from None
    if not keys or not all(0 < number < 256 and len(key) == 32 for number, key in keys.items()):
        raise ConfigurationError("BRIMFUL_LEDGER_KEYS needs keys of 32 bytes, numbered 1 to 255.")
    return keys


def refuse_live_key_elsewhere(key: str | None, url: str | None) -> None:
    """A live key sent to another address than Stripe's would hand the account to a stranger."""
    if url is None:
        return
    if (key or "").startswith(LIVE_KEYS):
        raise ConfigurationError(
            "STRIPE_API_KEY is a live key but STRIPE_API_URL points away from Stripe: remove one of the two."
        )
    host = urllib.parse.urlsplit(url).hostname
    if host not in LOOPBACK:
        raise ConfigurationError(f"STRIPE_API_URL must be a loopback address (the sandbox), not {host!r}.")
