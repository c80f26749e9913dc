"""Evidence for a dispute: what the books know of a contested payment, in the words of Stripe's fields.

Everything comes from our own rows: the consent as it was shown, with its hash and circumstances; how the card was
saved; what was sent to the customer; the receipt; what was used since. It needs the owner's role, for no service may
read the circumstances of a consent. A person reads it, and a person submits it: Stripe takes it once.
"""

import dataclasses
import datetime as dt
import functools
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from brimful import assets, cards, customers, ledger, payments, top_ups
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx
from brimful.top_ups.model import Payment, TopUp

FIELD_MAX = 20_000  # characters; docs.stripe.com/api/disputes/update
_LINES = 100  # of usage
_NOTICES = 50


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What would be submitted for one dispute: Stripe's fields with their texts."""

    customer_id: CustomerId
    dispute_id: str
    status: str
    reason: str | None
    due_at: dt.datetime | None
    fields: Mapping[str, str]

    @property
    def key(self) -> str:
        """The same evidence twice is submitted once."""
        digest = hashlib.sha256(json.dumps(dict(self.fields), sort_keys=True).encode()).hexdigest()
        return f"{self.dispute_id}:evidence:{digest[:24]}"


@dataclasses.dataclass(frozen=True)
class Policy:
    """What the platform tells its customers: its name, its terms, and within how many hours they may take a top-up
    back by themselves.
    """

    merchant: str
    terms_url: str | None
    undo_hours: int


Reader = Callable[[Tx, CustomerId, str], Awaitable[cards.consents.Consent]]
_OWNER = "SELECT customer_id FROM disputes WHERE dispute_id = %s"


async def gather(tx: Tx, dispute_id: str, policy: Policy, *, circumstances: bool = True) -> Evidence:
    """Everything about one dispute.

    Args:
        tx: under the owner's role; under the engine's without the circumstances.
        dispute_id: Stripe's.
        policy: the platform's own words.
        circumstances: with the words of consents, and from where they were given.

    Refuses a dispute that is not known, and one that is closed.
    """
    owner = await tx.one(_OWNER, (dispute_id,))
    if owner is None:
        raise Refused("not_found", f"There is no dispute {dispute_id}.")
    found = await payments.reversals.disputes_of(tx, owner["customer_id"])
    [dispute] = [row for row in found if row["dispute_id"] == dispute_id]
    if dispute["closed_at"] is not None:
        raise Refused("dispute_closed", f"This dispute has ended ({dispute['status']}): nothing can be submitted.")
    customer = await customers.get(tx, owner["customer_id"])
    top_up = await top_ups.store.get(tx, customer.customer_id, dispute["top_up_id"])
    payment = await top_ups.store.paid_by(tx, top_up)
    assert payment is not None
    asset = await assets.get(tx, top_up.asset)
    read = functools.partial(cards.consents.read, words=circumstances)
    consent = await _consent(tx, top_up, payment, read)
    fields = {
        "customer_name": customer.name,
        "customer_email_address": customer.email,
        "customer_purchase_ip": None if consent is None else consent.address,
        "product_description": _product(top_up, payment, asset, policy),
        "service_date": clock.rfc3339(top_up.ended_at or top_up.requested_at),
        "access_activity_log": await _usage(tx, top_up, payment),
        "refund_policy_disclosure": _refunds(policy),
        "uncategorized_text": "\n\n".join(
            [*_authorisation(consent), *await _card(tx, payment, read),
             await _notices(tx, customer.customer_id, payment), _receipt(payment)]
        ),
    }  # fmt: skip
    return Evidence(
        customer.customer_id, dispute_id, dispute["status"], dispute["reason"], dispute["evidence_due_at"],
        {name: text[:FIELD_MAX] for name, text in fields.items() if text},
    )  # fmt: skip


def _product(top_up: TopUp, payment: Payment, asset: assets.Asset, policy: Policy) -> str:
    how = "automatic, under a standing authorisation" if top_up.kind == "automatic" else "made by the customer"
    paid = money.priced(payment.amount_minor, payment.currency)
    return (
        f"Prepaid balance for services of {policy.merchant}, used in real time. This payment of {paid} was {how}; it "
        f"credited {money.text(top_up.units)} {asset.code} at once ({top_up.top_up_id})."
    )


async def _consent(tx: Tx, top_up: TopUp, payment: Payment, read: Reader) -> cards.consents.Consent | None:
    """What the customer agreed to: the rule, or, of a manual payment with a saved card, that it is kept."""
    if top_up.consent_id is not None:
        return await read(tx, top_up.customer_id, top_up.consent_id)
    if payment.card_id is None:
        return None
    consent_id = await cards.store.consent_of(tx, payment.customer_id, payment.card_id)
    return await read(tx, payment.customer_id, consent_id)


