"""The customer's language: texts, money, numbers, dates."""

from brimful.i18n import consents as consents, reasons as reasons, words as words
