"""Threat: a webhook to the platform that is forged or sent again. Standard Webhooks, by its own vectors."""

import datetime as dt

import pytest
import standardwebhooks

from brimful_client import WebhookVerificationError, verify_webhook
from support.receiver import low, subscribe


def test_the_official_vectors_of_standard_webhooks_pass():
    """From the specification's repository, libraries/*/tests."""
    key, message = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    at = dt.datetime.fromtimestamp(1614265330, tz=dt.UTC)
    signed = standardwebhooks.Webhook(key).sign(message, at, '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    now = dt.datetime.now(dt.UTC)
    body = b'{"type": "balance.low", "timestamp": "2026-11-25T00:00:00Z", "data": {}}'
    good = standardwebhooks.Webhook(key).sign(message, now, body.decode())

    def headers(signature=good, at=now, **more):
        return {"webhook-id": message, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature,
                **more}  # fmt: skip

    other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
    assert verify_webhook(key, headers(f"{other} {good}"), body).id == message
    assert verify_webhook(key.removeprefix("whsec_"), headers(), body).type == "balance.low"
    old, early = now - dt.timedelta(minutes=5, seconds=1), now + dt.timedelta(minutes=5, seconds=2)
    bad = [
        headers("v1,dawfeoifkpqwoekfpqoekf"),
        headers(other),
        headers(at=old),
        headers(at=early),
        headers(good[:-4]),
        headers(at=at),
        headers(""),
    ]
    bad += [headers(**{"webhook-timestamp": odd}) for odd in ("", "-1", "1e9", "9" * 30, "\u0661")]
    bad += [{name: value for name, value in headers().items() if name != gone} for gone in headers()]
    for wrong in bad:
        with pytest.raises(WebhookVerificationError):
            verify_webhook(key, wrong, body)
    unread = b'{"type": "balance.low"}'
    signed = headers(standardwebhooks.Webhook(key).sign(message, now, unread.decode()))
    with pytest.raises(WebhookVerificationError, match="timestamp is missing"):
        verify_webhook(key, signed, unread)
    for secret in ("", "whsec_", "whsec_%%%"):
        with pytest.raises(ValueError, match="begins with whsec_"):
            verify_webhook(secret, headers(), body)


async def test_what_was_sent_is_refused_when_any_byte_of_it_is_another_and_when_it_is_old(harness, receiver):
    made = await subscribe(harness, receiver.url)
    await low(harness)
    await harness.work()
    headers, body = receiver.requests[0]
    assert verify_webhook(made["secret"], headers, body).type == "balance.low"
    for place in range(0, len(body), 3):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(WebhookVerificationError):
            verify_webhook(made["secret"], headers, changed)
    for seconds in (-301, 301):
        late = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + seconds)}
        with pytest.raises(WebhookVerificationError):
            verify_webhook(made["secret"], late, body)
