"""Threat: injected SQL, secrets in logs. Statements are literals; canaries of every path are looked for everywhere."""

import ast
import contextlib
import gc
import json
import logging
import pathlib
import re

import psycopg
import pytest

from brimful import observability, operations
from brimful.auth import operators
from brimful.operations.export import KINDS
from support import postbox
from support.forms import token_of
from support.harness import API_KEY, HOME, LEDGER_KEYS, STRIPE_KEY, WEBHOOK_SECRET, Harness
from support.operator import Colleague, code
from support.receiver import low, receiving, subscribe
from support.seed import key_with

ROOT = pathlib.Path(__file__).parents[2]
PASSWORD = "canary horse battery"
CARD = "4242424242424242"
# Every connection is cut: requests meet a database that is away.
_CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
# What may stand in the database, and where: what a webhook is signed with, and an authenticator's seed (ADR 0029).
KEPT = {
    "webhook_endpoints": ("webhook secret",), "operators": ("second factor",),
    "answers": ("form token", "console token"),  # on their own pages
}  # fmt: skip


@pytest.fixture
def written():
    """All that is logged at any level, as it is written."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            if record.name == "mail.log":  # the mail server's of the test
                return
            lines.append(self.format(record))

    root = logging.getLogger()
    before = root.handlers[:], root.level
    observability.logging.configure("DEBUG", "text")
    keep = Keep()
    keep.setFormatter(root.handlers[0].formatter)
    root.handlers[:] = [keep]
    for name in ("httpx", "httpcore", "procrastinate", "stripe", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield lines
    root.handlers[:], root.level = before[0], before[1]
    for name in ("httpx", "httpcore", "procrastinate", "stripe", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.NOTSET)


async def test_no_secret_is_in_any_log_table_answer_or_export(cluster, written, attack):
    """Canaries through every path, looked for in every log, table, answer, delivery and export."""
    name = cluster.clone()
    codes = []
    with postbox.opened() as box:
        mail = {"BRIMFUL_SMTP_URL": box.url, "BRIMFUL_MAIL_FROM": "billing@glitch.example"}
        async with receiving() as receiver, Harness.opened(cluster.url(name), **mail) as harness:

            async def read_code():
                codes.append(box.code())
                return codes[-1]

            harness.read_code = read_code
            canaries, answers = await _live(harness, receiver)
            canaries |= {f"code {number}": value for number, value in enumerate(codes)}
            assert len(codes) >= 2
            outputs = {
                "logs": "\n".join(written),
                "answers": "\n".join(answers),
                "metrics": (await harness.api.get("/metrics")).text,
                "deliveries": "\n".join(f"{headers} {body}" for headers, body in receiver.requests),
                "exports": await _exports(harness),
            }
            assert len(outputs["logs"]) > 20_000  # at DEBUG, libraries' included
            outputs |= await harness.dump()
    cluster.drop(name)
    for place, text in outputs.items():
        for canary, secret in canaries.items():
            attack.count()
            if secret in text and canary not in KEPT.get(place, ()):
                at = text.index(secret)
                attack.got_through(f"{canary} in {place}: …{text[max(0, at - 80) : at]}HERE")
        digits = re.sub(r"[ -]", "", text)
        if CARD in digits and place != "answers":
            attack.got_through(f"a card's number in {place}")
    for person in ("ada.canary@analytical.example", "Ada Canary"):
        ours = [line for line in written if " DEBUG stripe: " not in line]  # which are off, whatever the level
        attack.through += [f"{person} in {line[:200]}" for line in ours if person in line]


async def _live(harness, receiver):
    """A life with everything in it, well and ill. Returns every secret of it, and every answer that refused."""
    answers = []
    made = await subscribe(harness, receiver.url)
    ada, visitor = await harness.crossed(name="Ada Canary", email="ada.canary@analytical.example")
    await harness.work()
    await harness.events_applied()
    narrow = await key_with(harness, ("usage",))
    wanted = {"customer_id": ada, "amount": "40", "currency": "USD", "return_url": HOME, "failure_url": HOME}
    link = (await harness.call("POST", "/top-ups", wanted, headers={"Idempotency-Key": "canary"}))["redirect_url"]
    open_link = await harness.link(ada)
    page = await visitor.get("/cards")
    async with harness.engine.database.transaction() as tx:
        seed = await operators.create(tx, name="olga", role="operator", password=PASSWORD)
    olga = Colleague(harness.url)
    await olga.sign_in("olga", seed, password=PASSWORD)
    await olga.see(f"/customers/{ada}")
    answers += await _ill(harness, visitor, olga, narrow, link)
    await low(harness)
    await harness.work()
    answers += await _cut(harness, visitor, olga, link)
    canaries = {
        "API key": API_KEY, "narrow API key": narrow, "Stripe key": STRIPE_KEY,
        "webhook secret of Stripe": WEBHOOK_SECRET, "webhook secret": made["secret"],
        "payment link": link.rpartition("/")[2], "portal link": open_link.rpartition("/")[2],
        "session": visitor.client.cookies["brimful_portal"], "console session": olga.http.cookies["brimful_console"],
        "form token": token_of(page), "console token": olga.csrf, "password": PASSWORD, "second factor": seed,
        "ledger key": LEDGER_KEYS[1].hex(), "ledger key as set": harness.environment["BRIMFUL_LEDGER_KEYS"],
        "database password": psycopg.conninfo.conninfo_to_dict(harness.database_url).get("password") or "none is here",
    }  # fmt: skip
    await olga.http.aclose()
    return canaries, answers


async def _ill(harness, visitor, olga, narrow, link):
    """All that can be refused or break, with secrets in hand."""
    bad = [
        await harness.api.get("/v1/customers", headers={"Authorization": f"Bearer {narrow}"}),
        await harness.api.get("/v1/customers", headers={"Authorization": f"Bearer {narrow}x"}),
        await harness.api.get(f"/v1/customers?external_id={narrow}"),
        await harness.api.post("/v1/customers", content=json.dumps({"name": "x", "token": narrow})),
        await harness.api.post("/v1/stripe/webhooks", content=b"{}", headers={"Stripe-Signature": f"t=1,v1={narrow}"}),
        await visitor.client.get(f"{link}x"),
        await visitor.client.post(f"{harness.url}/billing/cards/add", data={"csrf": "x", "number": CARD}),
        await olga.http.post("/sign-in", data={"name": "olga", "password": f"{PASSWORD}x", "code": "000000"}),
        await olga.http.post("/sign-in", data={"name": PASSWORD, "password": PASSWORD, "code": code("A" * 32)}),
    ]
    await olga.http.get(f"/customers?q={narrow}")  # shows what was asked for
    await harness.switch(call="payment_intents.create", fault="error_before", times=1)
    customer_id, _ = await harness.crossed(name="Ada Canary", email="ada.canary@analytical.example")
    await harness.work()
    with contextlib.suppress(Exception):
        async with harness.engine.database.transaction() as tx:
            await tx.execute("SELECT 1 FROM nothing WHERE x = %s", (narrow,))
    assert customer_id
    return [answer.text for answer in bad]


async def _cut(harness, visitor, olga, link):
    """The database goes away, and comes back."""
    await harness.sql(_CUT)
    bad = [await visitor.get("/cards"), await olga.http.get("/customers"), await visitor.client.post(link)]
    bad += [await harness.api.get("/v1/customers"), await harness.api.post("/v1/usage", json={})]

    async def back():
        return {(await harness.api.get(path)).status_code for path in ("/readyz", "/metrics", "/v1/customers") * 5} == {
            200
        }

    await harness.until(back)
    return [answer.text for answer in bad]


async def _exports(harness):
    parts = []
    for kind in KINDS:
        parts += [
            line async for line in operations.export.lines(harness.database_url, operations.export.Wanted(kind), "csv")
        ]
    return "".join(parts)


_SQL = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|WHERE)\b")
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")


def _parts(node):
    """What a text is put together from, but for its own words."""
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return [part for side in (node.left, node.right) for part in (_parts(side) or [side])]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"format", "join"}:
        return [*node.args, *(word.value for word in node.keywords)]
    return []


def _injected(source):
    """Lines inside functions where SQL is put together from anything but constants of its own file. Outside of them
    nobody's input is there yet.
    """
    gc.disable()  # CPython 3.11 counts wrongly when a collection falls into ast.parse (issue 106905)
    tree = ast.parse(source)
    gc.enable()
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (inner for one in functions for inner in ast.walk(one)):
        texts = [
            part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
        ]
        if isinstance(node, ast.JoinedStr | ast.BinOp | ast.Call) and _SQL.search("".join(texts)):
            for part in _parts(node):
                constant = isinstance(part, ast.Name) and _CONSTANT.fullmatch(part.id)
                if not constant and not isinstance(part, ast.Constant):
                    yield node.lineno


# What is put together in a function after all, and why nobody's input gets into it.
COMPOSED = {
    "export.py": "one of the queries above, chosen by its name",
    "verify.py": "the name of a view of ours, quoted by psycopg",
    "accounts.py": "the name of a column, at the import",
}
BAD = """
def find(name):
    f"SELECT * FROM x WHERE name = '{name}'"
    "SELECT " + name
    "UPDATE x SET y = {}".format(name)
    'SELECT %s' % name
"""


def test_no_statement_is_put_together_from_what_is_given():
    """Parameters only."""
    assert list(_injected(BAD)) == [3, 4, 5, 6]
    assert list(_injected('def find():\n    return f"SELECT {_COLUMNS} FROM x" + " WHERE y"')) == []
    found = set()
    for path in sorted((ROOT / "src").rglob("*.py")):
        if not {"bench", "simulation"} & set(path.parts) and list(_injected(path.read_text())):
            found.add(path.name)
    assert found == set(COMPOSED)


async def test_injected_sql_is_text(harness):
    name = "'; DROP TABLE entries; --"
    customer_id = await harness.customer(name=name, external_id=name)
    await harness.give(customer_id, 5)
    found = await harness.api.get("/v1/customers", params={"external_id": name}, follow_redirects=False)
    assert found.status_code == 303
    await harness.use(customer_id, "1", name, description=name)
    assert (await harness.call("GET", f"/customers/{customer_id}"))["name"] == name
