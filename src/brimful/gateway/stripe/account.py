"""The account at Stripe: what our key may do, and where the account's events go. For the doctor and for setting up.

What a restricted key may do is asked about objects that do not exist: "no such object" is a yes, 401 or 403 a no, and
nothing can change. That Stripe checks the permission before the object was not tried on live Stripe.
"""

import asyncio
import dataclasses
import email.utils
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import stripe

from brimful.gateway.gateway import Failure, FailureKind
from brimful.gateway.stripe import answers
from brimful.gateway.stripe.transport import Transport

_TIMEOUT_S = 10
_NOBODY = "brimful_doctor"  # the id of no object

# What stripe_inbox applies. Source: docs.stripe.com/api/events/types.
EVENTS: Sequence[str] = (
    "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.processing",
    "payment_intent.requires_action", "payment_intent.canceled", "setup_intent.succeeded", "setup_intent.setup_failed",
    "payment_method.attached", "payment_method.detached", "payment_method.updated",
    "payment_method.automatically_updated", "checkout.session.completed", "checkout.session.expired",
    "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed", "refund.created",
    "refund.updated", "refund.failed", "charge.refunded", "charge.dispute.created", "charge.dispute.closed",
    "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated", "radar.early_fraud_warning.created",
)  # fmt: skip

Call = Callable[[Any], Awaitable[Any]]
# What a restricted key needs, as the Dashboard names it, and a call that shows it.
PERMISSIONS: Mapping[str, Call] = {
    "Customers: write": lambda api: api.customers.update_async(f"cus_{_NOBODY}", {}),
    "PaymentIntents: write": lambda api: api.payment_intents.cancel_async(f"pi_{_NOBODY}"),
    "SetupIntents: write": lambda api: api.setup_intents.create_async({"customer": f"cus_{_NOBODY}"}),
    "PaymentMethods: write": lambda api: api.payment_methods.detach_async(f"pm_{_NOBODY}"),
    "Checkout Sessions: write": lambda api: api.checkout.sessions.expire_async(f"cs_test_{_NOBODY}"),
    "Refunds: write": lambda api: api.refunds.create_async({"payment_intent": f"pi_{_NOBODY}"}),
    "Disputes: read": lambda api: api.disputes.list_async({"limit": 1}),
    "Events: read": lambda api: api.events.list_async({"limit": 1}),
}


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A webhook endpoint at Stripe. `secret` is shown once, by the call that makes it."""

    endpoint_id: str
    url: str
    enabled: bool
    events: Sequence[str]
    api_version: str | None
    secret: str | None = None

    @property
    def missing(self) -> list[str]:
        """Events that it is not sent and that we apply."""
        return [] if "*" in self.events else [event for event in EVENTS if event not in self.events]


class Account:
    """The account behind a key."""

    version: str = stripe.api_version

    def __init__(self, key: str, *, url: str | None = None) -> None:
        self._http = Transport(_TIMEOUT_S)
        client = stripe.StripeClient(
            key, base_addresses={} if url is None else {"api": url}, max_network_retries=0, http_client=self._http
        )
        self._api = client.v1

    async def close(self) -> None:
        await self._http.close_async()

    async def _ask(self, kind: str, call: Awaitable[Any]) -> dict[str, Any] | Failure:
        return await answers.answered(call, kind=kind, deadline_s=_TIMEOUT_S)

    async def clock(self, now: Callable[[], float]) -> float | Failure:
        """Seconds by which Stripe's clock is ahead of this machine's, to about a second."""
        before = now()
        try:
            answer = await self._api.customers.list_async({"limit": 1})
        except stripe.StripeError:
            return Failure(FailureKind.NO_ANSWER, None, "Stripe did not answer.")
        headers = answer.last_response.headers if answer.last_response is not None else {}
        wanted = email.utils.parsedate_to_datetime(headers["date"]).timestamp()
        return wanted + 0.5 - (before + now()) / 2

    async def missing_permissions(self) -> list[str] | Failure:
        """What the key may not do and should. A Failure of kind ACCOUNT: it is not accepted at all; of another: nobody
        answered.
        """
        missing = []
        for name, call in PERMISSIONS.items():
            failed = await self._refused(call)
            if failed is None or failed.missing:
                continue
            if failed.status != HTTPStatus.FORBIDDEN:
                return failed
            missing.append(name)
        return missing

    async def _refused(self, call: Call) -> Failure | None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await call(self._api)
        except TimeoutError:
            return answers.unheard("No whole answer.")
        except stripe.StripeError as error:
            return answers.failure(error, quiet=True)
        return None

    async def endpoints(self) -> list[Endpoint] | Failure:
        """Where the account's events go."""
        answer = await self._ask("list", self._api.webhook_endpoints.list_async({"limit": 100}))
        return answer if isinstance(answer, Failure) else [_endpoint(item) for item in answer["data"]]

    async def create_endpoint(self, url: str) -> Endpoint | Failure:
        """Send what we apply to `url`, in the form of the pinned API version."""
        params: Any = {"url": url, "enabled_events": list(EVENTS), "api_version": self.version,
                       "description": "Brimful"}  # fmt: skip
        answer = await self._ask("webhook_endpoint", self._api.webhook_endpoints.create_async(params))
        return answer if isinstance(answer, Failure) else _endpoint(answer)

    async def mend_endpoint(self, endpoint: Endpoint) -> Endpoint | Failure:
        """Enable it, and send it all that we apply. Its API version cannot be changed."""
        params: Any = {"enabled_events": list(EVENTS), "disabled": False}
        answer = await self._ask(
            "webhook_endpoint", self._api.webhook_endpoints.update_async(endpoint.endpoint_id, params)
        )
        return answer if isinstance(answer, Failure) else _endpoint(answer)


def _endpoint(item: Mapping[str, Any]) -> Endpoint:
    return Endpoint(
        item["id"], item["url"], item["status"] == "enabled", item["enabled_events"], item["api_version"],
        item.get("secret"),
    )  # fmt: skip
