"""Stripe behind the gateway, by the official SDK.

Parameter names follow `stripe.params` of the pinned SDK (API 2026-10-28). The SDK never retries by itself:
our state machine owns retries, and each goes out under the same explicit key. Only what was certainly not
carried out (busy) is sent again from here.
"""

import asyncio
import datetime as dt
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import stripe

from brimful import observability
from brimful.core import failpoints, ids
from brimful.gateway import snapshots
from brimful.gateway.gateway import (
    CardSnapshot,
    CheckoutSnapshot,
    CustomerSnapshot,
    DisputeSnapshot,
    Failure,
    FailureKind,
    PaymentIntentSnapshot,
    PaymentRequest,
    RefundSnapshot,
)
from brimful.gateway.limits import CallPolicy
from brimful.gateway.stripe import answers
from brimful.gateway.stripe.transport import Transport

_TIMEOUT_S = 30
_TOLERANCE_S = 300
_LIST_MAX = 100
_WORD = re.compile(r"[A-Za-z0-9_.]{1,255}", re.ASCII)
_BUSY_WAITS_S = (0.5, 1.0, 2.0, 4.0)
_CARD: list[Any] = ["card"]


# What each resource answers with; a list answers with a `list`.
_OBJECTS = {
    "checkout.sessions": "checkout.session",
    "customers": "customer",
    "disputes": "dispute",
    "payment_intents": "payment_intent",
    "payment_methods": "payment_method",
    "radar.early_fraud_warnings": "radar.early_fraud_warning",
    "refunds": "refund",
}
_PAID = ["latest_charge"]  # its receipt is shown to the customer


