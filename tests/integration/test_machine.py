"""The whole machine as its users start it: `brimful up`, killed and started again; `brimful demo`, to its summary."""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import httpx
import psycopg
import pytest

from brimful import runtime
from brimful.dev.demo.visitor import Visitor
from support.harness import API_KEY, HOME, free_port

ROOT = pathlib.Path(__file__).parents[2]
KEY = "a-key-that-the-test-has-chosen"


def start(data, port):
    """`brimful up` in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "brimful", "up", "--data", str(data), "--port", str(port)],
        env={"PATH": "/usr/bin:/bin", "BRIMFUL_API_KEY": KEY}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Running"):
            return process
    raise AssertionError(f"it did not start: {process.wait()}: {''.join(lines)}")


def kill_everything(process):
    """kill -9 of the parent and of every child it has."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(child), signal.SIGKILL)
    process.wait()
    process.stdout.close()


def brimful(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "brimful", *arguments], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.timeout(180)
async def test_killed_under_load_and_started_again_everything_is_found(tmp_path):
    """F2 to F6, I6: kill -9 of the whole group while debits and top-ups run; the same data; verify passes."""
    data, port = tmp_path / "data", free_port()
    process = start(data, port)
    acknowledged, url = [], f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {KEY}"}) as api:
            customer_id = (await api.post("/customers", json={"name": "Ada"})).json()["id"]
            gift = {"transaction_id": "gift", "asset": "USD", "amount": "30"}
            await api.post(f"/customers/{customer_id}/wallet/adjustments", json=gift)
            body = {"customer_id": customer_id, "return_url": HOME, "failure_url": HOME}
            visitor = Visitor(url)
            await visitor.open((await api.post("/billing-portal/sessions", json=body)).json()["redirect_url"])
            await visitor.add_card("4242424242424242")
            await visitor.turn_on("USD", threshold="20", amount="25", limit="10000")
            await visitor.close()
            until = time.monotonic() + 3
            number = 0
            while time.monotonic() < until:
                number += 1
                event = {"id": f"e-{number}", "customer_id": customer_id, "asset": "USD", "amount": "0.5"}
                answer = await api.post("/usage", json=event)
                assert answer.json()["status"] == "applied"
                acknowledged.append(event["id"])
    finally:
        kill_everything(process)

    process = start(data, port)
    try:
        verified = brimful("verify", "--data", str(data))
        assert verified.returncode == 0, verified.stdout + verified.stderr
        async with httpx.AsyncClient(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {KEY}"}) as api:
            again = [{"id": key, "customer_id": customer_id, "asset": "USD", "amount": "0.5"} for key in acknowledged]
            for place in range(0, len(again), 500):
                results = (await api.post("/usage", json={"events": again[place : place + 500]})).json()["results"]
                assert {result["status"] for result in results} == {"duplicate"}
        refused = brimful("up", "--data", str(data), "--port", "0")
        assert "in use by another running Brimful" in refused.stderr
        examined = brimful("doctor", "--data", str(data))
        assert examined.returncode == 0, examined.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        process.stdout.close()
    assert brimful("verify", "--data", str(data)).returncode == 0  # the server is not running now
    runtime.embedded_postgres.DataDirectory(data).open(version="18").remove()


def test_the_doctor_and_verify_say_no(database_url):
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": database_url}
    command = [sys.executable, "-m", "brimful", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BAD  database" in done.stdout  # the tests' server runs without fsync
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0005.grants'")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "BAD  migrations" in done.stdout


def uv(*arguments):
    """Behind a proxy only the system's certificates are right; elsewhere uv brings its own."""
    command = [pathlib.Path(sys.executable).with_name("uv"), *arguments, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        done = subprocess.run([*command, "--system-certs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def built(source, folder):
    """The wheel of a project."""
    before = set(folder.glob("*.whl"))
    uv("build", "--wheel", str(source), "--out-dir", str(folder))
    [wheel] = set(folder.glob("*.whl")) - before
    return wheel


def installed(home, *wheels):
    """An environment with these and what they need."""
    uv("venv", str(home), "--python", sys.executable)
    python = str(home / "bin" / "python")
    uv("pip", "install", "--python", python, *map(str, wheels), "--constraint", str(ROOT / "requirements.lock"))


_ALONE = """
import asyncio, sys
from brimful_client import AsyncClient, Client, Problem, verify_webhook

assert not {"brimful", "msgspec", "standardwebhooks", "pydantic"} & set(sys.modules)
url, key = sys.argv[1:]
with Client(url, key) as brimful:
    customer = brimful.create_customer(name="Alone", external_id="alone")
    brimful.adjust(customer.id, transaction_id="gift", asset="USD", amount="10.5", reason="gift")

async def main():
    async with AsyncClient(url, key) as brimful:
        used = await brimful.record_usage(id="e", customer_external_id="alone", asset="USD", amount="0.25")
        print(used.balance)
        try:
            await brimful.charge("external_id:alone", transaction_id="fee", asset="USD", amount=100)
        except Problem as problem:
            print(problem.code)

asyncio.run(main())
"""


async def test_the_client_is_a_package_of_its_own_that_needs_httpx_alone(harness, tmp_path):
    home = tmp_path / "installed"
    wheel = await asyncio.to_thread(built, ROOT / "clients" / "python", tmp_path)
    await asyncio.to_thread(installed, home, wheel)
    [packages] = home.glob("lib/python*/site-packages")
    names = {one.name.partition("-")[0] for one in packages.glob("*.dist-info")}
    assert names == {"brimful_client", "httpx", "httpcore", "anyio", "certifi", "h11", "idna"} | names & {
        "typing_extensions"
    }
    size = sum(one.stat().st_size for one in packages.rglob("*") if one.is_file() and one.suffix != ".pyc")
    assert (wheel.stat().st_size < 50_000, size < 5_000_000) == (True, True)
    done = await asyncio.to_thread(
        subprocess.run, [home / "bin" / "python", "-I", "-c", _ALONE, harness.url, API_KEY],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("10.25\ninsufficient_funds\n", "")


@pytest.mark.timeout(300)
def test_the_demo_of_an_installed_wheel_runs_to_its_summary_and_everything_agrees(tmp_path):
    """The main job on a generated trace, by what `pip install` puts into an empty environment: the books agree,
    every invariant holds.
    """
    trace = tmp_path / "trace.csv"
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    rows += [
        f"2023-11-16 18:{n // 60:02d}:{n % 60:02d}.0000000,{500 + n * 37 % 2000},{50 + n * 13 % 300}"
        for n in range(900)
    ]
    trace.write_text("\n".join(rows))
    result, home = tmp_path / "result.json", tmp_path / "installed"
    installed(home, built(ROOT, tmp_path), built(ROOT / "clients" / "python", tmp_path))
    done = subprocess.run(
        [home / "bin" / "brimful", "demo", "--trace", str(trace), "--customers", "12", "--speed", "90", "--exit",
         "--json", str(result)],
        env={"PATH": "/usr/bin:/bin"}, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(result.read_text())
    assert summary["ok"] is True
    assert summary["events"] == summary["applied"] == 900
    assert summary["top_ups"]["succeeded"] >= 5
    refunded = summary["refunded"]["USD"]  # of the scene of gifts and a bonus
    assert summary["provider"] == {"charged": summary["charged"], "refunded": {"USD": refunded}}
    assert summary["credited"]["USD"] == summary["charged"]["USD"] - refunded
    invariants = {item["id"] for item in summary["invariants"]}
    assert invariants >= {f"I{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)}
    assert "top-ups" in done.stdout.lower()


def test_it_says_its_version():
    said = brimful("--version")
    assert said.stdout == f"brimful {importlib.metadata.version('brimful')}\n"
