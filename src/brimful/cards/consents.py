"""Consents: word for word what the customer agreed to, when, from where.

Rows are only ever added. The consent holds what was agreed and a salted hash of the circumstances; the
text as it was shown, the address and the agent lie in consent_evidence, which can be erased without
breaking the record.
"""

import dataclasses
import hashlib
import secrets
from decimal import Decimal

from brimful import ids
from brimful.db import Tx
from brimful.sessions import PortalSession

__all__ = ["NOTICE_DAYS", "TERMS_VERSION", "Terms", "auto_top_up_text", "give", "save_card_text", "withdraw"]

TERMS_VERSION = "2026-11-01"
NOTICE_DAYS = 30  # how long before a change of the terms the merchant tells the customer
LOCALE = "en"

_SAVE_CARD = (
    "Save this card so {merchant} can charge it later for top-ups I start here and, if I turn it on, for auto "
    "top-up. I can remove it any time."
)
_AUTO_TOP_UP = (
    "By turning on auto top-up I authorise {merchant} to charge {card} {amount} each time my {asset} balance drops "
    "below {threshold}, without asking me again, up to {limit} per calendar month (UTC). Charges have no fixed "
    "dates; they depend on my use. I get a receipt for every charge. I can change or turn off auto top-up or remove "
    "the card here at any time, at once for charges not yet started. If these terms change, {merchant} tells me at "
    "least {days} days before. This lasts until I turn it off."
)


@dataclasses.dataclass(frozen=True)
class Terms:
    """What a consent to auto top-up covers. Threshold in the asset, money in minor units."""

    asset: str
    card_id: str
    currency: str
    threshold: Decimal
    amount_minor: int
    limit_minor: int


def save_card_text(merchant: str) -> str:
    """The sentence beside the box that saves a card."""
    return _SAVE_CARD.format(merchant=merchant)


def auto_top_up_text(*, merchant: str, card: str, amount: str, asset: str, threshold: str, limit: str) -> str:
    """The sentence above Turn on, in the customer's own numbers."""
    return _AUTO_TOP_UP.format(
        merchant=merchant, card=card, amount=amount, asset=asset, threshold=threshold, limit=limit, days=NOTICE_DAYS
    )


_INSERT = """
    INSERT INTO consents (customer_id, consent_id, kind, action, withdraws, asset, card_id, currency, threshold,
        amount_minor, limit_minor, terms_version, locale, text_hash, evidence_hash, recorded_at)
    VALUES (%(customer_id)s, %(consent_id)s, %(kind)s, %(action)s, %(withdraws)s, %(asset)s, %(card_id)s,
        %(currency)s, %(threshold)s, %(amount_minor)s, %(limit_minor)s, %(terms_version)s, %(locale)s, %(text_hash)s,
        %(evidence_hash)s, %(now)s)
"""
_INSERT_EVIDENCE = """
    INSERT INTO consent_evidence (customer_id, consent_id, rendered, salt, address, agent, session_id)
    VALUES (%(customer_id)s, %(consent_id)s, %(rendered)s, %(salt)s, %(address)s, %(agent)s, %(session_id)s)
"""


async def give(tx: Tx, session: PortalSession, *, rendered: str, terms: Terms | None) -> str:
    """Record a consent. With terms it is for auto top-up, without it is for saving a card. Returns its id."""
    return await _record(tx, session, rendered, terms, withdraws=None)


_STANDING = """
    SELECT c.* FROM consents AS c
    WHERE c.customer_id = %(customer_id)s AND c.consent_id = %(consent_id)s AND c.action = 'given'
        AND NOT EXISTS (SELECT FROM consents AS w WHERE w.customer_id = c.customer_id AND w.withdraws = c.consent_id)
"""


async def withdraw(tx: Tx, session: PortalSession, consent_id: str) -> bool:
    """Record that a consent is over; the second time nothing happens. True when that is news."""
    row = await tx.one(_STANDING, {"customer_id": session.customer_id, "consent_id": consent_id})
    if row is None:
        return False
    terms = None
    if row["kind"] == "auto_top_up":
        terms = Terms(**{field.name: row[field.name] for field in dataclasses.fields(Terms)})
    await _record(tx, session, f"Withdrawn by the customer: {consent_id}.", terms, withdraws=consent_id)
    return True


async def _record(tx: Tx, session: PortalSession, rendered: str, terms: Terms | None, *, withdraws: str | None) -> str:
    salt = secrets.token_bytes(32)
    evidence = "\x1f".join((rendered, session.address or "", session.agent or "", session.session_id))
    values = {
        "customer_id": session.customer_id,
        "consent_id": ids.new("con"),
        "kind": "save_card" if terms is None else "auto_top_up",
        "action": "given" if withdraws is None else "withdrawn",
        "withdraws": withdraws,
        **{field.name: None if terms is None else getattr(terms, field.name) for field in dataclasses.fields(Terms)},
        "terms_version": TERMS_VERSION,
        "locale": LOCALE,
        "text_hash": hashlib.sha256(rendered.encode()).digest(),
        "evidence_hash": hashlib.sha256(salt + evidence.encode()).digest(),
        "now": await tx.now(),
        "rendered": rendered,
        "salt": salt,
        "address": session.address,
        "agent": session.agent,
        "session_id": session.session_id,
    }
    await tx.execute(_INSERT, values)
    await tx.execute(_INSERT_EVIDENCE, values)
    return str(values["consent_id"])
