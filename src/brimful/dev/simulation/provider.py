"""The provider of a history: the sandbox's own rules, in process, behind the product's gateway."""

import dataclasses
import datetime as dt
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from brimful.dev.simulation.scheduler import Scheduler
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
from brimful.gateway.limits import Breaker
from brimful.sandbox.calls import Calls
from brimful.sandbox.switches import Switch
from brimful.sandbox.world import World

# Faults of one call: the sandbox's switches by the same names.
CALL_FAULTS = (
    "drop_before",
    "drop_after",
    "error_before",
    "error_after",
    "busy",
    "lock_timeout",
    "forbidden",
    "garbled",
    "proxy",
    "proxy_after",
    "cut",
)
DRIPS = "drip"  # carried out, and answered so slowly that the client gives up


@dataclasses.dataclass(frozen=True)
class Try:
    """One off-session charge that was carried out, as the provider remembers it."""

    at: float
    fingerprint: str
    top_up_id: str
    payment_id: str
    status: str
    advice: str | None
    code: str | None


class Provider:
    """Implements `payments.Gateway`."""

    livemode = False

    def __init__(
        self, world: World, scheduler: Scheduler, *, idle: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        self.sandbox = world
        self.down = False
        self.tries: list[Try] = []
        self._calls = Calls(world)
        self._scheduler = scheduler
        self._idle = idle
        self._clock = clock
        self._breaker = Breaker()

    @property
    def reachable(self) -> bool:
        return self._breaker.may_call(self._clock())

    async def _ask(self, call: str, method: str, path: str, params: Mapping[str, Any], key: str | None = None) -> Any:
        if not self._breaker.may_call(self._clock()):
            return Failure(FailureKind.BUSY, "unreachable", "not sent")
        if self._breaker.open:
            self._breaker = self._breaker.probing(self._clock())
        assert self._idle(), f"a transaction is open across {call}"
        begun = self._clock()
        fault = await self._scheduler.park(call)
        limit_s = _GIVES_UP_S.get(call)
        if limit_s is not None and self._clock() - begun > limit_s:
            return Failure(FailureKind.NO_ANSWER, None, "given up")
        answer = self._answer(call, method, path, params, key, None if fault == DRIPS else fault)
        if fault == DRIPS:
            await self._scheduler.park(call)  # others act meanwhile
            answer = Failure(FailureKind.NO_ANSWER, None, "given up")
        answered = not (isinstance(answer, Failure) and answer.unanswered)
        self._breaker = self._breaker.record_outcome(self._clock(), answered=answered)
        return answer

    def _answer(
        self, call: str, method: str, path: str, params: Mapping[str, Any], key: str | None, fault: str | None
    ) -> Any:
        if self.down:
            return Failure(FailureKind.NO_ANSWER, None, "down")
        if fault is not None:
            self.sandbox.switches.active.append(Switch(call, fault))
        text = urllib.parse.urlencode(_flat(params))
        answer = self._calls.answer(method, f"/v1/{path}", text, key)
        self.sandbox.switches.active = [one for one in self.sandbox.switches.active if one.fault in _LASTING]
        if answer.form != "json":
            return snapshots.failure(None if answer.form == "dropped" else answer.status, None, answer.form)
        if answer.status < 400:
            return answer.body
        declined = snapshots.declined_intent(answer.body) if answer.status == 402 else None
        return snapshots.failure(answer.status, answer.body) if declined is None else declined

    # --- the gateway -----------------------------------------------------------------------------------------

    async def check_key(self) -> Failure | None:
        return None

    async def create_customer(self, **_: Any) -> str | Failure:
        raise NotImplementedError

    async def read_customer(self, stripe_customer: str) -> CustomerSnapshot | Failure:
        answer = await self._ask("customers.retrieve", "GET", f"customers/{stripe_customer}", {})
        return snapshots.readable(snapshots.customer_snapshot, answer)

    async def update_customer(self, stripe_customer: str, *, name: str, email: str | None) -> Failure | None:
        raise NotImplementedError

    async def create_intent(self, request: PaymentRequest) -> PaymentIntentSnapshot | Failure:
        params = {
            "amount": request.amount_minor,
            "currency": request.currency.lower(),
            "customer": request.customer,
            "payment_method": request.payment_method,
            "metadata": request.metadata,
            "description": request.description,
        }
        return snapshots.readable(
            snapshots.intent_snapshot,
            await self._ask("payment_intents.create", "POST", "payment_intents", params, request.key),
        )

    async def confirm_intent(
        self, intent_id: str, *, key: str, payment_method: str, return_url: str | None
    ) -> PaymentIntentSnapshot | Failure:
        params: dict[str, Any] = {"payment_method": payment_method}
        off_session = return_url is None
        if off_session:
            params |= {"off_session": "true", "error_on_requires_action": "true"}
        else:
            params["return_url"] = return_url
        before = self._stands(intent_id)
        answer = await self._ask("payment_intents.confirm", "POST", f"payment_intents/{intent_id}/confirm", params, key)
        self._remember(intent_id, payment_method, before, off_session=off_session)
        return snapshots.readable(snapshots.intent_snapshot, answer)

    def _stands(self, intent_id: str) -> tuple[str, int]:
        intent = self.sandbox.store.get("payment_intent", intent_id) or {}
        return intent.get("status", ""), len(self.tries)

    def _remember(self, intent_id: str, method: str, before: tuple[str, int], *, off_session: bool) -> None:
        """What the charge did, if it was carried out just now."""
        intent = self.sandbox.store.get("payment_intent", intent_id)
        if intent is None or not off_session or intent["status"] == before[0]:
            return
        card, names = self.sandbox.find("payment_method", method)["card"], intent["metadata"]
        error = intent["last_payment_error"] or {}
        self.tries.append(
            Try(self._clock(), card["fingerprint"], names["top_up_id"], names["payment_id"], intent["status"],
                error.get("advice_code"), error.get("decline_code"))
        )  # fmt: skip

    async def read_intent(self, intent_id: str) -> PaymentIntentSnapshot | Failure:
        return snapshots.readable(
            snapshots.intent_snapshot,
            await self._ask("payment_intents.retrieve", "GET", f"payment_intents/{intent_id}", {}),
        )

    async def cancel_intent(self, intent_id: str) -> PaymentIntentSnapshot | Failure:
        return snapshots.readable(
            snapshots.intent_snapshot,
            await self._ask("payment_intents.cancel", "POST", f"payment_intents/{intent_id}/cancel", {}),
        )

    async def list_intents(
        self, *, customer: str | None, since: dt.datetime
    ) -> Sequence[PaymentIntentSnapshot] | Failure:
        params: dict[str, Any] = {"created": {"gte": int(since.timestamp())}, "limit": 100}
        if customer is not None:
            params["customer"] = customer
        answer = await self._ask("payment_intents.list", "GET", "payment_intents", params)
        return snapshots.readable(lambda page: [snapshots.intent_snapshot(item) for item in page["data"]], answer)

    async def create_refund(
        self, *, key: str, intent_id: str, amount_minor: int, metadata: Mapping[str, str]
    ) -> RefundSnapshot | Failure:
        params = {"payment_intent": intent_id, "amount": amount_minor, "metadata": metadata}
        return snapshots.readable(
            snapshots.refund_snapshot, await self._ask("refunds.create", "POST", "refunds", params, key)
        )

    async def read_refund(self, refund_id: str) -> RefundSnapshot | Failure:
        return snapshots.readable(
            snapshots.refund_snapshot, await self._ask("refunds.retrieve", "GET", f"refunds/{refund_id}", {})
        )

    async def list_refunds(
        self, *, intent_id: str | None = None, since: dt.datetime | None = None
    ) -> Sequence[RefundSnapshot] | Failure:
        params: dict[str, Any] = {"limit": 100}
        if intent_id is not None:
            params["payment_intent"] = intent_id
        if since is not None:
            params["created"] = {"gte": int(since.timestamp())}
        answer = await self._ask("refunds.list", "GET", "refunds", params)
        return snapshots.readable(lambda page: [snapshots.refund_snapshot(item) for item in page["data"]], answer)

    async def submit_evidence(
        self, dispute_id: str, *, key: str, fields: Mapping[str, str]
    ) -> DisputeSnapshot | Failure:
        raise NotImplementedError("a person submits evidence; no history has one")

    async def read_dispute(self, dispute_id: str) -> DisputeSnapshot | Failure:
        return snapshots.readable(
            snapshots.dispute_snapshot, await self._ask("disputes.retrieve", "GET", f"disputes/{dispute_id}", {})
        )

    async def list_disputes(self, *, since: dt.datetime) -> Sequence[DisputeSnapshot] | Failure:
        params = {"created": {"gte": int(since.timestamp())}, "limit": 100}
        answer = await self._ask("disputes.list", "GET", "disputes", params)
        return snapshots.readable(lambda page: [snapshots.dispute_snapshot(item) for item in page["data"]], answer)

    async def read_warning(self, warning_id: str) -> str | Failure | None:
        call = "radar.early_fraud_warnings.retrieve"
        answer = await self._ask(call, "GET", f"radar/early_fraud_warnings/{warning_id}", {})
        return snapshots.readable(lambda warning: warning["payment_intent"], answer)

    async def find_checkout(self, *, intent_id: str) -> CheckoutSnapshot | Failure | None:  # noqa: ARG002
        return None  # histories have no Checkout pages

    async def read_card(self, payment_method: str) -> CardSnapshot | Failure:
        answer = await self._ask("payment_methods.retrieve", "GET", f"payment_methods/{payment_method}", {})
        return snapshots.readable(snapshots.card_snapshot, answer)

    async def detach_card(self, payment_method: str) -> Failure | None:
        answer = await self._ask("payment_methods.detach", "POST", f"payment_methods/{payment_method}/detach", {})
        return answer if isinstance(answer, Failure) else None

    async def create_setup_checkout(self, **_: Any) -> CheckoutSnapshot | Failure:
        raise NotImplementedError

    async def create_payment_checkout(self, request: PaymentRequest, **_: Any) -> CheckoutSnapshot | Failure:
        raise NotImplementedError

    async def read_checkout(self, session_id: str) -> CheckoutSnapshot | Failure:
        raise NotImplementedError

    async def expire_checkout(self, session_id: str) -> CheckoutSnapshot | Failure:
        raise NotImplementedError

    async def close(self) -> None:
        pass


# Clients give up after half a minute. Most calls may hang for days here, which only a stopped process can do; one that
# moves money in a single step must not outlive its key, and is given up like any other.
_GIVES_UP_S = {"refunds.create": 3600.0}
_LASTING = {"processing", "refund_pending"}


def _flat(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Stripe's form encoding of one level of nesting."""
    flat = []
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat += [(f"{name}[{inner}]", str(item)) for inner, item in value.items()]
        else:
            flat.append((name, str(value)))
    return flat
