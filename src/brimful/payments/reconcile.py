"""Reconciliation: our books against Stripe's lists, repaired by keyed entries only.

A difference goes the way that everything goes: `settle`, `record_refund`, `record_dispute`. So it may run at
any time, twice at once, beside everything else. After a restore it finds the payments whose rows were lost: their
metadata says whose they are and what they bought.
"""

import dataclasses
import datetime as dt
import logging
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from psycopg.types.json import Jsonb

from brimful import auto_top_up, customers, ledger, suspensions, top_ups
from brimful.auth import audit
from brimful.auto_top_up.policy import Ask
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.gateway.gateway import DisputeSnapshot, Failure, PaymentIntentSnapshot, RefundSnapshot
from brimful.payments import ownership, settle, stripe_events
from brimful.payments.context import PaymentContext
from brimful.top_ups.model import Payment

_log = logging.getLogger(__name__)
_OVERLAP = dt.timedelta(hours=1)
_FIRST_LOOK_BACK = dt.timedelta(days=2)
# A list is a moment old when it is compared: what was begun this shortly before is left to the next time.
_UNDER_WAY = dt.timedelta(minutes=10)
_FINAL = {"succeeded", "canceled"}
_GIVEN_UP = {"canceled", "expired", "abandoned"}


@dataclasses.dataclass
class Report:
    """What was compared and what came of it. `repaired` and `differences` are sentences for a person; `taken` are
    payments whose difference a person takes as it is; `given_back` is what Stripe refunded, by PaymentIntent.
    """

    since: dt.datetime
    dry_run: bool
    payments: int = 0
    refunds: int = 0
    disputes: int = 0
    foreign: int = 0
    repaired: list[str] = dataclasses.field(default_factory=list)
    differences: list[str] = dataclasses.field(default_factory=list)
    accepted: int = 0
    taken: frozenset[str] = frozenset()
    given_back: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is left for a person."""
        return not self.differences

    def differ(self, payment_id: str, what: str) -> None:
        """A payment that a person should look at, unless one has."""
        if payment_id in self.taken:
            self.accepted += 1
        else:
            self.differences.append(what)

    def shown(self) -> dict[str, Any]:
        shown = {name: getattr(self, name) for name in ("dry_run", "payments", "refunds", "disputes", "foreign",
                                                       "accepted", "repaired", "differences")}  # fmt: skip
        return {**shown, "since": clock.rfc3339(self.since), "ok": self.ok}


_SINCE = "SELECT reconciled_at, restored_to FROM restore_guard"


async def since_last(tx: Tx) -> dt.datetime:
    """From when on to compare: the last time, or the moment from which the database went back; with an overlap."""
    row = await tx.one(_SINCE)
    assert row is not None
    moments = [moment for moment in (row["reconciled_at"], row["restored_to"]) if moment is not None]
    return (min(moments) if moments else await tx.now() - _FIRST_LOOK_BACK) - _OVERLAP


async def run(context: PaymentContext, *, since: dt.datetime, dry_run: bool = False) -> Report:
    """Compare everything made since then; repair it unless `dry_run`. When nothing is left for a person, a hold that
    a restore had placed is lifted.

    Raises:
        ConnectionError: Stripe does not answer; nothing is lost by trying again.
    """
    report = Report(since, dry_run)
    async with context.database.transaction() as tx:
        until = await tx.now() - _UNDER_WAY
        report.taken = frozenset(
            row["payment_id"] for row in await tx.all("SELECT payment_id FROM accepted_differences")
        )
    intents = _listed(await context.gateway.list_intents(customer=None, since=since))
    refunds = _listed(await context.gateway.list_refunds(since=since))
    disputes = _listed(await context.gateway.list_disputes(since=since))
    for refund in refunds:
        if refund.intent_id is not None and refund.status == "succeeded":
            report.given_back[refund.intent_id] = report.given_back.get(refund.intent_id, 0) + refund.amount_minor
    for intent in reversed(intents):  # oldest first
        await _payment(context, report, intent)
    await _unknown_to_stripe(context, report, since, until, {intent.intent_id for intent in intents})
    for refund in reversed(refunds):
        await _refund(context, report, refund)
    for dispute in reversed(disputes):
        await _dispute(context, report, dispute)
    await _read_again(context, report)
    if not dry_run:
        await _close(context, report)
    return report


def _listed(answer: Any) -> Any:
    if isinstance(answer, Failure):
        raise ConnectionError(f"Stripe's lists cannot be read: {answer.message}")
    return answer


# --- payments ---------------------------------------------------------------------------------------------------


async def _payment(context: PaymentContext, report: Report, intent: PaymentIntentSnapshot) -> None:
    report.payments += 1
    async with context.database.transaction() as tx:
        owner = await customers.find_alias(tx, "payment_intent", intent.intent_id) or await _named(tx, intent)
        ours = None if owner is None else await top_ups.store.find_payment(tx, *owner)
    if owner is None:
        report.foreign += 1
    elif ours is None:
        await _lost(context, report, intent)
    elif intent.status == "succeeded" and ours.state == "succeeded":
        if (ours.amount_minor, ours.currency) != (intent.received_minor, intent.currency):
            here, there = money.priced(ours.amount_minor, ours.currency), _taken(intent)
            what = f"{ours.payment_id}: {here} here, {there} at Stripe"
            report.differ(ours.payment_id, what)
    elif intent.status in _FINAL and (ours.closed_at is None or intent.status == "succeeded"):
        await _settle(context, report, ours, intent)
    elif intent.status not in _FINAL and ours.state in _GIVEN_UP:
        await _orphan(context, report, intent)


async def _named(tx: Tx, intent: PaymentIntentSnapshot) -> tuple[CustomerId, str] | None:
    """Customer and payment as an object of this installation names them; None for anybody else's."""
    names = intent.metadata
    if names.get(ownership.NAME) != await ownership.read_key(tx):
        return None
    if not {"customer_id", "payment_id"} <= names.keys():
        return None
    return CustomerId(names["customer_id"]), names["payment_id"]


