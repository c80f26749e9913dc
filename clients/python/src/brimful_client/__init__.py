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
from brimful_client.lease import AsyncLease, Lease, WindDown
from brimful_client.shapes import (
    Account,
    AccountDetails,
    Alert,
    Asset,
    BalanceToken,
    Budget,
    Card,
    Customer,
    DebitExplanation,
    Entry,
    Hold,
    LeaseUse,
    Page,
    PaymentLink,
    PortalLink,
    Quote,
    Rule,
    Spend,
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
    "AsyncLease",
    "BalanceToken",
    "Budget",
    "Card",
    "Client",
    "ConnectionFailedError",
    "Customer",
    "DebitExplanation",
    "Entry",
    "Event",
    "Hold",
    "Lease",
    "LeaseUse",
    "Page",
    "PaymentLink",
    "PortalLink",
    "Problem",
    "Quote",
    "Rule",
    "Spend",
    "TopUp",
    "Transaction",
    "UsageResult",
    "Webhook",
    "WebhookVerificationError",
    "WindDown",
    "verify_webhook",
]
