"""Movements: entries and balances, written together under the accounts' locks."""

from collections.abc import Mapping, Sequence

from brimful import ledger
from brimful.db import Tx
from brimful.wallets.accounts import Account, AccountKey, update_tails

__all__ = ["post"]


async def post(
    tx: Tx, keyring: ledger.Keyring, accounts: Mapping[AccountKey, Account], drafts: Sequence[ledger.Draft]
) -> list[ledger.Entry]:
    """Write one entry per draft, in order, and the accounts' new balances.

    Args:
        tx: the transaction that holds the locks of `accounts`.
        keyring: signs the chain.
        accounts: as read under the lock; every draft's account is among them.
        drafts: keys that are not written yet; a clash raises `psycopg.errors.UniqueViolation`.
    """
    now = await tx.now()
    tails: dict[AccountKey, ledger.Tail] = {}
    entries = []
    for draft in drafts:
        key = draft.customer_id, draft.asset
        entry, tails[key] = ledger.extend(keyring, tails.get(key, accounts[key].tail), draft, now)
        entries.append(entry)
    if entries:
        ledger.insert(tx, entries)
        update_tails(tx, tails)
    return entries
