"""One language's words: translated texts, and amounts and times as its readers write them.

English is the source: a message is its own key. The other languages are gettext catalogues in `locales/`;
a test compares them with every text in the code.
"""

import copy
import dataclasses
import datetime as dt
import functools
import io
import pathlib
import re
import zoneinfo
from decimal import Decimal, InvalidOperation
from typing import Protocol

import babel
import babel.dates
import babel.numbers
import babel.support
from babel.messages import mofile, pofile

from brimful.core import money
from brimful.core.errors import Refused

LANGUAGES = {"en": "English", "de": "Deutsch", "ar": "العربية"}
_REGIONS = {"en": "en_US", "de": "de_DE", "ar": "ar"}
_LOCALES = pathlib.Path(__file__).parent / "locales"
_LENGTH_MAX = 40
_AROUND = " \u00a0\u202f"  # between a number and its currency
# Arabic-Indic digits, also the eastern ones, with their decimal point and grouping.
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹\u066b\u066c", "01234567890123456789.,")
_RLM = "\u200f"
# What people may type into an amount: ASCII digits with separators. Babel alone would take far more.
_TYPED = re.compile(r"[0-9](?:[0-9., \u00a0\u202f\u2019'\u066b\u066c]*[0-9])?", re.ASCII)


class Unit(Protocol):
    """What is needed of an asset to write an amount of it."""

    @property
    def code(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def scale(self) -> int: ...
    @property
    def label(self) -> str | None: ...
    @property
    def symbol(self) -> str | None: ...


def choose(*wishes: str | None) -> str:
    """The first language that we speak, of languages and Accept-Language lists in order of preference."""
    for wish in wishes:
        for part in (wish or "").split(",")[:20]:
            code = part.split(";")[0].strip().replace("_", "-").split("-")[0].lower()
            if code in LANGUAGES:
                return code
    return "en"


@functools.cache
def _translations(language: str) -> babel.support.NullTranslations:
    path = _LOCALES / f"{language}.po"
    if language == "en":
        return babel.support.NullTranslations()
    with path.open("rb") as source:
        catalogue = pofile.read_po(source, locale=language)
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalogue)
    compiled.seek(0)
    return babel.support.Translations(compiled)


def speak(language: str, zone: str = "UTC") -> "Words":
    """The words of one of `LANGUAGES`, with times in a zone such as Europe/Berlin."""
    return Words(language, babel.Locale.parse(_REGIONS[language]), zone)


