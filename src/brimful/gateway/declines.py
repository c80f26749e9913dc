"""What a decline means: never with this card, not with its data, later, or with the customer present.

Sources: docs.stripe.com/declines/codes and docs.stripe.com/declines/card (advice codes), network rules on
retries. An advice code outranks the table.
"""

import enum

from brimful.gateway.gateway import Decline


class DeclineKind(enum.Enum):
    """How to go on after a decline."""

    HARD = "hard"  # never again with this plastic, wherever it is saved
    DATA = "data"  # not with what is saved of it: a new expiry or number may be charged
    TECHNICAL = "technical"  # nobody decided: again within minutes
    SOFT = "soft"  # a few spaced tries
    AUTHENTICATE = "authenticate"  # only with the customer present


HARD = frozenset(
    {
        "card_not_supported",
        "currency_not_supported",
        "fraudulent",
        "highest_risk_level",
        "incorrect_number",
        "invalid_account",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
DATA = frozenset(
    {
        "expired_card",
        "incorrect_address",
        "incorrect_cvc",
        "incorrect_postal_code",
        "incorrect_zip",
        "invalid_cvc",
        "invalid_expiry_month",
        "invalid_expiry_year",
    }
)
TECHNICAL = frozenset(
    {"approve_with_id", "issuer_not_available", "processing_error", "reenter_transaction", "try_again_later"}
)
_ADVICE = {
    "do_not_try_again": DeclineKind.HARD,
    "confirm_card_data": DeclineKind.DATA,
}


_LOST = frozenset({"fraudulent", "lost_card", "pickup_card", "stolen_card"})


def classify(decline: Decline, *, needs_mandate: bool = False) -> DeclineKind:
    """How to go on. Unknown codes are soft: a few tries cannot hurt, a card is not lost for a new code.

    A card that `needs_mandate` was charged without its customer and without one: unless its bank calls the
    card lost or the payment a fraud, its customer can pay.
    """
    code = decline.decline_code or decline.code or ""
    if code == "authentication_required" or decline.code == "authentication_required":
        return DeclineKind.AUTHENTICATE
    if needs_mandate and code not in _LOST:
        return DeclineKind.AUTHENTICATE
    if decline.advice_code in _ADVICE:
        return _ADVICE[decline.advice_code]
    if code in TECHNICAL:
        return DeclineKind.TECHNICAL
    if decline.advice_code == "try_again_later":
        return DeclineKind.SOFT
    if code in DATA:
        return DeclineKind.DATA
    return DeclineKind.HARD if code in HARD else DeclineKind.SOFT
