"""Movements: entries and balances, written together under the accounts' locks."""

import datetime as dt
from collections.abc import Mapping, Sequence

from brimful.db.pool import Tx
from brimful.ledger import entries, hash_chain, keys
from brimful.ledger.accounts import Account, AccountKey, lots_due_by, update_heads


async def post(
    tx: Tx,
    keyring: hash_chain.Keyring,
    accounts: Mapping[AccountKey, Account],
    drafts: Sequence[entries.Draft],
    known: keys.Known | None = None,
) -> list[entries.Entry]:
    """Write one entry per draft, in order, and the accounts' new balances.

    Args:
        tx: the transaction that holds the locks of `accounts`.
        keyring: signs the chain.
        accounts: as read under the lock; every draft's account is among them.
        drafts: keys that are not written yet.
        known: read under the locks for these keys; asked for here when the caller did not need it.
    """
    now = await tx.now()
    heads: dict[AccountKey, hash_chain.ChainHead] = {}
    posted, with_terms = [], False
    for draft in drafts:
        if draft.terms is not None:
            with_terms = True
        key = draft.customer_id, draft.asset
        entry, heads[key] = entries.extend(keyring, heads.get(key, accounts[key].head), draft, now)
        posted.append(entry)
    if posted:
        if known is None:
            known = await keys.find(tx, [(draft.customer_id, draft.source, draft.key) for draft in drafts])
        entries.insert(tx, posted, known)
        update_heads(tx, heads)
        if with_terms:
            _look_when_they_expire(tx, drafts)
    return posted


def _look_when_they_expire(tx: Tx, drafts: Sequence[entries.Draft]) -> None:
    moments: dict[AccountKey, dt.datetime] = {}
    for draft in drafts:
        if draft.terms is not None and draft.terms.expires_at is not None:
            key = draft.customer_id, draft.asset
            moments[key] = min(moments.get(key, draft.terms.expires_at), draft.terms.expires_at)
    if moments:
        lots_due_by(tx, moments)
