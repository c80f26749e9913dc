"""Threat: a money call that is sent again. The same key and body are one effect, for ever; another body none."""

import copy
import datetime as dt
from decimal import Decimal

import pytest

from support.harness import HOME

BODY = {"customer_id": None, "amount": "40", "currency": "USD", "return_url": HOME, "failure_url": HOME}
CALLS = {
    "usage": ("/usage", {"id": "a", "customer_id": None, "asset": "USD", "amount": "3"}, 7),
    "adjustment": ("/wallet/adjustments", {"transaction_id": "a", "asset": "USD", "amount": "3"}, 13),
    "charge": ("/wallet/charges", {"transaction_id": "a", "asset": "USD", "amount": "3"}, 7),
    "hold": ("/wallet/holds", {"id": "a", "asset": "USD", "amount": "3"}, 7),
    "capture": ("/wallet/holds/job/capture", {"amount": "3"}, 7),
    "payment link": ("/top-ups", BODY, 10),
}


@pytest.mark.parametrize("name", CALLS)
async def test_it_counts_once(harness, name):
    """F43."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    path, body, after = CALLS[name]
    body = {**copy.deepcopy(body), **({"customer_id": customer_id} if "customer_id" in body else {})}
    path = path if path.startswith(("/usage", "/top-ups")) else f"/customers/{customer_id}{path}"
    if name == "capture":
        hold = {"id": "job", "asset": "USD", "amount": "3", "expires_in_s": 600_000}
        await harness.call("POST", f"/customers/{customer_id}/wallet/holds", hold, expect=201)
    headers = {"Idempotency-Key": "a"} if name == "payment link" else {}
    first = await harness.call("POST", path, body, headers=headers)
    assert "code" not in first, first
    for _ in range(2):
        again = await harness.call("POST", path, body, headers=headers)
        assert again.get("code") is None, again
        harness.clock.offset += dt.timedelta(days=1)
    other = await harness.call("POST", path, {**body, "amount": "2"}, headers=headers)
    assert other["code"] in {"key_reused", "idempotency_mismatch", "hold_ended"}, other
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD")
    assert Decimal(shown["available"]) == after
    [row] = await harness.sql("SELECT count(*) AS n FROM top_ups")
    assert row["n"] == (name == "payment link")
