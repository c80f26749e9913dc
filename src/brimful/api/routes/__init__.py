"""Every route of the API but the hot one, a file per thing."""

from brimful.api.routes import assets, customer_only, customers, portal, top_ups, wallets

__all__ = ["ROUTERS"]

ROUTERS = (
    customers.router,
    assets.router,
    wallets.router,
    top_ups.router,
    top_ups.refund_router,
    portal.router,
    customer_only.router,
)
