"""Time of every portal page on an account with a hundred thousand entries, beside that of a page that does nothing.

Real processes, real HTTP on loopback, one request at a time: what a customer's browser waits for the server.
"""

import asyncio
import base64
import datetime as dt
import pathlib
import tempfile
import time
from decimal import Decimal
from typing import Any

import httpx

from brimful import ledger, runtime
from brimful.core.clock import Clock
from brimful.core.ids import CustomerId
from brimful.db.pool import Database
from brimful.dev.bench import ground
from brimful.dev.bench.ground import Times
from brimful.dev.demo.visitor import Visitor, forms_of

_ENTRIES = 100_000
_BATCH = 500
_DAYS = 30
_REQUESTS = 60
_HOME = "http://127.0.0.1/app"
_FLOOR = "theme.css (reference: no database)"
_PAGES = {
    "overview": "/", "top up": "/top-up?asset=USD", "auto top-up": "/auto-top-up/USD", "cards": "/cards",
    "activity": "/activity", "activity, older": "/activity?before=USD.50000~",
    "activity, money": "/activity?kind=money", "list of rules": "/auto-top-up",
}  # fmt: skip


def run() -> dict[str, Any]:
    """Measure and print a table. Returns `{entries, requests, pages: {name: {p50_ms, p99_ms, ratio}}}`."""
    with (
        tempfile.TemporaryDirectory(prefix="brimful-bench-") as scratch,
        runtime.local.up(pathlib.Path(scratch) / "data", port=0, quiet=True) as running,
    ):
        return asyncio.run(_measure(running))


async def _measure(running: runtime.local.Running) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {running.api_key}"}
    async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=30) as api:
        made = await api.post("/v1/customers", json={"name": "Ada"})
        customer_id = CustomerId(made.json()["id"])
        await _fill(running, customer_id)
        body = {"customer_id": customer_id, "return_url": _HOME, "failure_url": _HOME}
        link = (await api.post("/v1/billing-portal/sessions", json=body)).json()["redirect_url"]
    visitor = Visitor(running.url)
    try:
        await visitor.open(link)
        await visitor.add_card("4242424242424242")
        await visitor.turn_on("USD", threshold="10", amount="25", limit="100")
        times = {_FLOOR: await _times(lambda: visitor.get("/theme.css"))}
        for name, path in _PAGES.items():
            times[name] = await _times(lambda path=path: visitor.get(path))
        page = await visitor.get("/auto-top-up/USD")
        form = next(form for form in forms_of(page) if "threshold" in form.fields)
        target = f"{running.url}/billing/auto-top-up/USD/terms"
        times["preview of a rule"] = await _times(lambda: visitor.client.post(target, data=form.fields))
    finally:
        await visitor.close()
    return _table(times)


def _table(spent: dict[str, list[float]]) -> dict[str, Any]:
    times = {name: Times.of(values) for name, values in spent.items()}
    floor = times[_FLOOR].p50
    ground.table(
        ("page", "p50 ms", "p99 ms", "against the reference"),
        [(name, f"{t.p50:.1f}", f"{t.p99:.1f}", f"{t.p50 / floor:.1f}x") for name, t in times.items()],
        f"{_ENTRIES:,} entries on the account, {_REQUESTS} requests each, one at a time over loopback",
    )
    pages = {name: {"p50_ms": t.p50, "p99_ms": t.p99, "ratio": t.p50 / floor} for name, t in times.items()}
    return {"entries": _ENTRIES, "requests": _REQUESTS, "pages": pages}


async def _times(request: Any) -> list[float]:
    """Milliseconds of each request, without the first."""
    spent = []
    for turn in range(_REQUESTS + 1):
        start = time.perf_counter()
        answer = await request()
        if turn:
            spent.append((time.perf_counter() - start) * 1000)
        assert answer.status_code == 200, (answer.status_code, str(answer.url))
    return spent


async def _fill(running: runtime.local.Running, customer_id: CustomerId) -> None:
    """Thirty days of use through the ledger itself, with its clock moved back."""
    keys = running.environment["BRIMFUL_LEDGER_KEYS"]
    number, _, key = keys.split(",")[0].partition(":")
    keyring, clock = ledger.hash_chain.Keyring({int(number): base64.b64decode(key)}), Clock()
    database = Database(running.database_url, "brimful_api", clock=clock)
    await database.open()
    account = (customer_id, "USD")
    steps = _ENTRIES // _BATCH
    try:
        for step in range(steps):
            clock.offset = dt.timedelta(days=_DAYS) * (step / steps - 1)
            opening = ledger.entries.Draft(
                *account, "adjustment", Decimal(40), "api", f"bench-{step}", description="Credit"
            )
            use = [
                ledger.entries.Draft(
                    *account, "usage", Decimal("-0.07"), "usage", f"bench-{step}-{i}", description="Inference"
                )
                for i in range(_BATCH - 1)
            ]
            async with database.transaction() as tx:
                await ledger.accounts.create_missing(tx, [account])
                await ledger.post.post(tx, keyring, await ledger.accounts.lock(tx, [account]), [opening, *use])
            if step in {0, steps - 1}:
                # As autovacuum would in a minute: plans made for empty tables would be kept otherwise.
                await asyncio.to_thread(ground.clean_up, running.database_url)
    finally:
        await database.close()
