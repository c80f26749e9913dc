"""Which operations of Credyt's client are answered, and why the others are not. A page of the docs is made of it."""

import dataclasses
import inspect

from credytapi import operations as groups

NO_PRODUCTS = "Products, prices and subscriptions are how Credyt rates usage; here usage arrives rated."
NO_STATS = "Costs and profit are not kept here."
NO_CONNECT = "There are no connected accounts: one installation serves one platform."
ANSWERED = {
    "customers.create": "POST /customers",
    "customers.list": "GET /customers",
    "customers.get": "GET /customers/{id}",
    "customers.update": "PATCH /customers/{id}",
    "assets.create": "POST /assets",
    "assets.list": "GET /assets",
    "assets.get": "GET /assets/{code}",
    "assets.add_rate": "POST /assets/{code}/rates",
    "assets.quote": "POST /assets/{code}/quote",
    "wallets.customer_wallet_ops.get_customer_wallet": "GET /customers/{id}/wallet",
    "wallets.customer_wallet_ops.get_account": "GET /customers/{id}/wallet/{account}",
    "wallets.customer_wallet_ops.create_adjustment": "POST /customers/{id}/wallet/adjustments",
    "wallets.customer_wallet_ops.create_charge": "POST /customers/{id}/wallet/charges",
    "wallets.customer_wallet_ops.get_transaction": "GET /customers/{id}/wallet/transactions/{transaction_id}",
    "wallets.customer_wallet_ops.get_credit_grants":
        "GET /customers/{id}/wallet/{account}/grants: the account's credits, each with what is left of it",
    "top_ups.initiate": "POST /top-ups",
    "top_ups.get": "GET /top-ups/{id}",
    "billing_portal.create_portal_session": "POST /billing-portal/sessions",
    "webhooks.webhooks.create_webhook_destination": "POST /webhooks",
    "webhooks.webhooks.list_webhook_destinations": "GET /webhooks",
    "webhooks.webhooks.get_webhook_destination": "GET /webhooks/{id}",
    "webhooks.webhooks.update_webhook_destination": "PATCH /webhooks/{id}",
    "webhooks.webhooks.delete_webhook_destination": "DELETE /webhooks/{id}",
    "webhooks.webhooks.test_webhook_destination": "POST /webhooks/{id}/test/{topic}",
    "webhooks.webhooks.test_webhook_destinations": "POST /webhooks/test/{topic}",
    "webhooks.webhooks.list_events": "GET /webhooks/events",
}  # fmt: skip
NOT_ANSWERED = {
    **dict.fromkeys(
        (
            "products.create", "products.get", "products.list", "products.delete", "products.create_version",
            "products.get_version", "products.update_version", "products.archive_version", "products.simulate_usage",
            "products.get_subscribers", "customers.create_subscription", "customers.update_subscription",
            "customers.update_subscription_product",
        ),
        NO_PRODUCTS,
    ),
    **dict.fromkeys(
        ("events.send_usage", "events.list", "events.get"),
        "Credyt's events are rated by its products; send debits to POST /usage, read them in the entries.",
    ),
    **dict.fromkeys(
        (
            "customers.list_stats", "customers.get_stats", "vendors.vendors_ops.create_vendor",
            "vendors.vendors_ops.list_vendors", "vendors.vendors_ops.get_vendor",
            "vendors.vendors_ops.get_vendor_stats",
        ),
        NO_STATS,
    ),
    **dict.fromkeys(
        (
            "accounts.create", "accounts.list", "accounts.get", "accounts.get_context",
            "webhooks.webhooks.test_connected_webhook_destination",
            "webhooks.webhooks.test_connected_webhook_destinations",
        ),
        NO_CONNECT,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Operation:
    arguments: tuple[str, ...]
    has_body: bool


def operations() -> dict[str, Operation]:
    """Every operation of the client, by its dotted name, read from the client itself."""
    found = {}
    for attribute, kind in _groups().items():
        for name, function in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                parameters = inspect.signature(function).parameters.values()
                taken = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
                found[f"{attribute}.{name}"] = Operation(
                    tuple(argument for argument in taken if argument != "body"), "body" in taken
                )
    return found


def _groups() -> dict[str, type]:
    return {
        "billing_portal": groups.BillingPortalOperations,
        "assets": groups.AssetsOperations,
        "products": groups.ProductsOperations,
        "customers": groups.CustomersOperations,
        "top_ups": groups.TopUpsOperations,
        "events": groups.EventsOperations,
        "accounts": groups.AccountsOperations,
        "wallets.customer_wallet_ops": _nested("WalletsCustomerWalletOpsOperations"),
        "vendors.vendors_ops": _nested("VendorsVendorsOpsOperations"),
        "webhooks.webhooks": _nested("WebhooksWebhooksOperations"),
    }


def _nested(name: str) -> type:
    from credytapi.operations import _operations

    kind: type = getattr(_operations, name)
    return kind
