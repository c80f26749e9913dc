"""Every route of the API but the hot one, a file per thing."""

from brimful.api.routes import alerts, assets, customer_only, customers, holds, portal, top_ups, wallets, webhooks

__all__ = ["ROUTERS"]

ROUTERS = (
    customers.router,
    assets.router,
    holds.router,  # before the wallet's: an account could be named holds
    wallets.router,
    alerts.router,
    top_ups.router,
    top_ups.refund_router,
    portal.router,
    webhooks.router,
    customer_only.router,
)