async def _settle(context: PaymentContext, report: Report, ours: Payment, intent: PaymentIntentSnapshot) -> None:
    what = f"{ours.payment_id} ({intent.intent_id}) is {intent.status} at Stripe, was {ours.state} here"
    if not report.dry_run:
        async with context.database.transaction("reconcile") as tx:
            await settle.settle(context, tx, ours, intent)
            after = await top_ups.store.find_payment(tx, ours.customer_id, ours.payment_id)
        if after is None or (intent.status == "succeeded") is not (after.state == "succeeded"):
            report.differences.append(f"{what}: not ours as it stands, see the log")
            return
    report.repaired.append(what)


async def _orphan(context: PaymentContext, report: Report, intent: PaymentIntentSnapshot) -> None:
    """Open at Stripe, given up or unknown here: it must never take money."""
    if intent.status == "processing":
        report.differences.append(f"{intent.intent_id} is processing at Stripe and unknown here: look again later")
        return
    if not report.dry_run:
        answer = await context.gateway.cancel_intent(intent.intent_id)
        if isinstance(answer, Failure):  # perhaps the list was outdated, and it has ended by now
            answer = await context.gateway.read_intent(intent.intent_id)
        if isinstance(answer, Failure) or answer.status != "canceled":
            report.differences.append(f"{intent.intent_id} is open at Stripe, given up here, and cannot be canceled")
            return
    report.repaired.append(f"{intent.intent_id} was open at Stripe and given up or unknown here: canceled")


