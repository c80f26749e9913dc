"""How long a balance lasts at the rate at which it is used."""

import dataclasses
import datetime as dt
from decimal import Decimal

from brimful.db.pool import Tx
from brimful.ledger import statements
from brimful.ledger.accounts import Account

_HOUR, _DAY = dt.timedelta(hours=1), dt.timedelta(hours=24)
_FAR = dt.timedelta(days=3650)  # beyond, nobody is helped by a date


@dataclasses.dataclass(frozen=True)
class HourlyUse:
    """Spent in the last hour, and in an average hour of the last 24; in the asset."""

    last_hour: Decimal
    usual_hour: Decimal

    @property
    def per_hour(self) -> Decimal:
        """The higher of the two: a job that has just begun counts at once, one that pauses is not forgotten."""
        return max(self.last_hour, self.usual_hour)


def runs_dry_at(available: Decimal, use: HourlyUse, now: dt.datetime) -> dt.datetime | None:
    """When available reaches zero at this rate; now where it has, None where nothing is spent or it lasts for years."""
    if available <= 0:
        return now
    if use.per_hour <= 0 or available / use.per_hour > Decimal(_FAR // _HOUR):
        return None
    return now + dt.timedelta(seconds=int(available / use.per_hour * 3600))


@dataclasses.dataclass(frozen=True)
class Window:
    """What was spent in a span of time that began at `at`."""

    at: dt.datetime
    used: Decimal


async def windows(tx: Tx, account: Account, length: dt.timedelta, back: dt.timedelta) -> list[Window]:
    """Spans of that length in which anything was spent, oldest first; the last may still be open. They begin at
    multiples of the length.
    """
    now, key = await tx.now(), (account.customer_id, account.asset)
    latest = now - (now - dt.datetime.min.replace(tzinfo=dt.UTC)) % length
    begins = [latest - turn * length for turn in range(back // length, -1, -1)]
    places = await statements.chain_positions(tx, *key, begins)
    added = await statements.additions(tx, *key, begins[0])
    ends = [*((place.seq, place.balance) for place in places[1:]), (account.head.seq, account.balance)]
    found = []
    for place, (seq, balance) in zip(places, ends, strict=False):
        gained = sum((row["amount"] for row in added if place.seq < row["seq"] <= seq), Decimal(0))
        used = place.balance + gained - balance
        if used > 0:
            found.append(Window(place.at, used))
    return found


async def read(tx: Tx, account: Account) -> HourlyUse:
    """What was spent of one account lately: from two places in its chain and what was added since."""
    now = await tx.now()
    key = account.customer_id, account.asset
    places = await statements.chain_positions(tx, *key, [now - _DAY, now - _HOUR])
    added = await statements.additions(tx, *key, now - _DAY)
    spent = {
        place.at: place.balance - account.balance + sum(row["amount"] for row in added if row["seq"] > place.seq)
        for place in places
    }
    return HourlyUse(
        max(spent.get(now - _HOUR, Decimal(0)), Decimal(0)), max(spent.get(now - _DAY, Decimal(0)), Decimal(0)) / 24
    )
