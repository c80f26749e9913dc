"""Languages: nothing untranslated, nothing misread, the sentences people agree to tied to their version."""

import datetime as dt
import hashlib
import pathlib
import re
import string
import sys
from decimal import Decimal

import pytest

from brimful import assets, i18n
from brimful.core.errors import Refused

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts"))
import messages

TERMS = {"2026-11-01": "5fe4f5c1a7afc26ce22a6ed9750397314af7e04411057c4eab0944564b2819f9"}


def fields_of(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", ["de", "ar"])
def test_every_text_is_translated_with_the_same_names_in_it(language):
    catalogue = messages.read(language)
    wanted = messages.messages()
    missing = [message.id for message in wanted if message.id and message.id not in catalogue]
    assert missing == [], "run scripts/messages.py and translate"
    for message in catalogue:
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(strings), message.id
        for text in strings:
            assert fields_of(text) == fields_of(ids[-1]), message.id


def test_the_terms_and_their_version_change_together():
    texts = []
    for language in i18n.words.LANGUAGES:
        words = i18n.words.speak(language)
        texts.append(i18n.consents.save_card(words, "M"))
        texts.append(
            i18n.consents.auto_top_up(
                words, merchant="M", card="C", amount="A", asset="S", threshold="T", limit="L", days=30
            )
        )
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    assert TERMS[i18n.consents.TERMS_VERSION] == digest, "the terms have changed: give them a new version"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "1,234.50", "1234.50"), ("en", "12.5", "12.5"), ("en", " 7 ", "7"), ("de", "1.234,50", "1234.50"),
        ("de", "12,5", "12.5"), ("ar", "12.5", "12.5"),
        ("en", "1,5", None), ("de", "1.23", None), ("de", "12.5", None), ("en", "1_000", None), ("en", "NaN", None),
        ("en", "1e5", None), ("en", "١", None), ("en", "", None), ("en", "-5", None), ("en", "9" * 50, None),
        ("de", "124.39480127216464842439111", None), ("en", "150327,45402054015473069571", None),
    ],
)  # fmt: skip
def test_amounts_are_read_as_the_language_writes_them_or_refused(language, text, expected):
    words = i18n.words.speak(language)
    if expected is None and text != "-5":
        with pytest.raises(Refused):
            words.read(text, scale=2)
    else:
        assert words.read(text, scale=2) == Decimal(expected or "-5")


TOKENS = assets.Asset("TOKENS", "Tokens", "unit", 0, "token|tokens", None, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("language", "text", "of", "expected"),
    [
        ("en", "$20", "USD", "20"), ("en", "20 USD", "USD", "20"), ("en", "usd 1,234.50", "USD", "1234.50"),
        ("de", "20,50 €", "EUR", "20.50"), ("de", "20 eur", "EUR", "20"), ("ar", "٢٠ USD", "USD", "20"),
        ("en", "500 tokens", TOKENS, "500"), ("en", "1 Token", TOKENS, "1"), ("en", "20", None, "20"),
        ("en", "€20", "USD", None), ("en", "20 USD", TOKENS, None), ("en", "$", "USD", None), ("en", "$20", None, None),
        ("en", "USD 20 USD", "USD", None),
    ],
)  # fmt: skip
def test_an_amount_may_name_what_it_is_of_and_nothing_else(language, text, of, expected):
    words = i18n.words.speak(language)
    if expected is None:
        with pytest.raises(Refused) as refused:
            words.read(text, scale=2, of=of)
        assert refused.value.extra["decimals"] == 2
    else:
        assert words.read(text, scale=2, of=of) == Decimal(expected)


@pytest.mark.parametrize(
    ("language", "amount", "code", "expected"),
    [("en", "0.0034", "USD", "$0.0034"), ("en", "25", "USD", "$25.00"), ("de", "1234.5", "EUR", "1.234,50 €"),
     ("en", "1500", "JPY", "¥1,500"), ("en", "-1.2", "USD", "-$1.20")],
)  # fmt: skip
def test_small_prices_never_read_as_nothing(language, amount, code, expected):
    assert i18n.words.speak(language).currency(Decimal(amount), code).replace("\u00a0", " ") == expected


def test_units_have_a_form_for_one_and_a_form_for_many():
    minutes = assets.Asset("MINUTES", "Minutes", "unit", 0, "minute|minutes", None, None)
    words = i18n.words.speak("en")
    assert [words.amount(Decimal(n), minutes) for n in (0, 1, 2)] == ["0 minutes", "1 minute", "2 minutes"]


def test_no_sentence_of_the_terms_speaks_of_codes():
    assert not re.search(r"[{}]", i18n.consents.save_card(i18n.words.speak("de"), "M"))


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        (("de",), "de"),
        (("fr", "ar-EG,ar;q=0.9"), "ar"),
        ((None, "fr-FR,fr;q=0.8"), "en"),
        (("de-AT",), "de"),
        ((), "en"),
    ],
)
def test_the_first_language_we_speak_is_chosen(wishes, expected):
    assert i18n.words.choose(*wishes) == expected
