"""The receivers under examples/ receive what a real Brimful sends."""

import asyncio
import contextlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from support import node
from support.harness import API_KEY, free_port

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def typescript():
    """The compiled receiver; built as its first lines say."""
    folder = EXAMPLES / "typescript"
    for command in ("ci", "run build"):
        node.run("npm", *command.split(), cwd=folder)
    return [f"{node.folder()}/node", str(folder / "receiver.js")]


@contextlib.asynccontextmanager
async def running(command, port, secret):
    process = await asyncio.create_subprocess_exec(
        *command, str(port), stdout=subprocess.PIPE, env={**os.environ, "BRIMFUL_WEBHOOK_SECRET": secret}
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def received(harness, command):
    port = free_port()
    body = {"url": f"http://127.0.0.1:{port}/", "topics": ["balance.low"]}
    made = await harness.call("POST", "/webhooks", body, expect=201)
    async with running(command, port, made["secret"]) as process:
        customer_id = await harness.customer("Zoë 🚀")
        await harness.give(customer_id, 1)
        await harness.call("PUT", f"/customers/{customer_id}/alerts/USD", {"threshold": "5"}, expect=200)
        await harness.work()
        [event] = (await harness.call("GET", "/webhooks/events"))["models"]
        assert event["state"] == "succeeded"
        await harness.call("POST", f"/webhooks/events/{event['id']}/replay", expect=202)
        await harness.work()  # known by its id: printed once
        forged = await harness.api.post(body["url"], content=b"{}", headers={"webhook-id": "x"})
        assert forged.status_code == 400
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        process.terminate()
        rest = await process.stdout.read()
    assert json.loads(line) == {
        "id": event["id"], "type": "balance.low",
        "data": {"customer_id": customer_id, "asset": "USD", "available": "1", "threshold": "5"},
    }  # fmt: skip
    assert rest == b""


async def test_a_stream_stops_between_tokens_and_goes_on_after_a_top_up(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / "python" / "stream.py"), customer_id, stdout=subprocess.PIPE,
        env={**os.environ, "BRIMFUL_URL": harness.url, "BRIMFUL_API_KEY": API_KEY, "TOKENS": "200", "PATIENCE_S": "20"},
    )  # fmt: skip
    written = []
    try:
        while not (line := await asyncio.wait_for(process.stdout.readline(), 30)).startswith(b"[paused"):
            written.append(line)
        assert b"no_rule" in line
        await harness.give(customer_id, 5)
        rest = await asyncio.wait_for(process.stdout.read(), 30)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    assert b"[it goes on]" in rest
    words = (b" ".join(written) + rest).split()
    assert [word for word in words if word.startswith(b"token-")] == [b"token-%d" % n for n in range(200)]
    assert b"[done: 2.00 USD]" in rest or b"[done: 2 USD]" in rest
    assert await harness.balance(customer_id) == 4
    [hold] = (await harness.call("GET", f"/customers/{customer_id}/wallet/holds", expect=200))["items"]
    assert hold["state"] == "released"
    shown = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD/spend", expect=200)
    assert shown["spent"] == [{"value": "stream", "used": "2"}]


async def test_the_python_receiver(harness):
    await received(harness, [sys.executable, str(EXAMPLES / "python" / "receiver.py")])


@pytest.mark.timeout(300)
async def test_the_typescript_receiver(harness, typescript):
    await received(harness, typescript)
