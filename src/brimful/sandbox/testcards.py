"""Test cards with the numbers and the behaviour that Stripe documents (docs.stripe.com/testing).

One difference: Stripe refuses to save a card that declines (all but ...0341). The sandbox saves them, so
that each kind of decline can be met off-session.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class TestCard:
    """A number, what it shows, and what a charge of it does."""

    number: str
    brand: str
    label: str
    decline_code: str | None = None
    code: str = "card_declined"
    advice_code: str | None = None
    authentication: Literal["never", "always", "unless_set_up"] = "never"
    saves: bool = True
    disputed: bool = False
    country: str = "US"
    alone: str | None = None  # declined with this code without the customer
    wallet: str | None = None  # which gives a number of its own for the card in it

    @property
    def last4(self) -> str:
        return self.number[-4:]


_CARDS = (
    TestCard("4242424242424242", "visa", "Visa, succeeds"),
    TestCard("5555555555554444", "mastercard", "Mastercard, succeeds"),
    TestCard("378282246310005", "amex", "American Express, succeeds"),
    TestCard("4000002500003155", "visa", "Authentication, unless set up", authentication="unless_set_up"),
    TestCard("4000002760003184", "visa", "Authentication, always", authentication="always"),
    TestCard("4000000000000002", "visa", "Declined, also when saved", "generic_decline", saves=False),
    TestCard("4000000000000341", "visa", "Saves, then declines", "generic_decline", advice_code="try_again_later"),
    TestCard("4000000000009995", "visa", "Insufficient funds", "insufficient_funds", advice_code="try_again_later"),
    TestCard("4000000000009987", "visa", "Lost card", "lost_card", advice_code="do_not_try_again"),
    TestCard("4000000000009979", "visa", "Stolen card", "stolen_card", advice_code="do_not_try_again"),
    TestCard("4000000000000069", "visa", "Expired card", "expired_card", "expired_card", "confirm_card_data"),
    TestCard("4000000000000119", "visa", "Processing error", "processing_error", "processing_error", "try_again_later"),
    # What an Indian bank calls a payment without a mandate is not published; this one forbids most.
    TestCard(
        "4000003560000008",
        "visa",
        "India: only with its customer",
        authentication="always",
        country="IN",
        alone="transaction_not_allowed",
    ),
    TestCard("4761120010000492", "visa", "Apple Pay", wallet="apple_pay"),
    TestCard("5204245250001488", "mastercard", "Google Pay", wallet="google_pay"),
    TestCard("4000000000000259", "visa", "Succeeds, disputed later", disputed=True),
)

TEST_CARDS: dict[str, TestCard] = {card.number: card for card in _CARDS}

# Stripe's test payment methods by name: attaching one saves that card.
TEST_METHODS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_authenticationRequired": "4000002760003184",
}
