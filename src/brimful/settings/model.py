"""What a process knows, as data."""

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

__all__ = ["ConsoleProxy", "PortalSettings", "Settings"]


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
    database_url_direct: str  # past a pooler; the same where there is none
    api_key: str | None
    public_url: str
    merchant: str
    return_origins: tuple[str, ...]
    topup_url: str | None
    stripe_key: str | None
    stripe_url: str | None  # None: Stripe itself
    checkout_url: str | None  # where the sandbox shows its pages to a browser
    stripe_webhook_secrets: tuple[str, ...]
    stripe_rate: int  # calls a second of all processes; Stripe allows 100 (25 in its sandboxes)
    stripe_endpoint_rate: int  # and on one endpoint; Stripe allows 25
    epoch_file: str | None  # witness outside the database that it has not gone back in time
    anchor_dir: str | None  # where a worker keeps an anchor of the ledger each night
    crash_at: str | None  # POINT:kill|exception|hang, for tests; never with a live key
    ledger_keys: Mapping[int, bytes]  # first byte of a mac -> key
    ledger_signing: int  # the number of the one that signs
    sandbox: bool
    pace_per_hour: int
    pace_spacing_s: int
    cards_per_hour: int  # of one customer
    cards_per_address: int  # and from one address
    trusted_proxies: tuple[str, ...]  # networks whose X-Forwarded-For is believed
    retry_waits_s: tuple[int, ...]  # between the tries of one top-up after soft declines
    batch_max: int
    queue_max: int
    posters: int
    api_rate: int  # requests a second of one key, of all processes
    address_rate: int  # and of one address: of pages, and with keys that are not known
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
