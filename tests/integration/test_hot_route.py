"""POST /v1/usage stands before all applications, and does for itself what they do for every other path."""

import prometheus_client

from brimful.api.usage import UsageRoute

COUNTED = "brimful_http_responses_total"


def counted(status):
    return prometheus_client.REGISTRY.get_sample_value(COUNTED, {"surface": "api", "status": str(status)}) or 0


async def use(harness, query=""):
    event = {"id": "e", "customer_id": "cus_nobody", "asset": "USD", "amount": "1"}
    return await harness.api.post(f"/v1/usage{query}", json=event)


async def test_what_fails_is_a_500_that_the_log_names(harness, monkeypatch, caplog):
    async def broken(_self, _rows):
        raise RuntimeError("out of order")

    before = counted(500)
    monkeypatch.setattr(UsageRoute, "_record", broken)
    answer = await use(harness)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["request_id"] == answer.headers["request-id"]
    assert f"{answer.headers['request-id']}: POST /v1/usage failed" in caplog.text
    assert counted(500) == before + 1


async def test_its_answers_carry_the_headers_of_every_other(harness):
    hot, other = await use(harness), await harness.api.get("/v1/customers/cus_nobody")
    assert hot.status_code == other.status_code == 404
    apart = {"content-length", "date", "server"}
    assert {*hot.headers} - apart == {*other.headers} - apart
    for name in ("request-id", "content-security-policy", "ratelimit"):
        assert len(hot.headers.get_list(name)) == 1


async def test_an_address_with_a_nul_is_refused(harness):
    answer = await use(harness, "?x=%00")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
