"""The settings as fields: names, defaults and meanings. docs/settings.md is generated from them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import pydantic
import pydantic_settings
from pydantic import AfterValidator, BeforeValidator

from brimful.settings import values

_PROXY_SECRET_MIN = 24
_UNLIMITED = 100_000  # per address beside the sandbox, where all requests come from one


def _setting(name: str, meaning: str, default: Any = ..., *, shown: str | None = None) -> Any:
    """A field that is read from the variable `name`.

    Args:
        name: of the environment variable.
        meaning: for docs/settings.md.
        default: taken as it stands, in the form of the variable's text; a function gets the fields before it.
        shown: the default in words, where it is computed.
    """
    kept: dict[str, Any] = {"default_factory": default} if callable(default) else {"default": default}
    extra: dict[str, Any] = {"shown": shown}
    return pydantic.Field(
        **kept, validation_alias=name, description=meaning, json_schema_extra=extra, validate_default=True
    )


class Group(pydantic_settings.BaseSettings):
    model_config = pydantic_settings.SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, env_ignore_empty=True, enable_decoding=False
    )


class PortalSettings(Group):
    """How the portal looks, what the business says of itself, and within which bounds its customers choose.

    `amounts` (money, by asset) and `thresholds` (in the asset) are (least, most). `confirm_above` is money by
    currency: a larger payment is shown once more before it is made.
    """

    accent: Annotated[str, AfterValidator(values.accent)] = _setting(
        "BRIMFUL_ACCENT", "color of buttons and pictures; refused below a contrast of 4.5:1 with white", "#0b6e5b"
    )
    radius_px: Annotated[values.Whole, AfterValidator(lambda px: min(px, 32))] = _setting(
        "BRIMFUL_RADIUS", "roundness of corners in pixels, at most 32", "14"
    )
    logo: str | None = _setting(
        "BRIMFUL_LOGO", "path of a PNG or JPEG, re-encoded at the start; without one, the merchant's first letter", None
    )
    amounts: values.Ranges = _setting(
        "BRIMFUL_AMOUNTS", "bounds of a top-up in money, by asset: `USD:5-500,MINUTES:5-500`", "",
        shown="Stripe's least to 2,000 times that",
    )  # fmt: skip
    thresholds: values.Ranges = _setting(
        "BRIMFUL_THRESHOLDS", "bounds of the threshold in the asset: `USD:1-1000,MINUTES:10-5000`", "", shown="none"
    )
    confirm_above: Annotated[Mapping[str, Decimal], BeforeValidator(values.amounts)] = _setting(
        "BRIMFUL_CONFIRM_ABOVE", "larger payments are confirmed once more, by currency: `USD:200,EUR:200`", "",
        shown="none",
    )  # fmt: skip
    address: Annotated[tuple[str, ...], BeforeValidator(values.lines)] = _setting(
        "BRIMFUL_BUSINESS_ADDRESS", "your address on receipts and in e-mails: `1 Main St | Springfield | US`", "",
        shown="none",
    )  # fmt: skip
    support_url: Annotated[str, AfterValidator(values.link)] | None = _setting(
        "BRIMFUL_SUPPORT_URL", "where customers ask: an https address, or `mailto:help@example.com`", None
    )
    terms_url: Annotated[str, AfterValidator(values.link)] | None = _setting(
        "BRIMFUL_TERMS_URL", "your terms, linked from every page of the portal", None
    )
    privacy_url: Annotated[str, AfterValidator(values.link)] | None = _setting(
        "BRIMFUL_PRIVACY_URL", "what you do with personal data, linked from every page of the portal", None
    )
    undo_hours: values.Whole = _setting(
        "BRIMFUL_UNDO_HOURS",
        "how long after an automatic top-up its customer may take back what is left of it; 0: never",
        "24",
    )
    notice_days: values.Whole = _setting(
        "BRIMFUL_NOTICE_DAYS", "the notice before terms change that the consent promises", "30"
    )


class ConsoleProxy(Group):
    """A proxy in front of the console that has authenticated the operator: it sends their name in `header`, and proves
    itself with `secret` in X-Brimful-Proxy-Secret. `roles` says who may come through it.
    """

    header: Annotated[str, AfterValidator(str.lower)] = _setting(
        "BRIMFUL_CONSOLE_PROXY_HEADER",
        "a header in which a trusted proxy names the operator; then nobody signs in by password", "", shown="none",
    )  # fmt: skip
    secret: str = _setting(
        "BRIMFUL_CONSOLE_PROXY_SECRET",
        "what that proxy sends in `X-Brimful-Proxy-Secret`, 24 characters or more", "", shown="required with the above",
    )  # fmt: skip
    roles: Annotated[Mapping[str, values.Role], BeforeValidator(values.roles)] = _setting(
        "BRIMFUL_CONSOLE_OPERATORS",
        "who may come through it: `ada@example.com:operator,bob@example.com:viewer`", "", shown="none",
    )  # fmt: skip

    @pydantic.model_validator(mode="after")
    def _with_secret(self) -> Self:
        if self.header and len(self.secret) < _PROXY_SECRET_MIN:
            raise ValueError(
                f"BRIMFUL_CONSOLE_PROXY_HEADER is set: give BRIMFUL_CONSOLE_PROXY_SECRET as well, {_PROXY_SECRET_MIN} "
                "characters or more, which only the proxy knows"
            )
        return self


class Settings(Group):
    """What one process needs to know. Amounts of time are seconds."""

    database_url: str = _setting(
        "DATABASE_URL", "PostgreSQL 15 or newer; the login must be able to take the roles `brimful_*`"
    )
    database_url_direct: str = _setting(
        "DATABASE_URL_DIRECT",
        "the same database past a pooler in transaction mode (PgBouncer), when `DATABASE_URL` leads through one: for "
        "the commands, for migrations and for a worker's LISTEN ([Scaling](scale.md))",
        lambda known: known.get("database_url", ""), shown="`DATABASE_URL`",
    )  # fmt: skip
    ledger_keys: Annotated[Mapping[int, bytes], BeforeValidator(values.ledger_keys)] = _setting(
        "BRIMFUL_LEDGER_KEYS", "`1:BASE64,2:BASE64`: 32-byte keys of the chain, by number"
    )
    ledger_signing: values.Positive = _setting(
        "BRIMFUL_LEDGER_SIGNING", "the number of the key that signs, while a new one is being handed out",
        lambda known: max(known.get("ledger_keys") or (1,)), shown="the highest",
    )  # fmt: skip
    api_key: Annotated[str, AfterValidator(values.api_key)] | None = _setting(
        "BRIMFUL_API_KEY", "an API key to have from the start, 24 to 128 of `A-Z a-z 0-9 _ -`", None
    )
    public_url: Annotated[str, AfterValidator(lambda url: url.rstrip("/"))] = _setting(
        "BRIMFUL_PUBLIC_URL", "where customers reach the portal", "http://127.0.0.1:8000"
    )
    merchant: str = _setting("BRIMFUL_MERCHANT", "the name that pages and consents show", "Glitch AI")
    return_origins: values.Listed = _setting(
        "BRIMFUL_RETURN_ORIGINS", "comma-separated origins to which customers may be sent back", "", shown="none"
    )
    smtp_url: Annotated[str, AfterValidator(values.smtp_url)] | None = _setting(
        "BRIMFUL_SMTP_URL",
        "`smtp://user:password@host:587` (STARTTLS, required unless it is on this machine) or `smtps://host`; without "
        "it no e-mails, and no code before cards and rules change", None,
    )  # fmt: skip
    mail_from: str | None = _setting("BRIMFUL_MAIL_FROM", "the sender's address", None, shown="required with the above")
    topup_url: str | None = _setting(
        "BRIMFUL_TOPUP_URL", "shown with a 402, so that a caller can send its customer there", None
    )
    stripe_key: str | None = _setting(
        "STRIPE_API_KEY", "without it balances work and payments say that they are not available", None
    )
    stripe_url: str | None = _setting(
        "STRIPE_API_URL", "the sandbox's address; loopback only, never with a live key", None, shown="Stripe"
    )
    checkout_url: str | None = _setting(
        "STRIPE_CHECKOUT_URL", "origin of the sandbox's pages, for the portal's policy",
        lambda known: known.get("stripe_url"), shown="`STRIPE_API_URL`",
    )  # fmt: skip
    stripe_webhook_secrets: values.Listed = _setting(
        "STRIPE_WEBHOOK_SECRET", "comma-separated: several during rotation", "", shown="none"
    )
    stripe_rate: values.Positive = _setting(
        "BRIMFUL_STRIPE_RATE", "calls a second of all processes together; Stripe allows 100 (25 in its sandboxes)", "80"
    )
    stripe_endpoint_rate: values.Positive = _setting(
        "BRIMFUL_STRIPE_ENDPOINT_RATE", "the same on one endpoint; Stripe allows 25", "20"
    )
    epoch_file: str | None = _setting(
        "BRIMFUL_EPOCH_FILE",
        "a file outside the database that shows whether it went back in time; `up` keeps one. Without it a restore "
        "charges customers twice", None,
    )  # fmt: skip
    anchor_dir: Annotated[str, AfterValidator(values.directory)] | None = _setting(
        "BRIMFUL_ANCHOR_DIR",
        "a directory in which a worker keeps an anchor of the ledger each night, after comparing with the one before: "
        "one that the database's owner cannot write", None,
    )  # fmt: skip
    pace_per_hour: values.Whole = _setting("BRIMFUL_PACE_PER_HOUR", "automatic top-ups of one account in an hour", "12")
    pace_spacing_s: values.Whole = _setting(
        "BRIMFUL_PACE_SPACING_S", "seconds between two while a credit still leaves available below the threshold", "60"
    )
    manual_per_day: values.Whole = _setting(
        "BRIMFUL_MANUAL_PER_DAY", "payments one customer may make by hand in 24 hours", "20"
    )
    cards_per_hour: values.Whole = _setting("BRIMFUL_CARDS_PER_HOUR", "cards one customer may add in an hour", "5")
    cards_per_address: values.Whole = _setting(
        "BRIMFUL_CARDS_PER_ADDRESS", "cards that may be added from one address in an hour; 100,000 beside the sandbox",
        lambda known: 20 if known.get("stripe_url") is None else _UNLIMITED, shown="20",
    )  # fmt: skip
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(values.networks)] = _setting(
        "BRIMFUL_TRUSTED_PROXIES", "networks of your proxies: `X-Forwarded-For` is believed from them alone",
        "127.0.0.0/8,::1/128",
    )  # fmt: skip
    retry_waits_s: Annotated[tuple[int, ...], BeforeValidator(values.seconds)] = _setting(
        "BRIMFUL_RETRY_WAITS_S", "seconds between the tries after soft declines; one try more than waits", "14400,43200"
    )
    batch_max: values.Whole = _setting("BRIMFUL_BATCH_MAX", "movements in one commit", "500")
    queue_max: values.Whole = _setting("BRIMFUL_QUEUE_MAX", "movements waiting before the API answers 503", "20000")
    writers: values.Whole = _setting(
        "BRIMFUL_WRITERS", "batches that one process posts at once, each on a connection of its own", "2"
    )
    api_rate: values.Positive = _setting(
        "BRIMFUL_API_RATE",
        "requests a second of one API key that all processes together answer, counted over ten seconds; more get 429. "
        "Processes exchange their counts twice a second", "20000",
    )  # fmt: skip
    address_rate: values.Positive = _setting(
        "BRIMFUL_ADDRESS_RATE",
        "requests a second of one address that API, portal or console answer, for pages and with unknown keys, counted "
        "over ten seconds by all processes together; 100,000 beside the sandbox",
        lambda known: 50 if known.get("stripe_url") is None else _UNLIMITED, shown="50",
    )  # fmt: skip
    pool_max: values.Whole = _setting("BRIMFUL_POOL_MAX", "database connections of one role in one process", "10")
    worker_concurrency: values.Whole = _setting("BRIMFUL_WORKER_CONCURRENCY", "jobs at once in one worker", "16")
    metrics_address: Annotated[str, AfterValidator(values.address)] | None = _setting(
        "BRIMFUL_WORKER_METRICS",
        "`127.0.0.1:9464`: where a worker shows what it counts; the API shows its own at `/metrics`", None,
    )  # fmt: skip
    unsafe_database: str = _setting(
        "BRIMFUL_ALLOW_UNSAFE_DATABASE", "`yes` starts on a database with fsync off: for throw-away ones", "no"
    )
    log_level: Annotated[values.Level, BeforeValidator(str.upper)] = _setting(
        "BRIMFUL_LOG_LEVEL", "DEBUG, INFO, WARNING, ERROR or CRITICAL", "INFO"
    )
    log_form: Annotated[Literal["text", "json"], BeforeValidator(str.lower)] = _setting(
        "BRIMFUL_LOG_FORM", "`json`: one JSON object a line", "text"
    )
    otlp_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "where OpenTelemetry traces go (OTLP over HTTP); needs `brimful[traces]`. The other `OTEL_*` are "
        "OpenTelemetry's own",
        None,
    )  # fmt: skip
    crash_at: str | None = _setting("BRIMFUL_CRASH_AT", "`POINT:kill`, for tests with the sandbox only", None)
    parent_pid: values.Positive | None = _setting(
        "BRIMFUL_PARENT_PID",
        "the process that started this one, set by `brimful up`: a worker ends when it is gone",
        None,
    )
    portal: PortalSettings = pydantic.Field(default=None, validate_default=False)  # type: ignore[assignment]
    console_proxy: ConsoleProxy | None = None

    @property
    def sandbox(self) -> bool:
        """Whether the provider is the sandbox."""
        return self.stripe_url is not None

    @property
    def allow_unsafe_database(self) -> bool:
        return self.unsafe_database == "yes"

    @property
    def traces(self) -> bool:
        return self.otlp_endpoint is not None

    @pydantic.model_validator(mode="after")
    def _together(self) -> Self:
        if self.ledger_signing not in self.ledger_keys:
            raise ValueError(
                f"BRIMFUL_LEDGER_SIGNING={self.ledger_signing} is none of the numbers in BRIMFUL_LEDGER_KEYS"
            )
        if self.crash_at is not None and not self.sandbox:
            raise ValueError("BRIMFUL_CRASH_AT is for tests with the sandbox: unset it")
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError("BRIMFUL_SMTP_URL is set: give BRIMFUL_MAIL_FROM as well, such as billing@example.com")
        values.require_https(self.public_url, sandbox=self.sandbox)
        values.require_stripe_for_live_key(self.stripe_key, self.stripe_url)
        return self


class CommandSettings(Group):
    """What only commands need."""

    postgres: Literal["18", "16"] = _setting("BRIMFUL_POSTGRES", "18 or 16: version of a new embedded database", "18")
    bench_beside: str | None = _setting(
        "BRIMFUL_BENCH_BESIDE",
        "a plain PostgreSQL, empty, that `brimful bench usage` measures beside `DATABASE_URL`", None,
        shown="the embedded server",
    )  # fmt: skip


GROUPS: tuple[type[Group], ...] = (Settings, PortalSettings, ConsoleProxy, CommandSettings)
