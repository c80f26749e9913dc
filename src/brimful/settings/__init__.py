"""Settings: the only reader of the environment.

Every name begins with `BRIMFUL_` but for those that the field has agreed on, `DATABASE_URL`, `STRIPE_*` and `OTEL_*`. A
value that cannot be used is a `ConfigurationError` of one line.
"""

from brimful.settings.alone import (
    StripeAccess,
    bench_beside,
    database_url,
    embedded_version,
    ledger_keyring,
    load_file,
    merchant,
    pace,
    preset_api_key,
    stripe_access,
)
from brimful.settings.doors import contrast, rgb
from brimful.settings.model import ConsoleProxy, PortalSettings, Settings
from brimful.settings.whole import child_environment, read

__all__ = [
    "ConsoleProxy",
    "PortalSettings",
    "Settings",
    "StripeAccess",
    "bench_beside",
    "child_environment",
    "contrast",
    "database_url",
    "embedded_version",
    "ledger_keyring",
    "load_file",
    "merchant",
    "pace",
    "preset_api_key",
    "read",
    "rgb",
    "stripe_access",
]
