"""The developers' commands, as processes against a running Brimful."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from brimful import runtime
from brimful.notifications.events import Topic
from brimful_client.client import Client
from support import processes

KEY = "key_for_developing_0123456789ab"
BRIMFUL = [sys.executable, "-m", "brimful"]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with runtime.local.up(
        tmp_path_factory.mktemp("up") / "data", port=0, extra={"BRIMFUL_API_KEY": KEY, "BRIMFUL_PACE_SPACING_S": "1"},
        quiet=True,
    ) as running:  # fmt: skip
        yield running


def brimful(running, *arguments, status=0):
    done = processes.run([*arguments, "--url", running.url, "--key", KEY], dict(os.environ))
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextlib.contextmanager
def listening(running, *arguments):
    """A `brimful listen`; its lines so far are in the list."""
    command = [*BRIMFUL, "listen", *arguments, "--url", running.url, "--key", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        assert first.startswith("Listening. Secret whsec_"), first
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def wait_for(port):
    """Until somebody listens there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
    raise AssertionError(f"nobody listens on {port}")


def scenes():
    from brimful.dev.demo.scenes import SCENES

    return sorted(SCENES)


@pytest.mark.timeout(240)
def test_each_scene_makes_its_event_happen(running):
    """One listener hears all; several topics share a scene, which is played once."""
    from brimful.dev.demo.scenes import SCENES

    assert set(SCENES) <= set(Topic)
    played = {}
    with listening(running) as listener:
        for topic in scenes():
            if SCENES[topic] not in played.values():
                brimful(running, "trigger", topic)
            played[topic] = SCENES[topic]
        missing, deadline = set(played), time.monotonic() + 60
        while missing and time.monotonic() < deadline:
            missing -= {listener.stdout.readline().split()[1]}
    assert missing == set()
    with Client(running.url, KEY) as client:
        assert client.list_webhooks().items == []  # it cleans up


def test_trigger_lists_its_scenes_and_refuses_others(running):
    assert "balance.low" in brimful(running, "trigger")
    assert "choose from" in brimful(running, "trigger", "nothing", status=2)
    assert "Give an API key" in subprocess.run(
        [*BRIMFUL, "trigger", "balance.low", "--data", "/nonexistent"], capture_output=True, text=True, check=False
    ).stderr  # fmt: skip


def test_listen_forwards_unchanged_and_replay_sends_again(running):
    receiver = pathlib.Path(__file__).parents[2] / "examples" / "python" / "receiver.py"
    from support.harness import free_port

    port = free_port()
    with listening(running, "--forward-to", f"http://127.0.0.1:{port}/", "--topic", "balance.low") as listener:
        customer = brimful(running, "trigger", "balance.low").split()[-1]
        line = listener.stdout.readline()
        while "does not answer" in line:
            line = listener.stdout.readline()
        assert "balance.low" in line
        assert "[502]" in line
        assert customer in line
        event_id = line.split()[0]
        # The receiver needs the secret that `listen` printed; here the endpoint's is read from the API.
        with Client(running.url, KEY) as client:
            [hook] = client.list_webhooks().items
            secret = client.get_webhook(hook.id).secret
        with subprocess.Popen(
            [sys.executable, str(receiver), str(port)], stdout=subprocess.PIPE, text=True,
            env={"BRIMFUL_WEBHOOK_SECRET": secret, "PATH": ""},
        ) as own:  # fmt: skip
            wait_for(port)
            assert "1 deliveries queued" in brimful(running, "replay", event_id, "--webhook", hook.id)
            assert event_id in own.stdout.readline()
            own.terminate()
    assert "Name an event" in brimful(running, "replay", status=2)


def test_seed_makes_customers_with_rules(running):
    lines = brimful(running, "seed", "--customers", "2").splitlines()
    assert len(lines) == 2
    with Client(running.url, KEY) as client:
        assert all(rule.enabled for rule in client.list_rules(lines[0].split()[0]).items)


GOOD = """external_id,name,email,stripe_customer_id,asset,balance
imp-1,Acme,billing@acme.example,cus_Acme1,USD,12.50
imp-1,Acme,billing@acme.example,cus_Acme1,EUR,3
imp-2,"Globex, Inc.",,,USD,-4
imp-3,Initech,,,,
"""


