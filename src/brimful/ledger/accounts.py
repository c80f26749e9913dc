"""Accounts: the balance row that every debit locks."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from brimful.core.ids import CustomerId
from brimful.db.columns import Bytes, CustomerIds, Moments, Names, Numbers, Texts
from brimful.db.pool import Query, Row, Tx
from brimful.ledger.hash_chain import ChainHead

AccountKey = tuple[CustomerId, str]  # customer_id, asset


class Account(NamedTuple):
    """One balance.

    `held` is what its open holds set aside. `trigger_below` is the threshold while a debit alone may start a top-up,
    else None; `alert_below` is the threshold of the next alert, else None. Both are compared with available. Of a
    customer who was `erased` no free text is kept any more. `lots_due_at` is when the next of its lots begins or
    expires, or earlier; None where none does. `budgeted` says that budgets stand for it, and
    `budgets_version` rises whenever one of them changes.
    """

    customer_id: CustomerId
    asset: str
    head: ChainHead
    held: Decimal
    trigger_below: Decimal | None
    alert_below: Decimal | None
    erased: bool
    lots_due_at: dt.datetime | None = None
    budgeted: bool = False
    budgets_version: int = 0

    @property
    def key(self) -> AccountKey:
        return self.customer_id, self.asset

    @property
    def balance(self) -> Decimal:
        return self.head.balance

    @property
    def available(self) -> Decimal:
        return self.head.balance - self.held

    @property
    def name(self) -> str:
        """The id that the API shows."""
        return f"default:{self.asset}"


def unused(customer_id: CustomerId, asset: str) -> Account:
    """What stands in for an account that no movement has opened yet."""
    return Account(customer_id, asset, ChainHead(Decimal(0), 0, b""), Decimal(0), None, None, erased=False)


# Accounts alone under the lock (no join), in key order, so that two batches never deadlock. It may lock a
# customer's other asset of the same batch as well, which only costs a moment.
_LOCK = """
    SELECT customer_id, asset, balance, seq, mac, held, trigger_below, alert_below, erased, lots_due_at, budgeted,
        budgets_version
    FROM accounts
    WHERE customer_id = ANY(%s) AND asset = ANY(%s)
    ORDER BY customer_id, asset
    FOR NO KEY UPDATE
"""


async def lock(tx: Tx, keys: Iterable[AccountKey]) -> dict[AccountKey, Account]:
    """Lock these accounts for the rest of the transaction. Missing ones are absent from the answer."""
    accounts = await tx.ask(lock_query(keys))
    tx.locked()
    return accounts


def lock_query(keys: Iterable[AccountKey]) -> Query[dict[AccountKey, Account]]:
    """The same as a query."""
    wanted = set(keys)
    customers = CustomerIds(sorted({key[0] for key in wanted}))
    assets = Texts(sorted({key[1] for key in wanted}))

    def read(rows: Sequence[Row]) -> dict[AccountKey, Account]:
        return {account[:2]: account for account in map(_account, rows) if account[:2] in wanted}

    return Query(_LOCK, (customers, assets), read)


_FREE = """
    SELECT customer_id, asset FROM accounts WHERE customer_id = ANY(%s) AND asset = ANY(%s)
    FOR NO KEY UPDATE SKIP LOCKED
"""
_THERE = "SELECT customer_id, asset FROM accounts WHERE customer_id = ANY(%s) AND asset = ANY(%s)"


async def locked_elsewhere(tx: Tx, keys: Iterable[AccountKey]) -> set[AccountKey]:
    """Which of these accounts another transaction holds now. For a transaction that does nothing else."""
    wanted = set(keys)
    params = CustomerIds(sorted({key[0] for key in wanted})), Texts(sorted({key[1] for key in wanted}))
    there = {(row["customer_id"], row["asset"]) for row in await tx.all(_THERE, params)}
    free = {(row["customer_id"], row["asset"]) for row in await tx.all(_FREE, params)}
    return (there - free) & wanted


_LOCK_WALLET = """
    SELECT customer_id, asset, balance, seq, mac, held, trigger_below, alert_below, erased, lots_due_at, budgeted,
        budgets_version
    FROM accounts WHERE customer_id = %s ORDER BY customer_id, asset FOR NO KEY UPDATE
