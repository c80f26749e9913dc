"""The operator's commands, as an operator runs them."""

import asyncio
import dataclasses
import json
import re

from brimful import payments
from brimful.cli.common import SECTIONS, cli
from brimful.gateway.stripe.account import EVENTS, Account
from support import processes
from support.operator import Colleague


async def command(harness, *arguments, status=0, stdin=None, stream="stdout"):
    environment = {"PATH": "/usr/bin:/bin", **harness.environment}
    done = await asyncio.to_thread(processes.run, arguments, environment, stdin=stdin or "")
    assert done.returncode == status, done.stdout + done.stderr
    return getattr(done, stream)


def test_every_command_has_its_place_in_the_help_and_none_is_cut():
    said = processes.run(["--help"], {"PATH": "/usr/bin:/bin", "COLUMNS": "60"}).stdout
    named = [name for names in SECTIONS.values() for name in names]
    assert sorted(named) == sorted(cli.commands)
    assert said.count("...") == 1  # of the usage line
    for name, command in cli.commands.items():
        assert "".join(command.get_short_help_str(limit=200).split()) in "".join(said.split()), name


def test_completion_is_a_script_for_each_shell():
    for shell, word in (("bash", "complete -o"), ("zsh", "#compdef brimful"), ("fish", "complete --no-files")):
        assert word in processes.run(["completion", shell], {"PATH": "/usr/bin:/bin"}).stdout
    words = {
        "PATH": "/usr/bin:/bin",
        "_BRIMFUL_COMPLETE": "bash_complete",
        "COMP_WORDS": "brimful rec",
        "COMP_CWORD": "1",
    }
    assert processes.run([], words).stdout == "plain,reconcile\n"


async def test_status_says_how_it_stands_and_is_no_success_when_it_does_not_stand_well(harness):
    said = await command(harness, "status", status=1)  # no worker has registered here
    assert re.search(r"^ok   charging       on$", said, re.MULTILINE)
    assert re.search(
        r"^BAD  worker         no worker is alive \(none is registered\): start `brimful worker`$", said, re.MULTILINE
    )
    await command(harness, "charging", "stop", "--reason", "looking")
    found = json.loads(await command(harness, "status", "--json", "-", status=1))
    [charging] = [one for one in found["found"] if one["name"] == "charging"]
    assert (found["ok"], charging["ok"]) == (False, False)
    assert ": looking)" in charging["detail"]


async def test_json_on_standard_output_is_json_alone_and_the_words_are_beside_it(harness):
    for arguments in (("verify",), ("doctor",), ("top-ups", "list"), ("reconcile",)):
        environment = {"PATH": "/usr/bin:/bin", **harness.environment}
        done = await asyncio.to_thread(processes.run, [*arguments, "--json", "-"], environment)
        assert json.loads(done.stdout) is not None, arguments
        if arguments != ("top-ups", "list"):  # there are none
            assert done.stderr, arguments


async def test_books_that_agree_need_no_repair(harness):
    assert "Nothing to repair: our books and Stripe's say the same." in await command(harness, "reconcile")


