"""How long a lease lasts, and what its job hears. Pure.

A lease holds a chunk of the balance and renews it with every use. What it holds is its own; what is available beyond is
shared with the other leases of the account, each as fast as it burns.
"""

import datetime as dt
from decimal import Decimal
from typing import Literal, NamedTuple

from brimful.core.ids import CustomerId

State = Literal["running", "bridged", "winding_down", "ended"]
WIND_DOWN_MAX_S = 86_400
_NOTHING = Decimal(0)
_MEMORY_S = Decimal(60)  # a burn is that of about the last minute
_LEAST_S = Decimal("0.1")  # two uses at one moment are no endless burn
_FAR_S = Decimal(10 * 365 * 86_400)


class LeaseTerms(NamedTuple):
    """What a lease is asked for with: how many seconds before its end its job hears of it."""

    wind_down_s: int


class Lease(NamedTuple):
    """A hold that renews itself. `used` is what was captured of it so far; its burn is that of `recent_units` in
    `recent_s`, and `interval_s` is how long the latest use came after the one before.
    """

    customer_id: CustomerId
    hold_id: str
    asset: str
    chunk: Decimal
    wind_down_s: int
    expires_in_s: int
    used: Decimal
    recent_units: Decimal
    recent_s: Decimal
    interval_s: Decimal
    used_at: dt.datetime
    state: State
    why: str | None
    good_until: dt.datetime | None

    @property
    def burn(self) -> Decimal:
        """Units a second."""
        return self.recent_units / max(self.recent_s, _LEAST_S) if self.recent_units else _NOTHING

    @property
    def notice_s(self) -> Decimal:
        """How long before its end a use must say so: a job hears only when it uses its lease."""
        return self.wind_down_s + self.interval_s


class Coming(NamedTuple):
    """Whether a top-up comes, or would come, without anybody's act; else why not."""

    comes: bool
    why: str | None


class Standing(NamedTuple):
    """What an account has for its leases: what is available (below zero where a bridge carries it), how far below zero
    they may take it, and how fast they burn together. `budget` is what the tightest budget of a lease still covers.
    """

    available: Decimal
    bridge: Decimal
    burn: Decimal
    coming: Coming
    budget: Decimal | None = None
    budget_id: str | None = None


def used(lease: Lease, amount: Decimal, now: dt.datetime) -> Lease:
    """A lease after a use. Nothing used is a sign of life."""
    passed = max(Decimal((now - lease.used_at) // dt.timedelta(microseconds=1)) / 1_000_000, _NOTHING)
    units, seconds = lease.recent_units + amount, lease.recent_s + passed
    if seconds > _MEMORY_S:
        units, seconds = _rounded(units * _MEMORY_S / seconds), _MEMORY_S
    return lease._replace(
        used=lease.used + amount, recent_units=units, recent_s=seconds, interval_s=min(passed, _MEMORY_S), used_at=now
    )


def _rounded(units: Decimal) -> Decimal:
    return units.quantize(Decimal("1e-12"))


def assess(lease: Lease, held: Decimal, standing: Standing, now: dt.datetime) -> Lease:
    """The state of a lease that is open and holds so much.

    It winds down when its chunk cannot be whole again, or when what there is ends within its notice and nothing more
    comes. A budget is never filled up by a top-up.
    """
    cover = max(standing.available + standing.bridge, _NOTHING)
    left_s = _left_s(lease, held, cover, standing.burn)
    state, why = _funds(lease, held, standing, cover, left_s)
    if standing.budget is not None and standing.budget < cover:
        budget = max(standing.budget, _NOTHING)
        left_s = _left_s(lease, held, budget, standing.burn)
        if held + budget < lease.chunk or (left_s is not None and left_s < lease.notice_s):
            state, why = "winding_down", f"budget:{standing.budget_id}"
    good_until = None if left_s is None or left_s > _FAR_S else now + dt.timedelta(microseconds=int(left_s * 1_000_000))
    return lease._replace(state=state, why=why, good_until=good_until)


def _funds(
    lease: Lease, held: Decimal, standing: Standing, cover: Decimal, left_s: Decimal | None
) -> tuple[State, str | None]:
    whole = held + cover >= lease.chunk
    short = left_s is not None and left_s < lease.notice_s
    if not whole:
        return "winding_down", "waiting_for_top_up" if standing.coming.comes else standing.coming.why
    if short and not standing.coming.comes:
        return "winding_down", standing.coming.why
    if standing.available < 0:
        return "bridged", "top_up_in_flight"
    return "running", None


def _left_s(lease: Lease, held: Decimal, shared: Decimal, all_burn: Decimal) -> Decimal | None:
    """Seconds until what is shared has gone at the burn of all, and then what this one holds at its own. None where
    nothing burns.
    """
    own = lease.burn
    if not own:
        return None
    return shared / max(all_burn, own) + held / own
