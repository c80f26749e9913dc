"""Settings: the only reader of the environment.

Every name begins with `BRIMFUL_` but for the two that the field has agreed on, `DATABASE_URL` and
`STRIPE_*`. A value that cannot be used is a `ConfigurationError` of one line.
"""

import base64
import dataclasses
import datetime as dt
import os
import re
import urllib.parse
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from brimful.errors import ConfigurationError

__all__ = ["ConsoleProxy", "PortalSettings", "Settings", "StripeAccess", "child_environment", "contrast", "read", "rgb"]

_MERCHANT = "Glitch AI"
_PUBLIC_URL = "http://127.0.0.1:8000"
_LIVE_KEYS = ("sk_live_", "rk_live_")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclasses.dataclass(frozen=True)
class PortalSettings:
    """How the portal looks, and within which bounds its customers choose.

    `amounts` (money, by asset) and `thresholds` (in the asset) are (least, most). `confirm_above` is money by
    currency: a larger payment is shown once more before it is made.
    """

    accent: str
    radius_px: int
    logo: str | None  # path of a PNG or JPEG
    notice_days: int
    amounts: Mapping[str, tuple[Decimal, Decimal]]
    thresholds: Mapping[str, tuple[Decimal, Decimal]]
    confirm_above: Mapping[str, Decimal]


@dataclasses.dataclass(frozen=True)
class ConsoleProxy:
    """A proxy in front of the console that has judged who comes: it sends their name in `header`, and proves itself
    with `secret` in X-Brimful-Proxy-Secret. `roles` names who may come.
    """

    header: str
    secret: str
    roles: Mapping[str, Literal["viewer", "operator"]]


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
    stripe_rate: int  # calls a second that this process may make; Stripe allows 100 (25 in its sandboxes) in all
    stripe_endpoint_rate: int  # and on one endpoint; Stripe allows 25
    epoch_file: str | None  # witness outside the database that it has not gone back in time
    crash_at: str | None  # POINT:kill|exception|hang, for tests; never with a live key
    ledger_keys: Mapping[int, bytes]  # first byte of a mac -> key; the highest number signs
    sandbox: bool
    pace_per_hour: int
    pace_spacing_s: int
    cards_per_hour: int
    retry_waits_s: tuple[int, ...]  # between the tries of one top-up after soft declines
    batch_max: int
    queue_max: int
    posters: int
    api_rate: int  # requests a second of one key that this process answers
    pool_max: int
    worker_concurrency: int
    portal: PortalSettings
    console_proxy: ConsoleProxy | None
    smtp_url: str | None
    mail_from: str | None
    allow_unsafe_database: bool
    metrics_address: str | None  # host:port where a worker shows what it counts
    traces: bool  # by OpenTelemetry, whose own OTEL_* variables say where to and how
    log_level: str
    log_form: Literal["text", "json"]


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
        public_url=env.get("BRIMFUL_PUBLIC_URL", _PUBLIC_URL).rstrip("/"),
        merchant=env.get("BRIMFUL_MERCHANT", _MERCHANT),
        return_origins=_list(env.get("BRIMFUL_RETURN_ORIGINS", "")),
        topup_url=env.get("BRIMFUL_TOPUP_URL"),
        stripe_key=env.get("STRIPE_API_KEY"),
        stripe_url=stripe_url,
        checkout_url=env.get("STRIPE_CHECKOUT_URL", stripe_url),
        stripe_webhook_secrets=_list(env.get("STRIPE_WEBHOOK_SECRET", "")),
        stripe_rate=_integer(env, "BRIMFUL_STRIPE_RATE", 80, least=1),
        stripe_endpoint_rate=_integer(env, "BRIMFUL_STRIPE_ENDPOINT_RATE", 20, least=1),
        epoch_file=env.get("BRIMFUL_EPOCH_FILE"),
        crash_at=env.get("BRIMFUL_CRASH_AT"),
        ledger_keys=_ledger_keys(_required(env, "BRIMFUL_LEDGER_KEYS", "number:base64 of 32 bytes, comma-separated")),
        sandbox=stripe_url is not None,
        pace_per_hour=_integer(env, "BRIMFUL_PACE_PER_HOUR", 5),
        pace_spacing_s=_integer(env, "BRIMFUL_PACE_SPACING_S", 60),
        cards_per_hour=_integer(env, "BRIMFUL_CARDS_PER_HOUR", 5),
        retry_waits_s=_integers(env.get("BRIMFUL_RETRY_WAITS_S", "14400,43200")),
        batch_max=_integer(env, "BRIMFUL_BATCH_MAX", 500),
        queue_max=_integer(env, "BRIMFUL_QUEUE_MAX", 20_000),
        posters=_integer(env, "BRIMFUL_POSTERS", 2),
        api_rate=_integer(env, "BRIMFUL_API_RATE", 20_000, least=1),
        pool_max=_integer(env, "BRIMFUL_POOL_MAX", 10),
        worker_concurrency=_integer(env, "BRIMFUL_WORKER_CONCURRENCY", 16),
        portal=_portal(env),
        console_proxy=_console_proxy(env),
        smtp_url=_smtp_url(env.get("BRIMFUL_SMTP_URL")),
        mail_from=env.get("BRIMFUL_MAIL_FROM"),
        allow_unsafe_database=env.get("BRIMFUL_ALLOW_UNSAFE_DATABASE") == "yes",
        metrics_address=_address(env, "BRIMFUL_WORKER_METRICS"),
        traces="OTEL_EXPORTER_OTLP_ENDPOINT" in env,
        log_level=_one_of(env, "BRIMFUL_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
        log_form="json" if _one_of(env, "BRIMFUL_LOG_FORM", "TEXT", ("TEXT", "JSON")) == "JSON" else "text",
    )
    _refuse_live_key_elsewhere(settings)
    if settings.smtp_url is not None and settings.mail_from is None:
        raise ConfigurationError(
            "BRIMFUL_SMTP_URL is set: give BRIMFUL_MAIL_FROM as well, such as billing@example.com."
        )
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


