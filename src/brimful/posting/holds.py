"""Decide holds: authorise, capture, release, and use a lease.

Pure, like decide.py: what is known goes in, verdicts and the holds as they then stand come out.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from brimful import leases
from brimful.budgets.counting import Counting, Exceeded
from brimful.core.ids import CustomerId
from brimful.leases.model import Lease
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
    accounts that get a new one, `leases` those among the known, `counting` what budgets have counted. `begun`,
    `renewed`, `ended` and `touched` collect what is to be written, `leased` the leases that were made or used, and
    `counted` how much of what was captured counts in which budget, by the customer and the key of the movement.
    """

    held: dict[AccountKey, Decimal] = dataclasses.field(default_factory=dict)
    known: dict[HoldKey, Hold] = dataclasses.field(default_factory=dict)
    bridges: Mapping[AccountKey, Bridge] = dataclasses.field(default_factory=dict)
    leases: dict[HoldKey, Lease] = dataclasses.field(default_factory=dict)
    counting: Counting = dataclasses.field(default_factory=Counting)
    begun: list[Hold] = dataclasses.field(default_factory=list)
    renewed: dict[HoldKey, Hold] = dataclasses.field(default_factory=dict)
    ended: list[Hold] = dataclasses.field(default_factory=list)
    touched: set[AccountKey] = dataclasses.field(default_factory=set)
    leased: dict[HoldKey, Lease] = dataclasses.field(default_factory=dict)
    counted: dict[tuple[CustomerId, str], Mapping[str, Decimal]] = dataclasses.field(default_factory=dict)

    def decide(self, movement: Movement, balance: Decimal, now: dt.datetime) -> Verdict:
        """What becomes of a hold. The verdict's balance is the account's afterwards."""
        account = movement.customer_id, movement.asset
        hold = self.known.get((movement.customer_id, movement.hold_id))
        available = balance - self.held.get(account, _NOTHING)
        if movement.kind == "hold":
            return self._begin(movement, hold, available, balance, now)
        if hold is None or hold.asset != movement.asset:
            return Verdict("refused", "hold_not_found", "There is no such hold.", balance)
        if movement.kind == "use":
            return self._use(movement, hold, balance, now)
        if movement.kind == "release":
            verdict, after = _release(hold, balance, now)
        else:
            verdict, after = _capture(movement, hold, available, balance, self._over_budget(movement, hold), now)
        if after is not None:
            self._give_back(movement, hold, after.captured or _NOTHING)
            self.ended.append(after)
            if hold.leased and after.captured is not None:
                lease = self.leases[hold.key]
                self.leased[hold.key] = lease._replace(used=lease.used + after.captured)
            self._change(hold, after, -hold.amount)
        return verdict

    def _begin(
        self, movement: Movement, hold: Hold | None, available: Decimal, balance: Decimal, now: dt.datetime
    ) -> Verdict:
        account = movement.customer_id, movement.asset
        budgets = self.counting.of(account, movement.subject, movement.dimensions)
        bridge = self.bridges.get(account, _NO_BRIDGE)
        if hold is not None:
            set_aside = self.leases[hold.key].chunk if hold.leased else hold.amount
            return _again(movement, hold, set_aside, balance)
        verdict, after = _authorise(movement, available, balance, bridge, now)
        if after is None:
            return verdict
        exceeded = self.counting.exceeded(budgets, after.amount)
        if exceeded is not None:
            return over_budget(exceeded, balance, after.amount)
        after = after._replace(counted=self.counting.set_aside(budgets, after.amount))
        self.begun.append(after)
        self._change(after, after, after.amount)
        if movement.lease is not None:
            assert movement.expires_in is not None
            lease = leases.store.new(after, movement.lease.wind_down_s, movement.expires_in, now)
            self.leases[after.key] = self.leased[after.key] = lease
        return verdict

    def _use(self, movement: Movement, hold: Hold, balance: Decimal, now: dt.datetime) -> Verdict:
        """Capture what was used of a lease, and set its chunk aside again: as much as there is."""
        lease = self.leases.get(hold.key)
        if lease is None:
            return Verdict("refused", "no_lease", "This hold does not renew itself: capture or release it.", balance)
        if hold.state != "open":
            return Verdict("refused", "hold_ended", _ENDED.format(state=hold.state), balance)
        amount = -movement.amount
        self._give_back(movement, hold, amount)
        bridge = self.bridges.get(hold.account, _NO_BRIDGE)
        after = balance - amount
        free = after - self.held.get(hold.account, _NOTHING) + hold.amount + min(bridge.bound, bridge.in_flight)
        budgets = self.counting.of(hold.account, hold.subject, hold.dimensions)
        tightest = self.counting.left(budgets)
        chunk = min(lease.chunk, free, lease.chunk if tightest is None else tightest[0])
        renewed = hold._replace(amount=max(chunk, _NOTHING), expires_at=now + dt.timedelta(seconds=lease.expires_in_s))
        renewed = renewed._replace(counted=self.counting.set_aside(budgets, renewed.amount))
        if any(one.key == hold.key for one in self.begun):  # made in this very batch
            self.begun = [renewed if one.key == hold.key else one for one in self.begun]
        else:
            self.renewed[hold.key] = renewed
        self._change(hold, renewed, renewed.amount - hold.amount)
        self.leases[hold.key] = self.leased[hold.key] = leases.model.used(lease, amount, now)
        return Verdict("applied", None, None, after, now, held=renewed.amount)

    def _give_back(self, movement: Movement, hold: Hold, used: Decimal) -> None:
        """What was set aside counts where it was; what was used beyond it, now."""
        within = min(used, hold.amount)
        self.counting.give_back(hold, used=within)
        counted = {budget_id: within for budget_id, _ in hold.counted if within}
        if used > within:
            budgets = self.counting.of(hold.account, hold.subject, hold.dimensions)
            self.counting.use(budgets, used - within)
            for one in budgets:
                name = one.budget.budget_id
                counted[name] = counted.get(name, _NOTHING) + used - within
        self.counted[movement.customer_id, movement.key] = counted

    def _change(self, before: Hold, after: Hold, held: Decimal) -> None:
        self.known[after.key] = after
        self.touched.add(before.account)
        self.held[before.account] = self.held.get(before.account, _NOTHING) + held

    def _over_budget(self, movement: Movement, hold: Hold) -> Exceeded | None:
        """The hard budget that does not cover what a capture takes beyond its hold: that counts now."""
        over = -movement.amount - hold.amount
        if over <= 0 or movement.overrun == "record":
            return None
        return self.counting.exceeded(self.counting.of(hold.account, hold.subject, hold.dimensions), over)

    def marked(self, movement: Movement) -> Movement:
        """What was captured of a hold, as what the hold was for."""
        hold = self.known[movement.customer_id, movement.hold_id]
        counted = self.counted[movement.customer_id, movement.key]
        return movement._replace(subject=hold.subject, dimensions=hold.dimensions, counted=counted)


