"""Assets: what balances count, and what a unit costs."""

import dataclasses
import datetime as dt
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import psycopg.errors

from brimful.core import currencies, money, text
from brimful.core.errors import Refused
from brimful.db.pool import Row, Tx

_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,31}", re.ASCII)
_CURRENCY_SCALE = 9


@dataclasses.dataclass(frozen=True)
class Asset:
    """`scale` is the number of decimals that amounts of it may have; `bridge_max` how far below zero a hold may take an
    account while a top-up is in flight. (A remembered asset may know an old `bridge_max`.)
    """

    code: str
    name: str
    kind: Literal["currency", "unit"]
    scale: int
    label: str | None
    symbol: str | None
    created_at: dt.datetime
    bridge_max: Decimal = Decimal(0)


@dataclasses.dataclass(frozen=True)
class Rate:
    """`rate` is the price of one unit in `currency`, from `valid_from` until `valid_to`."""

    currency: str
    rate: Fraction
    valid_from: dt.datetime
    valid_to: dt.datetime | None


class Catalogue:
    """Assets by code, remembered: an asset's kind and scale never change once it exists."""

    def __init__(self) -> None:
        self._known: dict[str, Asset] = {}

    def peek(self, code: str) -> Asset | None:
        """The asset if this process has met it before."""
        return self._known.get(code)

    async def get(self, tx: Tx, code: str) -> Asset:
        """The asset; refuses a code that does not exist."""
        if code not in self._known:
            self._known[code] = await get(tx, code)
        return self._known[code]


_INSERT = """
    INSERT INTO assets (code, name, kind, scale, label, symbol, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


async def create(
    tx: Tx, *, code: str, name: str, scale: int | None, label: str | None = None, symbol: str | None = None
) -> Asset:
    """A new asset. A code from the currency table makes a currency, any other a unit of the platform's own.

    Refuses a code that exists or has a wrong form, and one of ISO 4217 that cannot be charged. The scale defaults to 9
    for currencies (a call of a model costs as little as 0.0000135 dollars) and to 0 for units.
    """
    if not _CODE.fullmatch(code):
        raise Refused("invalid_field", "code must be 2 to 32 of A-Z, 0-9 and _, starting with a letter.", field="code")
    if code in currencies.OTHER_ISO_CODES:
        raise Refused(
            "invalid_field", f"{code} is a currency that cannot be charged: give a unit another code.", field="code"
        )
    kind: Literal["currency", "unit"] = "currency" if code in money.CURRENCIES else "unit"
    scale = (_CURRENCY_SCALE if kind == "currency" else 0) if scale is None else scale
    if kind == "currency" and scale < money.currency(code).exponent:
        raise Refused("invalid_field", f"precision of {code} must be at least its own decimals.", field="precision")
    name = text.clean(name, "name")
    asset = Asset(code, name, kind, scale, label, symbol, await tx.now())
    try:
        await tx.execute(_INSERT, (code, name, kind, scale, label, symbol, asset.created_at))
    except psycopg.errors.UniqueViolation:
        raise Refused("asset_exists", f"An asset {code} exists already.", field="code") from None
    return asset


async def set_bridge(tx: Tx, asset: Asset, bridge_max: Decimal) -> Asset:
    """Let holds go that far below zero while an automatic top-up that covers them is in flight."""
    if bridge_max < 0:
        raise Refused("amount_invalid", "hold_bridge must not be negative.", field="hold_bridge")
    await tx.execute("UPDATE assets SET bridge_max = %s WHERE code = %s", (bridge_max, asset.code))
    return dataclasses.replace(asset, bridge_max=bridge_max)


_GET = "SELECT * FROM assets WHERE code = %s"


async def get(tx: Tx, code: str) -> Asset:
    """The asset; refuses a code that does not exist."""
    row = await tx.one(_GET, (code,)) if _CODE.fullmatch(code) else None
    if row is None:
        raise Refused("asset_not_found", f"There is no asset {code[:40]!r}: create it with POST /v1/assets.")
    return _asset(row)


_LIST = """
    SELECT * FROM assets WHERE %(after)s::text IS NULL OR code > %(after)s
    ORDER BY code LIMIT %(limit)s OFFSET %(offset)s
"""


async def list_page(tx: Tx, *, limit: int, offset: int = 0, after: str | None = None) -> list[Asset]:
    """One page of assets by code: those after `after`, or from an offset."""
    return [_asset(row) for row in await tx.all(_LIST, {"after": after, "limit": limit, "offset": offset})]


_COUNT = "SELECT count(*) AS total FROM assets"


async def count(tx: Tx) -> int:
    """How many there are in all."""
    row = await tx.one(_COUNT)
    return 0 if row is None else int(row["total"])


_INSERT_RATE = """
    INSERT INTO rates (asset, currency, valid_from, valid_to, rate, rate_per, recorded_at)
    VALUES (%(asset)s, %(currency)s, %(valid_from)s, %(valid_to)s, %(rate)s, %(per)s, %(now)s)
"""
_AFTER = """
    SELECT currency, rate, rate_per, valid_from, valid_to FROM rates
    WHERE asset = %s AND currency = %s AND (valid_to IS NULL OR valid_to > %s) ORDER BY valid_from
