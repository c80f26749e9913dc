"""The preview beside the rule: the form's numbers, run over this account's own last thirty days."""

import asyncio
import dataclasses
import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

from brimful import assets, auto_top_up, ledger, top_ups
from brimful.auto_top_up.rules import RuleForm
from brimful.db.pool import Tx
from brimful.portal import presenters
from brimful.portal.context import Page
from brimful.portal.pages import spending

_WINDOW = dt.timedelta(days=30)
_ENTRIES_MAX = 100_000  # beyond, the preview covers the latest and calls itself an estimate
_TIME_TO_CREDIT = dt.timedelta(seconds=10)  # before the first automatic top-up has been measured


async def usual_day(page: Page, tx: Tx, asset: str) -> Decimal:
    """Spent on an average day of the last week."""
    one = await spending.read(page, tx, asset)
    return Decimal(0) if one is None else one.usual_day


async def braked(page: Page, tx: Tx, asset: str) -> int:
    """In how many of the last thirty days' hours the brake would have asked."""
    now, key = await tx.now(), (page.session.customer_id, asset)
    hours = await ledger.usage_hours.read(tx, key, now - auto_top_up.brake.PAST, now)
    return auto_top_up.brake.would_have_asked(hours)


async def read(
    page: Page, asset: assets.Asset, draft: RuleForm | None, rate: Fraction | None, cards: list[str]
) -> dict[str, Any] | None:
    """What the preview shows; None where nothing has moved yet. `cards` are those that are charged."""
    customer_id = page.session.customer_id
    async with page.deps.database.transaction() as tx:
        now = await tx.now()
        series = await ledger.statements.series(tx, customer_id, asset.code, now - _WINDOW, limit=_ENTRIES_MAX)
        added = await ledger.statements.additions(tx, customer_id, asset.code, now - _WINDOW)
        automatic = await top_ups.store.automatic_payments(tx, customer_id, asset.code, now - 2 * _WINDOW)
        measured = await top_ups.timing.of_account(tx, customer_id, asset.code)
        slowest = await top_ups.timing.slowest(tx)
        held = await braked(page, tx, asset.code) if draft is not None and draft.brake else 0
        use = await auto_top_up.foresee.used_per_day(tx, (customer_id, asset.code))
    if not series.at_ms:
        return None
    skipped = [row["seq"] - series.first_seq for row in added if row["payment_id"] in automatic]
    # In a thread: a hundred thousand movements take a while, and debits share this process.
    shown = await asyncio.to_thread(_projected, page, asset, draft, rate, series, skipped, measured, use, slowest, now)
    return {**shown, "cards": cards, "held": page.words.number(Decimal(held)) if held else None}


def _projected(
    page: Page,
    asset: assets.Asset,
    draft: RuleForm | None,
    rate: Fraction | None,
    series: ledger.statements.Series,
    skipped: list[int],
    measured: dt.timedelta | None,
    used_per_day: Decimal,
    slowest: dt.timedelta,
    now: dt.datetime,
) -> dict[str, Any]:
    words, time_to_credit = page.words, measured or _TIME_TO_CREDIT
    past_ = auto_top_up.preview.Past(
        series.opening, series.at_ms, _without(series, skipped), now, begins=series.first_seq == 1
    )
    suggested = auto_top_up.preview.suggest(past_, time_to_credit, scale=asset.scale)
    shown: dict[str, Any] = {
        "whole": series.whole,
        "entries": len(series.at_ms),
        "suggested": None if suggested is None else words.amount(suggested, asset),
        "credit_time": presenters.span(words, time_to_credit),
        "result": None,
    }
    if draft is None or rate is None:
        return shown
    proposal = auto_top_up.preview.Proposal(
        asset.scale, draft.currency, draft.threshold, draft.amount_minor, draft.limit_minor, rate,
        draft.most_minor, draft.target, draft.day_limit_minor,
        draft.smallest_minor, draft.lasts_days, used_per_day, draft.ask_above_minor, draft.ask_after,
        draft.threshold_low, slowest,
    )  # fmt: skip
    result = auto_top_up.preview.replay(past_, proposal, page.deps.pace, time_to_credit)
    shown["result"] = {
        **dataclasses.asdict(result),
        "waited": words.n(
            "{number} of them would have waited for your approval.",
            "{number} of them would have waited for your approval.",
            result.asked,
        ),
        "charged": words.cash(result.charged_minor, draft.currency),
        "lowest": words.amount_rounded(result.lowest, asset),
        "below_zero": presenters.span(words, result.below_zero) if result.below_zero else None,
    }
    return shown


def _without(series: ledger.statements.Series, skipped: list[int]) -> list[Decimal]:
    """The amounts with automatic top-ups taken out: the proposed rule makes its own."""
    amounts = list(series.amounts)
    for place in skipped:
        if 0 <= place < len(amounts):
            amounts[place] = Decimal(0)
    return amounts
