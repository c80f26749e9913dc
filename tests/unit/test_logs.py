"""Logs: what must not be read in them is not, in either form, tracebacks included; everything else is left alone."""

import datetime as dt
import json
import logging

import pytest

from brimful import observability

SECRETS = [
    "sk_live_51Hxyzabc", "rk_test_abc_DEF123", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "bfk_abcDEF-123_456",
    "kq3vL9mX2pR7tY1wZ8bN4cF6hJ0dG5sAeUiOuVxQyTn",  # 256 bits, as a link or a cookie carries them
    "ada@analytical.example", "4242424242424242", "4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["{}", "got {} from there", "'{}'", "url?x={}&y=1", '{{"a": "{}"}}', "({})"])
def test_a_secret_is_blanked_wherever_it_stands(secret, around):
    assert secret not in observability.logging.redact(around.format(secret))


@pytest.mark.parametrize(
    "text",
    ["Authorization: Bearer abc.def-123", "{'authorization': 'Basic YWRhOnB3'}", "Cookie: brimful_portal=abc; other=1",
     "b'stripe-signature': b't=1,v1=abc'", "postgresql://ada:hunter2@db/brimful", "password=hunter2 host=db",
     "smtp://mail:hunter2@mx.example:587", "/billing/open?token=hunter2", "X-CREDYT-API-KEY: hunter2",
     '{"password": "hunter2", "client_secret": "pi_1_secret_hunter2"}',
     "payment_intent_client_secret=pi_1_secret_hunter2",
     "smtp_password=hunter2", "access_token=hunter2", "PGPASSWORD=hunter2", "BRIMFUL_CONSOLE_PROXY_SECRET=hunter2",
     "password='hunter2 and hunter2'", "postgresql://u:p@hunter2@host/db", "BRIMFUL_LEDGER_KEYS=1:hunter2",
     "lines:\nCookie: hunter2", "lines:\nkeys sk_live_hunter2", "(b'cookie', b'hunter2')",
     r'{\"password\": \"hunter2\"}'],
)  # fmt: skip
def test_what_carries_a_secret_keeps_its_name_alone(text):
    told = observability.logging.redact(text)
    for secret in ("abc.def-123", "YWRhOnB3", "=abc", "v1=abc", "hunter2"):
        assert secret not in told, told
    assert "[blank]" in told


@pytest.mark.parametrize(
    "text",
    ["top-up top_01a2131567f074c1ba53fc78f2dc4c43: confirming -> succeeded", "cus_01a2131567077252930baa1da67aa13d",
     "pi_5ebf6015db18d25d33783514", "2026-11-25T14:21:39+0000", "4242424242424241", "1795616210513596",
     "req_01a2131567f074c1ba53fc78f2dc4c43: /v1/usage failed", "a batch of 500 movements", "12345678901234567890123",
     "no cookie, so customer cus_1 was refused", "1795616210513", "a token was refused", "the secret is wrong",
     "password or code is wrong", "authorization failed for cus_1"],
)  # fmt: skip
def test_ids_times_and_figures_stay_as_they_are(text):
    assert observability.logging.redact(text) == text


@pytest.fixture
def written(capsys):
    """What has been written to standard error."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:], root.level = before[0], before[1]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_is_blanked_too(written, form):
    observability.logging.configure("INFO", form)
    try:
        int("sk_live_51Hxyzabc was refused for ada@analytical.example")
    except ValueError:
        logging.getLogger("brimful.x").exception("call with %s", "whsec_abcdef")
    text = written()
    assert "ValueError" in text
    for secret in ("51Hxyzabc", "analytical", "abcdef"):
        assert secret not in text


def test_json_is_an_object_a_line(written):
    observability.logging.configure("INFO", "json")
    logging.getLogger("brimful.top_ups").info("top-up %s: %s -> %s", "top_1", "confirming", "succeeded")
    logging.getLogger("brimful.top_ups").debug("not at this level")
    [line] = written().splitlines()
    told = json.loads(line)
    assert told["message"] == "top-up top_1: confirming -> succeeded"
    assert (told["level"], told["logger"]) == ("INFO", "brimful.top_ups")
    assert told["time"][:2] == "20"


def test_a_message_with_secrets_stays_json(written):
    observability.logging.configure("INFO", "json")
    for text in ('he said "password=hunter2" and left', 'Authorization: Basic YWRhOnB3 "x"', '{"token": "hunter2"}',
                 "keys:\nsk_live_hunter2\nCookie: hunter2"):  # fmt: skip
        logging.getLogger("brimful.x").info("%s", text)
    lines = written().splitlines()
    assert len(lines) == 4
    for line in lines:
        told = json.loads(line)["message"]
        assert "hunter2" not in told
        assert "YWRhOnB3" not in told
    assert json.loads(lines[0])["message"].endswith("and left")


@pytest.mark.timeout(20)
def test_no_text_takes_long_whoever_wrote_it():
    """Patterns are searched from each place once: a stranger's path of any length costs milliseconds. No time is judged
    but the test's own: a quadratic search of these took minutes.
    """
    for part in (
        "a.",
        "a",
        "a@",
        "password",
        "password=",
        "://",
        "a://",
        "1",
        "4 ",
        "cookie:",
        "'",
        "token='",
        "-",
        "+",
    ):
        for length in (1_000, 100_000, 1_000_000):
            observability.logging.redact(part * (length // len(part)))
            observability.logging.redact(("x" * 50 + part) * (length // 60))


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_is_a_line_whoever_wrote_it(written, form):
    observability.logging.configure("INFO", form)
    odd = "GET /x\r\n2026-01-01T00:00:00+00:00 CRITICAL brimful: ALARM \x1b[2J\u202e\u2028 failed"
    logging.getLogger("brimful.x").warning("%s", odd)
    text = written()
    [line] = text.splitlines()
    assert text.endswith("\n")
    assert "\x1b" not in line
    assert "\u202e" not in line or form == "json"
    stamp = json.loads(line)["time"] if form == "json" else line.partition(" ")[0]
    assert dt.datetime.fromisoformat(stamp).utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize(
    "around", ["GET /billing/open/{} failed", "https://pay.example/billing/open/{}?x=1", "'/open/{}'"]
)
def test_what_opens_something_is_blanked_in_a_path_too(around):
    token = "kq3vL9mX2pR7tY1wZ8bN4cF6hJ0dG5sAeUiOuVxQyTn"
    told = observability.logging.redact(around.format(token))
    assert token not in told
    assert "/open/[blank]" in told
