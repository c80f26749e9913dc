"""The sentences a customer agrees to. Their version goes into every consent.

Changing a word here is changing the terms: give them a new version, notify the customers `notice_days`
before, and everybody is asked again when they next save a rule. A test holds text and version together.
"""

from brimful.i18n.words import Words

TERMS_VERSION = "2026-11-01"


def save_card(words: Words, merchant: str) -> str:
    """The sentence beside the box that saves a card."""
    return words.t(
        "Save this card so {merchant} can charge it later for top-ups I start here and, if I turn it on, for auto "
        "top-up. I can remove it any time.",
        merchant=merchant,
    )


def auto_top_up(
    words: Words, *, merchant: str, card: str, amount: str, asset: str, threshold: str, limit: str, days: int
) -> str:
    """The sentence above Turn on, in the customer's own numbers."""
    return words.t(
        "By turning on auto top-up I authorise {merchant} to charge {card} {amount} each time my {asset} balance "
        "drops below {threshold}, without asking me again, up to {limit} per calendar month (UTC). Charges have no "
        "fixed dates; they depend on my use. I get a receipt for every charge. I can change or turn off auto top-up "
        "or remove the card here at any time, at once for charges not yet started. If these terms change, {merchant} "
        "tells me at least {days} days before. This lasts until I turn it off.",
        merchant=merchant,
        card=card,
        amount=amount,
        asset=asset,
        threshold=threshold,
        limit=limit,
        days=days,
    )
