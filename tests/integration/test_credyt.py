"""Credyt's own Python client, unchanged: a test for every operation that docs/reference/credyt.md calls answered.

Its synchronous client runs in a thread: the server lives in this loop.
"""

import asyncio
import datetime as dt
import json
from decimal import Decimal

import pytest
from corehttp.credentials import ServiceKeyCredential
from corehttp.exceptions import HttpResponseError, ResourceNotFoundError
from credytapi import CredytApiClient, models

from support.credyt import ANSWERED, NOT_ANSWERED, operations
from support.harness import API_KEY, HOME


@pytest.fixture
def credyt(harness):
    """Calls one operation by its dotted name."""
    client = CredytApiClient(ServiceKeyCredential(API_KEY), endpoint=f"{harness.url}/v1")

    async def call(name, *positional, **named):
        operation = client
        for part in name.split("."):
            operation = getattr(operation, part)
        return await asyncio.to_thread(operation, *positional, **named)

    return call


OPS = "wallets.customer_wallet_ops"
HOOKS = "webhooks.webhooks"


def test_every_operation_of_the_client_is_listed_once():
    assert set(ANSWERED) | set(NOT_ANSWERED) == set(operations())
    assert not set(ANSWERED) & set(NOT_ANSWERED)


async def test_customers(credyt):
    request = models.CreateCustomerRequest(
        name="Ada",
        external_id="ada",
        email="ada@example.com",
        metadata={"plan": "pro"},
        external_accounts=[models.ExternalAccount(provider="stripe", provider_id="cus_ext")],
    )
    made = await credyt("customers.create", request)
    found = await credyt("customers.get", made.id)
    assert (found.external_id, found.email, found.metadata) == ("ada", "ada@example.com", {"plan": "pro"})
    assert [(a.provider, a.provider_id) for a in found.external_accounts] == [("stripe", "cus_ext")]
    await credyt("customers.update", made.id, {"name": "Ada L."})
    page = await credyt("customers.list", limit=1, offset=0)
    assert (page.total_count, page.items_property[0].name) == (1, "Ada L.")
    with pytest.raises(HttpResponseError):
        await credyt("customers.create", request)  # the external id is taken


async def test_assets(credyt):
    request = models.CreateAssetRequest(
        code="CREDIT", name="Credits", precision=2,
        rates=[models.StartingExchangeRate(source="USD", rate=Decimal("0.5"))],
    )  # fmt: skip
    assert (await credyt("assets.create", request)).code == "CREDIT"
    await credyt("assets.add_rate", "CREDIT", models.AddAssetRateRequest(source="USD", rate=Decimal("0.25")))
    quote = await credyt("assets.quote", "CREDIT", models.QuoteAssetRequest(source="USD", amount=Decimal(1)))
    assert (quote.destination_amount, quote.rate) == (4, Decimal("0.25"))
    found = await credyt("assets.get", "CREDIT")
    assert (found.precision, len(found.rates[0].schedule)) == (2, 2)
    assert "CREDIT" in [item.code for item in (await credyt("assets.list")).items_property]


async def test_wallets(harness, credyt):
    customer_id = await harness.customer()
    adjustment = models.CreateAdjustmentRequest(
        transaction_id="t1", asset="USD", amount=Decimal("12.5"), reason="gift", description="Welcome",
        metadata={"campaign": "spring"},
    )  # fmt: skip
    assert (await credyt(f"{OPS}.create_adjustment", customer_id, adjustment)).id == "t1"
    charge = models.CreateChargeRequest(transaction_id="t2", asset="USD", amount=Decimal("2.5"))
    await credyt(f"{OPS}.create_charge", customer_id, charge)
    wallet = await credyt(f"{OPS}.get_customer_wallet", customer_id)
    assert [(a.id, a.name, a.available) for a in wallet.accounts] == [("default:USD", "default", 10)]
    account = await credyt(f"{OPS}.get_account", customer_id, "default:USD")
    assert (account.available, account.pending_in, account.pending_out) == (10, 0, 0)
    fee = await credyt(f"{OPS}.get_transaction", customer_id, "t2")
    assert (fee.type, fee.amount, fee.account_id) == ("fee", Decimal("-2.5"), "default:USD")
    gift = await credyt(f"{OPS}.get_transaction", customer_id, "t1")
    assert (gift.type, gift.metadata["campaign"]) == ("adjustment", "spring")
    too_much = models.CreateChargeRequest(transaction_id="t3", asset="USD", amount=Decimal(11))
    with pytest.raises(HttpResponseError) as refused:
        await credyt(f"{OPS}.create_charge", customer_id, too_much)
    assert refused.value.response.status_code == 402


