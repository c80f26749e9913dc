"""Notices before a credit expires: seven days and one day ahead, with what is left of it."""

import datetime as dt

from brimful import ledger
from brimful.core import clock, money
from brimful.db.pool import Row, Tx
from brimful.ledger.accounts import AccountKey
from brimful.ledger.hash_chain import Keyring
from brimful.notifications import events
from brimful.notifications.events import Topic

DAYS = (1, 7)  # the nearer first: a credit of which both are due gets one notice

_EXPIRING = """
    SELECT e.customer_id, e.asset, e.seq FROM entries AS e
    WHERE e.expires_at > %(now)s AND e.expires_at <= %(until)s AND NOT EXISTS (
        SELECT 1 FROM expiry_notices AS n
        WHERE n.customer_id = e.customer_id AND n.asset = e.asset AND n.seq = e.seq AND n.days <= %(days)s)
    ORDER BY e.expires_at, e.customer_id, e.asset, e.seq LIMIT %(limit)s
"""
_NOTE = "INSERT INTO expiry_notices (customer_id, asset, seq, days) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


async def due(tx: Tx, *, days: int, limit: int) -> list[Row]:
    """Credits that expire within so many days, without a notice of that: {customer_id, asset, seq}, the next first."""
    now = await tx.now()
    values = {"now": now, "until": now + dt.timedelta(days=days), "days": days, "limit": limit}
    return await tx.all(_EXPIRING, values)


async def announce(tx: Tx, keyring: Keyring, key: AccountKey, seq: int, days: int) -> None:
    """Announce that a credit expires, once, if any of it is left."""
    if not await tx.execute(_NOTE, (*key, seq, days)):
        return
    account = await ledger.accounts.get(tx, *key)
    assert account is not None
    lots = await ledger.lot_store.read(tx, keyring, key, account.head.seq)
    found = [lot for lot in lots if lot.seq == seq]
    for lot in found:
        assert lot.expires_at is not None
        ids = await ledger.entries.public_ids(tx, key, [seq])
        data = {
            "asset": key[1], "grant_id": ids[seq], "purpose": lot.purpose, "amount": money.text(lot.left),
            "expires_at": clock.rfc3339(lot.expires_at), "days": days,
        }  # fmt: skip
        await events.emit(tx, Topic.CREDIT_EXPIRING, key[0], data)
