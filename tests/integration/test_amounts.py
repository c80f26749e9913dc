"""Numbers as programs and people write them, in every currency: exact, or refused with a way out."""

from decimal import Decimal

import pytest

from brimful import assets, i18n
from brimful.core import currencies, money
from brimful.portal import limits
from brimful.sandbox import currencies as sandbox_currencies
from brimful.settings.model import PortalSettings


@pytest.mark.parametrize(("raw", "amount"), [("5e-05", "0.00005"), ("1.35E-5", "0.0000135"), ("2e1", "20"),
                                            ("1E+0", "1"), ("0.0000135", "0.0000135")])  # fmt: skip
async def test_a_number_with_an_exponent_is_what_it_says(harness, raw, amount):
    """Python, Go and JavaScript write small numbers so by themselves."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    body = f'{{"id": "e", "customer_id": "{customer_id}", "asset": "USD", "amount": {raw}}}'
    answer = await harness.api.post("/v1/usage", content=body)
    assert answer.status_code == 200, answer.text
    assert await harness.balance(customer_id) == 100 - Decimal(amount)
    path = f"/v1/customers/{customer_id}/wallet/adjustments"
    again = await harness.api.post(path, content=f'{{"transaction_id": "t", "asset": "USD", "amount": {raw}}}')
    assert again.status_code == 201, again.text
    assert await harness.balance(customer_id) == 100


@pytest.mark.parametrize("raw", ["1e41", "1e-41", "1e5000000", "1e-10", "1e20"])
async def test_an_exponent_that_is_out_of_bounds_is_refused(harness, raw):
    customer_id = await harness.customer()
    body = f'{{"id": "e", "customer_id": "{customer_id}", "asset": "USD", "amount": {raw}}}'
    answer = (await harness.api.post("/v1/usage", content=body)).json()
    assert "amount_invalid" in str(answer), answer
    assert await harness.sql("SELECT 1 FROM entries") == []


async def test_more_than_twenty_eight_digits_are_kept(harness):
    """The default context of `decimal` rounds there: the answer was `applied`, and nothing had changed."""
    body = {"code": "DUST", "name": "Dust", "precision": 12}
    await harness.call("POST", "/assets", body, expect=201)
    customer_id = await harness.customer()
    large = "9" * 18
    await harness.give(customer_id, large, "DUST")
    answer = await harness.use(customer_id, "0.000000000001", "e-1", "DUST")
    assert answer["status"] == "applied"
    assert await harness.balance(customer_id, "DUST") == Decimal(f"{'9' * 17}8.{'9' * 12}")


def test_both_tables_have_the_same_currencies():
    """The product's and the sandbox's are written apart, from one page."""
    ours = {code.lower(): (shape.exponent, shape.step_minor) for code, shape in currencies.CURRENCIES.items()}
    assert set(ours) == set(sandbox_currencies._KNOWN)
    for code, (exponent, step) in ours.items():
        assert sandbox_currencies.decimals(code) == exponent
        sandbox_currencies.require_chargeable(17_500 * 100, code)
        if step > 1:
            with pytest.raises(Exception, match="multiples"):
                sandbox_currencies.require_chargeable(17_500 * 100 + 1, code)


@pytest.mark.parametrize("code", sorted(currencies.CURRENCIES))
def test_the_default_bounds_can_be_used_in_every_currency(code):
    """Not 20 to 200 won: about half a dollar to a thousand, and something between."""
    shape = money.currency(code)
    asset = assets.Asset(code, code, "currency", 9, None, None, None)
    bounds = limits.bounds_for(PortalSettings(), asset, code)
    assert bounds.low_minor >= (shape.minimum_minor or 1)
    assert bounds.high_minor >= 19 * bounds.low_minor
    for minor in (bounds.low_minor, bounds.high_minor - bounds.high_minor % shape.step_minor):
        assert money.chargeable(minor, code) == minor
        assert money.minor_exact(money.major(minor, code), code) == minor


@pytest.mark.parametrize("code", ["CNY", "KES", "UGX"])
async def test_a_currency_of_stripes_list_is_a_currency(harness, code):
    await harness.call("POST", "/assets", {"code": code, "name": code}, expect=201)
    assert await harness.sql("SELECT kind, scale FROM assets WHERE code = %s", (code,)) == [
        {"kind": "currency", "scale": 9}
    ]


@pytest.mark.parametrize("code", ["GHS", "IRR", "BGN", "XAU"])
async def test_a_currency_that_cannot_be_charged_is_no_unit(harness, code):
    refused = await harness.call("POST", "/assets", {"code": code, "name": code}, expect=422)
    assert "give a unit another code" in refused["detail"]


async def test_the_customer_types_what_they_see_and_no_more(harness):
    _, visitor = await harness.funded(balance=40)
    page = await visitor.get("/auto-top-up/USD")
    for field, value in (("threshold", "10.555"), ("limit", "9" * 18), ("limit", "9" * 15)):
        answer = await visitor.submit(page, "", {field: value})
        assert answer.status_code == 422, (field, value, answer.status_code)
    assert [row["threshold"] for row in await harness.sql("SELECT threshold FROM rules")] == [Decimal(10)]


@pytest.mark.parametrize(("language", "shown"), [("en", "HUF25.50"), ("de", "25,50 HUF"), ("ar", "25.50 HUF")])
def test_decimals_are_our_own_tables(language, shown):
    """babel 2.19.0 has none for the forint, and one where the amount has."""
    words = i18n.words.speak(language)
    assert shown in words.cash(2550, "HUF").replace("\xa0", " ")
    assert "20" + words.cash(2000, "HUF").replace("\xa0", " ").partition("20")[2][:3] in {"20.00", "20,00"}
    assert words.cash(500, "JPY").count("0") == 2


def test_the_arabic_portal_reads_arabic_digits():
    arabic = i18n.words.speak("ar")
    assert arabic.read("١٢٫٥", scale=2) == Decimal("12.5")
    assert arabic.read("۱۲۳", scale=0) == Decimal(123)
    assert arabic.read("12.5", scale=2) == Decimal("12.5")
