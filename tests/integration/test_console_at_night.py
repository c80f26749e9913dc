"""What somebody reads at the console who was woken up: words for codes, what comes first, where a dispute is."""

import re
import types

from brimful.console import view_model
from support.operator import colleague

SOFT = "4000000000009995"


async def test_codes_are_sentences_and_it_says_who_did_what_and_what_changed(harness):
    customer_id, visitor = await harness.funded(name="Ada", number=SOFT, balance=12)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    page = await visitor.get("/auto-top-up/USD")
    review = await visitor.submit(page, "", {"limit": "200", "action": "save"})
    await visitor.submit(review, "", {"agreed": "yes", "action": "save"})
    await harness.call("PATCH", f"/customers/{customer_id}", {"name": "Ada L"}, expect=204)
    await harness.work()
    async with colleague(harness) as person:
        listed = await person.see("/customers")
        for said in ("Ada L", "9 USD", "on: USD", "retry_wait"):
            assert said in listed
        shown = await person.see(f"/customers/{customer_id}")
        assert "Declined; tried again later (retry_wait)" in shown
        assert ">insufficient funds<" in shown  # the bank's word
        assert "The customer changed the rule meanwhile (rule_changed)" in shown  # no decline took that one back
        trail = await person.see("/audit?action=rule.saved")
        assert "Customer, in the portal" in trail
        assert "monthly_limit 100 → 200\nversion 1 → 2" in trail
        assert "{" not in trail.split("<table>")[1].split("</table>")[0]


async def test_what_does_not_hold_stands_first_and_by_its_name(harness):
    async with colleague(harness) as person:
        assert "Never verified" in await person.see("/")
        await harness.sql(
            "INSERT INTO verifications (invariant, ok, at, detail, figures) VALUES ('I2', false, now(), '', '{}'), "
            "('I1', true, now(), '', '{}')"
        )
        page = await person.see("/")
        broken, holds = page.index("The books do not hold"), page.index("The books hold")
        assert broken < page.index("Money taken is money credited (I2)") < holds
        assert holds < page.index("Balances are the sum of their entries, and every chain holds (I1)")
        await harness.sql("DELETE FROM verifications")


async def test_a_dispute_is_where_it_is_looked_for_with_the_day_its_evidence_is_due(harness):
    customer_id, _ = await harness.crossed()
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    async with colleague(harness) as person:
        assert "Disputed: answer" not in await person.see("/queue")
        [payment] = await harness.sql("SELECT stripe_intent_id FROM payments")
        await harness.sandbox.post(f"/sandbox/payment_intents/{payment['stripe_intent_id']}/dispute", json={})
        await harness.events_applied()
        [row] = await harness.sql("SELECT dispute_id, evidence_due_at FROM disputes")
        due = row["evidence_due_at"].strftime("%Y-%m-%d %H:%M:%S")
        for path in ("/queue", f"/customers/{customer_id}", f"/top-ups/{customer_id}/{top_up['id']}"):
            page = await person.see(path)
            assert row["dispute_id"] in page, path
            assert due in page, path
        tile = re.search(r"<li[^>]*>(?:(?!</li>).)*Disputes open</span>", await person.see("/"), re.DOTALL)[0]
        assert re.search(r'href="/console/queue">1</a>', tile)
    shown = (await harness.api.get("/metrics")).text
    assert "brimful_disputes_open 1.0" in shown
    assert re.search(r"brimful_disputes_evidence_due_seconds 6\d{5}\.", shown)


def test_an_object_of_stripes_leads_to_their_dashboard_and_the_sandboxs_to_none():
    def config(key, url=None):
        return types.SimpleNamespace(stripe_key=key, sandbox=url is not None)

    for key, mode in (("sk_live_x", ""), ("rk_live_x", ""), ("rk_test_x", "test/")):
        assert view_model.at_stripe("pi_1", config(key)).away == f"https://dashboard.stripe.com/{mode}payments/pi_1"
    assert view_model.at_stripe("du_1", config("sk_live_x")).away.endswith("/disputes/du_1")
    assert view_model.at_stripe("pi_1", config("sk_test_x", "http://127.0.0.1:1")) == "pi_1"
    assert view_model.at_stripe(None, config("sk_live_x")) == ""
    assert view_model.at_stripe("seti_1", config("sk_live_x")) == "seti_1"
