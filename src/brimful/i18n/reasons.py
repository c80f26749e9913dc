"""Why a payment failed or a rule is paused, for the customer: never a raw code, no blame, a next step."""

from brimful.i18n.words import Words

__all__ = ["failed", "paused"]


def failed(words: Words, reason: str | None) -> str:
    """Why a payment was not made. Fraud, lost and stolen read like any other decline."""
    if reason == "insufficient_funds":
        return words.t("Not enough funds. Try a smaller amount or another card.")
    if reason == "authentication_required":
        return words.t("Your bank wants you to confirm this payment.")
    if reason in {"processing_error", "not_sent"}:
        return words.t("Temporary problem. Nothing was charged; try again.")
    if reason == "confirmation_expired":
        return words.t("Your confirmation did not come in time. Nothing was charged.")
    if reason is not None and reason.startswith("refused:"):
        return words.t("This payment could not be made. Nothing was charged.")
    return words.t("Your bank declined this payment. Contact your bank or use another card.")


def paused(words: Words, reason: str, card: str) -> str:
    """Why auto top-up is paused, as a sentence of its own."""
    if reason == "declined":
        return words.t("{card} was declined 3 times.", card=card)
    if reason == "card_declined":
        return words.t("{card} was declined.", card=card)
    if reason == "card_budget":
        return words.t("{card} has been declined too often in the last 30 days.", card=card)
    if reason == "card_removed":
        return words.t("{card} was removed.", card=card)
    if reason == "confirmation_expired":
        return words.t("A payment with {card} needed your confirmation, which did not come in time.", card=card)
    return words.t("{card} could not be charged.", card=card)
