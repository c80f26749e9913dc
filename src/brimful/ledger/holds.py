"""Holds: units of a balance set aside for a job whose cost is not known yet.

A hold takes nothing: it lowers what is available, until it is captured (its cost becomes a debit), released, or
expired. Each hold ends once, under the lock of its account.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from psycopg.types.json import Jsonb

from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Moments, Numbers, Texts
from brimful.db.pool import Query, Row, Tx
from brimful.ledger import accounts
from brimful.ledger.accounts import AccountKey

HoldKey = tuple[CustomerId, str]  # customer_id, hold_id
State = Literal["open", "captured", "released", "expired"]
# Where a hold is set aside in budgets as well: a budget's id, and the end of its window.
Counted = tuple[tuple[str, dt.datetime], ...]


class Hold(NamedTuple):
    """One hold. Amounts are in the asset. One that is `leased` renews itself, and may be empty for a while."""

    customer_id: CustomerId
    hold_id: str
    asset: str
    amount: Decimal
    state: State
    captured: Decimal | None
    description: str | None
    expires_at: dt.datetime
    created_at: dt.datetime
    ended_at: dt.datetime | None
    subject: str | None = None
    dimensions: Mapping[str, str] | None = None
    counted: Counted = ()
    leased: bool = False

    @property
    def key(self) -> HoldKey:
        return self.customer_id, self.hold_id

    @property
    def account(self) -> AccountKey:
        return self.customer_id, self.asset


_names = ", ".join(f"h.{name}" for name in Hold._fields)
_FIND = f"""
    SELECT {_names}
    FROM unnest(%(customers)s::uuid[], %(ids)s::text[]) AS wanted (customer_id, hold_id)
    CROSS JOIN LATERAL (
        SELECT * FROM holds AS found
        WHERE found.customer_id = wanted.customer_id AND found.hold_id = wanted.hold_id
            AND found.customer_id = ANY(%(customers)s)
        LIMIT 1
    ) AS h
"""


def existing_query(wanted: Collection[HoldKey]) -> Query[dict[HoldKey, Hold]]:
    """Those that exist. To be asked after the accounts' lock, under which every hold changes."""
    customers, ids = zip(*sorted(wanted), strict=True)
    return Query(_FIND, {"customers": CustomerIds(customers), "ids": Texts(ids)}, _by_key)


async def find(tx: Tx, customer_id: CustomerId, hold_id: str) -> Hold | None:
    """One hold as it stands."""
    return (await tx.ask(existing_query([(customer_id, hold_id)]))).get((customer_id, hold_id))


_BEGIN = """
    INSERT INTO holds (customer_id, hold_id, asset, amount, state, description, expires_at, created_at, subject,
        dimensions, counted, leased)
    SELECT customer_id, hold_id, asset, amount, 'open', description, expires_at, %(now)s, subject, dimensions, counted,
        leased
    FROM unnest(%(customers)s::uuid[], %(ids)s::text[], %(assets)s::text[], %(amounts)s::numeric[],
        %(descriptions)s::text[], %(expiries)s::timestamptz[], %(subjects)s::text[], %(dimensions)s::jsonb[],
        %(counted)s::jsonb[], %(leased)s::boolean[])
        AS new (customer_id, hold_id, asset, amount, description, expires_at, subject, dimensions, counted, leased)
"""
_RENEW = """
    UPDATE holds SET amount = new.amount, expires_at = new.expires_at, counted = new.counted
    FROM unnest(%(customers)s::uuid[], %(ids)s::text[], %(amounts)s::numeric[], %(expiries)s::timestamptz[],
        %(counted)s::jsonb[]) AS new (customer_id, hold_id, amount, expires_at, counted)
    WHERE holds.customer_id = new.customer_id AND holds.hold_id = new.hold_id AND holds.state = 'open'
        AND holds.customer_id = ANY(%(customers)s)
"""
_END = """
    UPDATE holds SET state = new.state, captured = new.captured, ended_at = %(now)s
    FROM unnest(%(customers)s::uuid[], %(ids)s::text[], %(states)s::text[], %(captured)s::numeric[])
        AS new (customer_id, hold_id, state, captured)
    WHERE holds.customer_id = new.customer_id AND holds.hold_id = new.hold_id AND holds.state = 'open'
        AND holds.customer_id = ANY(%(customers)s)
"""


