"""Keys whose numbers in the index are the same: told apart by the keys themselves."""

import asyncio

import pytest

from brimful import ledger, operations
from support.harness import LEDGER_KEYS


@pytest.fixture
def crowded(monkeypatch):
    """Every key has the same 61 bits."""
    monkeypatch.setattr(ledger.keys, "digest", lambda _source, _key: 4_096)


def test_a_key_is_hashed_with_its_source():
    numbers = {ledger.keys.digest(source, key) for source in ("usage", "api") for key in ("a", "b", "a:b")}
    assert len(numbers) == 6
    assert all(number % 8 == 0 and -(2**63) <= number < 2**63 for number in numbers)
    assert ledger.keys.digest("usage", "e-1") == 0xEB2D18DCB0C66848 - 2**64  # sha256sum's, cut


@pytest.mark.tampers  # verify, in the end, hashes as the product does
async def test_an_honest_key_is_never_refused_for_anothers_digest(harness, crowded):
    customer_id, other = await harness.customer(), await harness.customer()
    await harness.give(customer_id, 100)
    for status in ("applied", "duplicate"):
        for number in range(7):
            assert (await harness.use(customer_id, "1", f"e-{number}"))["status"] == status
    assert await harness.balance(customer_id) == 93
    rows = await harness.sql("SELECT key_digest FROM entries WHERE customer_id = %s ORDER BY seq", (customer_id,))
    assert [row["key_digest"] for row in rows] == [*range(4_096, 4_104)]
    assert (await harness.use(other, "1", "e-0"))["status"] == "applied"  # another customer's keys are others


@pytest.mark.tampers
async def test_within_a_batch_and_across_assets_too(harness, crowded):
    customer_id = await harness.customer()
    await harness.call(
        "POST", "/assets", {"code": "TOKENS", "name": "Tokens", "precision": 0, "label": "t"}, expect=201
    )
    events = [
        {"id": f"e-{number % 4}", "customer_id": customer_id, "asset": ("USD", "TOKENS")[number % 2], "amount": "1"}
        for number in range(8)
    ]
    answers = await asyncio.gather(*(harness.call("POST", "/usage", {"events": events}, expect=200) for _ in range(3)))
    seen = [result["status"] for answer in answers for result in answer["results"]]
    assert (seen.count("applied"), seen.count("duplicate")) == (4, 20)
    findings = await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True)
    assert [finding for finding in findings if not finding.ok] == []


@pytest.mark.tampers
async def test_the_ninth_is_refused_and_says_that_nothing_changed(harness, crowded):
    """It takes 2^56 hashes to find nine such keys, and then they are one customer's own."""
    customer_id = await harness.customer()
    for number in range(8):
        await harness.use(customer_id, "1", f"e-{number}")
    event = {"id": "e-8", "customer_id": customer_id, "asset": "USD", "amount": "1"}
    assert (await harness.call("POST", "/usage", event, expect=500))["code"] == "event_failed"
    assert await harness.balance(customer_id) == -8


def test_what_is_written_is_placed_nowhere():
    known = ledger.keys.Known([("cus_a", "usage", "e-1")])
    known.place(("cus_a", "usage", "e-1"))
    with pytest.raises(AssertionError, match="written already"):
        known.place(("cus_a", "usage", "e-1"))
