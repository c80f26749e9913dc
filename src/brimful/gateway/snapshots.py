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
    CustomerSnapshot,
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
# What is wrong with the platform's key or account, or with the form of our requests: the same for every customer.
# Source: docs.stripe.com/error-codes, and the codes that the SDK lists for an error.
ACCOUNT_CODES = frozenset(
    {
        "account_closed",
        "account_country_invalid_address",
        "account_information_mismatch",
        "account_invalid",
        "api_key_expired",
        "application_fees_not_allowed",
        "capability_not_active",
        "country_unsupported",
        "livemode_mismatch",
        "no_account",
        "not_allowed_on_standard_account",
        "parameter_invalid_empty",
        "parameter_invalid_integer",
        "parameter_invalid_string_blank",
        "parameter_invalid_string_empty",
        "parameter_missing",
        "parameter_unknown",
        "parameters_exclusive",
        "platform_account_required",
        "platform_api_key_expired",
        "secret_key_required",
        "state_unsupported",
        "storer_capability_missing",
        "storer_capability_not_active",
        "testmode_charges_only",
        "tls_version_unsupported",
        "url_invalid",
    }
)
_ACCOUNT_PARAMS = {"currency"}  # one that the account cannot charge; Stripe sends no code with it
Readable = TypeVar("Readable")


def stripe_error(body: Any) -> Mapping[str, Any] | None:
    """The error object that each refusal of Stripe's has; None for what a proxy or somebody else answered."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if isinstance(error, Mapping) and str(error.get("type")).endswith("_error"):
        return error
    return None


def failure(status: int | None, body: Any, message: str = "") -> Failure:
    """Why a call brought no object.

    Args:
        status: of HTTP; None where no answer came.
        body: of the answer, as decoded JSON. Without Stripe's error object, with any status, it is not Stripe's: the
            outcome is unknown.
        message: what to say where Stripe said nothing.
    """
    error = stripe_error(body)
    if status is None or error is None:
        return Failure(
            FailureKind.NO_ANSWER, None, message or f"An answer that is not Stripe's: {status}", None, status
        )
    code, param = error.get("code"), error.get("param")
    said = " ".join(str(error.get("message") or message).split())[:500]
    return Failure(_kind(status, error), code or _TYPES_AS_CODES.get(error["type"]), said, param, status)


_TYPES_AS_CODES = {"idempotency_error": "idempotency_error"}


def _kind(status: int, error: Mapping[str, Any]) -> FailureKind:
    code = error.get("code")
    if status in _BUSY_STATUSES or code == "lock_timeout":
        return FailureKind.BUSY
    if error["type"] == "idempotency_error":
        return FailureKind.KEY_REUSED
    if status in _ACCOUNT_STATUSES or code in ACCOUNT_CODES or (code is None and error.get("param") in _ACCOUNT_PARAMS):
        return FailureKind.ACCOUNT
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.REFUSED


def object_of(kind: str, answer: Any) -> Any:
    """The answer, if it is an object of this kind; else a Failure: what a proxy answers may be JSON as well."""
    if isinstance(answer, Failure) or (isinstance(answer, Mapping) and answer.get("object") == kind):
        return answer
    return Failure(FailureKind.NO_ANSWER, "unreadable", f"An answer that is no {kind}.")


def readable(snapshot: Callable[[Any], Readable], answer: Any) -> Readable | Failure:
    """What was answered; an answer of an unknown form means as little as none."""
    if isinstance(answer, Failure):
        return answer
    try:
        return snapshot(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        _log.exception("Stripe: an answer that cannot be read")
        return Failure(FailureKind.NO_ANSWER, "unreadable", f"{type(error).__name__}: {error}")


def declined_intent(body: Any) -> dict[str, Any] | None:
    """The PaymentIntent inside a decline, as data: objects on the error are bound to the SDK's global client."""
    details = stripe_error(body) or {}
    intent = details.get("payment_intent")
    if not isinstance(intent, Mapping) or intent.get("object") != "payment_intent":
        return None
    return {**intent, "last_payment_error": intent.get("last_payment_error") or details}


def card_snapshot(data: Mapping[str, Any]) -> CardSnapshot | Failure:
    """A PaymentMethod as Stripe gives it."""
    card = data.get("card")
    if card is None:
        return Failure(FailureKind.REFUSED, "not_a_card", f"{data['id']} is not a card")
    return CardSnapshot(
        data["id"], id_of(data.get("customer")), card.get("fingerprint") or data["id"], card["brand"], card["last4"],
        card["exp_month"], card["exp_year"], card.get("country"), (card.get("wallet") or {}).get("type"),
    )  # fmt: skip


def customer_snapshot(data: Mapping[str, Any]) -> CustomerSnapshot:
    """A Customer as Stripe gives it."""
    return CustomerSnapshot(data["id"], bool(data.get("deleted")), dict(data.get("metadata") or {}))


def _decline(error: Mapping[str, Any]) -> Decline:
    """Why it was not charged. One without any code is still a decline, and is counted as one."""
    return Decline(error.get("code") or "card_declined", error.get("decline_code"), error.get("advice_code"))


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
        decline=None if not error else _decline(error),
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
    due = (data.get("evidence_details") or {}).get("due_by")
    return DisputeSnapshot(
        dispute_id=data["id"],
        intent_id=id_of(data.get("payment_intent")),
        amount_minor=data["amount"],
        currency=data["currency"].upper(),
        status=data["status"],
        reason=data.get("reason"),
        withdrawn=any(amount < 0 for amount in moved),
        reinstated=any(amount > 0 for amount in moved),
        evidence_due_at=None if due is None else dt.datetime.fromtimestamp(due, tz=dt.UTC),
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