async def _lost(context: PaymentContext, report: Report, intent: PaymentIntentSnapshot) -> None:
    """A payment whose row was lost with the database's last hours."""
    if intent.status == "canceled":
        return
    what = f"{intent.metadata['payment_id']} ({intent.intent_id}) took {_taken(intent)}"
    async with context.database.transaction() as tx:
        nobody = await _unknown_customer(tx, CustomerId(intent.metadata["customer_id"]))
    if intent.status not in _FINAL:
        if nobody:  # it takes no money by itself, and what we do not know we do not touch
            report.foreign += 1
        else:
            await _orphan(context, report, intent)
        return
    if nobody and (report.given_back.get(intent.intent_id, 0) >= intent.received_minor):
        report.foreign += 1  # it was given back whole, and whose it was is not known here: nothing is left to book
        return
    if nobody:
        owner, name = intent.metadata["customer_id"], intent.metadata["payment_id"]
        ways = f"refund it at Stripe, or `brimful reconcile --accept {name} --reason ...`"
        report.differ(name, f"{what} and cannot be booked: customer {owner} is unknown here; {ways}")
        return
    if report.dry_run:
        report.repaired.append(f"{what} and its row was lost: it would be booked again")
        return
    async with context.database.transaction("reconcile") as tx:
        missing = await _rebuild(context, tx, intent)
    if missing is not None:
        report.differences.append(f"{what} and cannot be booked: {missing}")
        return
    await _close_others(context, intent)
    report.repaired.append(f"{what} and its row was lost: booked again")


def _taken(intent: PaymentIntentSnapshot) -> str:
    """The money of a payment, in a currency that we may not know."""
    if intent.currency in money.CURRENCIES:
        return money.priced(intent.received_minor, intent.currency)
    return f"{intent.received_minor} minor units of {intent.currency}"


async def _unknown_customer(tx: Tx, customer_id: CustomerId) -> bool:
    return await tx.one("SELECT 1 AS known FROM customers WHERE customer_id = %s", (customer_id,)) is None


_ACCEPT = """
    INSERT INTO accepted_differences (payment_id, reason, actor, at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


async def accept(tx: Tx, payment_id: str, *, reason: str, actor: str) -> None:
    """Take a payment that Stripe has and we cannot book as it is: it holds nothing up any more."""
    if not re.fullmatch(r"pay_[0-9a-f]{32}", payment_id, re.ASCII) or not reason.strip():
        raise Refused("invalid_field", "Name the payment (pay_...), as the difference does, and say why.")
    text = reason.strip()[:500]
    if await tx.execute(_ACCEPT, (payment_id, text, actor, await tx.now())):
        after = {"payment_id": payment_id, "reason": text}
        await audit.record(tx, actor=actor, action="difference.accepted", after=after)


async def _rebuild(context: PaymentContext, tx: Tx, intent: PaymentIntentSnapshot) -> str | None:
    """The payment's row, and its top-up's if need be, from what Stripe keeps; then the ordinary credit. Returns what
    is missing to do so.
    """
    names = intent.metadata
    customer_id = CustomerId(names["customer_id"])
    if await _unknown_customer(tx, customer_id):
        return f"customer {customer_id} is unknown here"
    bought = _bought(names)
    if bought is None:
        return "its metadata does not say what it bought"
    await ledger.accounts.create_missing(tx, [(customer_id, bought[0])])
    await ledger.accounts.lock_wallet(tx, customer_id)
    card_id = await _card(tx, customer_id, intent)
    known = await tx.one("SELECT kind FROM top_ups WHERE customer_id = %s AND top_up_id = %s",
                         (customer_id, names["top_up_id"]))  # fmt: skip
    if known is None:
        await _insert_top_up(tx, intent, bought, card_id)
    created = intent.created or await tx.now()
    # On-session, so that nobody takes it for a charge whose consent we can still show.
    values = {"customer_id": customer_id, "payment_id": names["payment_id"], "top_up_id": names["top_up_id"],
              "presence": "on_session", "card_id": card_id, "currency": intent.currency,
              "amount_minor": intent.amount_minor, "intent_id": intent.intent_id, "created": created,
              "now": await tx.now()}  # fmt: skip
    await top_ups.rebuild.insert_payment(tx, values)
    await customers.add_alias(tx, "payment_intent", intent.intent_id, customer_id, names["payment_id"])
    payment = await top_ups.store.find_payment(tx, customer_id, names["payment_id"])
    assert payment is not None
    await settle.settle(context, tx, payment, intent)
    return None


def _bought(names: Mapping[str, str]) -> tuple[str, Decimal, Fraction] | None:
    """Asset, units and rate, as the payment's metadata has them."""
    try:
        return names["asset"], money.parse(names["units"], scale=money.SCALE_MAX), money.parse_rate(names["rate"])
    except (KeyError, Refused):
        return None


