"""Amounts: exact, bounded, rounded in one place."""

from decimal import Decimal

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
    rate = Decimal(rate_millionths) / 10**6
    units = money.units_bought(minor, "USD", rate=rate, scale=scale)
    assert 0 <= units * rate <= money.major(minor, "USD")
    assert money.major(minor, "USD") - units * rate < rate * Decimal(1).scaleb(-scale)


@given(st.decimals(min_value="0.000001", max_value="1000000", places=6), st.integers(1, 10**7))
def test_money_for_units_buys_at_least_those_units(units, rate_millionths):
    rate = Decimal(rate_millionths) / 10**6
    minor = money.worth_minor(units, "USD", rate=rate)
    if minor:
        assert money.units_bought(minor, "USD", rate=rate, scale=6) >= units


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
