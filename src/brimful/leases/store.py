"""Leases as they are kept, beside their holds; each transition is announced."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from brimful.core import clock, money
from brimful.db.columns import CustomerIds, Moments, Numbers, Texts
from brimful.db.pool import Query, Row, Tx
from brimful.leases.model import Lease
from brimful.ledger.accounts import AccountKey
from brimful.ledger.holds import Hold, HoldKey
from brimful.notifications import events
from brimful.notifications.events import Topic

_names = ", ".join(f"l.{name}" for name in Lease._fields)
_FIND = f"""
    SELECT {_names}
    FROM unnest(%(customers)s::uuid[], %(ids)s::text[]) AS wanted (customer_id, hold_id)
    CROSS JOIN LATERAL (
        SELECT * FROM leases AS found
        WHERE found.customer_id = wanted.customer_id AND found.hold_id = wanted.hold_id
            AND found.customer_id = ANY(%(customers)s)
        LIMIT 1
    ) AS l
"""


def query(keys: Collection[HoldKey]) -> Query[dict[HoldKey, Lease]]:
    """The leases of these holds, those that are."""
    customers, ids = zip(*sorted(keys), strict=True)
    values = {"customers": CustomerIds(customers), "ids": Texts(ids)}
    return Query(_FIND, values, lambda rows: {(row["customer_id"], row["hold_id"]): Lease(**row) for row in rows})


_OPEN = f"""
    SELECT {_names}, h.amount AS held
    FROM unnest(%(customers)s::uuid[], %(assets)s::text[]) AS wanted (customer_id, asset)
    JOIN leases AS l ON l.customer_id = wanted.customer_id AND l.asset = wanted.asset AND l.state <> 'ended'
    JOIN holds AS h ON h.customer_id = l.customer_id AND h.hold_id = l.hold_id
    WHERE l.customer_id = ANY(%(customers)s) AND h.customer_id = ANY(%(customers)s)
    ORDER BY l.used_at, l.customer_id, l.hold_id
"""


async def open_on(tx: Tx, keys: Iterable[AccountKey]) -> list[tuple[Lease, Decimal]]:
    """Every open lease of these accounts with what it holds, the longest unused first."""
    customers, assets = zip(*sorted(keys), strict=True)
    rows = await tx.all(_OPEN, {"customers": CustomerIds(customers), "assets": Texts(assets)})
    return [(Lease(**{name: row[name] for name in Lease._fields}), row["held"]) for row in rows]


# That wait for what no movement tells: a budget's next window, a resumed charging; or whose end comes near unused.
_WAITING = """
    SELECT customer_id, asset FROM leases
    WHERE state <> 'ended'
        AND (state = 'winding_down' OR good_until - make_interval(secs => 2 * wind_down_s + 120) < %(now)s)
    GROUP BY customer_id, asset ORDER BY max(used_at) DESC LIMIT %(limit)s
"""


async def waiting(tx: Tx, *, limit: int) -> list[AccountKey]:
    """Accounts with leases that the sweep assesses, the latest used first."""
    rows = await tx.all(_WAITING, {"now": await tx.now(), "limit": limit})
    return [(row["customer_id"], row["asset"]) for row in rows]


_INSERT = """
    INSERT INTO leases (customer_id, hold_id, asset, chunk, wind_down_s, expires_in_s, used_at, state)
    VALUES (%(customer_id)s, %(hold_id)s, %(asset)s, %(chunk)s, %(wind_down_s)s, %(expires_in_s)s, %(used_at)s,
        %(state)s)
