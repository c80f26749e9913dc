"""Presets as the API answers them."""

from typing import Self

from pydantic import BaseModel

from brimful import auto_top_up
from brimful.api.schemas.base import Amount, Moment
from brimful.core import clock, money


class Preset(BaseModel):
    """What a form begins with, and within which bounds its customer chooses."""

    asset: str
    currency: str
    threshold: Amount | None
    amount: Amount | None
    monthly_limit: Amount | None
    charge_at_most: Amount | None
    day_limit: Amount | None
    threshold_min: Amount | None
    threshold_max: Amount | None
    amount_min: Amount | None
    amount_max: Amount | None
    updated_at: Moment

    @classmethod
    def of(cls, preset: auto_top_up.presets.Preset) -> Self:
        """Money as decimal strings in major units."""

        def cash(minor: int | None) -> str | None:
            return None if minor is None else money.text(money.major(minor, preset.currency))

        thresholds = (preset.threshold, preset.threshold_min, preset.threshold_max)
        threshold, low, high = (None if one is None else money.text(one) for one in thresholds)
        return cls(
            asset=preset.asset,
            currency=preset.currency,
            threshold=threshold,
            amount=cash(preset.amount_minor),
            monthly_limit=cash(preset.limit_minor),
            charge_at_most=cash(preset.charge_max_minor),
            day_limit=cash(preset.day_limit_minor),
            threshold_min=low,
            threshold_max=high,
            amount_min=cash(preset.amount_min_minor),
            amount_max=cash(preset.amount_max_minor),
            updated_at=clock.rfc3339(preset.updated_at),
        )


class Presets(BaseModel):
    """Presets by asset."""

    items: list[Preset]
