"""What a page says after something was saved: named in the address, so that a reload says it again and a code that we
do not know says nothing.
"""

from typing import Literal

from brimful.i18n.words import Words

Done = Literal[
    "rule_on",
    "rule_saved",
    "rule_off",
    "alert_saved",
    "alert_off",
    "card_added",
    "card_removed",
    "card_first",
    "taken_back",
    "limit_saved",
    "limit_removed",
]


def text(words: Words, done: str) -> str | None:
    """The sentence of a code, if it is one."""
    t = words.t
    return {
        "rule_on": t("Auto top-up is on."),
        "rule_saved": t("Your changes are saved."),
        "rule_off": t("Auto top-up is off."),
        "alert_saved": t("Your alert is saved."),
        "alert_off": t("Low-balance alerts are off."),
        "card_added": t("Your card is saved."),
        "card_removed": t("Your card was removed."),
        "taken_back": t("Your money is on its way back to your card. Auto top-up is paused."),
        "limit_saved": t("Your limit is saved."),
        "limit_removed": t("Your limit was removed."),
        "card_first": t("This card is preselected from now on."),
    }.get(done)