"""
_UNTIL = "UPDATE rates SET valid_to = %s WHERE asset = %s AND currency = %s AND valid_from = %s"
_WITHDRAW = "DELETE FROM rates WHERE asset = %s AND currency = %s AND valid_from = %s AND valid_from > %s"


async def add_rate(
    tx: Tx,
    asset: Asset,
    *,
    currency: str,
    rate: Fraction,
    valid_from: dt.datetime | None = None,
    valid_to: dt.datetime | None = None,
) -> None:
    """A new price of one unit, from `valid_from` (or now) until `valid_to`, or until the next planned one.

    The standing price ends where it begins, and goes on after `valid_to`. A planned price that begins at the same
    moment is replaced. Refuses currencies as assets, an unknown currency, and a period that cuts into another planned
    one.
    """
    if asset.kind == "currency":
        raise Refused("invalid_field", f"{asset.code} is a currency: only own units have rates.", field="rates")
    money.currency(currency)
    now = await tx.now()
    begins = valid_from or now
    if valid_to is not None and valid_to <= begins:
        raise Refused("invalid_field", "valid_to must lie after valid_from.", field="valid_to")
    await _lock_rates(tx, asset, currency)
    later = [_rate(row) for row in await tx.all(_AFTER, (asset.code, currency, begins))]
    if later and later[0].valid_from == begins > now:
        await tx.execute(_WITHDRAW, (asset.code, currency, begins, now))
        later = later[1:]
    standing = later.pop(0) if later and later[0].valid_from <= begins else None
    ends = valid_to or (later[0].valid_from if later else None)
    if _cuts_in(begins, ends, standing, later):
        raise Refused("rate_overlaps", f"Another rate of {asset.code} in {currency} covers part of that period.")
    if standing is not None:
        await tx.execute(_UNTIL, (begins, asset.code, currency, standing.valid_from))
    await _insert_rate(tx, asset, Rate(currency, rate, begins, ends))
    if standing is not None and valid_to is not None and valid_to != standing.valid_to:
        await _insert_rate(tx, asset, Rate(currency, standing.rate, valid_to, standing.valid_to))


async def _insert_rate(tx: Tx, asset: Asset, rate: Rate) -> None:
    price, per = money.rate_parts(rate.rate)
    values = {
        "asset": asset.code, "currency": rate.currency, "rate": price, "per": per, "valid_from": rate.valid_from,
        "valid_to": rate.valid_to, "now": await tx.now(),
    }  # fmt: skip
    await tx.execute(_INSERT_RATE, values)


def _cuts_in(begins: dt.datetime, ends: dt.datetime | None, standing: Rate | None, later: Sequence[Rate]) -> bool:
    """Whether a period would cut off a part of another one that no price is left for."""
    if later and (ends is None or ends > later[0].valid_from):
        return True
    if standing is None:
        return False
    beyond = standing.valid_to is not None and (ends is None or ends > standing.valid_to)
    return standing.valid_from == begins or beyond


async def withdraw_rate(tx: Tx, asset: Asset, currency: str, valid_from: dt.datetime) -> None:
    """Take back a planned price, before it begins: the one before it stays in force. Refuses any other."""
    await _lock_rates(tx, asset, currency)
    found = [rate for rate in await rates_of(tx, asset.code) if rate.currency == currency]
    gone = next((rate for rate in found if rate.valid_from == valid_from), None)
    if gone is None or not await tx.execute(_WITHDRAW, (asset.code, currency, valid_from, await tx.now())):
        raise Refused("rate_missing", f"No price of {asset.code} in {currency} is planned for that moment.")
    before = next((rate for rate in found if rate.valid_to == valid_from), None)
    if before is not None:
        await tx.execute(_UNTIL, (gone.valid_to, asset.code, currency, before.valid_from))


async def _lock_rates(tx: Tx, asset: Asset, currency: str) -> None:
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"rates:{asset.code}:{currency}",))


_RATES = """
    SELECT currency, rate, rate_per, valid_from, valid_to FROM rates WHERE asset = %s ORDER BY currency, valid_from
"""


async def rates_of(tx: Tx, code: str) -> list[Rate]:
    """Every rate of an asset, past and planned."""
    return [_rate(row) for row in await tx.all(_RATES, (code,))]


_FOR_SALE = """
    SELECT DISTINCT a.code FROM assets AS a JOIN rates AS r ON r.asset = a.code
    WHERE a.kind = 'unit' AND r.valid_from <= %(at)s AND (r.valid_to IS NULL OR r.valid_to > %(at)s)
"""


async def units_for_sale(tx: Tx, at: dt.datetime) -> set[str]:
    """Codes of the platform's own units that have a price then, in any currency."""
    return {str(row["code"]) for row in await tx.all(_FOR_SALE, {"at": at})}


_RATE_AT = """
    SELECT rate, rate_per FROM rates
    WHERE asset = %(asset)s AND currency = %(currency)s AND valid_from <= %(at)s
        AND (valid_to IS NULL OR valid_to > %(at)s)
"""


async def rate_at(tx: Tx, asset: Asset, currency: str, at: dt.datetime) -> Fraction | None:
    """Price of one unit in the currency at that time: 1 for the currency itself, None where there is none."""
    if asset.kind == "currency":
        return money.ONE if asset.code == currency else None
    row = await tx.one(_RATE_AT, {"asset": asset.code, "currency": currency, "at": at})
    return None if row is None else money.rate_of(row["rate"], row["rate_per"])


def units_for(amount_minor: int, currency: str, rate: Fraction, asset: Asset) -> Decimal:
    """Units of the asset that this money buys at this rate, rounded down."""
    return money.units_bought(amount_minor, currency, rate=rate, scale=asset.scale)


def _rate(row: Row) -> Rate:
    rate = money.rate_of(row["rate"], row["rate_per"])
    return Rate(row["currency"], rate, row["valid_from"], row["valid_to"])


def _asset(row: Row) -> Asset:
    names = ("code", "name", "kind", "scale", "label", "symbol", "created_at", "bridge_max")
    return Asset(**{name: row[name] for name in names})
