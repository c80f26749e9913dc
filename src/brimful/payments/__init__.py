"""The payments room: what we ask of the payment provider, and what its answers mean."""

from brimful.payments.declines import Kind as DeclineKind
from brimful.payments.declines import classify
from brimful.payments.gateway import (
    CardReading,
    CheckoutReading,
    Decline,
    DisputeReading,
    Failure,
    FailureKind,
    Gateway,
    IntentReading,
    RefundReading,
)
from brimful.payments.limits import Limits, Turns

__all__ = [
    "CardReading",
    "CheckoutReading",
    "Decline",
    "DeclineKind",
    "DisputeReading",
    "Failure",
    "FailureKind",
    "Gateway",
    "IntentReading",
    "Limits",
    "RefundReading",
    "Turns",
    "classify",
]
