"""The wiring: one frozen `Deps` per service role, built once from settings and handed to a door."""

import dataclasses
import datetime as dt
from typing import Literal

from brimful import assets, crashes, ledger, logs, traces
from brimful.auto_topup import Pace
from brimful.clock import Clock
from brimful.db import Database
from brimful.letters import Post
from brimful.paying import Till
from brimful.payments import Limits, Turns
from brimful.payments.stripe import StripeGateway
from brimful.settings import Settings

__all__ = ["Deps", "begin", "build", "close", "open_deps"]

Role = Literal["brimful_api", "brimful_portal", "brimful_engine"]


@dataclasses.dataclass(frozen=True)
class Deps:
    """What a door needs. `till` is None where no payment provider is configured, `post` where no mail server is."""

    settings: Settings
    database: Database
    catalogue: assets.Catalogue
    keyring: ledger.Keyring
    pace: Pace
    till: Till | None
    post: Post | None


def begin(settings: Settings, service: str) -> None:
    """What every process does first: its logs, traces under the name of a service, and crashes for tests."""
    logs.begin(settings.log_level, settings.log_form)
    if settings.traces:
        traces.start(service)
    if settings.crash_at is not None:
        crashes.plant_by_name(settings.crash_at)


def build(settings: Settings, role: Role, *, clock: Clock | None = None) -> Deps:
    """Wire up one role. Opens nothing yet."""
    database = Database(
        settings.database_url, role, direct_url=settings.database_url_direct, pool_max=settings.pool_max, clock=clock
    )
    keyring = ledger.Keyring(settings.ledger_keys, settings.ledger_signing)
    pace = Pace(settings.pace_per_hour, dt.timedelta(seconds=settings.pace_spacing_s))
    till = None
    if settings.stripe_key is not None:
        till = Till(
            database=database,
            gateway=StripeGateway(
                settings.stripe_key,
                url=settings.stripe_url,
                manners=Limits(database, all_per_s=settings.stripe_rate, endpoint_per_s=settings.stripe_endpoint_rate),
            ),
            turns=Turns(),
            keyring=keyring,
            pace=pace,
            merchant=settings.merchant,
            retry_waits=tuple(dt.timedelta(seconds=wait) for wait in settings.retry_waits_s),
        )
    post = None
    if settings.smtp_url is not None and settings.mail_from is not None:
        post = Post(
            settings.smtp_url, settings.mail_from, settings.merchant, settings.public_url, settings.portal.accent
        )
    return Deps(settings, database, assets.Catalogue(), keyring, pace, till, post)


async def open_deps(deps: Deps) -> None:
    """Open the connections."""
    await deps.database.open()


async def close(deps: Deps) -> None:
    """Close the connections."""
    if deps.till is not None:
        await deps.till.gateway.close()
    await deps.database.close()
