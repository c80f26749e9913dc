"""Amounts: reading them, bounding them, converting and rounding them. Nothing else rounds.

A balance is a `Decimal` in the asset's own unit, with the asset's scale (0 to 12 decimals). Money at
Stripe is an `int` of minor units. A pattern checks the raw text before `Decimal` sees it: `Decimal`
itself accepts `NaN`, `1_000`, `" 12"`, Arabic digits, and `1e5000000`, whose expansion stops a process.
"""

import dataclasses
import decimal
import re
from decimal import Decimal

from brimful.core.errors import Refused

SCALE_MAX = 12
DIGITS_MAX = 18  # digits before the point, in any amount; the column holds 26, so that sums have room

_PATTERN = re.compile(rf"-?(?:0|[1-9][0-9]{{0,{DIGITS_MAX - 1}}})(?:\.[0-9]{{1,{SCALE_MAX}}})?", re.ASCII)
_TEXT_LENGTH_MAX = 1 + DIGITS_MAX + 1 + SCALE_MAX
_CONTEXT = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_EVEN, traps=[decimal.InvalidOperation])


@dataclasses.dataclass(frozen=True)
class Currency:
    """How Stripe counts one currency.

    Source: docs.stripe.com/currencies (zero-decimal, three-decimal and special cases; minimum charge
    amounts). `minimum_minor` depends on the account's settlement currency at Stripe, so it is a first
    check; Stripe's own `amount_too_small` is handled as well.
    """

    code: str
    exponent: int  # decimals of the minor unit as Stripe counts it
    step_minor: int  # the charge must be a multiple of this
    minimum_minor: int


_ZERO = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE = "BHD JOD KWD OMR TND"
_HUNDREDS = "ISK UGX"  # two decimals at Stripe, which must be 00
_TWO = (
    "USD EUR GBP CHF CAD AUD NZD SEK NOK DKK PLN CZK HUF RON BGN MXN BRL INR SGD HKD THB AED MYR "
    "ZAR ILS TRY PHP IDR TWD SAR QAR EGP MAD KES NGN GHS ARS COP PEN UYU DOP CRC GTQ UAH GEL KZT LKR PKR BDT"
)
_MINIMUMS = {
    "USD": 50, "EUR": 50, "GBP": 30, "JPY": 50, "CHF": 50, "CAD": 50, "AUD": 50, "SEK": 300, "NOK": 300,
    "DKK": 250, "PLN": 200, "CZK": 1500, "HUF": 17500, "MXN": 1000, "INR": 50, "BRL": 50, "SGD": 50,
    "HKD": 400, "THB": 1000, "AED": 200, "MYR": 200, "RON": 200, "NZD": 50, "BGN": 100,
}  # fmt: skip


def _table() -> dict[str, Currency]:
    shapes = [(_ZERO, 0, 1), (_TWO, 2, 1), (_HUNDREDS, 2, 100), (_THREE, 3, 10)]
    return {
        code: Currency(code, exponent, step, _MINIMUMS.get(code, step))
        for codes, exponent, step in shapes
        for code in codes.split()
    }


CURRENCIES: dict[str, Currency] = _table()
ONE = Decimal(1)
CHARGE_MINOR_MAX = 99_999_999  # Stripe takes at most eight digits


def currency(code: str) -> Currency:
    """The currency of that ISO code; refuses one that Stripe's table does not have."""
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
        raise Refused("amount_invalid", f"{field} may have at most {scale} decimals here.", field=field)
    return amount or Decimal(0)  # no negative zero


def from_json(raw: bytes, *, scale: int, field: str = "amount") -> Decimal:
    """Read an amount from its raw JSON: a string, or a number, which JSON itself keeps exact."""
    bare = raw[1:-1] if len(raw) > 1 and raw[:1] == b'"' else raw
    return parse(bare[: _TEXT_LENGTH_MAX + 1].decode("ascii", "replace"), scale=scale, field=field)


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


def minor_exact(amount: Decimal, code: str, *, field: str = "amount") -> int:
    """An amount of the currency in minor units; refuses fractions of one, and what Stripe cannot charge."""
    shape = currency(code)
    scaled = amount.scaleb(shape.exponent, context=_CONTEXT)
    minor = int(scaled)  # bounded: parse() has limited the digits
    if minor != scaled or minor % shape.step_minor:
        step = text(major(shape.step_minor, code))
        raise Refused("amount_invalid", f"{field} must be a multiple of {step} {code}.", field=field)
    return minor


def chargeable(minor: int, code: str, *, field: str = "amount") -> int:
    """The same minor units; refuses less than Stripe's minimum for the currency or more than 8 digits."""
    shape = currency(code)
    if not shape.minimum_minor <= minor <= CHARGE_MINOR_MAX:
        low, high = text(major(shape.minimum_minor, code)), text(major(CHARGE_MINOR_MAX, code))
        raise Refused("amount_out_of_range", f"{field} must be between {low} and {high} {code}.", field=field)
    return minor


def units_bought(minor: int, code: str, *, rate: Decimal, scale: int) -> Decimal:
    """Units of an asset that a payment buys: money / rate, rounded down to the asset's scale.

    `rate` is the price of one unit in the currency; for a currency asset it is 1. May be zero.
    """
    exact = _CONTEXT.divide(major(minor, code), rate)
    return exact.quantize(one_unit(scale), rounding=decimal.ROUND_DOWN, context=_CONTEXT)


def units_left(units: Decimal, left_minor: int, whole_minor: int, *, scale: int) -> Decimal:
    """Units that belong to what a payment has left in money: in proportion, rounded up to the asset's scale, so in
    the customer's favour. All for the whole, none for nothing or less.
    """
    left = max(0, min(left_minor, whole_minor))
    exact = _CONTEXT.divide(_CONTEXT.multiply(units, Decimal(left)), Decimal(whole_minor))
    rounded = exact.quantize(one_unit(scale), rounding=decimal.ROUND_UP, context=_CONTEXT)
    return min(rounded, units)


def worth_minor(units: Decimal, code: str, *, rate: Decimal) -> int:
    """Money that buys at least these units, rounded up to a step that Stripe can charge."""
    shape = currency(code)
    exact = _CONTEXT.multiply(units, rate).scaleb(shape.exponent, context=_CONTEXT)
    steps = (exact / shape.step_minor).to_integral_value(rounding=decimal.ROUND_CEILING)
    return int(steps) * shape.step_minor


def inverse(rate: Decimal) -> Decimal:
    """1 / rate, rounded half even to 12 decimals: units for one of the currency become the price of one unit."""
    return _CONTEXT.divide(ONE, rate).quantize(Decimal(1).scaleb(-SCALE_MAX), context=_CONTEXT)