class StripeGateway:
    """Stripe, or a server of its shape at `url`. Without a call policy, for a command that calls a few times, it
    waits for nothing.
    """

    def __init__(
        self,
        key: str,
        *,
        url: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        call_policy: CallPolicy | None = None,
    ) -> None:
        self.livemode = key.startswith(("sk_live_", "rk_live_"))
        self.call_policy = call_policy
        self._deadline_s = timeout_s
        self._http = Transport(timeout_s)
        self._client = stripe.StripeClient(
            key,
            base_addresses={} if url is None else {"api": url},
            max_network_retries=0,
            http_client=self._http,
        )
        self._api = self._client.v1

    @property
    def reachable(self) -> bool:
        return self.call_policy is None or self.call_policy.reachable

    async def close(self) -> None:
        await self._http.close_async()

    async def _ask(self, endpoint: str, call: Callable[[], Awaitable[Any]]) -> dict[str, Any] | Failure:
        """One call within Stripe's rates; again, with jitter, while Stripe is busy. While Stripe is down a call
        is not sent, which is reported like busy: it was not carried out.
        """
        resource, _, verb = endpoint.rpartition(".")
        kind = "list" if verb == "list" else _OBJECTS[resource]
        for wait_s in (*_BUSY_WAITS_S, None):
            if self.call_policy is not None and not await self.call_policy.admit(endpoint):
                return Failure(FailureKind.BUSY, "unreachable", "Stripe has not answered lately; not sent.")
            await failpoints.crash_point(f"before {endpoint}")
            begun_s = time.monotonic()
            with observability.tracing.span(f"stripe {endpoint}"):
                answer = await answers.answered(call(), kind=kind, deadline_s=self._deadline_s)
            outcome = answer.kind.value if isinstance(answer, Failure) else "answered"
            observability.metrics.STRIPE.labels(endpoint, outcome).observe(time.monotonic() - begun_s)
            if self.call_policy is not None:
                await self.call_policy.record_outcome(answered=not (isinstance(answer, Failure) and answer.unanswered))
            await failpoints.crash_point(f"after {endpoint}")
            busy = isinstance(answer, Failure) and answer.kind is FailureKind.BUSY
            if not busy or wait_s is None:
                break
            await asyncio.sleep(ids.jitter(wait_s))
        return answer

    async def _all(self, endpoint: str, listing: Callable[[Any], Awaitable[Any]], params: Any) -> Any:
        """Every page of a list, newest first."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self._ask(endpoint, lambda asked=params: listing(asked))  # type: ignore[misc]
            if isinstance(page, Failure):
                return page
            items = page.get("data")
            if not isinstance(items, list):
                return answers.unheard("A list without items.")
            found += items
            if not page.get("has_more") or not items:
                return found
            params = {**params, "starting_after": found[-1]["id"]}

    async def check_key(self) -> Failure | None:
        answer = await self._ask("customers.list", lambda: self._api.customers.list_async({"limit": 1}))
        return answer if isinstance(answer, Failure) else None

    async def create_customer(
        self, *, key: str, name: str, email: str | None, metadata: Mapping[str, str]
    ) -> str | Failure:
        params: Any = {"name": name, "metadata": dict(metadata)}
        if email is not None:
            params["email"] = email
        answer = await self._ask(
            "customers.create", lambda: self._api.customers.create_async(params, {"idempotency_key": key})
        )
        return answer if isinstance(answer, Failure) else str(answer["id"])

    async def read_customer(self, stripe_customer: str) -> CustomerSnapshot | Failure:
        answer = await self._ask("customers.retrieve", lambda: self._api.customers.retrieve_async(stripe_customer))
        return snapshots.readable(snapshots.customer_snapshot, answer)

    async def update_customer(self, stripe_customer: str, *, name: str, email: str | None) -> Failure | None:
        params: Any = {"name": name, "email": email or ""}
        answer = await self._ask("customers.update", lambda: self._api.customers.update_async(stripe_customer, params))
        return answer if isinstance(answer, Failure) else None

    async def create_intent(self, request: PaymentRequest) -> PaymentIntentSnapshot | Failure:
        assert request.payment_method is not None
        payment_method = request.payment_method
        answer = await self._ask(
            "payment_intents.create",
            lambda: self._api.payment_intents.create_async(
                {
                    "amount": request.amount_minor,
                    "currency": request.currency.lower(),
                    "customer": request.customer,
                    "payment_method": payment_method,
                    "allowed_payment_method_types": _CARD,
                    "metadata": dict(request.metadata),
                    "description": request.description,
                },
                {"idempotency_key": request.key},
            ),
        )
        return snapshots.readable(snapshots.intent_snapshot, answer)

    async def confirm_intent(
        self, intent_id: str, *, key: str, payment_method: str, return_url: str | None
    ) -> PaymentIntentSnapshot | Failure:
        params: Any = {"payment_method": payment_method, "expand": _PAID}
        if return_url is None:
            params |= {"off_session": True, "error_on_requires_action": True}
        else:
            params |= {"return_url": return_url}
        answer = await self._ask(
            "payment_intents.confirm",
            lambda: self._api.payment_intents.confirm_async(intent_id, params, {"idempotency_key": key}),
        )
        return snapshots.readable(snapshots.intent_snapshot, answer)

    async def read_intent(self, intent_id: str) -> PaymentIntentSnapshot | Failure:
        answer = await self._ask(
            "payment_intents.retrieve", lambda: self._api.payment_intents.retrieve_async(intent_id, {"expand": _PAID})
        )
        return snapshots.readable(snapshots.intent_snapshot, answer)

    async def cancel_intent(self, intent_id: str) -> PaymentIntentSnapshot | Failure:
        answer = await self._ask("payment_intents.cancel", lambda: self._api.payment_intents.cancel_async(intent_id))
        return snapshots.readable(snapshots.intent_snapshot, answer)

    async def list_intents(
        self, *, customer: str | None, since: dt.datetime
    ) -> Sequence[PaymentIntentSnapshot] | Failure:
        params: Any = {"created": {"gte": int(since.timestamp())}, "limit": _LIST_MAX}
        if customer is not None:
            params["customer"] = customer
        found = await self._all("payment_intents.list", self._api.payment_intents.list_async, params)
        return snapshots.readable(lambda items: [snapshots.intent_snapshot(item) for item in items], found)

    async def create_refund(
        self, *, key: str, intent_id: str, amount_minor: int, metadata: Mapping[str, str]
    ) -> RefundSnapshot | Failure:
        answer = await self._ask(
            "refunds.create",
            lambda: self._api.refunds.create_async(
                {"payment_intent": intent_id, "amount": amount_minor, "metadata": dict(metadata)},
                {"idempotency_key": key},
            ),
        )
        return snapshots.readable(snapshots.refund_snapshot, answer)

    async def read_refund(self, refund_id: str) -> RefundSnapshot | Failure:
        answer = await self._ask("refunds.retrieve", lambda: self._api.refunds.retrieve_async(refund_id))
        return snapshots.readable(snapshots.refund_snapshot, answer)

    async def list_refunds(
        self, *, intent_id: str | None = None, since: dt.datetime | None = None
    ) -> Sequence[RefundSnapshot] | Failure:
        params: Any = {"limit": _LIST_MAX}
        if intent_id is not None:
            params["payment_intent"] = intent_id
        if since is not None:
            params["created"] = {"gte": int(since.timestamp())}
        found = await self._all("refunds.list", self._api.refunds.list_async, params)
        return snapshots.readable(lambda items: [snapshots.refund_snapshot(item) for item in items], found)

    async def read_dispute(self, dispute_id: str) -> DisputeSnapshot | Failure:
        answer = await self._ask("disputes.retrieve", lambda: self._api.disputes.retrieve_async(dispute_id))
        return snapshots.readable(snapshots.dispute_snapshot, answer)

    async def list_disputes(self, *, since: dt.datetime) -> Sequence[DisputeSnapshot] | Failure:
        params: Any = {"created": {"gte": int(since.timestamp())}, "limit": _LIST_MAX}
        found = await self._all("disputes.list", self._api.disputes.list_async, params)
        return snapshots.readable(lambda items: [snapshots.dispute_snapshot(item) for item in items], found)

    async def submit_evidence(
        self, dispute_id: str, *, key: str, fields: Mapping[str, str]
    ) -> DisputeSnapshot | Failure:
        params: Any = {"evidence": dict(fields), "submit": True}
        answer = await self._ask(
            "disputes.update", lambda: self._api.disputes.update_async(dispute_id, params, {"idempotency_key": key})
        )
        return snapshots.readable(snapshots.dispute_snapshot, answer)

    async def read_warning(self, warning_id: str) -> str | Failure | None:
        answer = await self._ask(
            "radar.early_fraud_warnings.retrieve",
            lambda: self._api.radar.early_fraud_warnings.retrieve_async(warning_id),
        )
        return answer if isinstance(answer, Failure) else snapshots.id_of(answer.get("payment_intent"))

    async def create_setup_checkout(
        self,
        *,
        key: str,
        customer: str,
        currency: str,
        success_url: str,
        cancel_url: str,
        metadata: Mapping[str, str],
    ) -> CheckoutSnapshot | Failure:
        answer = await self._ask(
            "checkout.sessions.create",
            lambda: self._api.checkout.sessions.create_async(
                {
                    "mode": "setup",
                    "customer": customer,
                    "currency": currency.lower(),
                    "allowed_payment_method_types": _CARD,
                    "success_url": success_url,
                    "cancel_url": cancel_url,
                    "metadata": dict(metadata),
                    "setup_intent_data": {"metadata": dict(metadata)},
                    "expand": ["setup_intent"],
                },
                {"idempotency_key": key},
            ),
        )
        return snapshots.readable(snapshots.checkout_snapshot, answer)

    async def create_payment_checkout(
        self, request: PaymentRequest, *, save_card: bool, success_url: str, cancel_url: str, expires_at: dt.datetime
    ) -> CheckoutSnapshot | Failure:
        intent_data: Any = {"metadata": dict(request.metadata), "description": request.description}
        if save_card:
            intent_data["setup_future_usage"] = "off_session"
        answer = await self._ask(
            "checkout.sessions.create",
            lambda: self._api.checkout.sessions.create_async(
                {
                    "mode": "payment",
                    "customer": request.customer,
                    "allowed_payment_method_types": _CARD,
                    "line_items": [
                        {
                            "quantity": 1,
                            "price_data": {
                                "currency": request.currency.lower(),
                                "unit_amount": request.amount_minor,
                                "product_data": {"name": request.description},
                            },
                        }
                    ],
                    "payment_intent_data": intent_data,
                    "success_url": success_url,
                    "cancel_url": cancel_url,
                    "expires_at": int(expires_at.timestamp()),
                    "metadata": dict(request.metadata),
                    "expand": ["setup_intent"],
                },
                {"idempotency_key": request.key},
            ),
        )
        return snapshots.readable(snapshots.checkout_snapshot, answer)

    async def read_checkout(self, session_id: str) -> CheckoutSnapshot | Failure:
        answer = await self._ask(
            "checkout.sessions.retrieve",
            lambda: self._api.checkout.sessions.retrieve_async(session_id, {"expand": ["setup_intent"]}),
        )
        return snapshots.readable(snapshots.checkout_snapshot, answer)

    async def expire_checkout(self, session_id: str) -> CheckoutSnapshot | Failure:
        answer = await self._ask(
            "checkout.sessions.expire",
            lambda: self._api.checkout.sessions.expire_async(session_id, {"expand": ["setup_intent"]}),
        )
        return snapshots.readable(snapshots.checkout_snapshot, answer)

    async def find_checkout(self, *, intent_id: str) -> CheckoutSnapshot | Failure | None:
        answer = await self._ask(
            "checkout.sessions.list",
            lambda: self._api.checkout.sessions.list_async(
                {"payment_intent": intent_id, "expand": ["data.setup_intent"]}
            ),
        )
        if isinstance(answer, Failure):
            return answer
        return snapshots.readable(
            lambda page: snapshots.checkout_snapshot(page["data"][0]) if page["data"] else None, answer
        )

    async def read_card(self, payment_method: str) -> CardSnapshot | Failure:
        answer = await self._ask(
            "payment_methods.retrieve", lambda: self._api.payment_methods.retrieve_async(payment_method)
        )
        return snapshots.readable(snapshots.card_snapshot, answer)

    async def detach_card(self, payment_method: str) -> Failure | None:
        answer = await self._ask(
            "payment_methods.detach", lambda: self._api.payment_methods.detach_async(payment_method)
        )
        return answer if isinstance(answer, Failure) else None


class Event:
    """A signed event. Only a hint of what to read: `object_id` names it. `intent_id` is the PaymentIntent that it is
    about, where there is one, and `metadata` its object's: by them it is known whose it is before anything is read.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self.event_id = _word(body["id"])
        self.type = _word(body["type"])
        self.livemode = bool(body["livemode"])
        self.created = dt.datetime.fromtimestamp(int(body["created"]), dt.UTC)
        item = body["data"]["object"]
        intent = snapshots.id_of(item.get("id" if item.get("object") == "payment_intent" else "payment_intent"))
        self.intent_id = None if intent is None else _word(intent)
        # A charge is nothing that we keep: its event is a hint about its PaymentIntent.
        self.object_id = self.intent_id if item.get("object") == "charge" else _word(item["id"])
        self.metadata: Mapping[str, str] = dict(item.get("metadata") or {})


