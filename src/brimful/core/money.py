"""Amounts: reading them, bounding them, converting and rounding them. Nothing else rounds.

A balance is a `Decimal` in the asset's own unit, with the asset's scale (0 to 12 decimals). Money at
Stripe is an `int` of minor units. A pattern checks the raw text before `Decimal` sees it: `Decimal`
itself accepts `NaN`, `1_000`, `" 12"`, Arabic digits, and `1e5000000`, whose expansion stops a process.
"""

import decimal
import math
import re
from decimal import Decimal
from fractions import Fraction

from brimful.core import currencies
from brimful.core.currencies import Currency
from brimful.core.errors import Refused

SCALE_MAX = 12
DIGITS_MAX = 18  # digits before the point, in any amount; the column holds 26, so that sums have room

_PATTERN = re.compile(rf"-?(?:0|[1-9][0-9]{{0,{DIGITS_MAX - 1}}})(?:\.[0-9]{{1,{SCALE_MAX}}})?", re.ASCII)
_TEXT_LENGTH_MAX = 1 + DIGITS_MAX + 1 + SCALE_MAX
# A JSON number with an exponent: Python, Go and JavaScript write 0.00005 as 5e-05 by themselves. RFC 8259, section 6.
_EXPONENT_MAX = 40
_SCIENTIFIC = re.compile(r"(-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?)[eE]([+-]?[0-9]{1,4})", re.ASCII)
_JSON_MAX = 100  # longer than any amount, so that a cut one is still refused
_WIDE = decimal.Context(prec=200, traps=[decimal.InvalidOperation, decimal.Inexact])
ONE = Fraction(1)
CURRENCIES = currencies.CURRENCIES
# Sums and differences anywhere are exact: the default of 28 digits is less than a balance may have (26 before the point
# and 12 after it), and would round without a word.
decimal.DefaultContext.prec = decimal.getcontext().prec = 60
_CONTEXT = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_EVEN, traps=[decimal.InvalidOperation])


def currency(code: str) -> Currency:
    """The currency of that ISO code; refuses one that Stripe cannot charge."""
    found = CURRENCIES.get(code)
    if found is None:
        raise Refused("invalid_field", f"{code!r} is not a currency this platform can charge.", field="currency")
    return found


def parse(value: str, *, scale: int, field: str = "amount") -> Decimal:
    """Read a plain decimal such as `12.50`. Refuses signs other than a leading minus, exponents, spaces,
    separators, other digits than 0-9, and more than `scale` decimals. Trailing zeros are no decimals.
    """
    if len(value) > _TEXT_LENGTH_MAX or not _PATTERN.fullmatch(value):
        raise Refused(
            "amount_invalid",
            f"{field} must be a plain decimal such as 12.50: at most {DIGITS_MAX} digits before the point, "
            "no exponent, spaces or separators.",
            field=field,
        )
    amount = Decimal(value)
    fraction = value.partition(".")[2].rstrip("0")
    if len(fraction) > scale:
        raise Refused(
            "amount_invalid", f"{field} may have at most {scale} decimals here: the asset's precision.", field=field
        )
    return amount or Decimal(0)  # no negative zero


def parse_number(value: str, *, scale: int, field: str = "amount") -> Decimal:
    """Read a JSON number as it was written: a plain decimal, or one with an exponent of at most 40 either way, exactly.

    Refuses what `parse` refuses once the exponent is worked out; an exponent beyond the bound is never worked out.
    """
    scientific = _SCIENTIFIC.fullmatch(value)
    if scientific is None:
        return parse(value, scale=scale, field=field)
    exponent = int(scientific[2])
    if abs(exponent) > _EXPONENT_MAX:
        raise Refused("amount_invalid", f"{field} has an exponent beyond {_EXPONENT_MAX}.", field=field)
    return parse(text(Decimal(scientific[1]).scaleb(exponent, context=_WIDE)), scale=scale, field=field)


def from_json(raw: bytes, *, scale: int, field: str = "amount") -> Decimal:
    """Read an amount from its raw JSON: a string, which is plain, or a number, which JSON itself keeps exact."""
    bounded = raw[:_JSON_MAX].decode("ascii", "replace")
    if len(raw) > 1 and raw[:1] == b'"':
        return parse(bounded[1:-1], scale=scale, field=field)
    return parse_number(bounded, scale=scale, field=field)


def positive(amount: Decimal, *, field: str = "amount") -> Decimal:
    """The amount itself; refuses zero and less."""
    if amount <= 0:
        raise Refused("amount_invalid", f"{field} must be greater than zero.", field=field)
    return amount


def one_unit(scale: int) -> Decimal:
    """The smallest amount of an asset with that many decimals."""
    return Decimal(1).scaleb(-scale)


