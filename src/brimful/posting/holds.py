"""Decide holds: authorise, capture, release.

Pure, like decide.py: what is known goes in, verdicts and the holds as they then stand come out.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from brimful.ledger.accounts import AccountKey
from brimful.ledger.holds import Hold, HoldKey
from brimful.posting.model import Movement, Verdict
from brimful.top_ups.bridges import Bridge

_ENDED = "This hold has ended as {state}."
_NOTHING = Decimal(0)
_NO_BRIDGE = Bridge(_NOTHING, _NOTHING)


@dataclasses.dataclass
class BatchHolds:
    """What is set aside while a batch is decided.

    `held` is by account (absent: nothing), `known` the holds that exist under the batch's keys, `bridges` those of
    accounts that get a new one. `begun`, `ended` and `touched` collect what is to be written.
    """

    held: dict[AccountKey, Decimal] = dataclasses.field(default_factory=dict)
    known: dict[HoldKey, Hold] = dataclasses.field(default_factory=dict)
    bridges: Mapping[AccountKey, Bridge] = dataclasses.field(default_factory=dict)
    begun: list[Hold] = dataclasses.field(default_factory=list)
    ended: list[Hold] = dataclasses.field(default_factory=list)
    touched: set[AccountKey] = dataclasses.field(default_factory=set)

    def decide(self, movement: Movement, balance: Decimal, now: dt.datetime) -> Verdict:
        """What becomes of a hold. The verdict's balance is the account's afterwards."""
        account = movement.customer_id, movement.asset
        hold = self.known.get((movement.customer_id, movement.key))
        available = balance - self.held.get(account, _NOTHING)
        if movement.kind == "hold":
            bridge = self.bridges.get(account, _NO_BRIDGE)
            verdict, after = _authorise(movement, hold, available, balance, bridge, now)
        elif hold is None or hold.asset != movement.asset:
            return Verdict("refused", "hold_not_found", "There is no such hold.", balance)
        elif movement.kind == "release":
            verdict, after = _release(hold, balance, now)
        else:
            verdict, after = _capture(movement, hold, available, balance, now)
        if after is not None:
            self._take_up(after)
        return verdict

    def _take_up(self, hold: Hold) -> None:
        begins = hold.state == "open"
        (self.begun if begins else self.ended).append(hold)
        self.known[hold.key] = hold
        self.touched.add(hold.account)
        self.held[hold.account] = self.held.get(hold.account, _NOTHING) + (hold.amount if begins else -hold.amount)


def _authorise(
    movement: Movement, hold: Hold | None, available: Decimal, balance: Decimal, bridge: Bridge, now: dt.datetime
) -> tuple[Verdict, Hold | None]:
    amount = -movement.amount
    if hold is not None:
        if (hold.asset, hold.amount) == (movement.asset, amount):
            return Verdict("duplicate", balance=balance, recorded_at=hold.created_at), None
        detail = "This id was used before for another asset or amount: send a new id."
        return Verdict("refused", "key_reused", detail, balance), None
    if available - amount < -min(bridge.bound, bridge.in_flight):
        detail = "What is available does not cover this hold."
        return Verdict("refused", "insufficient_funds", detail, balance, requested=amount), None
    assert movement.expires_in is not None
    made = Hold(
        movement.customer_id, movement.key, movement.asset, amount, "open", None, movement.description,
        now + movement.expires_in, now, None,
    )  # fmt: skip
    return Verdict("applied", None, None, balance, now), made


def _release(hold: Hold, balance: Decimal, now: dt.datetime) -> tuple[Verdict, Hold | None]:
    if hold.state == "open":
        return Verdict("applied", None, None, balance, now), hold._replace(state="released", ended_at=now)
    if hold.state == "captured":
        return Verdict("refused", "hold_ended", _ENDED.format(state=hold.state), balance), None
    return Verdict("duplicate", balance=balance, recorded_at=hold.ended_at), None


def _capture(
    movement: Movement, hold: Hold, available: Decimal, balance: Decimal, now: dt.datetime
) -> tuple[Verdict, Hold | None]:
    amount = -movement.amount
    if hold.state == "captured" and hold.captured == amount:
        return Verdict("duplicate", balance=balance, recorded_at=hold.ended_at), None
    if hold.state != "open":
        return Verdict("refused", "hold_ended", _ENDED.format(state=hold.state), balance), None
    over = amount - hold.amount
    if over > 0 and movement.overrun == "refuse":
        detail = "This is more than the hold: capture at most its amount, or allow an overrun."
        return Verdict("refused", "overrun_refused", detail, balance), None
    if over > 0 and movement.overrun == "covered" and over > max(available, _NOTHING):
        detail = "What is available does not cover the overrun."
        return Verdict("refused", "insufficient_funds", detail, balance, requested=amount), None
    ended = hold._replace(state="captured", captured=amount, ended_at=now)
    return Verdict("applied", None, None, balance - amount, now), ended
