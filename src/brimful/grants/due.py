"""What is due on an account: credits that begin, and lots that have expired.

Each change of a balance posts this first, under the account's lock: a debit at the very moment of an expiry, or after
it, finds nothing of that lot. A job does it where nobody comes. What open holds need stays until they end.
"""

import datetime as dt
from decimal import Decimal

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
    begins = await scheduled.list_for(tx, account.key)
    drafts: list[Draft] = []
    gone: list[tuple[Lot, Draft]] = []
    while (draft := _next(lots, begins, account, now)) is not None:
        if draft.kind == "expiry":
            assert draft.lot_seq is not None
            gone.append((lots.get(draft.lot_seq), draft))
        else:
            scheduled.forget(tx, begins.pop(0))
        drafts.append(draft)
        lots.apply(_movement(draft, lots.seq + 1, now))
    entries = await ledger.post.post(tx, keyring, {account.key: account}, drafts)
    moments = [moment for moment in (lots.first_expiry, *(one.effective_at for one in begins)) if moment is not None]
    due_at = min(moments, default=None)
    ledger.accounts.set_lots_due(tx, account.key, due_at)
    await _announce(tx, account, gone)
    return account._replace(head=_end(account.head, entries), lots_due_at=due_at)


def _next(lots: Lots, begins: list[scheduled.Scheduled], account: Account, now: dt.datetime) -> Draft | None:
    """What comes next in time: a credit that begins, or what expires of a lot."""
    burn = lots.expire(now, account.held)
    lot = None if burn is None else lots.get(burn.lot_seq)
    credit = begins[0] if begins and begins[0].effective_at <= now else None
    if credit is not None and (lot is None or lot.expires_at is None or credit.effective_at <= lot.expires_at):
        return Draft(
            *account.key, "adjustment", credit.amount, "api", credit.key, credit.effective_at,
            description=credit.description, metadata=credit.metadata, terms=credit.terms,
        )  # fmt: skip
    if lot is None or burn is None:
        return None
    key = f"expiry:{account.asset}:{lots.seq + 1}"
    return Draft(*account.key, "expiry", -burn.amount, "system", key, lot.expires_at, lot_seq=lot.seq)


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


def lapsing(lots: Lots, now: dt.datetime) -> Decimal:
    """What has expired and is still there, because open holds need it."""
    return sum((lot.left for lot in lots if lot.expired(now)), Decimal(0))
