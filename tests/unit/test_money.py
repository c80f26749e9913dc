"""Amounts: exact, bounded, rounded in one place."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from brimful.core import money
from brimful.core.errors import Refused

CODES = sorted(money.CURRENCIES)


@pytest.mark.parametrize("code", CODES)
def test_every_currency_goes_there_and_back(code):
    """F34."""
    shape = money.currency(code)
    for minor in (shape.minimum_minor or 1, 12 * shape.step_minor * 100, shape.maximum_minor // shape.step_minor):
        whole = minor - minor % shape.step_minor
        assert money.minor_exact(money.major(whole, code), code) == whole


@pytest.mark.parametrize(
    ("code", "amount", "minor"),
    [("USD", "1.10", 110), ("JPY", "110", 110), ("KWD", "1.110", 1110), ("ISK", "5", 500), ("UGX", "5", 500),
     ("MGA", "7", 7)],
)  # fmt: skip
def test_stripes_own_exponents(code, amount, minor):
    assert money.minor_exact(Decimal(amount), code) == minor


@pytest.mark.parametrize(("code", "amount"), [("JPY", "1.5"), ("ISK", "5.50"), ("KWD", "1.111"), ("USD", "0.005")])
def test_what_stripe_cannot_charge_is_refused(code, amount):
    with pytest.raises(Refused, match="multiple of"):
        money.minor_exact(Decimal(amount), code)


@pytest.mark.parametrize("minor", [49, 0, -5, 100_000_000])
def test_amounts_outside_stripes_bounds_are_refused(minor):
    with pytest.raises(Refused):
        money.chargeable(minor, "USD")


@given(st.integers(50, 99_999_999), st.integers(1, 10**9), st.integers(0, 12))
def test_units_are_rounded_down_and_never_worth_more_than_was_paid(minor, rate_millionths, scale):
    rate = Fraction(rate_millionths, 10**6)
    units = money.units_bought(minor, "USD", rate=rate, scale=scale)
    paid, worth = Fraction(money.major(minor, "USD")), Fraction(units) * rate
    assert 0 <= worth <= paid
    assert paid - worth < rate / 10**scale


@given(st.decimals(min_value="0.000001", max_value="1000000", places=6), st.integers(1, 10**7))
def test_money_for_units_buys_at_least_those_units(units, rate_millionths):
    rate = Fraction(rate_millionths, 10**6)
    minor = money.worth_minor(units, "USD", rate=rate)
    if minor:
        assert money.units_bought(minor, "USD", rate=rate, scale=6) >= units


@pytest.mark.parametrize(
    ("per_dollar", "minor", "units"),
    [("6", 100, "6"), ("6", 2500, "150"), ("999999", 100, "999999"), ("3", 33, "0"), ("7", 100_00, "700"),
     ("0.3", 1000, "3"), ("1000000000000", 1_00, "1000000000000")],
)  # fmt: skip
def test_units_for_one_dollar_are_sold_as_given(per_dollar, minor, units):
    rate = money.rate_of(Decimal(1), Decimal(per_dollar))
    assert money.units_bought(minor, "USD", rate=rate, scale=0) == Decimal(units)


def rates():
    return st.decimals("0.000000000001", 10**12, places=12).map(Fraction)


@given(rates(), st.booleans())
def test_rates_are_kept_as_given(given_as, upside_down):
    rate = 1 / given_as if upside_down else given_as
    assert money.rate_of(*money.rate_parts(rate)) == rate
    assert money.parse_rate(money.rate_text(rate)) == rate


@pytest.mark.parametrize("text", ["", "/", "1/", "1/0", "0", "-1", "1e9999999", "1/6/2", "NaN", "٣"])
def test_no_other_text_is_a_rate(text):
    with pytest.raises(Refused):
        money.parse_rate(text)


@given(st.text(max_size=40))
def test_whatever_is_parsed_is_a_plain_bounded_decimal(text):
    try:
        amount = money.parse(text, scale=12)
    except Refused:
        return
    assert text.isascii()
    assert amount.is_finite()
    assert abs(amount) < Decimal(10) ** money.DIGITS_MAX


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**17), max_value=10**17, places=12))
def test_text_and_parse_are_inverse(amount):
    assert money.parse(money.text(amount), scale=12) == amount
