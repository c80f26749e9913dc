"""The table over decline and advice codes."""

import importlib
import pathlib
import sys

import pytest

from brimful import i18n
from brimful.gateway import snapshots
from brimful.gateway.declines import DATA, HARD, TECHNICAL, DeclineKind, classify
from brimful.gateway.gateway import Decline

SOFT = ["generic_decline", "do_not_honor", "insufficient_funds", "card_velocity_exceeded", "call_issuer",
        "brand_new_code", None]  # fmt: skip


@pytest.mark.parametrize("code", sorted(HARD))
def test_hard_codes_are_never_tried_again(code):
    assert classify(Decline("card_declined", code, None)) is DeclineKind.HARD


@pytest.mark.parametrize("code", sorted(DATA))
def test_data_codes_end_with_new_data(code):
    assert classify(Decline("card_declined", code, None)) is DeclineKind.DATA


@pytest.mark.parametrize("advice", [None, "try_again_later"])
@pytest.mark.parametrize("code", sorted(TECHNICAL))
def test_what_nobody_decided_is_tried_again_soon(code, advice):
    assert classify(Decline("card_declined", code, advice)) is DeclineKind.TECHNICAL
    assert classify(Decline(code, None, advice)) is DeclineKind.TECHNICAL


@pytest.mark.parametrize("code", SOFT)
def test_soft_codes_are_tried_later(code):
    assert classify(Decline("card_declined", code, None)) is DeclineKind.SOFT


@pytest.mark.parametrize("code", [*sorted(HARD | DATA), *SOFT])
@pytest.mark.parametrize(
    ("advice", "kind"),
    [
        ("do_not_try_again", DeclineKind.HARD),
        ("confirm_card_data", DeclineKind.DATA),
        ("try_again_later", DeclineKind.SOFT),
    ],
)
def test_the_advice_code_outranks_the_table(code, advice, kind):
    assert classify(Decline("card_declined", code, advice)) is kind


@pytest.mark.parametrize("error", [{"type": "card_error"}, {"code": None, "decline_code": None}])
def test_a_decline_without_a_code_is_one_that_is_tried_later(error):
    found = snapshots._decline(error)
    assert found.code == "card_declined"  # what is kept without a code would count as no decline
    assert classify(found) is DeclineKind.SOFT


def test_authentication_needs_the_customer():
    assert classify(Decline("authentication_required", "authentication_required", None)) is DeclineKind.AUTHENTICATE


@pytest.mark.parametrize("code", sorted(HARD))
def test_nobody_reads_why_a_card_is_suspected(code):
    text = i18n.reasons.failed(i18n.words.speak("en"), code)
    assert not any(word in text.lower() for word in ("fraud", "stolen", "lost", code.replace("_", " ")))


def test_the_page_says_what_the_code_does():
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts"))
    page = importlib.import_module("declines")
    assert page.PAGE.read_text() == page.page(), "run scripts/declines.py"
