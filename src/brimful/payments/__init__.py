"""The payments room: what we ask of the payment provider, and what its answers mean."""

from brimful.payments.declines import Kind as DeclineKind
from brimful.payments.declines import classify
from brimful.payments.gateway import (
    CardReading,
    CheckoutReading,
    Decline,
    Failure,
    FailureKind,
    Gateway,
    IntentReading,
)

__all__ = [
    "CardReading",
    "CheckoutReading",
    "Decline",
    "DeclineKind",
    "Failure",
    "FailureKind",
    "Gateway",
    "IntentReading",
    "classify",
]