def _authorisation(consent: cards.consents.Consent | None) -> list[str]:
    if consent is None:
        return ["AUTHORISATION\nThe customer entered the card on Stripe's page and paid there, present."]
    shown = consent.rendered or "(the words are not shown here, or were erased; their hash stands)"
    lines = [
        "AUTHORISATION",
        f"Agreed to on {clock.rfc3339(consent.recorded_at)} in the Billing Portal, in these words:",
        shown,
        f"Record {consent.consent_id}, terms {consent.terms_version}, language {consent.locale}.",
        f"SHA-256 of the words: {consent.text_hash.hex()}.",
    ]
    if consent.address is not None:
        lines.append(f"From address {consent.address}, with {consent.agent}.")
    if consent.withdrawn_at is not None:
        lines.append(f"It was withdrawn on {clock.rfc3339(consent.withdrawn_at)}.")
    return ["\n".join(lines)]


async def _card(tx: Tx, payment: Payment, read: Reader) -> list[str]:
    if payment.card_id is None:
        return []
    card = await cards.store.get(tx, payment.customer_id, payment.card_id)
    saved = await read(tx, payment.customer_id, await cards.store.consent_of(tx, payment.customer_id, payment.card_id))
    added = f"{card.label} was added by the customer on Stripe's page, with their consent to keep it of "
    consented = (
        f"{clock.rfc3339(saved.recorded_at)} ({saved.consent_id}, SHA-256 of its words: {saved.text_hash.hex()})."
    )
    return [f"CARD\n{added}{consented}"]


_SENT = """
    SELECT event_id, sent_at FROM emails WHERE customer_id = %s AND sent_at >= %s ORDER BY sent_at LIMIT %s
"""
_ABOUT = "SELECT event_id, type FROM outgoing_events WHERE event_id = ANY(%s)"


async def _notices(tx: Tx, customer_id: CustomerId, payment: Payment) -> str:
    rows = await tx.all(_SENT, (customer_id, payment.created_at - dt.timedelta(days=30), _NOTICES))
    if not rows:
        return "NOTICES\nThe receipt is in the Billing Portal; no e-mail was sent by this system."
    found = await tx.all(_ABOUT, ([row["event_id"] for row in rows],))
    about = {row["event_id"]: row["type"] for row in found}  # what is old is kept without its event
    return "\n".join(
        [
            "NOTICES SENT BY E-MAIL",
            *(f"{clock.rfc3339(row['sent_at'])} {about.get(row['event_id'], '')}" for row in rows),
        ]
    )


def _receipt(payment: Payment) -> str:
    paid = money.priced(payment.amount_minor, payment.currency)
    link = f" {payment.receipt_url}" if payment.receipt_url else ""
    return f"RECEIPT\n{paid} on {clock.rfc3339(payment.closed_at or payment.created_at)}, {payment.payment_id}.{link}"


_SINCE = """
    SELECT count(*) AS n, coalesce(-sum(amount), 0) AS used, min(recorded_at) AS first, max(recorded_at) AS last
    FROM entries WHERE customer_id = %s AND asset = %s AND seq > %s AND kind = ANY(%s)
"""


async def _usage(tx: Tx, top_up: TopUp, payment: Payment) -> str:
    """How often and how much was used since the credit, and the last of it line by line."""
    key = top_up.customer_id, top_up.asset
    credit = await ledger.entries.find_by_key(tx, payment.customer_id, "stripe", payment.payment_id)
    assert credit is not None
    row = await tx.one(_SINCE, (*key, credit["seq"], [*ledger.entries.SPENDING]))
    assert row is not None
    if not row["n"]:
        return "Nothing was used since this payment."
    head = (
        f"Since this payment was credited ({clock.rfc3339(credit['recorded_at'])}), the service was used "
        f"{row['n']} times, {money.text(row['used'])} {top_up.asset} in all, from {clock.rfc3339(row['first'])} to "
        f"{clock.rfc3339(row['last'])}. The latest, in UTC:"
    )
    rows = await ledger.entries.newest(tx, *key, before=None, limit=_LINES, kinds=ledger.entries.SPENDING)
    return "\n".join([head, *(_line(one) for one in rows if one["seq"] > credit["seq"])])


def _line(row: Row) -> str:
    at = row["occurred_at"] or row["recorded_at"]
    used: Decimal = -row["amount"]
    return f"{clock.rfc3339(at)} {money.text(used)} {row['description'] or row['key']}"


def _refunds(policy: Policy) -> str:
    said = ["Balances are used in real time; the customer sees each movement in the Billing Portal at any time."]
    if policy.undo_hours:
        within = f"Within {policy.undo_hours} hours of an automatic top-up"
        said.append(f"{within} the customer can take what is left of it back there.")
    if policy.terms_url:
        said.append(f"Terms, linked from every page of the portal: {policy.terms_url}")
    return " ".join(said)


def shown(evidence: Evidence) -> dict[str, Any]:
    """As JSON."""
    due = None if evidence.due_at is None else clock.rfc3339(evidence.due_at)
    return {
        "dispute_id": evidence.dispute_id, "customer_id": evidence.customer_id, "status": evidence.status,
        "reason": evidence.reason, "evidence_due_at": due, "fields": dict(evidence.fields),
    }  # fmt: skip
