"""Threat: an error inside a check. What cannot be judged is not allowed: no charge, no credit, nothing changed."""

import importlib
from decimal import Decimal

import pytest

from brimful import access, cards, charging, ledger
from brimful.auto_topup import trigger
from brimful.portal import app as portal_app

# Their packages have functions of the same names.
pay, settle = (importlib.import_module(f"brimful.paying.{name}") for name in ("pay", "settle"))
BEFORE_A_CHARGE = {
    "whether charging is held": (charging, "is_open"),
    "whether the card may be tried": (cards.tries, "claim"),
    "whether the card is forbidden": (cards.tries, "forbidden"),
    "the facts under the lock": (pay, "read_facts"),
    "whether the rule still stands": (pay, "superseded"),
    "whether the limit allows it": (pay, "fits_limit"),
    "the row of the payment": (pay.topups, "lock_payment"),
}
BEFORE_A_CREDIT = {
    "whether the payment is ours": (settle, "_ours"),
    "whether it was credited before": (ledger, "find_known"),
    "whether another payment of it succeeded": (settle.topups, "succeeded_payments"),
}


class BrokenError(Exception):
    """The check did not come to an end."""


def _broken(*_args, **_named):
    raise BrokenError


@pytest.mark.parametrize("guard", BEFORE_A_CHARGE)
async def test_nothing_is_charged_before_it_can_be_judged(house, monkeypatch, guard):
    customer_id, _ = await house.crossed()
    with monkeypatch.context() as broken:
        broken.setattr(*BEFORE_A_CHARGE[guard], _broken)
        await house.work()
        assert await house.charged() == 0
        assert await house.balance(customer_id) == Decimal(9)
    await house.pass_time(minutes=10)
    assert await house.charged() == 2500
    assert await house.balance(customer_id) == Decimal(34)


@pytest.mark.parametrize("guard", BEFORE_A_CREDIT)
async def test_nothing_is_credited_before_it_can_be_judged(house, monkeypatch, guard):
    customer_id, _ = await house.crossed()
    with monkeypatch.context() as broken:
        broken.setattr(*BEFORE_A_CREDIT[guard], _broken)
        await house.work()
        assert await house.balance(customer_id) == Decimal(9)
    await house.pass_time(minutes=10)
    assert await house.charged() == 2500  # it was on its way: credited once, as soon as it can be judged
    assert await house.balance(customer_id) == Decimal(34)


async def test_a_debit_that_cannot_be_judged_is_not_taken(house, monkeypatch):
    """What was acknowledged has been judged: the debit and its judgement are one transaction."""
    customer_id, _ = await house.funded(balance=12, threshold="10")
    with monkeypatch.context() as broken:
        broken.setattr(trigger.policy, "judge", _broken)
        answer = await house.use(customer_id, "3", "crossing")
        assert answer["code"] == "event_failed"
    assert await house.balance(customer_id) == Decimal(12)
    assert (await house.use(customer_id, "3", "crossing"))["status"] == "applied"


@pytest.mark.parametrize(
    "guard", [(access, "judge"), (portal_app, "require_csrf"), (portal_app, "require_same_origin")]
)
async def test_nobody_comes_in_through_a_broken_door(house, monkeypatch, guard):
    customer_id, visitor = await house.funded()
    before = await house.sql("SELECT * FROM rules")
    page = await visitor.get("/auto-top-up/USD")
    with monkeypatch.context() as broken:
        broken.setattr(*guard, _broken)
        answer = await visitor.submit(page, "/billing/auto-top-up/USD/off", {})
        assert answer.status_code == 500
        assert "BrokenError" not in answer.text
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
        if guard[0] is access:
            refused = await house.api.get(f"/v1/customers/{customer_id}")
            assert (refused.status_code, refused.json()["code"]) == (500, "internal_error")
            assert refused.headers["x-content-type-options"] == "nosniff"
            assert refused.headers["request-id"].startswith("req_")
    assert await house.sql("SELECT * FROM rules") == before


async def test_a_signature_that_cannot_be_judged_is_none(house, monkeypatch):
    monkeypatch.setattr("brimful.stripe_inbox.verify_event", _broken)
    answer = await house.api.post("/v1/stripe/webhooks", content=b"{}", headers={"Stripe-Signature": "t=1,v1=a"})
    assert answer.status_code == 500
    assert await house.sql("SELECT 1 FROM stripe_events") == []