async def _card(tx: Tx, customer_id: CustomerId, intent: PaymentIntentSnapshot) -> str | None:
    if intent.payment_method is None:
        return None
    found = await customers.find_alias(tx, "payment_method", intent.payment_method)
    return found[1] if found is not None and found[0] == customer_id else None


async def _insert_top_up(
    tx: Tx, intent: PaymentIntentSnapshot, bought: tuple[str, Decimal, Fraction], card_id: str | None
) -> None:
    """Automatic, so that it counts for the month's limit, where the rule that made it still stands; else manual."""
    names, created = intent.metadata, intent.created or await tx.now()
    rate, per = money.rate_parts(bought[2])
    customer_id, asset = CustomerId(names["customer_id"]), bought[0]
    rule = await auto_top_up.rules.get_rule(tx, customer_id, asset) if names.get("kind") == "automatic" else None
    busy = await top_ups.store.live_by_account(tx, customer_id, asset) is not None
    same = (
        rule is not None and rule.currency == intent.currency and intent.amount_minor <= rule.most_minor
        and card_id is not None and card_id in {rule.card_id, rule.backup_card_id}
    )  # fmt: skip
    values: dict[str, Any] = {
        "customer_id": customer_id, "top_up_id": names["top_up_id"], "asset": asset, "kind": "manual",
        "currency": intent.currency, "amount_minor": intent.amount_minor, "units": bought[1], "rate": rate,
        "rate_per": per, "card_id": card_id, "consent_id": None, "version": None, "month": None, "created": created,
        "metadata": Jsonb({"rebuilt_from": intent.intent_id}), "asked": None,
    }  # fmt: skip
    if rule is not None and same and not busy:
        values |= {"kind": "automatic", "consent_id": rule.consent_id, "version": rule.version,
                   "month": clock.month_start(created),
                   "asked": names.get("asked") if names.get("asked") in set(Ask) else None}  # fmt: skip
    await top_ups.rebuild.insert_top_up(tx, values)


async def _close_others(context: PaymentContext, intent: PaymentIntentSnapshot) -> None:
    """The top-up has been paid: a payment that the restored rows still had open has ended."""
    customer_id, top_up_id = CustomerId(intent.metadata["customer_id"]), intent.metadata["top_up_id"]
    async with context.database.transaction() as tx:
        top_up = await top_ups.store.get(tx, customer_id, top_up_id)
        other = await top_ups.store.open_payment(tx, top_up)
    if other is None:
        return
    if other.stripe_intent_id is not None:
        await context.gateway.cancel_intent(other.stripe_intent_id)
    async with context.database.transaction() as tx:
        state = "canceled" if other.stripe_intent_id is not None else "abandoned"
        await top_ups.store.save_payment(tx, other, state=state)


_PAID_HERE = """
    SELECT payment_id, stripe_intent_id FROM payments
    WHERE state = 'succeeded' AND created_at BETWEEN %s AND %s AND kind = 'intent' ORDER BY created_at
"""


async def _unknown_to_stripe(
    context: PaymentContext, report: Report, since: dt.datetime, until: dt.datetime, known: set[str]
) -> None:
    """Booked here and not listed there: only a person can decide what that means."""
    async with context.database.transaction() as tx:
        rows = await tx.all(_PAID_HERE, (since + _OVERLAP, until))
    for row in rows:
        if row["stripe_intent_id"] not in known:
            what = f"{row['payment_id']} ({row['stripe_intent_id']}) is booked here and Stripe does not list it"
            report.differ(row["payment_id"], what)


