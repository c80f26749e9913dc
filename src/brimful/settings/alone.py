"""Single values, for commands that need nothing else."""

import dataclasses
import datetime as dt
import os
import pathlib
import re
from collections.abc import Mapping

from brimful.errors import ConfigurationError
from brimful.settings.values import (
    LIVE_KEYS,
    integer,
    ledger_keys,
    listed,
    preset_key,
    refuse_live_key_elsewhere,
    required,
)

__all__ = [
    "MERCHANT",
    "PUBLIC_URL",
    "StripeAccess",
    "bench_beside",
    "database_url",
    "embedded_version",
    "ledger_keyring",
    "load_file",
    "merchant",
    "pace",
    "preset_api_key",
    "stripe_access",
]

MERCHANT = "Glitch AI"
PUBLIC_URL = "http://127.0.0.1:8000"


def embedded_version() -> str:
    """Major version of the embedded PostgreSQL that a new data directory gets."""
    return os.environ.get("BRIMFUL_POSTGRES") or "18"


def preset_api_key() -> str | None:
    """`BRIMFUL_API_KEY`, judged. For `brimful up`, which has no other settings yet."""
    return preset_key(os.environ.get("BRIMFUL_API_KEY") or None)


def database_url() -> str | None:
    """The database alone, past any pooler, for commands that need nothing else."""
    return os.environ.get("DATABASE_URL_DIRECT") or os.environ.get("DATABASE_URL") or None


def bench_beside() -> str | None:
    """The plain PostgreSQL that `brimful bench usage` compares DATABASE_URL's with."""
    return os.environ.get("BRIMFUL_BENCH_BESIDE") or None


def ledger_keyring(extra: Mapping[str, str]) -> dict[int, bytes]:
    """The ledger's keys, from `extra` or the environment, for commands that only verify."""
    env = {**os.environ, **extra}
    return ledger_keys(required(env, "BRIMFUL_LEDGER_KEYS", "the keys that the ledger was signed with"))


def pace() -> tuple[int, dt.timedelta]:
    """Automatic top-ups of one account in an hour, and their spacing, for commands that need nothing else."""
    env = dict(os.environ)
    spacing_s = integer(env, "BRIMFUL_PACE_SPACING_S", 60)
    return integer(env, "BRIMFUL_PACE_PER_HOUR", 5), dt.timedelta(seconds=spacing_s)


def merchant() -> str:
    """The name that pages show, for commands that need nothing else."""
    return os.environ.get("BRIMFUL_MERCHANT") or MERCHANT


@dataclasses.dataclass(frozen=True)
class StripeAccess:
    """How to ask Stripe, and where it is to send its events."""

    key: str | None
    url: str | None
    public_url: str
    webhook_secrets: tuple[str, ...]
    epoch_file: str | None = None

    @property
    def live(self) -> bool:
        return (self.key or "").startswith(LIVE_KEYS)

    @property
    def webhook_url(self) -> str:
        """Where our inbox listens."""
        return f"{self.public_url}/v1/stripe/webhooks"


def stripe_access(*, public_url: str | None = None) -> StripeAccess:
    """Stripe's key and addresses alone, for the doctor and for setting up.

    Raises:
        ConfigurationError: a live key would be sent elsewhere.
    """
    env = os.environ
    access = StripeAccess(
        env.get("STRIPE_API_KEY") or None,
        env.get("STRIPE_API_URL") or None,
        (public_url or env.get("BRIMFUL_PUBLIC_URL") or PUBLIC_URL).rstrip("/"),
        listed(env.get("STRIPE_WEBHOOK_SECRET", "")),
        env.get("BRIMFUL_EPOCH_FILE") or None,
    )
    refuse_live_key_elsewhere(access.key, access.url)
    return access


def load_file(path: str) -> None:
    """Take settings from a file of NAME=VALUE lines, as systemd and Docker read it; what is set already stands."""
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigurationError(f"{path}, line {number}: a setting looks like NAME=VALUE.")
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        os.environ.setdefault(name, value[1:-1] if quoted else value)
