"""Words in the customer's language: texts, money, numbers, dates. The portal and the letters speak through here."""

from brimful.i18n import consents, reasons
from brimful.i18n.words import LANGUAGES, Unit, Words, choose, speak

__all__ = ["LANGUAGES", "Unit", "Words", "choose", "consents", "reasons", "speak"]
