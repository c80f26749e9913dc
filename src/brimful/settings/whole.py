"""Everything that a serving process needs to know."""

import os
from collections.abc import Mapping

from brimful.errors import ConfigurationError
from brimful.settings.alone import MERCHANT, PUBLIC_URL
from brimful.settings.doors import console_proxy, portal
from brimful.settings.model import Settings
from brimful.settings.values import (
    address,
    directory,
    integer,
    integers,
    ledger_keys,
    listed,
    networks,
    one_of,
    preset_key,
    refuse_live_key_elsewhere,
    refuse_plain_http,
    required,
    signing,
    smtp_url,
)

__all__ = ["child_environment", "read"]


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        ConfigurationError: a value is missing or unusable.
    """
    source = os.environ if environ is None else environ
    env = {name: value for name, value in source.items() if value != ""}
    stripe_url = env.get("STRIPE_API_URL")
    settings = Settings(
        database_url=required(env, "DATABASE_URL", "a postgresql:// URL, or start with `brimful up`"),
        database_url_direct=env.get("DATABASE_URL_DIRECT", env.get("DATABASE_URL", "")),
        api_key=preset_key(env.get("BRIMFUL_API_KEY")),
        public_url=env.get("BRIMFUL_PUBLIC_URL", PUBLIC_URL).rstrip("/"),
        merchant=env.get("BRIMFUL_MERCHANT", MERCHANT),
        return_origins=listed(env.get("BRIMFUL_RETURN_ORIGINS", "")),
        topup_url=env.get("BRIMFUL_TOPUP_URL"),
        stripe_key=env.get("STRIPE_API_KEY"),
        stripe_url=stripe_url,
        checkout_url=env.get("STRIPE_CHECKOUT_URL", stripe_url),
        stripe_webhook_secrets=listed(env.get("STRIPE_WEBHOOK_SECRET", "")),
        stripe_rate=integer(env, "BRIMFUL_STRIPE_RATE", 80, least=1),
        stripe_endpoint_rate=integer(env, "BRIMFUL_STRIPE_ENDPOINT_RATE", 20, least=1),
        epoch_file=env.get("BRIMFUL_EPOCH_FILE"),
        anchor_dir=directory(env, "BRIMFUL_ANCHOR_DIR"),
        crash_at=env.get("BRIMFUL_CRASH_AT"),
        ledger_keys=ledger_keys(required(env, "BRIMFUL_LEDGER_KEYS", "number:base64 of 32 bytes, comma-separated")),
        ledger_signing=signing(env),
        sandbox=stripe_url is not None,
        pace_per_hour=integer(env, "BRIMFUL_PACE_PER_HOUR", 5),
        pace_spacing_s=integer(env, "BRIMFUL_PACE_SPACING_S", 60),
        cards_per_hour=integer(env, "BRIMFUL_CARDS_PER_HOUR", 5),
        cards_per_address=integer(env, "BRIMFUL_CARDS_PER_ADDRESS", 20 if stripe_url is None else 100_000),
        trusted_proxies=networks(env.get("BRIMFUL_TRUSTED_PROXIES", "127.0.0.0/8,::1/128")),
        retry_waits_s=integers(env.get("BRIMFUL_RETRY_WAITS_S", "14400,43200")),
        batch_max=integer(env, "BRIMFUL_BATCH_MAX", 500),
        queue_max=integer(env, "BRIMFUL_QUEUE_MAX", 20_000),
        posters=integer(env, "BRIMFUL_POSTERS", 2),
        api_rate=integer(env, "BRIMFUL_API_RATE", 20_000, least=1),
        address_rate=integer(env, "BRIMFUL_ADDRESS_RATE", 50 if stripe_url is None else 100_000, least=1),
        pool_max=integer(env, "BRIMFUL_POOL_MAX", 10),
        worker_concurrency=integer(env, "BRIMFUL_WORKER_CONCURRENCY", 16),
        portal=portal(env),
        console_proxy=console_proxy(env),
        smtp_url=smtp_url(env.get("BRIMFUL_SMTP_URL")),
        mail_from=env.get("BRIMFUL_MAIL_FROM"),
        allow_unsafe_database=env.get("BRIMFUL_ALLOW_UNSAFE_DATABASE") == "yes",
        metrics_address=address(env, "BRIMFUL_WORKER_METRICS"),
        traces="OTEL_EXPORTER_OTLP_ENDPOINT" in env,
        log_level=one_of(env, "BRIMFUL_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
        log_form="json" if one_of(env, "BRIMFUL_LOG_FORM", "TEXT", ("TEXT", "JSON")) == "JSON" else "text",
    )
    if settings.crash_at is not None and not settings.sandbox:
        raise ConfigurationError("BRIMFUL_CRASH_AT is for tests with the sandbox: unset it.")
    refuse_plain_http(settings.public_url, sandbox=settings.sandbox)
    refuse_live_key_elsewhere(settings.stripe_key, settings.stripe_url)
    if settings.smtp_url is not None and settings.mail_from is None:
        raise ConfigurationError(
            "BRIMFUL_SMTP_URL is set: give BRIMFUL_MAIL_FROM as well, such as billing@example.com."
        )
    return settings


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `extra` laid over it, for a child process."""
    return {**os.environ, **extra}