def pace() -> tuple[int, dt.timedelta]:
    """Automatic top-ups of one account in an hour, and their spacing, for commands that need nothing else."""
    env = dict(os.environ)
    spacing_s = _integer(env, "BRIMFUL_PACE_SPACING_S", 60)
    return _integer(env, "BRIMFUL_PACE_PER_HOUR", 5), dt.timedelta(seconds=spacing_s)


def merchant() -> str:
    """The name that pages show, for commands that need nothing else."""
    return os.environ.get("BRIMFUL_MERCHANT") or _MERCHANT


@dataclasses.dataclass(frozen=True)
class StripeAccess:
    """How to ask Stripe, and where it is to send its events."""

    key: str | None
    url: str | None
    public_url: str
    webhook_secrets: tuple[str, ...]

    @property
    def live(self) -> bool:
        return (self.key or "").startswith(_LIVE_KEYS)

    @property
    def webhook_url(self) -> str:
        """Where our inbox listens."""
        return f"{self.public_url}/v1/stripe/webhooks"


def stripe_access(*, public_url: str | None = None) -> StripeAccess:
    """Stripe's key and addresses alone, for the doctor and for setting up."""
    env = os.environ
    return StripeAccess(
        env.get("STRIPE_API_KEY") or None,
        env.get("STRIPE_API_URL") or None,
        (public_url or env.get("BRIMFUL_PUBLIC_URL") or _PUBLIC_URL).rstrip("/"),
        _list(env.get("STRIPE_WEBHOOK_SECRET", "")),
    )


_ACCENT = "#0b6e5b"
_WHITE = (255, 255, 255)
_CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3: text of normal size
_RADIUS_MAX = 32
_PROXY_SECRET_MIN = 24
_PORT_MAX = 65535


def _portal(env: Mapping[str, str]) -> PortalSettings:
    return PortalSettings(
        accent=_accent(env.get("BRIMFUL_ACCENT", _ACCENT)),
        radius_px=min(_integer(env, "BRIMFUL_RADIUS", 14), _RADIUS_MAX),
        logo=env.get("BRIMFUL_LOGO"),
        notice_days=_integer(env, "BRIMFUL_NOTICE_DAYS", 30),
        amounts=_ranges(env, "BRIMFUL_AMOUNTS"),
        thresholds=_ranges(env, "BRIMFUL_THRESHOLDS"),
        confirm_above={code: low for code, (low, _) in _ranges(env, "BRIMFUL_CONFIRM_ABOVE", single=True).items()},
    )


