"""A thin client of the API, for platforms written in Python. It imports nothing of the server::

    from brimful_client import Client

    with Client("http://127.0.0.1:8000", "bfk_...") as brimful:
        customer = brimful.create_customer(name="Acme", external_id="acme")
        brimful.record_usage(id="job-81", customer_id=customer.id, asset="USD", amount="0.0125")

`AsyncClient` has the same operations as coroutines. A request that may be sent again safely is sent again, under the
same key.
"""

from brimful_client.client import AsyncClient, Client
from brimful_client.errors import ApiError, ConnectionFailedError, Problem
from brimful_client.shapes import (
    Account,
    AccountDetails,
    Alert,
    Asset,
    BalanceToken,
    Card,
    Customer,
    Entry,
    Hold,
    Page,
    PaymentLink,
    PortalLink,
    Quote,
    Rule,
    TopUp,
    Transaction,
    UsageResult,
    Webhook,
)
from brimful_client.webhooks import Event, WebhookVerificationError, verify_webhook

__all__ = [
    "Account",
    "AccountDetails",
    "Alert",
    "ApiError",
    "Asset",
    "AsyncClient",
    "BalanceToken",
    "Card",
    "Client",
    "ConnectionFailedError",
    "Customer",
    "Entry",
    "Event",
    "Hold",
    "Page",
    "PaymentLink",
    "PortalLink",
    "Problem",
    "Quote",
    "Rule",
    "TopUp",
    "Transaction",
    "UsageResult",
    "Webhook",
    "WebhookVerificationError",
    "verify_webhook",
]