"""


async def lock_wallet(tx: Tx, customer_id: CustomerId) -> dict[AccountKey, Account]:
    """Lock every account of a customer: what happens to a card may reach all of them."""
    accounts = await tx.ask(lock_wallet_query(customer_id))
    tx.locked()
    return accounts


def lock_wallet_query(customer_id: CustomerId) -> Query[dict[AccountKey, Account]]:
    """The same as a query."""
    return Query(_LOCK_WALLET, (customer_id,), lambda rows: {account.key: account for account in map(_account, rows)})


_CREATE = """
    INSERT INTO accounts (customer_id, asset, created_at, erased)
    SELECT c.customer_id, wanted.asset, %(now)s, c.erased_at IS NOT NULL
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[]) AS wanted (customer_id, asset)
    JOIN customers AS c ON c.customer_id = wanted.customer_id
    WHERE c.customer_id = ANY(%(customers)s)
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING
"""


async def create_missing(tx: Tx, keys: Iterable[AccountKey]) -> None:
    """Open accounts for those customers that exist. The caller commits before it locks them."""
    customers, assets = (list(column) for column in zip(*sorted(set(keys)), strict=True))
    await tx.execute(_CREATE, {"now": await tx.now(), "customers": customers, "assets": assets})


_GET = "SELECT * FROM accounts WHERE customer_id = %s AND asset = %s"


async def get(tx: Tx, customer_id: CustomerId, asset: str) -> Account | None:
    """One account, unlocked."""
    row = await tx.one(_GET, (customer_id, asset))
    return None if row is None else _account(row)


_LIST = "SELECT * FROM accounts WHERE customer_id = %s ORDER BY asset"


async def list_for(tx: Tx, customer_id: CustomerId) -> list[Account]:
    """Every account of a customer: the wallet."""
    return [_account(row) for row in await tx.all(_LIST, (customer_id,))]


_UPDATE_HEADS = """
    UPDATE accounts SET balance = new.balance, seq = new.seq, mac = new.mac
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(balances)s::numeric[], %(seqs)s::bigint[],
        %(macs)s::bytea[]) AS new (customer_id, asset, balance, seq, mac)
    WHERE accounts.customer_id = new.customer_id AND accounts.asset = new.asset
        AND accounts.customer_id = ANY(%(customers)s)
"""


def update_heads(tx: Tx, heads: Mapping[AccountKey, ChainHead]) -> None:
    """Write the new ends of locked accounts, all in one statement, at the latest before the commit."""
    columns = {
        "customers": CustomerIds([key[0] for key in heads]),
        "assets": Names([key[1] for key in heads]),
        "balances": Numbers([head.balance for head in heads.values()]),
        "seqs": Numbers([head.seq for head in heads.values()]),
        "macs": Bytes([head.mac for head in heads.values()]),
    }
    tx.later(_UPDATE_HEADS, columns, rows=len(heads))


def _set_levels(column: str) -> str:
    return f"""
        UPDATE accounts SET {column} = new.line
        FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(lines)s::numeric[]) AS new (customer_id, asset, line)
        WHERE accounts.customer_id = new.customer_id AND accounts.asset = new.asset
            AND accounts.customer_id = ANY(%(customers)s) AND accounts.{column} IS DISTINCT FROM new.line
    """


_SET_TRIGGERS = _set_levels("trigger_below")
_SET_ALERT = _set_levels("alert_below")
Lines = Sequence[tuple[AccountKey, Decimal | None]]


async def set_triggers(tx: Tx, lines: Lines) -> None:
    """Write `trigger_below`. Only auto_top_up.evaluate.reevaluate may call this."""
    await tx.execute(_SET_TRIGGERS, _columns(lines))


async def set_alert_levels(tx: Tx, lines: Lines) -> None:
    """Write `alert_below`. Only the alerts room may call this."""
    await tx.execute(_SET_ALERT, _columns(lines))


def _columns(lines: Lines) -> dict[str, Any]:
    return {
        "customers": CustomerIds(key[0] for key, _ in lines),
        "assets": Texts(key[1] for key, _ in lines),
        "lines": Numbers(line for _, line in lines),
    }


_UPDATE_HELD = """
    UPDATE accounts SET held = new.held
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(held)s::numeric[]) AS new (customer_id, asset, held)
    WHERE accounts.customer_id = new.customer_id AND accounts.asset = new.asset
        AND accounts.customer_id = ANY(%(customers)s)
