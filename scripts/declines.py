"""Writes docs/declines.md: what follows from every decline and advice code. A test holds the page to the code."""

import pathlib
import sys

from brimful import i18n
from brimful.gateway.declines import DATA, HARD, DeclineKind, classify
from brimful.gateway.gateway import Decline

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "declines.md"
SOFT = ("authentication_required", "approve_with_id", "call_issuer", "card_velocity_exceeded", "do_not_honor",
        "duplicate_transaction", "generic_decline", "insufficient_funds", "invalid_amount", "issuer_not_available",
        "new_account_information_available", "no_action_taken", "not_permitted", "offline_pin_required",
        "online_or_offline_pin_required", "pin_try_exceeded", "processing_error", "reenter_transaction",
        "service_not_allowed", "testmode_decline", "try_again_later", "withdrawal_count_limit_exceeded",
        "a code that nobody knows yet")  # fmt: skip
ADVICE = (None, "try_again_later", "confirm_card_data", "do_not_try_again")
MEANS = {
    DeclineKind.HARD: "never again",
    DeclineKind.DATA: "new data first",
    DeclineKind.SOFT: "later, 3 tries",
    DeclineKind.TECHNICAL: "soon",
    DeclineKind.AUTHENTICATE: "with the customer",
}


def page() -> str:
    """The page as it must be."""
    lines = [
        "# Declines",
        "",
        "What follows from each decline code, alone and with Stripe's advice code, which outranks it. Generated from",
        "`gateway/declines.py` by `scripts/declines.py`.",
        "",
        "- **never again**: the card is blocked, the rules that use it pause, the physical card is not charged for",
        "  30 days, no matter who saves it again.",
        "- **new data first**: the card is blocked and its rules pause until it comes with another expiry or number,",
        "  from the customer or from its network; then both go on.",
        "- **soon**: nobody decided; after 1, 5 and 30 minutes, then like the next.",
        "- **later, 3 tries**: 4 hours, then 12 hours after; then the rule pauses.",
        "- **with the customer**: they get a link and 24 hours to confirm on their bank's page; then the rule pauses.",
        "",
        "Where the customer has chosen a backup card, it is charged at once instead, for all of these but **soon**;",
        "never after a card that is lost, stolen, disputed or suspected of fraud, which pauses every rule that has it.",
        "",
        "Over all customers a physical card has at most 8 declined tries in 30 days. A card issued in India is charged",
        "alone without a mandate: any decline of its bank but lost, stolen or fraud counts as **with the customer**.",
        "",
        f"| decline code | alone | {' | '.join(f'advice `{advice}`' for advice in ADVICE[1:])} | the customer reads |",
        "|---|---|---|---|---|---|",
    ]
    words = i18n.words.speak("en")
    for code in sorted({*HARD, *DATA, *SOFT}):
        means = [MEANS[classify(Decline("card_declined", code, advice))] for advice in ADVICE]
        name = f"`{code}`" if "_" in code else code
        lines.append(f"| {name} | {' | '.join(means)} | {i18n.reasons.failed(words, code)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.exit(0)
