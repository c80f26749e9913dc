"""What is due on an account: credits that begin, and lots that have expired.

Each change of a balance posts this first, under the account's lock: a debit at the very moment of an expiry, or after
it, finds nothing of that lot. A job does it where nobody comes. What open holds need stays until they end.
"""

import datetime as dt
import logging

from brimful import ledger
from brimful.core import clock, money
from brimful.db.pool import Tx
from brimful.grants import scheduled
from brimful.ledger.accounts import Account
from brimful.ledger.entries import Draft, Entry
from brimful.ledger.hash_chain import ChainHead, Keyring
from brimful.ledger.lots import Lot, Lots
from brimful.notifications import events
from brimful.notifications.events import Topic

_log = logging.getLogger(__name__)
_INSTANT = dt.timedelta(microseconds=1)  # of two at one moment, what begins comes before what expires


def is_due(account: Account, now: dt.datetime) -> bool:
    """Whether something of a locked account must be looked at before anything else is posted."""
    return account.lots_due_at is not None and account.lots_due_at <= now


async def post(tx: Tx, keyring: Keyring, account: Account) -> Account:
    """Post what has begun or expired by now on a locked account, each dated with its moment, and announce what expired.

    Returns the account as it stands then. The caller evaluates it again.
    """
    now = await tx.now()
    if not is_due(account, now):
        return account
    lots = await ledger.lot_store.read(tx, keyring, account.key, account.head.seq)
    if lots.balance != account.balance:  # usage was archived without a checkpoint: nothing certain can be said
        _log.critical("ALARM the lots of %s %s do not sum up to its balance: nothing expires", *account.key)
        return account
    begins = await _genuine(tx, keyring, account)
    drafts: list[Draft] = []
    gone: list[tuple[Lot, Draft]] = []
    for credit in [one for one in begins if one.effective_at <= now]:
        _expire(lots, account, credit.effective_at - _INSTANT, now, drafts, gone)
        scheduled.forget(tx, credit)
        begins.remove(credit)
        draft = Draft(
            *account.key, "adjustment", credit.amount, "api", credit.key, credit.effective_at,
            description=credit.description, metadata=credit.metadata, terms=credit.terms,
        )  # fmt: skip
        _take(lots, draft, now, drafts)
    _expire(lots, account, now, now, drafts, gone)
    entries = await ledger.post.post(tx, keyring, {account.key: account}, drafts)
    moments = [moment for moment in (lots.first_expiry, *(one.effective_at for one in begins)) if moment is not None]
    due_at = min(moments, default=None)
    ledger.accounts.set_lots_due(tx, account.key, due_at)
    await _announce(tx, account, gone)
    return account._replace(head=_end(account.head, entries), lots_due_at=due_at)


async def _genuine(tx: Tx, keyring: Keyring, account: Account) -> list[scheduled.Scheduled]:
    """The credits that begin later, the next first: those that we signed, and whose key is no entry's."""
    found = await scheduled.list_for(tx, account.key)
    if not found:
        return []
    written = await ledger.keys.find(tx, [(account.customer_id, "api", one.key) for one in found])
    good = []
    for one in found:
        if not one.genuine(keyring):
            _log.critical("ALARM the planned credit %s of %s is not one that was signed", one.key, account.customer_id)
        elif (account.customer_id, "api", one.key) in written.entries:
            _log.critical("ALARM the planned credit %s of %s has the key of an entry", one.key, account.customer_id)
        else:
            good.append(one)
    return good


def _expire(
    lots: Lots, account: Account, by: dt.datetime, now: dt.datetime, drafts: list[Draft], gone: list[tuple[Lot, Draft]]
) -> None:
    """What has expired by a moment, as entries."""
    for burn in lots.expiring(by, account.held):
        lot = lots.get(burn.lot_seq)
        key = f"expiry:{account.asset}:{lots.seq + 1}"
        draft = Draft(*account.key, "expiry", -burn.amount, "system", key, lot.expires_at, lot_seq=lot.seq)
        gone.append((lot, draft))
        _take(lots, draft, now, drafts)


def _take(lots: Lots, draft: Draft, now: dt.datetime, drafts: list[Draft]) -> None:
    drafts.append(draft)
    lots.apply(_movement(draft, lots.seq + 1, now))


def _movement(draft: Draft, seq: int, now: dt.datetime) -> ledger.lots.Movement:
    terms = () if draft.terms is None else draft.terms
    return ledger.lots.Movement(
        seq, draft.kind, draft.source, draft.amount, now, draft.payment_id, draft.lot_seq, *terms
    )


def _end(head: ChainHead, entries: list[Entry]) -> ChainHead:
    return ChainHead(entries[-1].balance_after, entries[-1].seq, entries[-1].mac) if entries else head


async def _announce(tx: Tx, account: Account, gone: list[tuple[Lot, Draft]]) -> None:
    ids = await ledger.entries.public_ids(tx, account.key, [lot.seq for lot, _ in gone]) if gone else {}
    for lot, draft in gone:
        assert lot.expires_at is not None
        data = {
            "asset": account.asset, "grant_id": ids[lot.seq], "purpose": lot.purpose,
            "amount": money.text(-draft.amount), "expires_at": clock.rfc3339(lot.expires_at),
        }  # fmt: skip
        await events.emit(tx, Topic.CREDIT_EXPIRED, account.customer_id, data)
