"""What would follow at once if a customer saved these numbers: the engine's own policy, asked before."""

import dataclasses
import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction

from brimful import assets, ledger, top_ups
from brimful.auto_top_up import charges, facts, policy, thresholds
from brimful.auto_top_up.charges import Charge
from brimful.auto_top_up.policy import Facts, Judgement, Pace, Reason
from brimful.auto_top_up.rules import RuleForm
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.top_ups.model import TopUp


@dataclasses.dataclass(frozen=True)
class Foreseen:
    """The policy's judgement, whether available is below the threshold, and how many top-ups follow one another until
    it is not or the month's limit is used up; `amount_minor` is the next one.
    """

    judgement: Judgement
    below: bool
    count: int
    amount_minor: int

    @property
    def pays_now(self) -> bool:
        return self.judgement.reason is Reason.TRIGGERED and self.judgement.ask is None

    @property
    def asks_now(self) -> bool:
        return self.judgement.ask is not None


async def foresee(
    tx: Tx, customer_id: CustomerId, asset: assets.Asset, form: RuleForm, *, rate: Fraction | None, pace: Pace
) -> Foreseen:
    """Ask the policy with the form's values in place of the rule's. Nothing is written or locked.

    Args:
        tx: any.
        customer_id: whose account.
        asset: of the account.
        form: as it would be saved, with a card that can be charged and the consent given.
        rate: today's price of one unit in the form's currency; None without one.
        pace: how often an account may be topped up.
    """
    account = await ledger.accounts.get(tx, customer_id, asset.code)
    latest = await top_ups.store.list_page(tx, customer_id, limit=1, asset=asset.code, kind="automatic")
    waiting = next((one.top_up_id for one in latest if one.state in top_ups.model.WAITING_STATES), "")
    known = await facts.read_facts(tx, [(customer_id, asset.code)], without=waiting)  # saving cancels what only waits
    before = known[0].facts if known else None
    available = Decimal(0) if account is None else account.available
    if account is not None and not form.promotional_counts:
        available -= await facts.promotional_of(tx, account.key, account.head.seq)
    seen = _facts(form, asset, rate, available)
    if before is not None:
        same = before.currency == form.currency
        seen = dataclasses.replace(
            seen,
            enabled=form.turn_on or before.enabled,
            paused=None if form.turn_on else before.paused,
            not_before=None if form.turn_on else before.not_before,
            spent_minor=before.spent_minor if same else 0,
            day=before.day if same else (),
            day_unasked=before.day_unasked if same else 0,
            approved_unusual=before.approved_unusual,
            recent=before.recent,
            live=before.live,
        )
    if form.threshold_low is not None:
        derived = await thresholds.derive(
            tx, (customer_id, asset.code), low=form.threshold_low, high=form.threshold, scale=asset.scale
        )
        seen = dataclasses.replace(seen, threshold=derived.threshold)
    seen = dataclasses.replace(seen, left_below_at=_left_below(latest, seen.threshold))
    if seen.lasts_days is not None or seen.brake:
        seen = await facts.use_of(tx, (customer_id, asset.code), seen)
    judgement = policy.evaluate(seen, pace, await tx.now())
    amount = form.amount_minor
    if judgement.charge is not None:
        amount = judgement.charge.amount_minor
    elif seen.rate is not None:
        amount = charges.wanted(seen, seen.rate).amount_minor
    return Foreseen(judgement, seen.below, _count(seen), amount)


async def used_per_day(tx: Tx, key: ledger.accounts.AccountKey) -> Decimal:
    """What an account uses in a day, as "last about" takes it; zero before there is one."""
    account = await ledger.accounts.get(tx, *key)
    return Decimal(0) if account is None else (await facts.read_use(tx, account)).per_day


def charge_at(form: RuleForm, asset: assets.Asset, rate: Fraction, available: Decimal, used_per_day: Decimal) -> Charge:
    """What would be charged with that much available, before any limit: for an example."""
    seen = dataclasses.replace(_facts(form, asset, rate, available), used_per_day=used_per_day)
    return charges.wanted(seen, rate)


def _facts(form: RuleForm, asset: assets.Asset, rate: Fraction | None, available: Decimal) -> Facts:
    """The form as a rule that has charged nothing yet, with the consent given and a card that can be charged."""
    return Facts(
        available=available, scale=asset.scale, enabled=form.turn_on, version=form.version + 1,
        threshold=form.threshold, currency=form.currency, amount_minor=form.amount_minor, limit_minor=form.limit_minor,
        paused=None, not_before=None, consent_stands=True, card_usable=True, rate=rate, spent_minor=0, recent=(),
        left_below_at=None, live=False, charge_max_minor=form.most_minor, target=form.target,
        least_minor=form.smallest_minor, day_limit_minor=form.day_limit_minor, lasts_days=form.lasts_days,
        ask_above_minor=form.ask_above_minor, ask_after=form.ask_after, brake=form.brake,
    )  # fmt: skip


def _left_below(latest: list[TopUp], threshold: Decimal) -> dt.datetime | None:
    for one in latest:
        left = one.available_after if one.available_after is not None else one.balance_after
        if left is not None and left < threshold and not one.cut:
            return one.requested_at
    return None


def _count(seen: Facts) -> int:
    if not seen.below or seen.rate is None:
        return 0
    charge = charges.wanted(seen, seen.rate)
    if not charge.units:
        return 0
    allowed = max(seen.limit_minor - seen.spent_minor, 0) // charge.amount_minor
    return min(math.ceil((seen.threshold - seen.available) / charge.units), allowed)
