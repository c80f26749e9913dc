"""Movements: entries and balances, written together under the accounts' locks."""

from collections.abc import Mapping, Sequence

from brimful.db.pool import Tx
from brimful.ledger import entries, hash_chain
from brimful.ledger.accounts import Account, AccountKey, update_heads


async def post(
    tx: Tx, keyring: hash_chain.Keyring, accounts: Mapping[AccountKey, Account], drafts: Sequence[entries.Draft]
) -> list[entries.Entry]:
    """Write one entry per draft, in order, and the accounts' new balances.

    Args:
        tx: the transaction that holds the locks of `accounts`.
        keyring: signs the chain.
        accounts: as read under the lock; every draft's account is among them.
        drafts: keys that are not written yet; a clash raises `psycopg.errors.UniqueViolation`.
    """
    now = await tx.now()
    heads: dict[AccountKey, hash_chain.ChainHead] = {}
    posted = []
    for draft in drafts:
        key = draft.customer_id, draft.asset
        entry, heads[key] = entries.extend(keyring, heads.get(key, accounts[key].head), draft, now)
        posted.append(entry)
    if posted:
        entries.insert(tx, posted)
        update_heads(tx, heads)
    return posted
