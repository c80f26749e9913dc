"""Settings: the only reader of the environment.

Every name begins with `BRIMFUL_` but for the two that the field has agreed on, `DATABASE_URL` and
`STRIPE_*`. A value that cannot be used is a `ConfigurationError` of one line.
"""

import base64
import dataclasses
import os
import urllib.parse
from collections.abc import Mapping

from brimful.errors import ConfigurationError

__all__ = ["Settings", "child_environment", "read"]

_LIVE_KEYS = ("sk_live_", "rk_live_")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What one process needs to know. Amounts of time are seconds; see docs/settings.md."""

    database_url: str
    api_key: str | None
    public_url: str
    merchant: str
    return_origins: tuple[str, ...]
    topup_url: str | None
    stripe_key: str | None
    stripe_url: str | None  # None: Stripe itself
    checkout_url: str | None  # where the sandbox shows its pages to a browser
    stripe_webhook_secrets: tuple[str, ...]
    ledger_keys: Mapping[int, bytes]  # first byte of a mac -> key; the highest number signs
    sandbox: bool
    pace_per_hour: int
    pace_spacing_s: int
    cards_per_hour: int
    retry_waits_s: tuple[int, ...]  # between the tries of one top-up after soft declines
    batch_max: int
    queue_max: int
    pool_max: int
    worker_concurrency: int
    allow_unsafe_database: bool
    log_level: str


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        ConfigurationError: a value is missing or unusable.
    """
    source = os.environ if environ is None else environ
    env = {name: value for name, value in source.items() if value != ""}
    stripe_url = env.get("STRIPE_API_URL")
    settings = Settings(
        database_url=_required(env, "DATABASE_URL", "a postgresql:// URL, or start with `brimful up`"),
        api_key=_preset_key(env.get("BRIMFUL_API_KEY")),
        public_url=env.get("BRIMFUL_PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/"),
        merchant=env.get("BRIMFUL_MERCHANT", "Glitch AI"),
        return_origins=_list(env.get("BRIMFUL_RETURN_ORIGINS", "")),
        topup_url=env.get("BRIMFUL_TOPUP_URL"),
        stripe_key=env.get("STRIPE_API_KEY"),
        stripe_url=stripe_url,
        checkout_url=env.get("STRIPE_CHECKOUT_URL", stripe_url),
        stripe_webhook_secrets=_list(env.get("STRIPE_WEBHOOK_SECRET", "")),
        ledger_keys=_ledger_keys(_required(env, "BRIMFUL_LEDGER_KEYS", "number:base64 of 32 bytes, comma-separated")),
        sandbox=stripe_url is not None,
        pace_per_hour=_integer(env, "BRIMFUL_PACE_PER_HOUR", 5),
        pace_spacing_s=_integer(env, "BRIMFUL_PACE_SPACING_S", 60),
        cards_per_hour=_integer(env, "BRIMFUL_CARDS_PER_HOUR", 5),
        retry_waits_s=_integers(env.get("BRIMFUL_RETRY_WAITS_S", "14400,43200")),
        batch_max=_integer(env, "BRIMFUL_BATCH_MAX", 500),
        queue_max=_integer(env, "BRIMFUL_QUEUE_MAX", 20_000),
        pool_max=_integer(env, "BRIMFUL_POOL_MAX", 10),
        worker_concurrency=_integer(env, "BRIMFUL_WORKER_CONCURRENCY", 16),
        allow_unsafe_database=env.get("BRIMFUL_ALLOW_UNSAFE_DATABASE") == "yes",
        log_level=env.get("BRIMFUL_LOG_LEVEL", "INFO").upper(),
    )
    _refuse_live_key_elsewhere(settings)
    return settings


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `extra` laid over it, for a child process."""
    return {**os.environ, **extra}


def embedded_version() -> str:
    """Major version of the embedded PostgreSQL that a new data directory gets."""
    return os.environ.get("BRIMFUL_POSTGRES") or "18"


def preset_api_key() -> str | None:
    """`BRIMFUL_API_KEY`, judged. For `brimful up`, which has no other settings yet."""
    return _preset_key(os.environ.get("BRIMFUL_API_KEY") or None)


def database_url() -> str | None:
    """`DATABASE_URL` alone, for commands that need nothing else."""
    return os.environ.get("DATABASE_URL") or None


def ledger_keyring(extra: Mapping[str, str]) -> dict[int, bytes]:
    """The ledger's keys, from `extra` or the environment, for commands that only verify."""
    env = {**os.environ, **extra}
    return _ledger_keys(_required(env, "BRIMFUL_LEDGER_KEYS", "the keys that the ledger was signed with"))


def stripe_access() -> tuple[str | None, str | None]:
    """Stripe's key and address alone, for the doctor."""
    return os.environ.get("STRIPE_API_KEY") or None, os.environ.get("STRIPE_API_URL") or None


def _required(env: Mapping[str, str], name: str, what: str) -> str:
    value = env.get(name)
    if value is None:
        raise ConfigurationError(f"{name} is not set: give {what}.")
    return value


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and 0 < len(value) <= 9):
        raise ConfigurationError(f"{name}={value!r} is not a whole number from 0 to 999999999.")
    return int(value)


def _integers(value: str) -> tuple[int, ...]:
    parts = _list(value)
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigurationError(f"BRIMFUL_RETRY_WAITS_S={value!r} is not a list of seconds such as 14400,43200.")
    return tuple(int(part) for part in parts)


def _list(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _preset_key(value: str | None) -> str | None:
    if value is None:
        return None
    allowed = value.isascii() and value.replace("-", "").replace("_", "").isalnum()
    if not (allowed and 24 <= len(value) <= 128):
        raise ConfigurationError("BRIMFUL_API_KEY must be 24 to 128 characters of A-Z a-z 0-9 _ -.")
    return value


def _ledger_keys(value: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for part in _list(value):
        number, _, encoded = part.partition(":")
        try:
            keys[int(number)] = base64.b64decode(encoded, validate=True)
        except ValueError:
            raise ConfigurationError("BRIMFUL_LEDGER_KEYS must look like 1:BASE64,2:BASE64.") from None
    if not keys or not all(0 < number < 256 and len(key) == 32 for number, key in keys.items()):
        raise ConfigurationError("BRIMFUL_LEDGER_KEYS needs keys of 32 bytes, numbered 1 to 255.")
    return keys


def _refuse_live_key_elsewhere(settings: Settings) -> None:
    """A live key sent to another address than Stripe's would hand the account to a stranger."""
    if settings.stripe_url is None:
        return
    if (settings.stripe_key or "").startswith(_LIVE_KEYS):
        raise ConfigurationError(
            "STRIPE_API_KEY is a live key but STRIPE_API_URL points away from Stripe: remove one of the two."
        )
    host = urllib.parse.urlsplit(settings.stripe_url).hostname
    if host not in _LOOPBACK:
        raise ConfigurationError(f"STRIPE_API_URL must be a loopback address (the sandbox), not {host!r}.")
