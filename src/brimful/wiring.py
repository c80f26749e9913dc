"""The wiring: one frozen `Deps` per service role, built once from settings and handed to an application."""

import dataclasses
import datetime as dt
from typing import Literal

from brimful import assets, ledger, observability
from brimful.auto_top_up.policy import Pace
from brimful.core import failpoints
from brimful.core.clock import Clock
from brimful.db.pool import Database
from brimful.email.send import Mailer
from brimful.gateway.limits import CustomerLocks, SharedLimits
from brimful.gateway.stripe.adapter import StripeGateway
from brimful.payments.context import PaymentContext
from brimful.settings.model import Settings

Role = Literal["brimful_api", "brimful_portal", "brimful_engine"]


@dataclasses.dataclass(frozen=True)
class Deps:
    """What an application needs. `payments` is None without a payment provider, `mailer` without a mail server."""

    settings: Settings
    database: Database
    catalogue: assets.Catalogue
    keyring: ledger.hash_chain.Keyring
    pace: Pace
    payments: PaymentContext | None
    mailer: Mailer | None


def begin(settings: Settings, service: str) -> None:
    """What every process does first: its logs, traces under the name of a service, and crashes for tests."""
    observability.logging.configure(settings.log_level, settings.log_form)
    if settings.traces:
        observability.tracing.start(service)
    if settings.crash_at is not None:
        failpoints.arm_by_name(settings.crash_at)


def build(settings: Settings, role: Role, *, clock: Clock | None = None) -> Deps:
    """Wire up one role. Opens nothing yet."""
    database = Database(
        settings.database_url, role, direct_url=settings.database_url_direct, pool_max=settings.pool_max, clock=clock
    )
    keyring = ledger.hash_chain.Keyring(settings.ledger_keys, settings.ledger_signing)
    pace = Pace(settings.pace_per_hour, dt.timedelta(seconds=settings.pace_spacing_s))
    payments = None
    if settings.stripe_key is not None:
        payments = PaymentContext(
            database=database,
            gateway=StripeGateway(
                settings.stripe_key,
                url=settings.stripe_url,
                call_policy=SharedLimits(
                    database, all_per_s=settings.stripe_rate, endpoint_per_s=settings.stripe_endpoint_rate
                ),
            ),
            locks=CustomerLocks(),
            keyring=keyring,
            pace=pace,
            merchant=settings.merchant,
            retry_waits=tuple(dt.timedelta(seconds=wait) for wait in settings.retry_waits_s),
            manual_per_day=settings.manual_per_day,
        )
    mailer = None
    if settings.smtp_url is not None and settings.mail_from is not None:
        mailer = Mailer(settings.smtp_url, settings.mail_from, settings.merchant, settings.public_url, settings.portal)
    return Deps(settings, database, assets.Catalogue(), keyring, pace, payments, mailer)


async def open_all(deps: Deps) -> None:
    """Open the connections."""
    await deps.database.open()


async def close(deps: Deps) -> None:
    """Close the connections."""
    if deps.payments is not None:
        await deps.payments.gateway.close()
    await deps.database.close()
