"""What somebody asks of a balance, and what became of it."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from brimful.budgets.counting import Exceeded
from brimful.core.ids import CustomerId
from brimful.leases.model import Lease, LeaseTerms
from brimful.ledger.lots import Terms

Kind = Literal["usage", "charge", "adjustment", "hold", "capture", "release", "use"]
Source = Literal["usage", "hold", "api"]
Overrun = Literal["refuse", "covered", "record"]

SOURCES: Mapping[str, Source] = {
    "usage": "usage", "charge": "api", "adjustment": "api", "hold": "hold", "capture": "hold", "release": "hold",
    "use": "hold",
}  # fmt: skip
HOLDING = frozenset({"hold", "capture", "release", "use"})


class Movement(NamedTuple):
    """A change that somebody asks for.

    `amount` is signed, in the asset: usage, charges, holds and captures are negative, a release is zero. `covered_only`
    refuses what is not available. `key` is the caller's own id for it; a capture and a release carry their hold's, a
    use of a lease the hold's and its own. `expires_in` is a new hold's, `lease` are the terms of one that renews
    itself; `terms` are an adjustment's that adds; `overrun` says what a capture above its hold may do. `subject` and
    `dimensions` say what a debit or a hold is for; a capture and a use have their hold's. `counted` is
    how much of what was captured counts in which budget.
    """

    kind: Kind
    customer_id: CustomerId
    asset: str
    key: str
    amount: Decimal
    covered_only: bool = False
    occurred_at: dt.datetime | None = None
    description: str | None = None
    metadata: Mapping[str, Any] | None = None
    expires_in: dt.timedelta | None = None
    terms: Terms | None = None
    overrun: Overrun = "refuse"
    subject: str | None = None
    dimensions: Mapping[str, str] | None = None
    lease: LeaseTerms | None = None
    counted: Mapping[str, Decimal] = MappingProxyType({})

    @property
    def hold_id(self) -> str:
        """The hold that a movement of a hold names."""
        return self.key.partition("/")[0] if self.kind == "use" else self.key

    @property
    def source(self) -> Source:
        return SOURCES[self.kind]


class Verdict(NamedTuple):
    """What became of a movement.

    `balance` and `available` (the balance less what is held) are the account's after it; None when there is no account.
    `requested` is the amount, positive, of one that was refused because what is available does not cover it; `exceeded`
    the hard budget that does not. `held` and `lease` are a lease's after it was made or used.
    """

    outcome: Literal["applied", "duplicate", "refused"]
    code: str | None = None
    detail: str | None = None
    balance: Decimal | None = None
    recorded_at: dt.datetime | None = None
    available: Decimal | None = None
    requested: Decimal | None = None
    exceeded: Exceeded | None = None
    held: Decimal | None = None
    lease: Lease | None = None
