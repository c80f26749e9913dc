"""Threat: odd input, further: whatever is generated, every parser that faces outside reads it or refuses it, soon."""

import asyncio
import contextlib
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from starlette.requests import Request

from brimful import api, i18n, observability
from brimful.cli import importing
from brimful.core import money, text as texts, urls
from brimful.core.errors import ConfigurationError, Refused
from brimful.gateway.stripe import adapter
from brimful.gateway.stripe.adapter import claims_to_be_fresh
from brimful.notifications import webhooks
from brimful.settings.environment import read
from brimful.web.pages import client_address, form_fields
from brimful_client import WebhookVerificationError, verify_webhook
from support.attack import times
from support.malformed import BODIES, NUMBERS, PLACES, SIGNATURES, TEXTS

SECRET = "whsec_house"
CONFIG = read(
    {
        "DATABASE_URL": "postgresql://h/d",
        "BRIMFUL_LEDGER_KEYS": "1:" + "A" * 43 + "=",
        "BRIMFUL_PUBLIC_URL": "http://127.0.0.1",
    }
)
LETTERS = st.text(st.characters(exclude_categories=[]), max_size=200)
WORDS = (
    st.lists(
        st.sampled_from(
            [
                *(text for text in TEXTS if len(text) < 1000),
                *(number for number in NUMBERS if len(number) < 500),
                *PLACES,
            ]
        )
        | LETTERS,
        max_size=6,
    )
    .map("".join)
    .map(lambda t: t[:30_000])
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=20
)
FIELDS = (
    "id",
    "customer_id",
    "customer_external_id",
    "asset",
    "amount",
    "occurred_at",
    "description",
    "if_insufficient",
    "events",
)
EVENTS = st.dictionaries(
    st.sampled_from(FIELDS), LEAVES | st.sampled_from(["USD", "1", "2026-01-01T00:00:00Z"]), max_size=9
)
AS_BYTES = (
    st.binary(max_size=300)
    | st.sampled_from([sent for sent in BODIES if len(sent) < 2000])
    | JSON.map(lambda value: json.dumps(value).encode())
)
CURSORS = st.from_regex(r"[A-Za-z0-9_-]{0,60}", fullmatch=True)
STRIPES = st.fixed_dictionaries(
    {},
    optional={
        "id": LEAVES | st.just("evt_1"), "type": LEAVES | st.just("payment_intent.succeeded"), "livemode": LEAVES,
        "created": LEAVES | st.just(1_700_000_000), "data": JSON | st.fixed_dictionaries({"object": JSON}),
    },
)  # fmt: skip


def _encoded(text):
    return text.encode("utf-8", "replace")


async def _form(sent):
    done = False

    async def receive():
        nonlocal done
        done, more = True, not done
        return {"type": "http.request", "body": sent if more else b"", "more_body": False}

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    return await form_fields(Request({"type": "http", "method": "POST", "headers": headers, "path": "/"}, receive))


def _read_form(sent):
    return asyncio.run(_form(sent))


def _address(text):
    headers = [(b"x-forwarded-for", text.encode("utf-8", "replace")[:2000])]
    return client_address(Request({"type": "http", "client": ("127.0.0.1", 1), "headers": headers}), CONFIG)


def _usage(sent):
    for raw in api.usage._rows(sent) or [sent]:
        api.usage._decode(raw)


def _event(value):
    payload = json.dumps(value).encode()
    event = adapter.read_event(payload)
    if event is not None:
        assert event.event_id.isascii()
        assert event.object_id is None or event.object_id.isascii()


def _csv(text):
    import pathlib
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(b"external_id,name,email,asset,balance\n" + text.encode("utf-8", "surrogatepass"))
        file.flush()
        importing.read(pathlib.Path(file.name))


def _webhook(text):
    verify_webhook(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {"webhook-id": text, "webhook-timestamp": text},
        text.encode("utf-8", "replace"),
    )


# What faces outside -> how it is called, and what it is given. Refusals are answers; anything else has got through.
PARSERS = {
    "usage bodies": (_usage, AS_BYTES | EVENTS.map(lambda event: json.dumps(event).encode())),
    "JSON bodies": (api.json_body.parse, AS_BYTES),
    "amounts in JSON": (lambda raw: money.from_json(raw, scale=6), st.binary(max_size=60) | WORDS.map(_encoded)),
    "amounts": (lambda text: money.parse(text, scale=6), WORDS),
    "amounts typed in English": (lambda text: i18n.words.speak("en").read(text, scale=6), WORDS),
    "amounts typed in German": (lambda text: i18n.words.speak("de").read(text, scale=2), WORDS),
    "amounts typed in Arabic": (lambda text: i18n.words.speak("ar").read(text, scale=2), WORDS),
    "names": (lambda text: texts.clean(text, "name"), WORDS),
    "Stripe events that are signed": (_event, STRIPES | JSON),
    "Stripe signatures": (lambda text: adapter.signed(b"{}", text, [SECRET]), WORDS | st.sampled_from(SIGNATURES)),
    "signatures that claim to be fresh": (claims_to_be_fresh, WORDS | st.sampled_from(SIGNATURES)),
    "forms": (_read_form, st.binary(max_size=300) | WORDS.map(_encoded)),
    "return addresses": (
        lambda url: urls.validate_return_url(url, ("https://app.example",), loopback=True, field="x"),
        WORDS | st.sampled_from(PLACES),
    ),
    "webhook addresses": (lambda url: webhooks.ssrf.validate_url(url, loopback=False), WORDS | st.sampled_from(PLACES)),
    "forwarded addresses": (_address, WORDS),
    "cursors": (lambda text: api.pagination.read_number("e", text), WORDS | CURSORS),
    "CSV": (_csv, WORDS | st.lists(WORDS, max_size=6).map(",".join)),
    "languages": (lambda text: i18n.words.choose(text), WORDS),
    "webhooks that arrive": (_webhook, WORDS),
    "what is logged": (observability.logging.redact, WORDS),
}  # fmt: skip
REFUSALS = (Refused, ConfigurationError)


@pytest.mark.parametrize("name", PARSERS)
def test_it_reads_or_refuses(attack, name):
    """Generated input for every parser that faces outside."""
    parser, inputs = PARSERS[name]
    attack.name = f"Generated: {name}"

    @settings(
        max_examples=times(60, 5000), deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(inputs)
    def read(value):
        allowed = (*REFUSALS, ValueError, WebhookVerificationError) if name == "webhooks that arrive" else REFUSALS
        begun = time.perf_counter()
        with contextlib.suppress(*allowed):
            parser(value)
        attack.seconds.append(time.perf_counter() - begun)
        attack.count()
        assert attack.seconds[-1] < 2, "a malformed input that takes two seconds stops others"

    read()