# --- what went back ------------------------------------------------------------------------------------------------


async def _refund(context: PaymentContext, report: Report, snapshot: RefundSnapshot) -> None:
    report.refunds += 1
    await _reversal(context, report, snapshot, _REFUND_STATE, snapshot.refund_id, snapshot.status)


async def _dispute(context: PaymentContext, report: Report, snapshot: DisputeSnapshot) -> None:
    report.disputes += 1
    await _reversal(context, report, snapshot, _DISPUTE_STATE, snapshot.dispute_id, snapshot.status)


# A list by creation never shows what changed later. An open dispute is decided after months; a refund that succeeded
# may fail for thirty days (docs.stripe.com/refunds).
_AGAIN_AFTER = dt.timedelta(hours=6)
_REFUND_MAY_FAIL = dt.timedelta(days=35)
_AGAIN_MAX = 200
_OPEN_DISPUTES = """
    SELECT dispute_id AS name FROM disputes WHERE closed_at IS NULL AND coalesce(read_at, opened_at) < %(before)s
    ORDER BY read_at NULLS FIRST LIMIT %(limit)s
"""
_YOUNG_REFUNDS = """
    SELECT stripe_refund_id AS name FROM refunds
    WHERE state IN ('pending', 'succeeded') AND created_at > %(since)s AND coalesce(read_at, created_at) < %(before)s
    ORDER BY read_at NULLS FIRST LIMIT %(limit)s
"""


async def _read_again(context: PaymentContext, report: Report) -> None:
    """What can still change is read until it is final, a few hours apart, whenever it was made."""
    async with context.database.transaction() as tx:
        now = await tx.now()
        values = {"before": now - _AGAIN_AFTER, "since": now - _REFUND_MAY_FAIL, "limit": _AGAIN_MAX}
        open_disputes = [row["name"] for row in await tx.all(_OPEN_DISPUTES, values)]
        young_refunds = [row["name"] for row in await tx.all(_YOUNG_REFUNDS, values)]
    for name in open_disputes:
        dispute = await context.gateway.read_dispute(name)
        if not isinstance(dispute, Failure):
            await _dispute(context, report, dispute)
    for name in young_refunds:
        refund = await context.gateway.read_refund(name)
        if not isinstance(refund, Failure):
            await _refund(context, report, refund)


_REFUND_STATE = "SELECT state FROM refunds WHERE stripe_refund_id = %s"
_DISPUTE_STATE = "SELECT status AS state FROM disputes WHERE dispute_id = %s"


async def _reversal(
    context: PaymentContext,
    report: Report,
    snapshot: RefundSnapshot | DisputeSnapshot,
    query: Any,
    name: str,
    status: str,
) -> None:
    async with context.database.transaction() as tx:
        row = await tx.one(query, (name,))
    before = None if row is None else row["state"]
    if before == status and report.dry_run:
        return
    what = f"{name} is {status} at Stripe, {before or 'unknown'} here"
    if report.dry_run:
        report.repaired.append(what)
        return
    done, _ = await stripe_events.apply_reversal(context, snapshot)
    if done != "done":
        report.foreign += 1
    elif before != status:
        report.repaired.append(what)


async def _close(context: PaymentContext, report: Report) -> None:
    """Everything was compared. What is left for a person keeps a restore's hold."""
    async with context.database.transaction() as tx:
        if report.ok:
            await suspensions.restore_guard.reconciled(tx)
            await suspensions.store.resume(tx, "restore", actor="reconcile", reason=f"{len(report.repaired)} repaired")
    for what in report.repaired:
        _log.warning("reconciled: %s", what)
    for what in report.differences:
        _log.critical("ALARM reconcile: %s", what)
