"""Public incidents of prepaid products with auto-recharge, replayed through the engine's own policy: what each setting
would have let through, or kept funded.
"""

import dataclasses
import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest

from brimful.auto_top_up import brake, exposure, policy
from brimful.auto_top_up.policy import Facts, Pace
from brimful.auto_top_up.preview import Past, Proposal, replay
from brimful.ledger.usage_hours import UsageHour

NOW = dt.datetime(2026, 11, 20, 22, tzinfo=dt.UTC)
OTHERS = Pace(10_000, dt.timedelta(0))  # no ceiling, as where these happened
OURS = Pace(12, dt.timedelta(seconds=60))
SECOND, MINUTE = dt.timedelta(seconds=1), dt.timedelta(minutes=1)


def burning(dollars, hours, *, opening=30, steps=2000):
    """That much used evenly over the last hours."""
    begins = int((NOW - dt.timedelta(hours=hours)).timestamp() * 1000)
    span = int(hours * 3_600_000)
    at_ms = [begins + span * step // steps for step in range(steps)]
    return Past(Decimal(opening), at_ms, [-Decimal(dollars) / steps] * steps, NOW)


def rule(amount, *, threshold=10, limit=100_000, **more):
    return Proposal(6, "USD", Decimal(threshold), amount * 100, limit * 100, Fraction(1), **more)


@pytest.mark.parametrize(
    ("what", "dollars", "hours", "amount", "charged"),
    [
        ("29 charges in one evening", 661, 5, 23, 661),
        ("2,196 dollars in a day", 2196, 20, 50, 2196),
        ("995 dollars in an hour", 995, 1, 100, 995),
        ("11 charges", 1032, 8, 94, 1032),
        ("17.5 million tokens in half an hour by a leaked key", 525, 0.5, 50, 525),
    ],
)
def test_a_runaway_is_stopped_by_the_days_limit_and_stated_beforehand(what, dollars, hours, amount, charged):
    past = burning(dollars, hours)
    without = replay(past, rule(amount), OTHERS, SECOND)
    assert without.charged_minor >= (charged - 100) * 100, what  # it happens with the settings that they had
    limited = replay(past, rule(amount, day_limit_minor=3 * amount * 100), OURS, SECOND)
    stated = exposure.exposure(amount * 100, 10_000_000, 3 * amount * 100, OURS)
    assert limited.charged_minor <= stated.day_minor == 3 * amount * 100
    assert limited.limit_reached


def test_a_rule_that_may_charge_more_at_once_never_runs_dry_at_a_thousand_dollars_an_hour():
    past = burning(2000, 2, opening=600)
    big = rule(500, threshold=100, charge_max_minor=50_000, target=Decimal(500))
    kept = replay(past, big, OURS, 10 * SECOND)
    assert kept.lowest > 0
    assert not kept.below_zero
    # One small amount five times an hour, as it was: dry for most of the time.
    starved = replay(past, rule(10, threshold=100), Pace(5, dt.timedelta(seconds=60)), 10 * SECOND)
    assert starved.below_zero > dt.timedelta(hours=1)


def test_a_wallet_that_was_dry_three_minutes_after_each_threshold_is_funded_at_once():
    """Evaluated now and then; here the debit that crosses asks by itself."""
    past = burning(1000, 1, opening=30)
    assert not replay(past, rule(50), OTHERS, SECOND).below_zero
    assert replay(past, rule(50), OTHERS, dt.timedelta(minutes=3)).below_zero > dt.timedelta(minutes=10)


def test_a_limit_of_the_month_still_holds_beside_the_days():
    past = burning(5000, 48)
    both = replay(past, rule(50, limit=200, day_limit_minor=15_000), OURS, SECOND)
    assert both.charged_minor == 20_000


@pytest.mark.parametrize("factor", [6, 30, 300])
def test_a_leaked_key_is_asked_about_within_what_was_stated(factor):
    """An account that uses a dollar in every hour, then `factor` times that, minute by minute."""
    usual = [UsageHour(NOW - (n + 2) * 60 * MINUTE, Decimal(1)) for n in range(240)][::-1]
    stated = exposure.exposure(1000, 40_000, 3000, OURS, ask_after=3)
    facts = Facts(
        available=Decimal(20), scale=6, enabled=True, version=1, threshold=Decimal(10), currency="USD",
        amount_minor=1000, limit_minor=40_000, paused=None, not_before=None, consent_stands=True, card_usable=True,
        rate=Fraction(1), spent_minor=0, recent=(), left_below_at=None, live=False, day_limit_minor=3000, ask_after=3,
        brake=True,
        past=brake.past_of(usual),
    )  # fmt: skip
    charged, used = 0, [Decimal(1) / 60] * 60
    for minute in range(600):
        used.append(Decimal(factor) / 60)
        facts = dataclasses.replace(facts, available=facts.available - used[-1], last_hour=sum(used[-60:], Decimal(0)))
        verdict = policy.evaluate(facts, OURS, NOW + minute * MINUTE)
        if verdict.ask is not None:
            break
        if verdict.charge is not None:  # paid at once
            charged += verdict.charge.amount_minor
            facts = dataclasses.replace(
                facts, available=facts.available + verdict.charge.units, day_unasked=facts.day_unasked + 1
            )
    assert verdict.ask is not None
    assert charged <= stated.unasked_day_minor


def test_how_many_of_the_charges_of_one_evening_would_have_waited():
    asked = replay(burning(661, 5), rule(23, ask_after=3), OTHERS, SECOND)
    assert asked.payments - asked.asked == 3
