"""Evidence for a dispute: what the books know, in the words of Stripe's fields, submitted by a person and once."""

import json

import pytest

from integration.test_commands import command
from support.operator import colleague


async def disputed(harness, **how):
    """An automatic top-up that was paid, used and contested. Returns (customer_id, dispute_id)."""
    customer_id, _ = await harness.funded(balance=12, threshold="10", email="ada@example.com")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.use(customer_id, "14", "render-7", description="Video generation")
    [intent] = [item["id"] for item in (await harness.sandbox.get("/v1/payment_intents")).json()["data"]
                if item["status"] == "succeeded"]  # fmt: skip
    made = (await harness.sandbox.post(f"/sandbox/payment_intents/{intent}/dispute", json=how)).json()
    await harness.events_applied()
    return customer_id, made["id"]


@pytest.mark.flow
async def test_an_operator_reads_the_evidence_and_submits_it_once(harness):
    customer_id, dispute_id = await disputed(harness)
    shown = json.loads(await command(harness, "evidence", dispute_id, "--json", "-"))
    fields = shown["fields"]
    assert (shown["customer_id"], fields["customer_email_address"]) == (customer_id, "ada@example.com")
    assert "render-7" not in fields["access_activity_log"]  # its description stands there
    assert "14 Video generation" in fields["access_activity_log"]
    assert "the service was used 1 times, 14 USD in all" in fields["access_activity_log"]
    told = fields["uncategorized_text"]
    assert "By turning on auto top-up I authorise" in told
    assert "SHA-256 of the words" in told
    assert "was added by the customer on Stripe's page" in told
    assert (await harness.sandbox.get(f"/v1/disputes/{dispute_id}")).json()["evidence"] == {}
    said = await command(harness, "evidence", dispute_id, "--submit", "--yes")
    assert "Submitted." in said
    there = (await harness.sandbox.get(f"/v1/disputes/{dispute_id}")).json()
    assert (there["status"], there["evidence"]["customer_name"]) == ("under_review", fields["customer_name"])
    [row] = await harness.sql("SELECT after FROM audit WHERE action = 'dispute.evidence_submitted'")
    assert row["after"]["dispute_id"] == dispute_id


async def test_without_a_yes_nothing_is_submitted(harness):
    _, dispute_id = await disputed(harness)
    await command(harness, "evidence", dispute_id, "--submit", stdin="n\n", status=130)
    assert (await harness.sandbox.get(f"/v1/disputes/{dispute_id}")).json()["evidence"] == {}


async def test_a_dispute_that_has_ended_or_is_not_known_is_refused(harness):
    _, dispute_id = await disputed(harness)
    await harness.sandbox.post(f"/sandbox/disputes/{dispute_id}/close", json={"won": False})
    await harness.events_applied()
    refused = await command(harness, "evidence", dispute_id, "--submit", "--yes", status=2, stream="stderr")
    assert "This dispute has ended (lost): nothing can be submitted." in refused
    assert "There is no dispute" in await command(harness, "evidence", "du_none", status=2, stream="stderr")


async def test_what_stripe_has_already_is_said(harness):
    _, dispute_id = await disputed(harness)
    await harness.sandbox.post(
        f"/v1/disputes/{dispute_id}", data={"evidence[uncategorized_text]": "by hand", "submit": "true"}
    )
    said = await command(harness, "evidence", dispute_id, "--submit", "--yes", status=1, stream="stderr")
    assert "Not submitted: " in said


async def test_the_console_shows_it_without_the_words_of_the_consent(harness):
    _, dispute_id = await disputed(harness)
    async with colleague(harness, role="viewer") as person:
        page = await person.see(f"/disputes/{dispute_id}")
        queue = await person.see("/queue")
    assert "Video generation" in page
    assert "By turning on auto top-up" not in page
    assert f"brimful evidence {dispute_id} --submit" in page
    assert f"/disputes/{dispute_id}" in queue


async def test_the_console_shows_what_is_left_of_each_credit(harness):
    customer_id = await harness.customer()
    body = {
        "transaction_id": "gift",
        "asset": "USD",
        "amount": "20",
        "reason": "gift",
        "expires_at": "2099-01-01T00:00:00Z",
    }
    await harness.call("POST", f"/customers/{customer_id}/wallet/adjustments", body, expect=201)
    await harness.use(customer_id, "8", "job")
    async with colleague(harness, role="viewer") as person:
        page = await person.see(f"/customers/{customer_id}/ledger/USD")
    for text in ("Credits, in the order in which they burn", "promotional", "2099-01-01", ">12<"):
        assert text in page