def _word(value: object) -> str:
    """An id or a type, as Stripe writes them."""
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise ValueError("neither an id nor a type")
    return value


def signed(payload: bytes, header: str | None, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets signed exactly these bytes within 300 s of now.

    Source: docs.stripe.com/webhooks (signatures). The SDK accepts time stamps in the future; we do not.
    """
    signature = header or ""
    if not signature.isascii():  # a digest cannot be compared with it
        return False
    return any(_signed(payload, signature, secret) for secret in secrets) and not _from_future(signature)


def read_event(payload: bytes) -> Event | None:
    """The event of a signed payload; None for one that is of no use here: a thin event without its object, or one about
    a thing whose id people choose, such as a coupon or a price.
    """
    try:
        return Event(json.loads(payload))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def claims_to_be_fresh(header: str | None) -> bool:
    """Whether a signature has the form of Stripe's and a time of now: made with another secret, it seems."""
    parts = dict(part.partition("=")[::2] for part in (header or "").split(","))
    stamp, signature = parts.get("t", ""), parts.get("v1", "")
    whole = stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and re.fullmatch(r"[0-9a-f]{64}", signature)
    return bool(whole) and abs(int(stamp) - time.time()) <= _TOLERANCE_S


def _signed(payload: bytes, header: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(payload.decode(), header, secret, _TOLERANCE_S)
    except (stripe.SignatureVerificationError, ValueError):
        return False
    return True


def _from_future(header: str) -> bool:
    stamps = [int(part[2:]) for part in header.split(",") if part.startswith("t=")]
    return max(stamps) > time.time() + _TOLERANCE_S
