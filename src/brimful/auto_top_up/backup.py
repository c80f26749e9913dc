"""The backup card: what comes next when one of a rule's two cards is declined. Pure."""

import dataclasses
from typing import Literal

from brimful.gateway.declines import DeclineKind

# No second card is tried where the person who pays is in doubt.
NEVER_AFTER = frozenset(
    {
        "disputed", "fraud_warning", "fraudulent", "highest_risk_level", "lost_card", "merchant_blacklist",
        "pickup_card", "stolen_card",
    }
)  # fmt: skip
Next = Literal["backup", "retry", "ask", "fail"]


@dataclasses.dataclass(frozen=True)
class Cards:
    """How the two cards stand after the decline. `first_asks`: the first card's bank wants its customer."""

    on_backup: bool  # it was the backup card that was declined
    first_ready: bool
    backup_ready: bool
    first_asks: bool = False


def after_decline(kind: DeclineKind, reason: str, cards: Cards, *, retries_left: bool) -> Next:
    """What comes next in the same top-up, without its customer.

    Args:
        kind: of this decline.
        reason: as it is kept.
        cards: with their standing now.
        retries_left: of the card that would be tried again.
    """
    technical = kind is DeclineKind.TECHNICAL
    if not technical and not cards.on_backup and cards.backup_ready and reason not in NEVER_AFTER:
        return "backup"
    if cards.on_backup and cards.first_ready and not technical:  # the first card decides
        return "ask" if cards.first_asks else "retry" if retries_left else "fail"
    if kind is DeclineKind.AUTHENTICATE:
        return "ask"
    return "retry" if kind in {DeclineKind.SOFT, DeclineKind.TECHNICAL} and retries_left else "fail"
