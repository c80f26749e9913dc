"""The wallets room: one balance per customer and asset, and the only two ways to move it."""

from brimful.wallets.accounts import (
    Account,
    AccountKey,
    create_missing,
    get,
    list_for,
    lock,
    lock_wallet,
    locking,
    missed_crossings,
    set_armed,
)
from brimful.wallets.movements import post

__all__ = [
    "Account",
    "AccountKey",
    "create_missing",
    "get",
    "list_for",
    "lock",
    "lock_wallet",
    "locking",
    "missed_crossings",
    "post",
    "set_armed",
]
