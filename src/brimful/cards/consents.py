"""Consents: word for word what the customer agreed to, when, from where.

Rows are only ever added. The consent holds what was agreed and a salted hash of the circumstances; the
text as it was shown, the address and the agent lie in consent_evidence, which can be erased without
breaking the record.
"""

import dataclasses
import datetime as dt
import hashlib
import secrets
from decimal import Decimal

from brimful.auth.portal_sessions import PortalSession
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.i18n.consents import TERMS_VERSION


@dataclasses.dataclass(frozen=True)
class Terms:
    """What a consent to auto top-up covers. Threshold and target in the asset, money in minor units. With
    `threshold_low` the threshold follows the account's use between that and `threshold`.

    `charge_max_minor` is the largest single charge (None: the amount), `target` what a charge brings the balance back
    to, `lasts_days` for how many days of the account's own use it is (both None: whole amounts are added),
    `day_limit_minor` bounds any 24 hours, and `exposure_day_minor` is what was stated as the most in them. Units are
    bought at `rate` for `rate_per` of them, or cheaper. A charge above `ask_above_minor`, one after `ask_after` others
    in 24 hours and, with `brake`, one while use is unusual wait for the customer. Where the card is declined,
    `backup_card_id` is charged. Unless `promotional_counts`, the balance is taken without promotional credit.
    """

    asset: str
    card_id: str
    currency: str
    threshold: Decimal
    amount_minor: int
    limit_minor: int
    charge_max_minor: int | None = None
    target: Decimal | None = None
    day_limit_minor: int | None = None
    exposure_day_minor: int | None = None
    rate: Decimal | None = None
    rate_per: Decimal | None = None
    lasts_days: int | None = None
    ask_above_minor: int | None = None
    ask_after: int | None = None
    brake: bool | None = None
    threshold_low: Decimal | None = None
    backup_card_id: str | None = None
    promotional_counts: bool | None = None


_INSERT = """
    INSERT INTO consents (customer_id, consent_id, kind, action, withdraws, asset, card_id, currency, threshold,
        amount_minor, limit_minor, charge_max_minor, target, day_limit_minor, exposure_day_minor, rate,
        rate_per, lasts_days, ask_above_minor, ask_after, brake, threshold_low, backup_card_id, promotional_counts,
        terms_version, locale, text_hash, evidence_hash, recorded_at)
    VALUES (%(customer_id)s, %(consent_id)s, %(kind)s, %(action)s, %(withdraws)s, %(asset)s, %(card_id)s,
        %(currency)s, %(threshold)s, %(amount_minor)s, %(limit_minor)s, %(charge_max_minor)s, %(target)s,
        %(day_limit_minor)s, %(exposure_day_minor)s, %(rate)s, %(rate_per)s, %(lasts_days)s,
        %(ask_above_minor)s, %(ask_after)s, %(brake)s, %(threshold_low)s, %(backup_card_id)s,
        %(promotional_counts)s,
        %(terms_version)s, %(locale)s, %(text_hash)s, %(evidence_hash)s, %(now)s)
"""
_INSERT_EVIDENCE = """
    INSERT INTO consent_evidence (customer_id, consent_id, rendered, salt, address, agent, session_id)
    VALUES (%(customer_id)s, %(consent_id)s, %(rendered)s, %(salt)s, %(address)s, %(agent)s, %(session_id)s)
"""


async def give(tx: Tx, session: PortalSession, *, rendered: str, terms: Terms | None, at: dt.datetime) -> str:
    """Record a consent, given at that moment. With terms it is for auto top-up, without it is for saving a card.
    Returns its id.
    """
    return await _record(tx, session, rendered, terms, withdraws=None, at=at)


_STANDING = """
    SELECT c.* FROM consents AS c
    WHERE c.customer_id = %(customer_id)s AND c.consent_id = %(consent_id)s AND c.action = 'given'
        AND NOT EXISTS (
            SELECT FROM consents AS w WHERE w.customer_id = %(customer_id)s AND w.withdraws = c.consent_id)
"""


async def withdraw(tx: Tx, session: PortalSession, consent_id: str, *, at: dt.datetime) -> bool:
    """Record that a consent ended at that moment; the second time nothing happens. True when that is new."""
    row = await tx.one(_STANDING, {"customer_id": session.customer_id, "consent_id": consent_id})
    if row is None:
        return False
    terms = None
    if row["kind"] == "auto_top_up":
        terms = Terms(**{field.name: row[field.name] for field in dataclasses.fields(Terms)})
    await _record(tx, session, f"Withdrawn by the customer: {consent_id}.", terms, withdraws=consent_id, at=at)
    return True


@dataclasses.dataclass(frozen=True)
class Consent:
    """What the customer agreed to, as the record keeps it. The circumstances are None once they are erased."""

    consent_id: str
    kind: str
    asset: str | None
    card_id: str | None
    terms_version: str
    locale: str
    text_hash: bytes
    recorded_at: dt.datetime
    withdrawn_at: dt.datetime | None
    rendered: str | None
    address: str | None
    agent: str | None


_RECORD = """
    SELECT c.consent_id, c.kind, c.asset, c.card_id, c.terms_version, c.locale, c.text_hash, c.recorded_at,
        w.recorded_at AS withdrawn_at
    FROM consents AS c
    LEFT JOIN consents AS w ON w.customer_id = c.customer_id AND w.withdraws = c.consent_id
    WHERE c.customer_id = %s AND c.consent_id = %s AND c.action = 'given'
"""
_WORDS = "SELECT rendered, address, agent FROM consent_evidence WHERE customer_id = %s AND consent_id = %s"
_NO_WORDS = {"rendered": None, "address": None, "agent": None}


async def read(tx: Tx, customer_id: CustomerId, consent_id: str, *, words: bool = True) -> Consent:
    """One consent of this customer, word for word; refuses any other. Without `words` and circumstances for services
    that may not read them: all but the portal.
    """
    row = await tx.one(_RECORD, (customer_id, consent_id))
    if row is None:
        raise Refused("not_found", "There is no such consent.")
    said = await tx.one(_WORDS, (customer_id, consent_id)) if words else None
    return Consent(**row, **(said or _NO_WORDS))


_CARDS = "SELECT card_id, backup_card_id FROM consents WHERE customer_id = %s AND consent_id = %s"


async def cards_of(tx: Tx, customer_id: CustomerId, consent_id: str) -> tuple[str, str | None]:
    """The cards that a consent to auto top-up names: the first, and its backup."""
    row = await tx.one(_CARDS, (customer_id, consent_id))
    assert row is not None, consent_id
    return row["card_id"], row["backup_card_id"]


async def _record(
    tx: Tx, session: PortalSession, rendered: str, terms: Terms | None, *, withdraws: str | None, at: dt.datetime
) -> str:
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
        "locale": session.locale or "en",
        "text_hash": hashlib.sha256(rendered.encode()).digest(),
        "evidence_hash": hashlib.sha256(salt + evidence.encode()).digest(),
        "now": at,
        "rendered": rendered,
        "salt": salt,
        "address": session.address,
        "agent": session.agent,
        "session_id": session.session_id,
    }
    await tx.execute(_INSERT, values)
    await tx.execute(_INSERT_EVIDENCE, values)
    return str(values["consent_id"])
