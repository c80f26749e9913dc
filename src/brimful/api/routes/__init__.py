"""Every route of the API but the hot one, a file per thing."""

from brimful.api.routes import (
    assets,
    auto_top_up,
    balance_alerts,
    balance_tokens,
    budgets,
    customers,
    grants,
    holds,
    portal_sessions,
    presets,
    top_ups,
    wallets,
    webhooks,
)

ROUTERS = (
    customers.router,
    assets.router,
    budgets.router,  # before the wallet's too
    holds.router,  # before the wallet's: an account could be named holds
    wallets.router,
    grants.router,
    grants.offers_router,
    balance_alerts.router,
    top_ups.router,
    top_ups.refund_router,
    portal_sessions.router,
    balance_tokens.router,
    webhooks.router,
    auto_top_up.router,
    presets.router,
)
