"""Presets: what the platform proposes to a customer or to a segment of them, and within which bounds they choose.

A preset fills in a form that nobody has saved yet. It turns nothing on, and no rule that stands is changed by it.
"""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable
from decimal import Decimal

from brimful import customers
from brimful.core import money
from brimful.core.errors import Refused
from brimful.core.ids import NOBODY, CustomerId
from brimful.db.pool import Tx

SEGMENT = "segment"  # of a customer: this key of their metadata


@dataclasses.dataclass(frozen=True)
class Preset:
    """Of one asset, for a customer or for a segment; the other is nobody, or empty. Thresholds in the asset, money in
    minor units of `currency`; None where nothing is proposed, or no bound set.
    """

    customer_id: CustomerId
    segment: str
    asset: str
    currency: str
    threshold: Decimal | None
    amount_minor: int | None
    limit_minor: int | None
    charge_max_minor: int | None
    day_limit_minor: int | None
    threshold_min: Decimal | None
    threshold_max: Decimal | None
    amount_min_minor: int | None
    amount_max_minor: int | None
    updated_at: dt.datetime


_NAMES = ", ".join(field.name for field in dataclasses.fields(Preset))
_GET = f"SELECT {_NAMES} FROM presets WHERE customer_id = %s AND segment = %s AND asset = %s"
_LIST = f"SELECT {_NAMES} FROM presets WHERE customer_id = %s AND segment = %s ORDER BY asset"
_SET = """
    INSERT INTO presets (customer_id, segment, asset, currency, threshold, amount_minor, limit_minor, charge_max_minor,
        day_limit_minor, threshold_min, threshold_max, amount_min_minor, amount_max_minor, updated_at)
    VALUES (%(customer_id)s, %(segment)s, %(asset)s, %(currency)s, %(threshold)s, %(amount_minor)s, %(limit_minor)s,
        %(charge_max_minor)s, %(day_limit_minor)s, %(threshold_min)s, %(threshold_max)s, %(amount_min_minor)s,
        %(amount_max_minor)s, %(updated_at)s)
    ON CONFLICT (customer_id, segment, asset) DO UPDATE SET currency = excluded.currency,
        threshold = excluded.threshold, amount_minor = excluded.amount_minor, limit_minor = excluded.limit_minor,
        charge_max_minor = excluded.charge_max_minor, day_limit_minor = excluded.day_limit_minor,
        threshold_min = excluded.threshold_min, threshold_max = excluded.threshold_max,
        amount_min_minor = excluded.amount_min_minor, amount_max_minor = excluded.amount_max_minor,
        updated_at = excluded.updated_at
"""
_DELETE = "DELETE FROM presets WHERE customer_id = %s AND segment = %s AND asset = %s"


async def put(tx: Tx, preset: Preset) -> Preset:
    """Keep a preset in place of the one before. Refuses amounts that Stripe cannot take, and settings that contradict
    one another.
    """
    for field, minor in (
        ("amount", preset.amount_minor), ("charge_at_most", preset.charge_max_minor),
        ("amount_min", preset.amount_min_minor), ("amount_max", preset.amount_max_minor),
    ):  # fmt: skip
        if minor is not None:
            money.chargeable(minor, preset.currency, field=field)
    for field, text, holds in _RULES:
        if not holds(preset):
            raise Refused("amount_out_of_range", text, field=field)
    await tx.execute(_SET, dataclasses.asdict(preset))
    return preset


def _ordered(*values: Decimal | int | None) -> bool:
    """Whether those that are given rise, or stay."""
    known = [value for value in values if value is not None]
    return all(low <= high for low, high in itertools.pairwise(known))


_RULES: tuple[tuple[str, str, Callable[[Preset], bool]], ...] = (
    (
        "threshold", "The threshold must lie within threshold_min and threshold_max.",
        lambda one: _ordered(one.threshold_min, one.threshold, one.threshold_max),
    ),
    (
        "amount", "The amount must lie within amount_min and amount_max.",
        lambda one: _ordered(one.amount_min_minor, one.amount_minor, one.charge_max_minor, one.amount_max_minor),
    ),
    (
        "monthly_limit", "The monthly limit must be at least one charge.",
        lambda one: _ordered(one.charge_max_minor or one.amount_minor, one.limit_minor),
    ),
    (
        "day_limit", "The limit of a day must be at least one charge.",
        lambda one: _ordered(one.charge_max_minor or one.amount_minor, one.day_limit_minor),
    ),
)  # fmt: skip


async def remove(tx: Tx, *, customer_id: CustomerId = NOBODY, segment: str = "", asset: str) -> bool:
    """Remove a preset. True when there was one."""
    return await tx.execute(_DELETE, (customer_id, segment, asset)) > 0


async def get(tx: Tx, *, customer_id: CustomerId = NOBODY, segment: str = "", asset: str) -> Preset | None:
    """The preset of a customer, or of a segment, alone."""
    row = await tx.one(_GET, (customer_id, segment, asset))
    return None if row is None else Preset(**row)


async def list_for(tx: Tx, *, customer_id: CustomerId = NOBODY, segment: str = "") -> list[Preset]:
    """Every preset of a customer, or of a segment."""
    return [Preset(**row) for row in await tx.all(_LIST, (customer_id, segment))]


async def that_applies(tx: Tx, customer: customers.Customer, asset: str) -> Preset | None:
    """What a customer's form begins with: their own preset, else that of the segment in their metadata."""
    own = await get(tx, customer_id=customer.customer_id, asset=asset)
    segment = customer.metadata.get(SEGMENT)
    if own is not None or not isinstance(segment, str) or not segment:
        return own
    return await get(tx, segment=segment, asset=asset)
