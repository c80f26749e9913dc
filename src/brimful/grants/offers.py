"""Offers: what the platform gives on top of a payment, "from 100 USD: 10 %, expires after 90 days".

An asset has one list of them, replaced as a whole: a new version, the ones before it stay. Which offer applies is
decided when a top-up is made, with what the customer was shown; a later version changes nothing of it.
"""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from brimful.assets import Asset
from brimful.core import money
from brimful.core.errors import Refused
from brimful.db.pool import Row, Tx
from brimful.top_ups.model import Bonus

PERCENT_MAX = Decimal(100)
OFFERS_MAX = 20  # of one asset; the API takes no more
_NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True)
class Offer:
    """From `from_minor` of `currency` on, `percent` of the units that a payment buys come on top."""

    currency: str
    from_minor: int
    percent: Decimal
    expires_after_days: int | None
    valid_from: dt.datetime
    valid_to: dt.datetime | None

    def bonus(self, units: Decimal, scale: int, version: int) -> Bonus | None:
        """What comes on top of so many units, rounded down to the asset's scale; None for less than the least."""
        exact = Fraction(units) * Fraction(self.percent) / 100 * 10**scale
        whole = Decimal(exact.numerator // exact.denominator).scaleb(-scale)
        return Bonus(whole, self.expires_after_days, version) if whole else None


@dataclasses.dataclass(frozen=True)
class OfferList:
    """The offers in force of one asset; version 0 before the first list."""

    version: int
    offers: tuple[Offer, ...]

    def applying(self, currency: str, amount_minor: int, at: dt.datetime) -> Offer | None:
        """The offer for a payment of this amount at this moment: the one with the highest `from` that it reaches."""
        reached = [offer for offer in self.in_force(currency, at) if offer.from_minor <= amount_minor]
        return max(reached, key=lambda offer: offer.from_minor, default=None)

    def in_force(self, currency: str, at: dt.datetime) -> list[Offer]:
        """Those for payments in a currency at this moment, the lowest first."""
        found = [
            one for one in self.offers if one.currency == currency and one.valid_from <= at < (one.valid_to or _NEVER)
        ]
        return sorted(found, key=lambda offer: offer.from_minor)


_NEWEST = """
    SELECT version, currency, from_minor, percent, expires_after_days, valid_from, valid_to FROM offers
    WHERE asset = %(asset)s AND version = (SELECT max(version) FROM offers WHERE asset = %(asset)s)
    ORDER BY place
"""


async def newest(tx: Tx, asset: str) -> OfferList:
    """The list in force."""
    rows = await tx.all(_NEWEST, {"asset": asset})
    version = rows[0]["version"] if rows else 0
    return OfferList(version, tuple(_offer(row) for row in rows if row["currency"] is not None))


def _offer(row: Row) -> Offer:
    return Offer(**{field.name: row[field.name] for field in dataclasses.fields(Offer)})


async def bonus_for(tx: Tx, asset: str, scale: int, currency: str, amount_minor: int, units: Decimal) -> Bonus | None:
    """What comes on top of a payment that buys so many units of the asset; None where no offer applies."""
    found = await newest(tx, asset)
    offer = found.applying(currency, amount_minor, await tx.now())
    return None if offer is None else offer.bonus(units, scale, found.version)


_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))"
_INSERT = """
    INSERT INTO offers (asset, version, place, currency, from_minor, percent, expires_after_days, valid_from, valid_to,
        recorded_at)
    VALUES (%(asset)s, %(version)s, %(place)s, %(currency)s, %(from_minor)s, %(percent)s, %(expires_after_days)s,
        %(valid_from)s, %(valid_to)s, %(now)s)
"""


async def replace(tx: Tx, asset: Asset, offers: Sequence[Offer]) -> OfferList:
    """Put another list in force from now on.

    Refuses an offer that gives more than it costs, one of an unknown currency, and two that would apply to the same
    payment: of one currency, from the same amount, at the same time.
    """
    _validate(asset, offers)
    await tx.execute(_LOCK, (f"offers:{asset.code}",))
    version, now = (await newest(tx, asset.code)).version + 1, await tx.now()
    head = {"asset": asset.code, "version": version, "now": now}
    for place, offer in enumerate(offers):
        await tx.execute(_INSERT, {**head, "place": place, **dataclasses.asdict(offer)})
    if not offers:
        nothing = {"currency": None, "from_minor": None, "percent": None, "expires_after_days": None}
        await tx.execute(_INSERT, {**head, "place": 0, **nothing, "valid_from": now, "valid_to": None})
    return OfferList(version, tuple(offers))


def _validate(asset: Asset, offers: Sequence[Offer]) -> None:
    for offer in offers:
        if not 0 < offer.percent <= PERCENT_MAX:
            raise Refused(
                "amount_out_of_range", "percent must be more than 0 and at most 100: a bonus beyond what is paid "
                "would be worth more than its payment.", field="percent",
            )  # fmt: skip
        if offer.valid_to is not None and offer.valid_to <= offer.valid_from:
            raise Refused("invalid_field", "valid_to must lie after valid_from.", field="valid_to")
        if asset.kind == "currency" and asset.code != offer.currency:
            raise Refused("invalid_field", f"{asset.code} is bought with {asset.code} alone.", field="currency")
    for one, other in itertools.combinations(offers, 2):
        if _overlap(one, other):
            start = money.priced(one.from_minor, one.currency)
            raise Refused("offer_overlaps", f"Two offers from {start} apply at the same time: keep one of them.")


def _overlap(one: Offer, other: Offer) -> bool:
    same = (one.currency, one.from_minor) == (other.currency, other.from_minor)
    return same and one.valid_from < (other.valid_to or _NEVER) and other.valid_from < (one.valid_to or _NEVER)