def text(amount: Decimal) -> str:
    """Plain text without exponent and without trailing zeros: what JSON answers carry."""
    plain = format(amount, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def major(minor: int, code: str) -> Decimal:
    """Minor units as an amount of the currency: 2500 USD -> 25.00."""
    return Decimal(minor).scaleb(-currency(code).exponent, context=_CONTEXT)


def major_text(minor: int | None, code: str) -> str | None:
    """The same as the text that JSON carries; None stays None."""
    return None if minor is None else text(major(minor, code))


def priced(minor: int, code: str) -> str:
    """Money for a person who reads plain English: 2000 USD -> `20.00 USD`."""
    return f"{major(minor, code):.{currency(code).exponent}f} {code}"


def minor_exact(amount: Decimal, code: str, *, field: str = "amount") -> int:
    """An amount of the currency in minor units; refuses fractions of one, and what Stripe cannot charge."""
    shape = currency(code)
    scaled = amount.scaleb(shape.exponent, context=_CONTEXT)
    minor = int(scaled)  # bounded: parse() has limited the digits
    if minor != scaled or minor % shape.step_minor:
        step = text(major(shape.step_minor, code))
        raise Refused("amount_invalid", f"{field} must be a multiple of {step} {code}.", field=field)
    return minor


def least_minor(code: str) -> int:
    """The smallest payment that the provider takes, or one step where that is not known."""
    shape = currency(code)
    return shape.minimum_minor or shape.step_minor


def chargeable(minor: int, code: str, *, field: str = "amount") -> int:
    """The same minor units; refuses less than Stripe's minimum for the currency, where that is known, or more than its
    maximum.
    """
    shape = currency(code)
    least = least_minor(code)
    if not least <= minor <= shape.maximum_minor:
        low, high = text(major(least, code)), text(major(shape.maximum_minor, code))
        raise Refused("amount_out_of_range", f"{field} must be between {low} and {high} {code}.", field=field)
    return minor


def units_bought(minor: int, code: str, *, rate: Fraction, scale: int) -> Decimal:
    """Units of an asset that a payment buys: money / rate, worked out exactly and rounded down to the asset's scale.

    `rate` is the price of one unit in the currency; for a currency asset it is 1. May be zero.
    """
    whole = minor * rate.denominator * 10**scale // (rate.numerator * 10 ** currency(code).exponent)
    return Decimal(whole).scaleb(-scale, context=_CONTEXT)


def units_left(units: Decimal, left_minor: int, whole_minor: int, *, scale: int) -> Decimal:
    """Units that belong to what a payment has left in money: in proportion, rounded up to the asset's scale, so in
    the customer's favour. All for the whole, none for nothing or less.
    """
    left = max(0, min(left_minor, whole_minor))
    exact = _CONTEXT.divide(_CONTEXT.multiply(units, Decimal(left)), Decimal(whole_minor))
    rounded = exact.quantize(one_unit(scale), rounding=decimal.ROUND_UP, context=_CONTEXT)
    return min(rounded, units)


def worth_minor(units: Decimal, code: str, *, rate: Fraction) -> int:
    """Money that buys at least these units, rounded up to a step that Stripe can charge."""
    shape = currency(code)
    exact: Fraction = Fraction(units) * rate * 10**shape.exponent / shape.step_minor
    return math.ceil(exact) * shape.step_minor


def rate_of(rate: Decimal, per: Decimal) -> Fraction:
    """The price of one unit where `rate` of a currency buys `per` units: how rates are kept, so that 6 units for one
    dollar stay that.
    """
    return Fraction(rate) / Fraction(per)


def value(units: Decimal, rate: Fraction) -> Decimal:
    """What units are worth at that rate, rounded half even to 12 decimals: to be shown, never charged."""
    return _decimal(Fraction(units) * rate)


def rate_parts(rate: Fraction) -> tuple[Decimal, Decimal]:
    """`rate_of` the other way: (price, 1) where the price is a decimal, else (1, units for one of the currency)."""
    price = _decimal(rate)
    return (price, Decimal(1)) if Fraction(price) == rate else (Decimal(1), _decimal(1 / rate))


def rate_text(rate: Fraction) -> str:
    """A rate as `parse_rate` reads it: `0.25`, or `1/6` where the price of one unit is no decimal."""
    price, per = rate_parts(rate)
    return text(price) if per == 1 else f"{text(price)}/{text(per)}"


def parse_rate(value: str) -> Fraction:
    """Read what `rate_text` wrote; refuses anything else."""
    price, slash, per = value.partition("/")
    units = parse(per, scale=SCALE_MAX, field="rate") if slash else Decimal(1)
    return rate_of(positive(parse(price, scale=SCALE_MAX, field="rate"), field="rate"), positive(units, field="rate"))


def rate_rounded(rate: Fraction) -> str:
    """The price of one unit for those who read a decimal: rounded half even to 12 decimals. Nothing is computed with
    it.
    """
    return text(_decimal(rate))


def _decimal(rate: Fraction) -> Decimal:
    exact = _CONTEXT.divide(Decimal(rate.numerator), Decimal(rate.denominator))
    return exact.quantize(one_unit(SCALE_MAX), context=_CONTEXT)
