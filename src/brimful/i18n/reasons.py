"""Why a payment failed or a rule is paused, for the customer: never a raw code, no blame, a next step."""

from brimful.i18n.words import Words


def failed(words: Words, reason: str | None) -> str:
    """Why a payment was not made. Fraud, lost and stolen read like any other decline."""
    if reason == "insufficient_funds":
        return words.t("Not enough funds. Try a smaller amount or another card.")
    if reason == "authentication_required":
        return words.t("Your bank wants you to confirm this payment.")
    if reason in {"processing_error", "not_sent"}:
        return words.t("Temporary problem. Nothing was charged; try again.")
    if reason in {"expired_card", "card_data"}:
        return words.t("The saved card has expired or its details have changed. Add it again, or use another card.")
    if reason == "card_budget":
        return words.t("This card was declined too often lately, so it was not asked again. Use another card.")
    if reason in {"confirmation_expired", "not_approved"}:
        return words.t("Your confirmation did not come in time. Nothing was charged.")
    if reason is not None and reason.startswith("refused:"):
        return words.t("This payment could not be made. Nothing was charged.")
    return words.t("Your bank declined this payment. Contact your bank or use another card.")


def asked(words: Words, why: str | None) -> str:
    """Why a charge waits for its customer's approval."""
    if why == "large_charge":
        return words.t("It is more than the sum above which you want to be asked.")
    if why == "many_charges":
        return words.t("You want to be asked after so many charges in 24 hours.")
    return words.t(
        "What you used in the last hour is far beyond what is usual for you. If that was not you, do not approve it, "
        "and check your keys."
    )


def paused(words: Words, reason: str, card: str) -> str:
    """Why auto top-up is paused, as a sentence of its own."""
    t = words.t
    sentences = {
        "declined": t("{card} was declined 3 times.", card=card),
        "card_declined": t("{card} was declined.", card=card),
        "card_data": t("{card} is saved with details that its bank no longer accepts. Add it again.", card=card),
        "card_budget": t("{card} has been declined too often in the last 30 days.", card=card),
        "card_removed": t("{card} was removed.", card=card),
        "confirmation_expired": t(
            "A payment with {card} needed your confirmation, which did not come in time.", card=card
        ),
        "not_approved": t("A payment needed your approval, which did not come in time."),
        "refunded": t("A payment was refunded."),
        "taken_back": t("You took a top-up back."),
        "disputed": t("A payment with {card} was questioned by its bank.", card=card),
        "fraud_warning": t("A payment with {card} was questioned by its bank.", card=card),
        "operator": t("Support has paused it."),
        "card_changed": t("{card} was replaced by your bank with another kind of card.", card=card),
    }
    return sentences.get(reason, t("{card} could not be charged.", card=card))