def save(
    tx: Tx,
    *,
    begun: Sequence[Hold],
    ended: Sequence[Hold],
    held: Mapping[AccountKey, Decimal],
    now: dt.datetime,
    renewed: Sequence[Hold] = (),
) -> None:
    """Write new holds, then those that are renewed, those that end, and what their accounts hold now; at the latest
    before the commit.

    The caller has the accounts' locks. `ended` carry the state and amount they end with; one that is not open any more
    breaks the transaction.
    """
    if begun:
        columns = {
            "now": now,
            "customers": CustomerIds(hold.customer_id for hold in begun),
            "ids": Texts(hold.hold_id for hold in begun),
            "assets": Texts(hold.asset for hold in begun),
            "amounts": Numbers(hold.amount for hold in begun),
            "descriptions": Texts(hold.description for hold in begun),
            "expiries": Moments(hold.expires_at for hold in begun),
            "subjects": Texts(hold.subject for hold in begun),
            "dimensions": [None if hold.dimensions is None else Jsonb(dict(hold.dimensions)) for hold in begun],
            "counted": [_counted_json(hold.counted) for hold in begun],
            "leased": [hold.leased for hold in begun],
        }
        tx.later(_BEGIN, columns, rows=len(begun))
    if renewed:
        columns = {
            "customers": CustomerIds(hold.customer_id for hold in renewed),
            "ids": Texts(hold.hold_id for hold in renewed),
            "amounts": Numbers(hold.amount for hold in renewed),
            "expiries": Moments(hold.expires_at for hold in renewed),
            "counted": [_counted_json(hold.counted) for hold in renewed],
        }
        tx.later(_RENEW, columns, rows=len(renewed))
    if ended:
        columns = {
            "now": now,
            "customers": CustomerIds(hold.customer_id for hold in ended),
            "ids": Texts(hold.hold_id for hold in ended),
            "states": Texts(hold.state for hold in ended),
            "captured": Numbers(hold.captured for hold in ended),
        }
        tx.later(_END, columns, rows=len(ended))
    if held:
        accounts.update_held(tx, held)


_ACCOUNTS_DUE = """
    SELECT DISTINCT customer_id, asset FROM holds WHERE state = 'open' AND expires_at <= %s
    ORDER BY customer_id, asset LIMIT %s
"""


async def accounts_due(tx: Tx, *, limit: int) -> list[AccountKey]:
    """Accounts with an open hold whose time has run out, in key order."""
    rows = await tx.all(_ACCOUNTS_DUE, (await tx.now(), limit))
    return [(row["customer_id"], row["asset"]) for row in rows]


_DUE = f"""
    SELECT {_names}
    FROM holds AS h WHERE h.customer_id = %s AND h.asset = %s AND h.state = 'open' AND h.expires_at <= %s
"""


async def due(tx: Tx, account: AccountKey) -> list[Hold]:
    """Those of one account, under its lock."""
    return [_hold(row) for row in await tx.all(_DUE, (*account, await tx.now()))]


_PAGE = f"""
    SELECT {_names}
    FROM holds AS h
    WHERE h.customer_id = %(customer_id)s AND (%(asset)s::text IS NULL OR h.asset = %(asset)s)
        AND (%(state)s::text IS NULL OR h.state = %(state)s)
        AND strpos(h.hold_id, '/') = 0  -- what is set aside for a refund is none of the platform's
        AND (%(before)s::timestamptz IS NULL OR (h.created_at, h.hold_id) < (%(before)s, %(before_id)s::text))
    ORDER BY h.created_at DESC, h.hold_id DESC LIMIT %(limit)s
"""


async def list_page(
    tx: Tx,
    customer_id: CustomerId,
    *,
    limit: int,
    asset: str | None = None,
    state: str | None = None,
    before: tuple[dt.datetime, str] | None = None,
) -> list[Hold]:
    """A customer's holds, newest first."""
    moment, hold_id = before or (None, None)
    values = {"customer_id": customer_id, "asset": asset, "state": state, "before": moment, "before_id": hold_id}
    return [_hold(row) for row in await tx.all(_PAGE, {**values, "limit": limit})]


def _by_key(rows: Sequence[Row]) -> dict[HoldKey, Hold]:
    return {(row["customer_id"], row["hold_id"]): _hold(row) for row in rows}


def _hold(row: Row) -> Hold:
    counted = row["counted"] or ()
    return Hold(**{**row, "counted": tuple((name, dt.datetime.fromisoformat(end)) for name, end in counted)})


def _counted_json(counted: Counted) -> Jsonb | None:
    listed: list[Any] = [[name, end.isoformat()] for name, end in counted]
    return Jsonb(listed) if listed else None
