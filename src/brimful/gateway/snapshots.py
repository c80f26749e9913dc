"""Stripe's objects as snapshots: plain data in, what we act on out. No SDK, no network.

The adapter and the simulation read the same objects with these.
"""

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from brimful.gateway.gateway import (
    CardSnapshot,
    CheckoutSnapshot,
    Decline,
    DisputeSnapshot,
    Failure,
    FailureKind,
    PaymentIntentSnapshot,
    RefundSnapshot,
)

_log = logging.getLogger(__name__)
_BUSY_STATUSES = {409, 429}
_ACCOUNT_STATUSES = {401, 403}
Readable = TypeVar("Readable")


def readable(snapshot: Callable[[Any], Readable], answer: Any) -> Readable | Failure:
    """What was answered; an answer of an unknown form means as little as none."""
    if isinstance(answer, Failure):
        return answer
    try:
        return snapshot(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        _log.exception("Stripe: an answer that cannot be read")
        return Failure(FailureKind.NO_ANSWER, "unreadable", f"{type(error).__name__}: {error}")


def failure_kind(status: int | None, code: str | None) -> FailureKind:
    """What an HTTP status says about a call that brought no object; None: there was no answer."""
    if status is None:
        return FailureKind.NO_ANSWER
    if status in _ACCOUNT_STATUSES:
        return FailureKind.ACCOUNT
    if status in _BUSY_STATUSES or code == "lock_timeout":
        return FailureKind.BUSY
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.REFUSED


def declined_intent(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The PaymentIntent inside a decline, as data: objects on the error are bound to the SDK's global client."""
    details = body.get("error") or {}
    intent: dict[str, Any] | None = details.get("payment_intent")
    if intent is None:
        return None
    return {**intent, "last_payment_error": intent.get("last_payment_error") or details}


def card_snapshot(data: Mapping[str, Any]) -> CardSnapshot | Failure:
    """A PaymentMethod as Stripe gives it."""
    card = data.get("card")
    if card is None:
        return Failure(FailureKind.REFUSED, "not_a_card", f"{data['id']} is not a card")
    return CardSnapshot(
        data["id"], id_of(data.get("customer")), card.get("fingerprint") or data["id"], card["brand"], card["last4"],
        card["exp_month"], card["exp_year"],
    )  # fmt: skip


def intent_snapshot(data: Mapping[str, Any]) -> PaymentIntentSnapshot:
    """A PaymentIntent as Stripe gives it."""
    error = data.get("last_payment_error")
    action, charge = data.get("next_action") or {}, data.get("latest_charge")
    return PaymentIntentSnapshot(
        intent_id=data["id"],
        status=data["status"],
        amount_minor=data["amount"],
        received_minor=data.get("amount_received") or 0,
        currency=data["currency"].upper(),
        livemode=data["livemode"],
        metadata=dict(data.get("metadata") or {}),
        customer=id_of(data.get("customer")),
        payment_method=id_of(data.get("payment_method")),
        decline=None if not error else Decline(error.get("code"), error.get("decline_code"), error.get("advice_code")),
        redirect_url=(action.get("redirect_to_url") or {}).get("url"),
        receipt_url=charge.get("receipt_url") if isinstance(charge, dict) else None,
        created=dt.datetime.fromtimestamp(data["created"], dt.UTC),
    )


def refund_snapshot(data: Mapping[str, Any]) -> RefundSnapshot:
    """A Refund as Stripe gives it."""
    return RefundSnapshot(
        refund_id=data["id"],
        intent_id=id_of(data.get("payment_intent")),
        amount_minor=data["amount"],
        currency=data["currency"].upper(),
        status=data["status"],
        reason=data.get("failure_reason") or data.get("reason"),
        metadata=dict(data.get("metadata") or {}),
    )


def dispute_snapshot(data: Mapping[str, Any]) -> DisputeSnapshot:
    """Stripe lists at most two movements: money withdrawn, and money reinstated."""
    moved = [transaction["amount"] for transaction in data.get("balance_transactions") or []]
    return DisputeSnapshot(
        dispute_id=data["id"],
        intent_id=id_of(data.get("payment_intent")),
        amount_minor=data["amount"],
        currency=data["currency"].upper(),
        status=data["status"],
        reason=data.get("reason"),
        withdrawn=any(amount < 0 for amount in moved),
        reinstated=any(amount > 0 for amount in moved),
    )


def checkout_snapshot(data: Mapping[str, Any]) -> CheckoutSnapshot:
    """A Checkout Session as Stripe gives it."""
    setup = data.get("setup_intent")
    return CheckoutSnapshot(
        session_id=data["id"],
        status=data["status"],
        mode=data["mode"],
        url=data.get("url"),
        intent_id=id_of(data.get("payment_intent")),
        payment_method=id_of(setup.get("payment_method")) if isinstance(setup, Mapping) else None,
        customer=id_of(data.get("customer")),
        metadata=dict(data.get("metadata") or {}),
    )


def id_of(value: Any) -> str | None:
    """Stripe gives an id, or the whole object when it is expanded."""
    if value is None:
        return None
    return str(value["id"]) if isinstance(value, Mapping) else str(value)