def test_import_judges_first_is_keyed_and_goes_on_after_a_failure(running, tmp_path):
    file = tmp_path / "customers.csv"
    file.write_text(GOOD)
    assert "3 customers would be created, 0 known; 3 balances would be credited, 0 known" in brimful(
        running, "import", str(file), "--dry-run"
    )
    with Client(running.url, KEY) as client:
        # A first run that was cut: one customer is there, with one of its balances.
        made = client.create_customer(name="Acme", external_id="imp-1", stripe_customer_id="cus_Acme1")
        client.adjust(made.id, transaction_id="import:USD", asset="USD", amount="12.50")
        assert "2 customers created, 1 known; 2 balances credited, 1 known" in brimful(running, "import", str(file))
        assert "0 customers created, 3 known; 0 balances credited, 3 known" in brimful(running, "import", str(file))
        accounts = {account.asset: account.available for account in client.get_wallet(made.id).accounts}
        assert accounts == {"USD": 12.5, "EUR": 3}
        assert client.get_account(client.find_customer("imp-2").id, "USD").available == -4
        assert client.list_cards(made.id).items == []  # never imported
        file.write_text(GOOD.replace("12.50", "13").replace("imp-3", "imp-4").replace(",cus_Acme1", ",cus_Acme1"))
        assert "brought 12.5 USD before, not 13" in brimful(running, "import", str(file), status=1)
        file.write_text("external_id,name,stripe_customer_id\nimp-9,Thief,cus_Acme1\n")
        assert "Another customer has cus_Acme1" in brimful(running, "import", str(file), status=1)
        with pytest.raises(Exception, match="customer_not_found"):
            client.find_customer("imp-9")


LOTS = """external_id,name,asset,balance,credit,purpose,effective_at,expires_at
lot-1,Acme,USD,12.5,paid-2026,paid,2026-01-31T00:00:00Z,
lot-1,Acme,USD,20,welcome,promotional,,2099-01-31T00:00:00+00:00
lot-1,Acme,USD,5,later,promotional,2098-01-31T00:00:00Z,2099-01-31T00:00:00Z
"""


def test_credits_come_along_with_their_terms(running, tmp_path):
    file = tmp_path / "credits.csv"
    file.write_text(LOTS)
    assert "1 customers created, 0 known; 3 balances credited" in brimful(running, "import", str(file))
    assert "0 customers created, 1 known; 0 balances credited, 3 known" in brimful(running, "import", str(file))
    with Client(running.url, KEY) as client:
        made = client.find_customer("lot-1")
        client.record_usage(id="job", customer_id=made.id, asset="USD", amount="8")
        items = client.list_grants(made.id, "USD").items
        assert {one.purpose: one.available for one in items} == {"promotional": 12, "paid": 12.5}
        [gift] = [one for one in items if one.purpose == "promotional"]
        assert [one.taken for one in client.list_grant_entries(made.id, "USD", gift.id).items] == [8]


BAD_FILES = [
    ("external_id,name,asset,balance,expires_at\nx,y,USD,1,soon\n", "is not a time such as"),
    ("external_id,name,asset,balance,purpose\nx,y,USD,1,gift\n", "is none of paid, promotional, correction"),
    ("external_id,name,asset,balance,purpose\nx,y,USD,-1,paid\n", "only a credit has these"),
    ("name\nx\n", "missing: ['external_id']"),
    ("external_id,name,card\nx,y,4242\n", "unknown: ['card']"),
    ("external_id,name\n", "holds 0 rows"),
    ("external_id,name\n,x\n", "line 2: external_id is empty"),
    ("external_id,name,asset,balance\nx,y,USD,1e5\n", "plain decimal"),
    ("external_id,name,asset,balance\nx,y,USD,\n", "asset and balance go together"),
    ("external_id,name,email\nx,y,no-mail\n", "is not an e-mail address"),
    ("external_id,name,stripe_customer_id\nx,y,4242424242424242\n", "is not a Stripe customer id"),
    ("external_id,name,asset,balance\nx,y,USD,1\nx,y,USD,1\n", "stand twice"),
    ('external_id,name\nx,"y\n', "is not CSV"),
    ("external_id,name,asset,balance\nbad-1,x,USD,1\nbad-2,y,usd,1\n", "line 3: There is no asset 'usd'"),
    ("external_id,name,asset,balance\nbad-1,x,USD,0.0000000001\n", "at most 9 decimals"),
]


def test_import_refuses_a_bad_file_and_changes_nothing(running, tmp_path):
    """I11."""
    file = tmp_path / "bad.csv"
    for content, message in BAD_FILES:
        file.write_text(content)
        said = brimful(running, "import", str(file), status=2)
        assert message in said
        assert "customers created" not in said
