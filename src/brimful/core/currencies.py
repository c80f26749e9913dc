"""Currencies as Stripe charges them: decimals, the step of an amount, its bounds. Data, with its sources.

Codes, decimals, special cases and minimum amounts: docs.stripe.com/currencies, read in 2026. The minimum depends on the
account's settlement currency at Stripe, so it is a first check, and where that page has none it is unknown here;
Stripe's own `amount_too_small` is handled as well. The maximum: the API reference and the SDK's docstring of
`PaymentIntent.create` say eight digits, for every currency; the currencies page says twelve for most cards and nine for
American Express. The reference is taken: what it allows, no card refuses.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Currency:
    """One currency. Minor units are as Stripe counts them, which is not ISO 4217's exponent for MGA, ISK and UGX."""

    code: str
    exponent: int  # decimals of the minor unit
    step_minor: int  # a charge is a multiple of this
    minimum_minor: int | None  # None: unknown
    maximum_minor: int
    usual_minor: int  # a round amount of about half a dollar's worth: what defaults are multiples of


_MAXIMUM_MINOR = 99_999_999
_ZERO_DECIMALS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD JOD KWD OMR TND"  # the last digit must be 0
_HUNDREDS = "ISK UGX"  # two decimals at Stripe, which must be 00
_TWO_DECIMALS = (
    "USD AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP "
    "CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR JMD KES KGS "
    "KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB "
    "PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TOP TRY TTD TWD TZS "
    "UAH UYU UZS WST XCD XCG YER ZAR ZMW"
)
_MINIMUM_MINOR = {
    "USD": 50, "EUR": 50, "GBP": 30, "JPY": 50, "CHF": 50, "CAD": 50, "AUD": 50, "SEK": 300, "NOK": 300, "DKK": 250,
    "PLN": 200, "CZK": 1500, "HUF": 17500, "MXN": 1000, "INR": 50, "BRL": 50, "SGD": 50, "HKD": 400, "THB": 1000,
    "AED": 200, "MYR": 200, "RON": 200, "NZD": 50, "KRW": 50,
}  # fmt: skip
# About how many of a currency make a dollar, as a power of ten; 1 where it is not named. For defaults alone, which are
# to be usable everywhere and exact nowhere.
_MAKE_A_DOLLAR = {
    10: (
        "BWP CNY CZK DKK EGP GTQ HKD HNL HTG LSL MAD MDL MUR MVR MXN MZN NAD NIO NOK PHP SCR SEK SLE SRD SZL THB "
        "TJS TRY TWD UAH UYU ZAR ZMW"
    ),
    100: (
        "AFN ALL AMD BDT CVE DJF DOP DZD ETB GMD HUF INR ISK JMD JPY KES KGS KMF KZT LKR LRD MKD NPR PKR RSD RUB "
        "VUV XPF YER CRC GYD"
    ),
    1000: "AOA ARS BIF CDF CLP COP KHR KRW MGA MMK MNT MWK NGN RWF SOS TZS UGX XAF XOF",
    10_000: "GNF IDR LAK PYG STD UZS VND",
    100_000: "LBP",
}
# Codes of ISO 4217 that Stripe cannot charge, today's and those of the last years. They are no names for a unit either.
_OTHERS = (
    "BGN BOV BTN CHE CHW CLF COU CUC CUP ERN GHS HRK IQD IRR KPW LYD MRO MRU MXV SDG SLL SSP STN SVC SYP TMT USN "
    "UYI UYW VED VEF VES XAG XAU XDR XPD XPT XSU XTS XUA XXX ZWG ZWL"
)
OTHER_ISO_CODES = frozenset(_OTHERS.split())


def _table() -> dict[str, Currency]:
    shapes = [(_ZERO_DECIMALS, 0, 1), (_TWO_DECIMALS, 2, 1), (_HUNDREDS, 2, 100), (_THREE_DECIMALS, 3, 10)]
    worth = {code: factor for factor, codes in _MAKE_A_DOLLAR.items() for code in codes.split()}
    table = {}
    for codes, exponent, step in shapes:
        for code in codes.split():
            half_a_dollar = max(step, 10**exponent * worth.get(code, 1) // 2)
            minimum = _MINIMUM_MINOR.get(code)
            usual = max(half_a_dollar - half_a_dollar % step or step, minimum or 0)
            table[code] = Currency(code, exponent, step, minimum, _MAXIMUM_MINOR, usual)
    return table


CURRENCIES: dict[str, Currency] = _table()