async def test_grants_are_the_accounts_credits(harness, credyt):
    customer_id = await harness.customer()
    for number in range(3):
        await harness.give(customer_id, 10 + number, key=f"g{number}")
    await harness.use(customer_id, "1", "use")
    page = await credyt(f"{OPS}.get_credit_grants", customer_id, "default:USD", limit=2)
    assert (page.total_count, [Decimal(item.available) for item in page.items_property]) == (3, [12, 11])
    assert page.items_property[0].expires_at.year == 9999
    assert page.items_property[0].purpose == "correction"
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert (await credyt(f"{OPS}.get_credit_grants", customer_id, "default:USD", effective_from=later)).total_count == 0
    assert (await credyt(f"{OPS}.get_credit_grants", customer_id, "default:USD", purpose="paid")).total_count == 0
    assert (await credyt(f"{OPS}.get_credit_grants", customer_id, "default:EUR")).total_count == 0  # never used
    with pytest.raises(ResourceNotFoundError):
        await credyt(f"{OPS}.get_credit_grants", customer_id, "default:NONE")


async def test_an_adjustment_that_expires_is_read_back(harness, credyt):
    customer_id = await harness.customer()
    ends = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=7)
    gift = models.CreateAdjustmentRequest(
        transaction_id="g1", asset="USD", amount=Decimal(10), reason="gift", expires_at=ends
    )
    later = models.CreateAdjustmentRequest(
        transaction_id="g2", asset="USD", amount=Decimal(4), reason="gift", effective_at=ends
    )
    for request in (gift, later):
        await credyt(f"{OPS}.create_adjustment", customer_id, request)
    await harness.use(customer_id, "2.5", "use")
    page = await credyt(f"{OPS}.get_credit_grants", customer_id, "default:USD", exclude_expired=True)
    [grant] = page.items_property
    assert (Decimal(grant.available), grant.expires_at, grant.purpose) == (Decimal("7.5"), ends, "promotional")
    soon = {"expired_from": ends - dt.timedelta(days=1), "expired_to": ends}
    assert (await credyt(f"{OPS}.get_credit_grants", customer_id, "default:USD", **soon)).total_count == 1
    assert (await credyt(f"{OPS}.get_transaction", customer_id, "g2")).executed_at == ends


async def test_top_ups_and_the_portal(harness, credyt):
    customer_id = await harness.customer()
    initiated = await credyt(
        "top_ups.initiate",
        models.InitiateTopUpRequest(
            customer_id=customer_id, amount=Decimal(20), currency="USD", return_url=HOME, failure_url=HOME
        ),
    )
    found = await credyt("top_ups.get", initiated.id)
    assert (found.status, found.amount, found.currency, found.destination.asset) == ("initiated", 20, "USD", "USD")
    link = await credyt(
        "billing_portal.create_portal_session",
        models.CreateSessionRequest(customer_id=customer_id, return_url=HOME, failure_url=HOME),
    )
    assert link.redirect_url.startswith(f"{harness.url}/billing/open/")
    with pytest.raises(ResourceNotFoundError):
        await credyt("top_ups.get", "top_none")


async def test_webhooks(harness, credyt):
    made = await credyt(
        f"{HOOKS}.create_webhook_destination",
        models.CreateWebhookDestinationRequest(url="https://hooks.example.com/x", topics=["top_up.succeeded"]),
    )
    shown = await credyt(f"{HOOKS}.get_webhook_destination", made.id)
    assert (shown.url, shown.topics, shown.connect, shown.enabled, shown.secret) == (
        "https://hooks.example.com/x", ["top_up.succeeded"], False, True, made.secret,
    )  # fmt: skip
    await credyt(f"{HOOKS}.update_webhook_destination", made.id, models.UpdateWebhookDestinationRequest(topics=["*"]))
    listed = await credyt(f"{HOOKS}.list_webhook_destinations", enabled=True)
    assert [(item.id, item.topics) for item in listed.items_property] == [(made.id, ["*"])]
    one = await credyt(f"{HOOKS}.test_webhook_destination", made.id, "balance.low", {"customer_id": "cus_x"})
    two = await credyt(f"{HOOKS}.test_webhook_destinations", "balance.low", {"customer_id": "cus_x"})
    events = await credyt(f"{HOOKS}.list_events", destination_id=made.id, limit=1)
    assert (events.models[0].id, events.models[0].topic, events.pagination.limit) == (two.id, "balance.low", 1)
    older = await credyt(f"{HOOKS}.list_events", next=events.pagination.next)
    assert [item.id for item in older.models] == [one.id]
    assert json.loads(json.dumps(older.models[0].data["data"])) == {"customer_id": "cus_x"}
    assert (await credyt(f"{HOOKS}.list_events", status="Failed")).models == []
    await credyt(f"{HOOKS}.delete_webhook_destination", made.id)
    with pytest.raises(ResourceNotFoundError):
        await credyt(f"{HOOKS}.get_webhook_destination", made.id)


async def test_what_is_not_answered_is_refused_and_not_half_answered(harness, credyt):
    """Each with the arguments that it needs; the answer is a problem, never something that looks like success."""
    customer_id = await harness.customer()
    known, answered = {"customer_id": customer_id, "version": 1}, {}
    for name in sorted(NOT_ANSWERED):
        operation = operations()[name]
        arguments = [known.get(argument, "x") for argument in operation.arguments]
        body = [{}] if operation.has_body else []
        try:
            answered[name] = await credyt(name, *arguments, *body)
        except HttpResponseError as refused:
            if refused.response.status_code not in {404, 405, 422}:
                answered[name] = refused
    assert answered == {}