def over_budget(exceeded: Exceeded, balance: Decimal, amount: Decimal) -> Verdict:
    """The refusal of what a hard budget does not cover."""
    name = exceeded.name or exceeded.budget_id
    detail = f"The budget {name!r} does not cover this."
    return Verdict("refused", "budget_exceeded", detail, balance, requested=amount, exceeded=exceeded)


def _again(movement: Movement, hold: Hold, set_aside: Decimal, balance: Decimal) -> Verdict:
    """The id is that of a hold that there is."""
    asked = movement.asset, movement.lease is not None, -movement.amount
    if (hold.asset, hold.leased, set_aside) == asked:
        return Verdict("duplicate", balance=balance, recorded_at=hold.created_at)
    detail = "This id was used before for another asset or amount: send a new id."
    return Verdict("refused", "key_reused", detail, balance)


def _authorise(
    movement: Movement, available: Decimal, balance: Decimal, bridge: Bridge, now: dt.datetime
) -> tuple[Verdict, Hold | None]:
    amount = -movement.amount
    if available - amount < -min(bridge.bound, bridge.in_flight):
        detail = "What is available does not cover this hold."
        return Verdict("refused", "insufficient_funds", detail, balance, requested=amount), None
    assert movement.expires_in is not None
    made = Hold(
        movement.customer_id, movement.key, movement.asset, amount, "open", None, movement.description,
        now + movement.expires_in, now, None, movement.subject, movement.dimensions, leased=movement.lease is not None,
    )  # fmt: skip
    return Verdict("applied", None, None, balance, now), made


def _release(hold: Hold, balance: Decimal, now: dt.datetime) -> tuple[Verdict, Hold | None]:
    if hold.state == "open":
        return Verdict("applied", None, None, balance, now), hold._replace(state="released", ended_at=now)
    if hold.state == "captured":
        return Verdict("refused", "hold_ended", _ENDED.format(state=hold.state), balance), None
    return Verdict("duplicate", balance=balance, recorded_at=hold.ended_at), None


def _capture(
    movement: Movement,
    hold: Hold,
    available: Decimal,
    balance: Decimal,
    exceeded: Exceeded | None,
    now: dt.datetime,
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
    if exceeded is not None:
        return over_budget(exceeded, balance, over), None
    if over > 0 and movement.overrun == "covered" and over > max(available, _NOTHING):
        detail = "What is available does not cover the overrun."
        return Verdict("refused", "insufficient_funds", detail, balance, requested=amount), None
    ended = hold._replace(state="captured", captured=amount, ended_at=now)
    return Verdict("applied", None, None, balance - amount, now), ended
