#!/bin/sh
# babel 2.18.0 (PyPI): `format_currency` takes its decimals from CLDR, which gives none to RSD, IQD, LBP, AFN, LAK, MGA and others that
# ISO 4217 (and a payment provider's minor units) count in hundredths or thousandths. An amount of 1234.50 is printed as 1,234, without
# a word, and halves go to even: 1235.50 becomes 1,236. `currency_digits=False` prints two decimals for every currency, KWD too.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check babel==2.18.0
PYTHONIOENCODING=utf-8 "$dir/venv/bin/python" - >"$dir/seen" <<'PY'
from decimal import Decimal
from babel.numbers import format_currency

for currency in ("RSD", "IQD", "LBP", "AFN", "LAK", "MGA"):
    low, high = (format_currency(Decimal(text), currency, locale="en", format="#,##0.00") for text in ("1234.50", "1235.50"))
    print(currency, low, high)
print("KWD", format_currency(Decimal("1.234"), "KWD", locale="en", format="#,##0.00", currency_digits=False))
PY
cat >"$dir/expected" <<'END'
RSD 1,234 1,236
IQD 1,234 1,236
LBP 1,234 1,236
AFN 1,234 1,236
LAK 1,234 1,236
MGA 1,234 1,236
KWD 1.23
END
diff "$dir/expected" "$dir/seen" && cat "$dir/seen" && echo "as described"
