"""What the measurements stand on: rows that verify as the product's own, and rounds that say when they say nothing."""

import base64

import pytest

from brimful import operations
from brimful.dev.bench import ground, usage
from brimful.dev.bench.ground import Times
from brimful.dev.bench.rounds import Rounds
from support.harness import LEDGER_KEYS

KEYS = {"BRIMFUL_LEDGER_KEYS": "1:" + base64.b64encode(LEDGER_KEYS[1]).decode()}
TIMES = Times(1.0, 2.0)


async def test_seeded_books_verify_and_take_debits(database_url):
    place = ground.Location(database_url, KEYS)
    ground.seed_entries(place, 20, each=5)
    rate, _ = await usage.in_process(place, accounts=20, batch_max=10, seconds=0.2)
    assert rate > 0
    findings = {item.id: item for item in await operations.verify.run(database_url, LEDGER_KEYS)}
    assert findings["I1"].ok, findings["I1"].detail


def test_a_ratio_is_of_one_round():
    measured = Rounds()
    for mood in (1, 2, 4, 1, 2):  # the machine's
        measured.add("reference", 100 * mood, TIMES)
        measured.add("ours", 300 * mood, TIMES, against="reference")
    assert measured.ratio("ours") == 3.0
    assert measured.spread("ours") == (3.0, 3.0)
    assert measured.steady("ours")
    assert not measured.steady("reference")


@pytest.mark.parametrize(("rates", "steady"), [((290, 300, 310), True), ((200, 300, 380), False)])
def test_a_row_whose_rounds_disagree_says_so(rates, steady, capsys):
    measured = Rounds()
    for rate in rates:
        measured.add("reference", 100, TIMES)
        measured.add("ours", rate, TIMES, against="reference")
    measured.table("as it is")
    assert measured.figures()["ours"]["steady"] is steady
    assert ("unsteady" in capsys.readouterr().out) is not steady