"""


def begin(tx: Tx, lease: Lease) -> None:
    """Write a lease beside its hold, at the latest before the commit."""
    tx.later(_INSERT, lease._asdict(), rows=1)


_UPDATE = """
    UPDATE leases SET used = new.used, recent_units = new.recent_units, recent_s = new.recent_s,
        interval_s = new.interval_s, used_at = new.used_at, state = new.state, why = new.why,
        good_until = new.good_until
    FROM unnest(%(customers)s::uuid[], %(ids)s::text[], %(used)s::numeric[], %(units)s::numeric[],
        %(seconds)s::numeric[], %(intervals)s::numeric[], %(used_at)s::timestamptz[], %(states)s::text[],
        %(whys)s::text[], %(good)s::timestamptz[]) AS new (customer_id, hold_id, used, recent_units, recent_s,
        interval_s, used_at, state, why, good_until)
    WHERE leases.customer_id = new.customer_id AND leases.hold_id = new.hold_id AND leases.state <> 'ended'
        AND leases.customer_id = ANY(%(customers)s)
"""


def save(tx: Tx, leases: Collection[Lease]) -> None:
    """Write open leases as they stand now, at the latest before the commit, under their accounts' locks."""
    if not leases:
        return
    columns = {
        "customers": CustomerIds(one.customer_id for one in leases),
        "ids": Texts(one.hold_id for one in leases),
        "used": Numbers(one.used for one in leases),
        "units": Numbers(one.recent_units for one in leases),
        "seconds": Numbers(one.recent_s for one in leases),
        "intervals": Numbers(one.interval_s for one in leases),
        "used_at": Moments(one.used_at for one in leases),
        "states": Texts(one.state for one in leases),
        "whys": Texts(one.why for one in leases),
        "good": Moments(one.good_until for one in leases),
    }
    tx.later(_UPDATE, columns, rows=len(leases))


_END = """
    UPDATE leases SET state = 'ended', why = NULL, good_until = NULL
    WHERE customer_id = ANY(%(customers)s) AND hold_id = ANY(%(ids)s) AND state <> 'ended'
        AND (customer_id, hold_id) IN (SELECT * FROM unnest(%(customers)s::uuid[], %(ids)s::text[]))
"""


def end(tx: Tx, holds: Sequence[Hold]) -> None:
    """End those of these holds that are leases, at the latest before the commit."""
    leased = [hold.key for hold in holds if hold.leased]
    if leased:
        customers, ids = zip(*leased, strict=True)
        tx.later(_END, {"customers": CustomerIds(customers), "ids": Texts(ids)}, rows=len(leased))


async def announce(tx: Tx, changed: Mapping[HoldKey, tuple[Lease, Lease]]) -> None:
    """Tell of leases that began to wind down, and of those that may go on: before and after."""
    announced = {
        Topic.LEASE_WINDING_DOWN: [
            after for before, after in changed.values() if before.state != "winding_down" == after.state
        ],
        Topic.LEASE_RESUMABLE: [
            after for before, after in changed.values() if before.state == "winding_down" != after.state
        ],
    }
    for topic, leases in announced.items():
        await events.emit_each(tx, topic, [(one.customer_id, described(one)) for one in leases])


def described(lease: Lease) -> dict[str, Any]:
    """A lease as events tell it."""
    return {
        "asset": lease.asset,
        "hold_id": lease.hold_id,
        "state": lease.state,
        "why": lease.why,
        "used": money.text(lease.used),
        "good_until": None if lease.good_until is None else clock.rfc3339(lease.good_until),
    }


_OF_CUSTOMER = f"""
    SELECT {_names} FROM leases AS l WHERE l.customer_id = %s AND l.hold_id = ANY(%s)
"""


async def of_holds(tx: Tx, holds: Sequence[Hold]) -> dict[str, Lease]:
    """The leases of these holds of one customer, by their ids."""
    leased = [hold.hold_id for hold in holds if hold.leased]
    if not leased:
        return {}
    rows: list[Row] = await tx.all(_OF_CUSTOMER, (holds[0].customer_id, leased))
    return {row["hold_id"]: Lease(**row) for row in rows}


def new(hold: Hold, wind_down_s: int, expires_in: dt.timedelta, now: dt.datetime) -> Lease:
    """The lease that begins with a hold."""
    return Lease(
        hold.customer_id, hold.hold_id, hold.asset, hold.amount, wind_down_s, int(expires_in.total_seconds()),
        Decimal(0), Decimal(0), Decimal(0), Decimal(0), now, "running", None, None,
    )  # fmt: skip
