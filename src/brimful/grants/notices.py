"""Notices before a credit expires: seven days and one day ahead, with what is left of it."""

import datetime as dt

from brimful import ledger
from brimful.core import clock, money
from brimful.db.pool import Tx
from brimful.ledger.accounts import AccountKey
from brimful.ledger.hash_chain import Keyring
from brimful.ledger.lots import Lot
from brimful.notifications import events
from brimful.notifications.events import Topic

DAYS = (1, 7)  # the nearer first: a credit of which both are due gets one notice
AHEAD = dt.timedelta(days=max(DAYS))

_SENT = "SELECT seq, days FROM expiry_notices WHERE customer_id = %s AND asset = %s AND seq = ANY(%s)"
_NOTE = "INSERT INTO expiry_notices (customer_id, asset, seq, days) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


async def announce(tx: Tx, keyring: Keyring, key: AccountKey) -> None:
    """Announce each credit of an account that expires within a day, or within seven, once for each."""
    account = await ledger.accounts.get(tx, *key)
    assert account is not None
    now = await tx.now()
    lots = await ledger.lot_store.read(tx, keyring, key, account.head.seq)
    soon = [lot for lot in lots if lot.expires_at is not None and now < lot.expires_at <= now + AHEAD]
    if not soon:
        return
    rows = await tx.all(_SENT, (*key, [lot.seq for lot in soon]))
    sent = {lot.seq: min((row["days"] for row in rows if row["seq"] == lot.seq), default=None) for lot in soon}
    ids = await ledger.entries.public_ids(tx, key, [lot.seq for lot in soon])
    for lot in soon:
        days = next(days for days in DAYS if lot.expired(now + dt.timedelta(days=days)))
        before = sent[lot.seq]
        if (before is None or before > days) and await tx.execute(_NOTE, (*key, lot.seq, days)):
            await _emit(tx, key, lot, ids[lot.seq], days)


async def _emit(tx: Tx, key: AccountKey, lot: Lot, grant_id: str, days: int) -> None:
    assert lot.expires_at is not None
    data = {
        "asset": key[1], "grant_id": grant_id, "purpose": lot.purpose, "amount": money.text(lot.left),
        "expires_at": clock.rfc3339(lot.expires_at), "days": days,
    }  # fmt: skip
    await events.emit(tx, Topic.CREDIT_EXPIRING, key[0], data)