@dataclasses.dataclass(frozen=True)
class Words:
    """Texts and amounts for one reader."""

    language: str
    locale: babel.Locale
    zone: str

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return self.locale.text_direction

    def t(self, message: str, **values: object) -> str:
        """The message in this language, with its {names} filled in."""
        return _translations(self.language).gettext(message).format(**values)

    def n(self, one: str, many: str, number: int, **values: object) -> str:
        """The message in the form that this number takes; {number} is the number."""
        shown = babel.numbers.format_decimal(number, locale=self.locale)
        text = _translations(self.language).ngettext(one, many, number)
        return text.format(number=shown, **values)

    # --- amounts ---------------------------------------------------------------------------------------

    def cash(self, minor: int, currency: str) -> str:
        """Minor units as `$25.00`."""
        return self.currency(money.major(minor, currency), currency)

    def currency(self, amount: Decimal, currency: str) -> str:
        """An amount of a currency. Without quantization: $0.0034 must not read as $0.00."""
        places = len(money.text(amount).partition(".")[2])
        least = money.currency(currency).exponent
        return self._money(amount, currency, least, max(least, places))

    def rounded(self, amount: Decimal, currency: str) -> str:
        """The same to the currency's own decimals, for sums where the last digits do not matter."""
        places = money.currency(currency).exponent
        return self._money(amount, currency, places, places)

    def _money(self, amount: Decimal, currency: str, least: int, most: int) -> str:
        """With so many decimals, by our own table: babel 2.19.0 has none for the forint, which Stripe counts by two."""
        pattern = copy.copy(self.locale.currency_formats["standard"])
        pattern.frac_prec = (least, most)
        text: str = pattern.apply(amount, self.locale, currency=currency, currency_digits=False)
        return self._whole(text)

    def amount_rounded(self, amount: Decimal, unit: Unit) -> str:
        """An amount for a summary: a currency to its own decimals, a unit to whole ones above ten."""
        if unit.kind == "currency":
            return self.rounded(amount, unit.code)
        step = Decimal(1) if abs(amount) >= 10 else Decimal("0.01")
        return self.amount(amount.quantize(step).normalize() + 0, unit)

    def number(self, amount: Decimal) -> str:
        text: str = babel.numbers.format_decimal(amount, locale=self.locale, decimal_quantization=False)
        return text

    def amount(self, amount: Decimal, unit: Unit) -> str:
        """`$31.40`, `1,250 tokens`, `1 minute`."""
        plain = Decimal(money.text(amount))
        if unit.kind == "currency":
            return self.currency(plain, unit.code)
        return self._whole(f"{unit.symbol or ''}{self.number(plain)} {self.unit(plain, unit)}")

    def _whole(self, text: str) -> str:
        """Keeps an amount in one piece between words that run from right to left (Unicode isolates)."""
        if self.direction == "ltr":
            return text
        return f"\u2066{text.replace(_RLM, '').strip()}\u2069"

    def asset(self, unit: Unit) -> str:
        """The asset's name: a currency's in this language, a unit's as the platform gave it."""
        if unit.kind == "currency":
            name: str = babel.numbers.get_currency_name(unit.code, count=2, locale=self.locale)
            return name
        return unit.name

    def signed(self, amount: Decimal, unit: Unit) -> str:
        """The same with a plus where it adds."""
        return f"+{self.amount(amount, unit)}" if amount > 0 else self.amount(amount, unit)

    def unit(self, amount: Decimal, unit: Unit) -> str:
        """The word for the unit; a label such as `minute|minutes` has a form for one and a form for many."""
        forms = (unit.label or unit.code).split("|")
        one = self.locale.plural_form(abs(amount)) == "one"
        return forms[0] if one else forms[-1]

    def percent(self, part: int | Decimal) -> str:
        share = Decimal(part) / 100
        text: str = babel.numbers.format_percent(share, locale=self.locale, decimal_quantization=False)
        return text

    def typed(self, amount: Decimal) -> str:
        """An amount as it stands in an input: this language's decimal point, no grouping, no symbol."""
        plain = Decimal(money.text(amount))
        text: str = babel.numbers.format_decimal(
            plain, locale=self.locale, decimal_quantization=False, group_separator=False
        )
        return text

    def typed_cash(self, minor: int, currency: str) -> str:
        """Money as it stands in an input: `25` or `25.50`."""
        amount = money.major(minor, currency)
        exponent = money.currency(currency).exponent
        whole = amount == amount.to_integral_value()
        text: str = babel.numbers.format_decimal(
            amount, format="0" if whole else "0." + "0" * exponent, locale=self.locale, group_separator=False
        )
        return text

    def read(self, text: str, *, scale: int, of: Unit | str | None = None, field: str = "amount") -> Decimal:
        """An amount as people of this language type it, also with the name of what it is `of` (`$20`, `20 USD`): an
        asset, or a currency by its code.

        Raises:
            Refused: `amount_invalid`, with the `decimals` that it may have. Also what could mean another number: `1.23`
                in German, `1,5` in English.
        """
        try:
            return self._read(self._bare(text, of), scale=scale, field=field)
        except Refused as refused:
            raise Refused(refused.code, refused.detail, field=field, decimals=scale) from None

    def _bare(self, text: str, of: Unit | str | None) -> str:
        """Without the name, before or after the number."""
        kept = text.strip().translate(_DIGITS) if self.language == "ar" else text.strip()
        if of is None:
            return kept
        if isinstance(of, str):
            names = {of, babel.numbers.get_currency_symbol(of, self.locale)}
        else:
            names = {of.code, *(of.label or "").split("|"), of.symbol or ""}
        for name in sorted(names - {""}, key=len, reverse=True):
            for bare in (kept[len(name) :], kept[: -len(name)]):
                if kept.casefold() in {f"{name}{bare}".casefold(), f"{bare}{name}".casefold()}:
                    return bare.strip(_AROUND)
        return kept

    def _read(self, kept: str, *, scale: int, field: str) -> Decimal:
        if len(kept) > _LENGTH_MAX or not _TYPED.fullmatch(kept):
            return money.parse(kept, scale=scale, field=field)
        try:
            amount = babel.numbers.parse_decimal(kept, locale=self.locale, strict=True)
        except (babel.numbers.NumberFormatError, InvalidOperation):  # more digits than babel can round
            raise Refused("amount_invalid", f"{field} is not a number in this language.", field=field) from None
        return money.parse(format(amount, "f"), scale=scale, field=field)

    # --- times -----------------------------------------------------------------------------------------

    def _local(self, moment: dt.datetime) -> dt.datetime:
        return moment.astimezone(zoneinfo.ZoneInfo(self.zone))

    def moment(self, moment: dt.datetime) -> str:
        """Day and time in the reader's zone: `24 Nov 2026, 14:02`."""
        return f"{self.day(moment)}, {self.time(moment)}"

    @property
    def zone_name(self) -> str:
        """The reader's zone in words: `Central European Time`."""
        zone = zoneinfo.ZoneInfo(self.zone)
        text: str = babel.dates.get_timezone_name(zone, locale=self.locale, zone_variant="generic")
        return text

    def day(self, moment: dt.datetime) -> str:
        text: str = babel.dates.format_skeleton("yMMMd", self._local(moment), locale=self.locale)
        return text

    def short_day(self, moment: dt.datetime) -> str:
        """Day and month: `24 Nov`."""
        text: str = babel.dates.format_skeleton("MMMd", self._local(moment), locale=self.locale)
        return text

    def time(self, moment: dt.datetime) -> str:
        text: str = babel.dates.format_time(self._local(moment), "HH:mm", locale=self.locale)
        return text

    def when(self, moment: dt.datetime, now: dt.datetime) -> str:
        """`Today, 14:02`, `Yesterday, 09:10`, or the day with its time."""
        then, today = self._local(moment).date(), self._local(now).date()
        if then == today:
            return self.t("Today, {time}", time=self.time(moment))
        if then == today - dt.timedelta(days=1):
            return self.t("Yesterday, {time}", time=self.time(moment))
        return self.moment(moment)