async def test_stop_explain_start_refund_reconcile(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await command(harness, "charging", "stop", "--reason", "a look at the numbers")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert "a look at the numbers" in await command(harness, "charging", "show")
    told = await command(harness, "explain", customer_id, "USD")
    assert told.startswith("A top-up is requested. Charging is suspended: a look at the numbers.")
    assert "Charging goes on." in await command(harness, "charging", "start", "--reason", "looked")
    await harness.pass_time(minutes=2)
    [top_up] = await harness.top_ups(customer_id)
    assert top_up["state"] == "succeeded"
    for _ in range(2):
        assert "7.50 USD" in await command(
            harness, "refund", customer_id, top_up["id"], "--amount", "7.50", "--key", "k"
        )
    await harness.work()
    await harness.events_applied()
    assert (await harness.books())["refunded"] == {"USD": 750}
    assert "1 payments, 1 refunds" in await command(harness, "reconcile")
    assert "nothing to give back" not in await command(harness, "verify", "--full")
    [audit] = await harness.sql("SELECT actor FROM audit WHERE action = 'refund.requested' LIMIT 1")
    assert audit["actor"] == "command line"


async def test_a_wrong_customer_or_amount_is_one_line(harness):
    customer_id, _ = await harness.funded()
    await command(harness, "explain", customer_id, "EUR", status=2)
    await command(harness, "refund", customer_id, "top_nobody", status=2)


async def test_a_rule_is_explained_to_whoever_has_but_an_external_id(harness):
    ada, _ = await harness.funded(external_id="ada-1", name="Ada Lovelace")
    for who in ("ada-1", "lovelace"):
        assert "not below the threshold" in await command(harness, "explain", who, "usd")
    budget = {"asset": "USD", "amount": "2", "window": "day", "subject": "key-1"}
    await harness.call("PUT", f"/customers/{ada}/budgets/daily", budget, expect=200)
    debit = ("explain", ada, "usd", "--amount", "3")
    said = await command(harness, *debit, "--subject", "key-1", "--dimension", "team=red")
    assert "The budget 'daily' has 2 left." in said
    assert "0 used and 0 held of 2 each day" in said
    assert "It would be applied." in await command(harness, *debit)
    assert "give its --amount" in await command(harness, "explain", ada, "USD", "--subject", "x", status=2,
                                                stream="stderr")  # fmt: skip
    assert "Nobody is found" in await command(harness, "explain", "nobody", "USD", status=2, stream="stderr")
    await harness.customer("Ada Byron")
    assert "names several" in await command(harness, "explain", "ada", "USD", status=2, stream="stderr")


async def test_top_ups_are_listed_shown_hurried_and_taken_back(harness, tmp_path):
    customer_id, _ = await harness.crossed(number="4000000000009995", name="Ada Lovelace")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    listed = await command(harness, "top-ups", "list", "--state", "retry_wait", "--json", str(tmp_path / "list.json"))
    assert top_up["id"] in listed
    assert "25 USD" in listed
    assert json.loads((tmp_path / "list.json").read_text())[0]["customer_id"] == customer_id
    assert "None." in await command(harness, "top-ups", "list", "--review")
    assert "--state is one of" in await command(harness, "top-ups", "list", "--state", "x", status=2, stream="stderr")
    shown = await command(harness, "top-ups", "show", top_up["id"], "--json", str(tmp_path / "one.json"))
    assert "insufficient_funds" in shown
    [payment] = json.loads((tmp_path / "one.json").read_text())["payments"]
    assert payment["decline_code"] == "insufficient_funds"
    await command(harness, "top-ups", "retry", top_up["id"])
    await harness.work()
    assert (await harness.top_ups(customer_id))[0]["tries"] == 2
    await command(harness, "top-ups", "cancel", top_up["id"])
    assert (await harness.top_ups(customer_id))[-1]["state"] == "canceled"
    assert "only a top-up that waits" in await command(
        harness, "top-ups", "cancel", top_up["id"], status=2, stream="stderr"
    )
    assert "no top-up" in await command(harness, "top-ups", "show", "top_none", status=2, stream="stderr")
    acted = await harness.sql("SELECT actor, action FROM audit WHERE action LIKE 'top_up.%%' ORDER BY audit_id")
    assert [(row["actor"], row["action"]) for row in acted] == [
        ("command line", "top_up.retried"), ("command line", "top_up.canceled"),
    ]  # fmt: skip


async def test_a_customer_is_shown(harness, tmp_path):
    customer_id, _ = await harness.crossed(external_id="ada-1")
    await harness.work()
    shown = await command(harness, "customers", "show", "ada-1", "--json", str(tmp_path / "ada.json"))
    assert "Visa ···· 4242" in shown
    found = json.loads((tmp_path / "ada.json").read_text())
    assert found["accounts"] == [{"asset": "USD", "available": "34", "balance": "34", "held": "0"}]
    assert found["customer_id"] == customer_id
    assert found["rules"][0]["explanation"] == "The balance is not below the threshold: nothing to do."


async def test_an_operator_is_let_in_renewed_and_disabled(harness):
    told = await command(harness, "operators", "create", "grace", "--role", "operator", "--password-stdin",
                         stdin="correct horse battery\n")  # fmt: skip
    secret = re.search(r"shown once: ([A-Z2-7]{32})", told)[1]
    assert f"otpauth://totp/Glitch%20AI:grace?secret={secret}" in told
    person = Colleague(harness.url)
    assert (await person.sign_in("grace", secret)).status_code == 303
    renewed = await command(harness, "operators", "renew", "grace", "--password-stdin", stdin="another horse battery\n")
    assert (await person.http.get("/")).status_code == 303  # what was open has ended
    assert "operator  active" in await command(harness, "operators", "list")
    await command(harness, "operators", "unlock", "grace")
    await command(harness, "operators", "disable", "grace")
    assert "operator  disabled" in await command(harness, "operators", "list")
    secret = re.search(r"shown once: ([A-Z2-7]{32})", renewed)[1]
    assert (await person.sign_in("grace", secret, password="another horse battery", steps=1)).status_code == 401
    await person.http.aclose()
    again = await command(harness, "operators", "create", "grace", "--password-stdin", stdin="another horse battery\n",
                          status=2, stream="stderr")  # fmt: skip
    assert "already" in again
    acted = await harness.sql("SELECT action FROM audit WHERE actor = 'command line' ORDER BY audit_id")
    assert [row["action"] for row in acted] == [
        "operator.created", "operator.renewed", "operator.unlocked", "operator.disabled",
    ]  # fmt: skip


# --- the account at Stripe ------------------------------------------------------------------------------------------


async def test_stripe_is_set_up_once_and_mended_after(harness):
    [ours] = list(harness.world.store.newest("webhook_endpoint"))
    harness.world.store.save("webhook_endpoint", {**ours, "url": "https://somebody.else/hooks"})
    made = await command(harness, "stripe", "setup")
    secret = re.search(r"STRIPE_WEBHOOK_SECRET=(whsec_\w+)", made)[1]
    endpoints = {item["url"]: item for item in harness.world.store.newest("webhook_endpoint")}
    mine = endpoints[f"{harness.url}/v1/stripe/webhooks"]
    assert mine["secret"] == secret
    assert mine["enabled_events"] == list(EVENTS)
    assert mine["api_version"] == Account.version
    again = await command(harness, "stripe", "setup")
    assert "as it should be" in again
    assert secret not in again
    harness.world.store.save("webhook_endpoint", {**mine, "enabled_events": ["charge.refunded"], "status": "disabled"})
    assert "is mended" in await command(harness, "stripe", "setup")
    mended = harness.world.store.get("webhook_endpoint", mine["id"])
    assert (mended["enabled_events"], mended["status"]) == (list(EVENTS), "enabled")
    assert len(list(harness.world.store.newest("webhook_endpoint"))) == 2


async def test_what_is_wrong_with_the_account_is_said_and_the_status_tells(harness):
    await harness.switch(call="refunds.create", fault="forbidden")
    assert "the key lacks Refunds: write" in await command(harness, "stripe", "setup", status=1)
    assert "STRIPE_WEBHOOK_SECRET=whsec_" in await command(harness, "stripe", "setup", "--renew")
    assert len(list(harness.world.store.newest("webhook_endpoint"))) == 2
    await harness.switch(call="webhook_endpoints.list", fault="forbidden")
    told = await command(harness, "stripe", "setup", status=1)
    assert "Webhook Endpoints: write" in told
    harness.environment = {**harness.environment, "STRIPE_API_KEY": "sk_live_x", "STRIPE_API_URL": ""}
    assert "https only" in await command(harness, "stripe", "setup", status=2, stream="stderr")


def test_every_event_that_is_applied_is_asked_for():
    """And nothing is asked for that the inbox would ignore, but what only brings a PaymentIntent or a card nearer."""
    prefixes = [prefix for prefix, _ in payments.stripe_events._HANDLERS]
    assert all(any(event.startswith(prefix) for event in EVENTS) for prefix in prefixes)
    unheard = [event for event in EVENTS if not event.startswith(tuple(prefixes))]
    assert unheard == ["setup_intent.succeeded", "setup_intent.setup_failed", "payment_method.attached"]


async def test_a_key_is_made_listed_and_taken_back(harness):
    key = (await command(harness, "keys", "create", "--name", "platform-2")).strip()
    headers = {"Authorization": f"Bearer {key}"}
    assert (await harness.api.get("/v1/customers", headers=headers)).status_code == 200
    listed = await command(harness, "keys", "list")
    [line] = [line for line in listed.splitlines() if "platform-2" in line]
    assert " active " in line
    assert key not in listed
    assert " used 20" in line
    key_id = line.split()[0]
    await command(harness, "keys", "revoke", key_id)

    async def refused():
        return (await harness.api.get("/v1/customers", headers=headers)).status_code == 401

    await harness.until(refused)  # an API process remembers a good key for five seconds
    assert " revoked " in next(
        line for line in (await command(harness, "keys", "list")).splitlines() if "platform-2" in line
    )
    assert "could be revoked" in await command(harness, "keys", "revoke", key_id, status=2, stream="stderr")


async def test_settings_come_from_a_file_as_systemd_and_docker_read_it(harness, tmp_path):
    file = tmp_path / "brimful.env"
    lines = [
        f'{name}="{value}"' if "PUBLIC" in name else f"{name}={value}" for name, value in harness.environment.items()
    ]
    file.write_text("\n".join(["# settings", "", *lines, "BRIMFUL_MERCHANT=Two Words", ""]))
    bare = dataclasses.replace(harness, environment={})
    assert "active" not in await command(bare, "--env", str(file), "operators", "list")
    told = await command(bare, "--env", str(file), "operators", "create", "ada", "--password-stdin",
                         stdin="correct horse battery\n")  # fmt: skip
    assert "Two%20Words:ada" in told
    file.write_text("no setting")
    assert "line 1" in await command(bare, "--env", str(file), "operators", "list", status=2, stream="stderr")
    assert "cannot be read" in await command(bare, "--env", "/nowhere", "keys", "list", status=2, stream="stderr")


async def test_a_database_that_does_not_answer_is_a_line_and_no_stack(harness):
    keys = harness.environment["BRIMFUL_LEDGER_KEYS"]
    nowhere = {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "BRIMFUL_LEDGER_KEYS": keys}
    gone = dataclasses.replace(harness, environment=nowhere)
    for arguments in (("charging", "show"), ("verify",), ("top-ups", "list"), ("migrate",), ("export", "entries")):
        told = await command(gone, *arguments, status=2, stream="stderr")
        assert "Traceback" not in told
        assert told.strip().splitlines()[-1].startswith("brimful: "), told
    assert "refused" in await command(gone, "doctor", status=1)
