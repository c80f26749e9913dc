"""Settings and inputs of commands: what cannot be used is said in one line."""

import base64
import socket
import subprocess
import sys

import pytest

from brimful import ledger, settings
from brimful.core.errors import ConfigurationError
from brimful.dev import traces

KEYS = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BASE = {"DATABASE_URL": "postgresql:///x", "BRIMFUL_LEDGER_KEYS": KEYS}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set"),
        ({"BRIMFUL_LEDGER_KEYS": ""}, "BRIMFUL_LEDGER_KEYS is not set"),
        ({"BRIMFUL_LEDGER_KEYS": "1:short"}, "must look like|32 bytes"),
        ({"BRIMFUL_API_KEY": "short"}, "24 to 128"),
        ({"BRIMFUL_API_KEY": "x" * 30 + "!"}, "24 to 128"),
        ({"BRIMFUL_PACE_PER_HOUR": "five"}, "whole number"),
        ({"STRIPE_API_KEY": "sk_live_x", "STRIPE_API_URL": "http://127.0.0.1:1"}, "live key"),
        ({"STRIPE_API_KEY": "rk_live_x", "STRIPE_API_URL": "http://127.0.0.1:1"}, "live key"),
        ({"STRIPE_API_KEY": "sk_test_x", "STRIPE_API_URL": "http://stripe.example"}, "loopback"),
        ({"BRIMFUL_PUBLIC_URL": "http://pay.example"}, "must be https"),
        ({"BRIMFUL_CRASH_AT": "T1:kill"}, "for tests with the sandbox"),
        ({"BRIMFUL_ANCHOR_DIR": "/nowhere/at/all"}, "no directory"),
    ],
)
def test_what_cannot_be_used_is_named(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        settings.environment.read({**BASE, **wrong})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n", "first line must be"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "no requests"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,1,2\nyesterday,1,2\n", "line 3"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,1\n", "line 2"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,-1,2\n", "line 2"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,1e9,2\n", "line 2"),
    ],
)
def test_a_trace_with_a_bad_line_is_refused_by_its_number(tmp_path, text, message):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        list(traces.Trace(path))


def test_a_trace_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(traces.Trace(tmp_path / "nothing.csv"))


def test_a_trace_mixes_forms_of_moments_and_is_read_as_a_stream(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:47,1,1\n"
        "2023-11-16T19:15:48+01:00,2,2\n\n2023-11-16 18:15:48.5Z,3,3\n2023-11-16 18:15:40,4,4\nbad,1,1\n"
    )
    rows = list(traces.Trace(path, rows=5))
    assert [row.context for row in rows] == [374, 1, 2, 3, 4]
    assert [round(row.at_s, 4) for row in rows] == [0, 0.3194, 1.3194, 1.8194, 1.8194]
    some = iter(traces.Trace(path))
    assert next(some).context == 374  # before the bad line is reached
    with pytest.raises(ConfigurationError, match="line 8"):
        traces.survey(traces.Trace(path))
    assert traces.survey(traces.Trace(path, rows=2)) == (2, pytest.approx(0.3194, abs=1e-4))


def test_a_generated_trace_has_the_same_form_and_repeats():
    rows = list(traces.Generated(500, 1))
    assert rows == list(traces.Generated(500, 1))
    assert all(row.context > 0 and row.generated > 0 for row in rows)


def brimful(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "brimful", *arguments],
        env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = brimful("up", "--data", str(tmp_path / "data"), "--port", port)
    assert done.returncode == 2
    assert done.stderr.startswith(f"brimful: Port {port} on 127.0.0.1 cannot be used")
    assert done.stderr.count("\n") == 1


def test_a_directory_that_is_not_ours_is_one_line(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    done = brimful("up", "--data", str(tmp_path), "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "not a Brimful data directory" in done.stderr


def test_a_live_key_with_a_sandbox_address_is_one_line():
    done = brimful("worker", STRIPE_API_KEY="sk_live_1", STRIPE_API_URL="http://127.0.0.1:9", **BASE)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "live key" in done.stderr


def test_a_database_that_is_not_there_is_one_line():
    unreachable = {**BASE, "DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    done = brimful("serve", **unreachable)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "DATABASE_URL cannot be reached" in done.stderr


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
def test_unsafe_database_settings_are_refused(cluster, setting):
    """F27: the tests' own server runs with all three off."""
    done = brimful("serve", **{**BASE, "DATABASE_URL": cluster.admin_url})
    assert done.returncode == 2
    assert "= off and may lose acknowledged money" in done.stderr


def test_a_new_key_is_handed_out_before_it_signs():
    one, two = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    known = {"DATABASE_URL": "postgresql://x", "BRIMFUL_LEDGER_KEYS": f"1:{one},2:{two}"}
    assert settings.environment.read(known).ledger_signing == 2
    assert settings.environment.read({**known, "BRIMFUL_LEDGER_SIGNING": "1"}).ledger_signing == 1
    with pytest.raises(ConfigurationError, match="none of the numbers"):
        settings.environment.read({**known, "BRIMFUL_LEDGER_SIGNING": "3"})
    ring = ledger.hash_chain.Keyring({1: bytes(32), 2: bytes([1]) * 32}, 1)
    assert ring.sign(b"", b"x")[0] == 1
    assert ring.recognises(ledger.hash_chain.Keyring({2: bytes([1]) * 32}).sign(b"", b"x"), b"", b"x")