"""


def update_held(tx: Tx, held: Mapping[AccountKey, Decimal]) -> None:
    """Write what is held on locked accounts, at the latest before the commit. Only ledger.holds may call this."""
    columns = {
        "customers": CustomerIds([key[0] for key in held]),
        "assets": Texts([key[1] for key in held]),
        "held": Numbers(held.values()),
    }
    tx.later(_UPDATE_HELD, columns, rows=len(held))


_LOTS_DUE_BY = """
    UPDATE accounts SET lots_due_at = least(lots_due_at, new.at)
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(moments)s::timestamptz[]) AS new (customer_id, asset, at)
    WHERE accounts.customer_id = new.customer_id AND accounts.asset = new.asset
        AND accounts.customer_id = ANY(%(customers)s)
"""
_SET_LOTS_DUE = "UPDATE accounts SET lots_due_at = %s WHERE customer_id = %s AND asset = %s"
_LOTS_DUE = """
    SELECT customer_id, asset FROM accounts WHERE lots_due_at <= %s AND (customer_id, asset) > (%s, %s)
    ORDER BY customer_id, asset LIMIT %s
"""


def lots_due_by(tx: Tx, moments: Mapping[AccountKey, dt.datetime]) -> None:
    """See to it that the lots of locked accounts are looked at by then, at the latest before the commit."""
    columns = {
        "customers": CustomerIds([key[0] for key in moments]),
        "assets": Texts([key[1] for key in moments]),
        "moments": Moments(moments.values()),
    }
    tx.later(_LOTS_DUE_BY, columns, rows=len(moments))


def set_lots_due(tx: Tx, key: AccountKey, at: dt.datetime | None) -> None:
    """Write when the next of a locked account's lots begins or expires, at the latest before the commit."""
    tx.later(_SET_LOTS_DUE, (at, *key), rows=1)


async def with_lots_due(tx: Tx, by: dt.datetime, after: AccountKey, *, limit: int) -> list[AccountKey]:
    """Accounts of which something begins or expires by then, in key order after one."""
    rows = await tx.all(_LOTS_DUE, (by, *after, limit))
    return [(row["customer_id"], row["asset"]) for row in rows]


_SET_BUDGETED = """
    UPDATE accounts SET budgeted = %s, budgets_version = budgets_version + 1 WHERE customer_id = %s AND asset = %s
"""


def set_budgeted(tx: Tx, key: AccountKey, *, budgeted: bool) -> None:
    """Write whether budgets stand for a locked account, one of which has changed; at the latest before the commit."""
    tx.later(_SET_BUDGETED, (budgeted, *key), rows=1)


_ZONE_CHANGED = """
    UPDATE accounts SET budgets_version = budgets_version + 1 WHERE customer_id = %s AND budgeted
"""


async def zone_changed(tx: Tx, customer_id: CustomerId) -> None:
    """Budgets count by their customer's days: each process must read the zone anew."""
    await lock_wallet(tx, customer_id)
    await tx.execute(_ZONE_CHANGED, (customer_id,))


_MISSED = """
    SELECT customer_id, asset FROM accounts WHERE trigger_below IS NOT NULL AND balance - held < trigger_below LIMIT %s
"""


async def missed_crossings(tx: Tx, *, limit: int) -> list[AccountKey]:
    """Accounts below their trigger that were not evaluated. There should be none."""
    return [(row["customer_id"], row["asset"]) for row in await tx.all(_MISSED, (limit,))]


def _account(row: Row) -> Account:
    return Account(
        row["customer_id"],
        row["asset"],
        ChainHead(row["balance"], row["seq"], bytes(row["mac"])),
        row["held"],
        row["trigger_below"],
        row["alert_below"],
        row["erased"],
        row["lots_due_at"],
        row["budgeted"],
        row["budgets_version"],
    )
