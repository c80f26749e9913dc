"""The wallets room: one balance per customer and asset, the only two ways to move it, and what is held of it."""

from brimful.wallets import holds
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
    set_alert_lines,
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
    "holds",
    "missed_crossings",
    "post",
    "set_alert_lines",
    "set_armed",
]
