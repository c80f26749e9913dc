"""Prices and the rules that they hold: nobody is charged at a dearer price than they agreed to."""

from fractions import Fraction

from brimful.assets import Asset
from brimful.core import money
from brimful.db.pool import Tx

_HELD = """
    SELECT count(*) AS rules FROM rules
    WHERE asset = %(asset)s AND currency = %(currency)s AND enabled AND rate * %(per)s::numeric < %(rate)s * rate_per
"""


async def held(tx: Tx, asset: Asset, currency: str, rate: Fraction) -> int:
    """How many rules that are on would wait at this price of one unit: it is more than their customers agreed to."""
    price, per = money.rate_parts(rate)
    row = await tx.one(_HELD, {"asset": asset.code, "currency": currency, "rate": price, "per": per})
    return 0 if row is None else int(row["rules"])
