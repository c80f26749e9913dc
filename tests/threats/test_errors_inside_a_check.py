"""Threat: an error inside a check. What cannot be judged is not allowed: no charge, no credit, nothing changed."""

from decimal import Decimal

import pytest

from brimful import auto_top_up, cards, ledger, payments, portal, suspensions, top_ups
from brimful.auth import permissions
from brimful.web import pages as web_pages

BEFORE_A_CHARGE = {
    "whether charging is suspended": (suspensions.store, "charging_allowed"),
    "whether the card may be tried": (cards.decline_budget, "claim"),
    "whether the card is forbidden": (cards.decline_budget, "forbidden"),
    "the facts under the lock": (auto_top_up.facts, "read_facts"),
    "whether the rule still stands": (auto_top_up.policy, "superseded"),
    "whether the limit allows it": (auto_top_up.policy, "limit_exceeded"),
    "the row of the payment": (top_ups.store, "lock_payment"),
}
BEFORE_A_CREDIT = {
    "whether the payment is ours": (payments.settle, "_difference"),
    "whether it was credited before": (ledger.keys, "find"),
    "whether another payment of it succeeded": (top_ups.store, "succeeded_payments"),
}


class BrokenError(Exception):
    """The check did not come to an end."""


def _broken(*_args, **_named):
    raise BrokenError


@pytest.mark.parametrize("guard", BEFORE_A_CHARGE)
async def test_nothing_is_charged_before_it_can_be_judged(harness, monkeypatch, guard):
    customer_id, _ = await harness.crossed()
    with monkeypatch.context() as broken:
        broken.setattr(*BEFORE_A_CHARGE[guard], _broken)
        await harness.work()
        assert await harness.charged() == 0
        assert await harness.balance(customer_id) == Decimal(9)
    await harness.pass_time(minutes=10)
    assert await harness.charged() == 2500
    assert await harness.balance(customer_id) == Decimal(34)


@pytest.mark.parametrize("guard", BEFORE_A_CREDIT)
async def test_nothing_is_credited_before_it_can_be_judged(harness, monkeypatch, guard):
    customer_id, _ = await harness.crossed()
    with monkeypatch.context() as broken:
        broken.setattr(*BEFORE_A_CREDIT[guard], _broken)
        await harness.work()
        assert await harness.balance(customer_id) == Decimal(9)
    await harness.pass_time(minutes=10)
    assert await harness.charged() == 2500  # it was on its way: credited once, as soon as it can be judged
    assert await harness.balance(customer_id) == Decimal(34)


async def test_a_debit_that_cannot_be_judged_is_not_taken(harness, monkeypatch):
    """What was acknowledged has been judged: the debit and its judgement are one transaction."""
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    with monkeypatch.context() as broken:
        broken.setattr(auto_top_up.policy, "evaluate", _broken)
        answer = await harness.use(customer_id, "3", "crossing")
        assert answer["code"] == "event_failed"
    assert await harness.balance(customer_id) == Decimal(12)
    assert (await harness.use(customer_id, "3", "crossing"))["status"] == "applied"


@pytest.mark.parametrize(
    "guard", [(permissions, "authorize"), (portal.csrf, "require_csrf"), (web_pages, "require_same_origin")]
)
async def test_nobody_comes_in_through_a_broken_door(harness, monkeypatch, guard):
    customer_id, visitor = await harness.funded()
    before = await harness.sql("SELECT * FROM rules")
    page = await visitor.get("/auto-top-up/USD")
    with monkeypatch.context() as broken:
        broken.setattr(*guard, _broken)
        answer = await visitor.submit(page, "/billing/auto-top-up/USD/off", {})
        assert answer.status_code == 500
        assert "BrokenError" not in answer.text
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
        if guard[0] is permissions:
            refused = await harness.api.get(f"/v1/customers/{customer_id}")
            assert (refused.status_code, refused.json()["code"]) == (500, "internal_error")
            assert refused.headers["x-content-type-options"] == "nosniff"
            assert refused.headers["request-id"].startswith("req_")
    assert await harness.sql("SELECT * FROM rules") == before


async def test_a_signature_that_cannot_be_judged_is_none(harness, monkeypatch):
    monkeypatch.setattr("brimful.gateway.stripe.adapter.signed", _broken)
    answer = await harness.api.post("/v1/stripe/webhooks", content=b"{}", headers={"Stripe-Signature": "t=1,v1=a"})
    assert answer.status_code == 500
    assert await harness.sql("SELECT 1 FROM stripe_events") == []
