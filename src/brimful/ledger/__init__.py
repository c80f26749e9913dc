"""The ledger: accounts, holds, immutable entries, and the hash chain that binds them."""

from brimful.ledger import (
    accounts as accounts,
    entries as entries,
    hash_chain as hash_chain,
    holds as holds,
    keys as keys,
    lot_store as lot_store,
    lots as lots,
    post as post,
    runway as runway,
    spend as spend,
    statements as statements,
    usage_hours as usage_hours,
)