def _accent(value: str) -> str:
    """A colour that white text stays readable on, and that is readable on white."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ConfigurationError(f"BRIMFUL_ACCENT={value!r} is not a colour such as #0b6e5b.")
    ratio = contrast(rgb(value), _WHITE)
    if ratio < _CONTRAST_MIN:
        raise ConfigurationError(
            f"BRIMFUL_ACCENT={value} has a contrast of {ratio:.1f}:1 with white; choose a darker colour (4.5:1)."
        )
    return value.lower()


def rgb(colour: str) -> tuple[int, int, int]:
    """`#0b6e5b` as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def contrast(one: tuple[int, int, int], two: tuple[int, int, int]) -> float:
    """Contrast of two colours, 1 to 21. Source: WCAG 2.2, relative luminance."""
    light, dark = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[int, int, int]) -> float:
    parts = [value / 255 for value in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _ranges(env: Mapping[str, str], name: str, *, single: bool = False) -> dict[str, tuple[Decimal, Decimal]]:
    """`USD:5-500,MINUTES:10-1000`, or with `single` `USD:200`."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    number = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
    pattern = rf"([A-Z][A-Z0-9_]{{1,31}}):({number})" + ("" if single else rf"-({number})")
    for part in _list(env.get(name, "")):
        match = re.fullmatch(pattern, part, re.ASCII)
        if match is None:
            form = "USD:200,EUR:200" if single else "USD:5-500,MINUTES:10-1000"
            raise ConfigurationError(f"{name} must look like {form}; {part!r} does not.")
        low, high = Decimal(match[2]), Decimal(match[2] if single else match[3])
        if low > high:
            raise ConfigurationError(f"{name}: {part!r} has its bounds the wrong way round.")
        found[match[1]] = (low, high)
    return found


def _console_proxy(env: Mapping[str, str]) -> ConsoleProxy | None:
    header = env.get("BRIMFUL_CONSOLE_PROXY_HEADER")
    if header is None:
        return None
    secret = env.get("BRIMFUL_CONSOLE_PROXY_SECRET", "")
    if len(secret) < _PROXY_SECRET_MIN:
        raise ConfigurationError(
            f"BRIMFUL_CONSOLE_PROXY_HEADER is set: give BRIMFUL_CONSOLE_PROXY_SECRET as well, {_PROXY_SECRET_MIN} "
            "characters or more, which only the proxy knows."
        )
    roles: dict[str, Literal["viewer", "operator"]] = {}
    for part in _list(env.get("BRIMFUL_CONSOLE_OPERATORS", "")):
        name, _, role = part.rpartition(":")
        if not name or role not in {"viewer", "operator"}:
            raise ConfigurationError("BRIMFUL_CONSOLE_OPERATORS must look like ada@example.com:operator,bob:viewer.")
        roles[name.lower()] = role  # type: ignore[assignment] # judged above
    return ConsoleProxy(header.lower(), secret, roles)


def _one_of(env: Mapping[str, str], name: str, default: str, known: tuple[str, ...]) -> str:
    value = env.get(name, default).upper()
    if value not in known:
        raise ConfigurationError(f"{name}={env[name]!r} is not one of {', '.join(known)}.")
    return value


def _address(env: Mapping[str, str], name: str) -> str | None:
    value = env.get(name)
    if value is not None and not (
        re.fullmatch(r"[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}", value) and int(value.rpartition(":")[2]) <= _PORT_MAX
    ):
        raise ConfigurationError(f"{name}={value!r} must look like 127.0.0.1:9464.")
    return value


def _smtp_url(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urllib.parse.urlsplit(value)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ConfigurationError("BRIMFUL_SMTP_URL must look like smtp://user:password@host:587 or smtps://host.")
    return value


def _required(env: Mapping[str, str], name: str, what: str) -> str:
    value = env.get(name)
    if value is None:
        raise ConfigurationError(f"{name} is not set: give {what}.")
    return value


def _integer(env: Mapping[str, str], name: str, default: int, *, least: int = 0) -> int:
    value = env.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and 0 < len(value) <= 9) or int(value) < least:
        raise ConfigurationError(f"{name}={value!r} is not a whole number from {least} to 999999999.")
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
    if settings.crash_at is not None and not settings.sandbox:
        raise ConfigurationError("BRIMFUL_CRASH_AT is for tests with the sandbox: unset it.")
    if settings.stripe_url is None:
        return
    if (settings.stripe_key or "").startswith(_LIVE_KEYS):
        raise ConfigurationError(
            "STRIPE_API_KEY is a live key but STRIPE_API_URL points away from Stripe: remove one of the two."
        )
    host = urllib.parse.urlsplit(settings.stripe_url).hostname
    if host not in _LOOPBACK:
        raise ConfigurationError(f"STRIPE_API_URL must be a loopback address (the sandbox), not {host!r}.")
