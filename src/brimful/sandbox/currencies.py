"""Currencies as Stripe charges them: decimals, the step of an amount, its bounds.

The sandbox's own table, so that it is no mirror of the product's. Source: docs.stripe.com/currencies (presentment
currencies, zero-decimal, three-decimal and special cases, minimum charge amounts for an account settled in USD) and,
for the largest amount, docs.stripe.com/api/payment_intents/create (eight digits).
"""

from brimful.sandbox.errors import ApiError


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


LARGEST_MINOR = 99_999_999
_ZERO_DECIMALS = _codes("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
_THREE_DECIMALS = _codes("bhd jod kwd omr tnd")
_HUNDREDS = _codes("isk ugx")
_KNOWN = _codes(
    "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf "
    "clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr "
    "ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur "
    "mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr "
    "sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xcg xof "
    "xpf yer zar zmw"
)
_MINIMUM_MINOR = {
    "usd": 50, "eur": 50, "gbp": 30, "jpy": 50, "chf": 50, "cad": 50, "aud": 50, "sek": 300, "nok": 300, "dkk": 250,
    "pln": 200, "czk": 1500, "huf": 17500, "mxn": 1000, "inr": 50, "brl": 50, "sgd": 50, "hkd": 400, "thb": 1000,
    "aed": 200, "myr": 200, "ron": 200, "nzd": 50, "krw": 50,
}  # fmt: skip


def require_known(currency: str, param: str = "currency") -> str:
    """The code in lower case; 400 in Stripe's words for one that it cannot charge."""
    code = currency.lower()
    if code not in _KNOWN:
        known = ", ".join(sorted(_KNOWN))
        message = f"Invalid currency: {currency}. Stripe currently supports these currencies: {known}"
        raise ApiError(400, message, param=param)
    return code


def require_chargeable(amount: int, code: str, param: str = "amount") -> None:
    """400 for an amount below the minimum, above the maximum, or between two steps. `code` is in lower case."""
    minimum = _MINIMUM_MINOR.get(code, 1)
    if amount < minimum:
        raise ApiError(400, f"Amount must be at least {minimum} {code}", code="amount_too_small", param=param)
    if amount > LARGEST_MINOR:
        raise ApiError(400, f"Amount must be no more than {LARGEST_MINOR}", code="amount_too_large", param=param)
    step = 100 if code in _HUNDREDS else 10 if code in _THREE_DECIMALS else 1
    if amount % step:
        raise ApiError(400, f"Invalid amount: {code} takes multiples of {step}.", param=param)


def decimals(code: str) -> int:
    """How many decimals the minor unit stands for."""
    return 0 if code in _ZERO_DECIMALS else 3 if code in _THREE_DECIMALS else 2
