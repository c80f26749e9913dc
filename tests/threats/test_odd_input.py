"""Threat: huge, deep and odd input. Bodies, texts, forms, addresses and headers that nobody should send."""

import asyncio
import contextlib
import json
import re
import urllib.parse

import pytest

from brimful.auth import permissions
from support.api_requests import queries, writes
from support.attack import some
from support.forms import every_form, token_of
from support.malformed import BODIES, PLACES, SIGNATURES, TEXTS
from support.operator import colleague
from support.seed import everything_allowed, filled, one_of_everything

HEADERS = (
    "Authorization", "X-CREDYT-API-KEY", "Idempotency-Key", "Accept-Language", "X-Forwarded-For", "Cookie", "Origin",
    "Content-Type", "Accept", "Content-Encoding", "User-Agent", "Sec-Fetch-Site", "traceparent", "Range",
    "If-None-Match", "X-Brimful-Proxy-Secret", "Content-Language", "X-HTTP-Method-Override",
)  # fmt: skip
ODD_HEADERS = (
    "gzip",
    "bytes=0-1,2-3",
    "9" * 400,
    "*/*;q=" + "9" * 400,
    "de;q=x,,;q=1",
    "," * 3000,
    "Bearer " + "x" * 43,
)


@pytest.fixture
async def things(harness):
    await everything_allowed(harness)
    return await one_of_everything(harness)


def sendable(text):
    return text.encode("utf-8", "replace").decode()


def headed(text):
    """As much of it as a client can send in a header."""
    return text.encode("utf-8", "replace").translate(None, b"\x00\r\n").strip()[:6000]


def pathed(text):
    """As it stands in a path."""
    return urllib.parse.quote(text[:1000].encode("utf-8", "replace"), safe="")


async def test_in_every_body_of_the_api(harness, things, attack):
    """Odd bodies at every write of the API."""
    for row in permissions.rows_of("api"):
        if row.method == "GET":
            continue
        for body in some(BODIES, 6):
            what = f"{row.method} {row.path} {body[:30]}"
            with attack.timed(what):
                answer = await harness.api.request(row.method, filled(row.path, things), content=body)
            attack.judge(answer, what)
            if answer.status_code < 400 and b"{}" not in body and row.path != "/v1/usage":
                bodiless = row.method == "DELETE" or row.path.endswith(("/release", "/rotate", "/replay", "/refunds"))
                if not bodiless and "/test/" not in row.path:
                    attack.got_through(what)


async def test_in_every_text_of_the_api(harness, things, attack):
    """Odd texts in every text field of the API."""
    document = (await harness.api.get("/openapi.json")).json()
    for write in writes(document):
        for place in write.texts():
            for text in some((*TEXTS, *PLACES), 8):
                what = f"{write.method} {write.path} {place} {text[:30]!a}"
                body = write.with_field(place, json.dumps(text).encode())
                with attack.timed(what):
                    answer = await harness.api.request(write.method, filled(write.path, things), content=body)
                attack.judge(answer, what)


async def test_in_every_address_of_the_api(harness, things, attack):
    """Odd texts in every path and query of the API."""
    document = (await harness.api.get("/openapi.json")).json()
    for path, names in queries(document):
        for text in map(sendable, some(TEXTS, 4)):
            odd = dict.fromkeys(things, pathed(text))
            asked = [(filled(path, odd), {})] if "{" in path else []
            asked += [(filled(path, things), {name: text[:3000]}) for name in names]
            for address, query in asked:
                what = f"GET {path} {query!a:.60}"
                with attack.timed(what):
                    answer = await harness.api.get(address, params=query)
                attack.judge(answer, what)


async def test_in_every_form_and_address_of_the_portal(harness, attack):
    """Odd texts in every field, path and query of the portal."""
    _, visitor = await harness.funded()
    found, pages = await every_form(visitor.client, f"{harness.url}/billing/", under=f"{harness.url}/billing")
    assert len(pages) >= 6
    for page, action, fields in found:
        for name in fields:
            for text in map(sendable, some((*TEXTS, *PLACES), 9)):
                what = f"{action} {name}={text[:30]!a}"
                form = {"csrf": token_of(page), **fields, name: text}
                with attack.timed(what):
                    answer = await visitor.client.post(f"{harness.url}{action}", data=form, follow_redirects=False)
                attack.judge(answer, what)
    await _walk(attack, visitor.client, f"{harness.url}/billing", "billing")
    for body in BODIES:
        what = f"/billing/alerts/USD {body[:30]}"
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"):
            with attack.timed(what):
                answer = await visitor.client.post(
                    f"{harness.url}/billing/alerts/USD", content=body, headers={"Content-Type": kind}
                )
            attack.judge(answer, what)


async def test_in_every_form_and_address_of_the_console(harness, attack):
    """Odd texts in every field, path and query of the console."""
    customer_id, _ = await harness.crossed()
    await harness.work()
    async with colleague(harness, "olga") as olga:
        base = f"{harness.url}/console"
        found, pages = await every_form(olga.http, f"{base}/customers/{customer_id}", under=base)
        assert len(pages) >= 10
        for page, action, fields in found:
            for name in {*fields, "reason", "amount"}:
                for text in map(sendable, some(TEXTS, 9)):
                    what = f"{action} {name}={text[:30]!a}"
                    form = {**fields, "csrf": token_of(page), name: text}
                    with attack.timed(what):
                        answer = await olga.http.post(f"{harness.url}{action}", data=form, follow_redirects=False)
                    attack.judge(answer, what)
        await _walk(attack, olga.http, base, "console")


async def _walk(attack, client, base, door):
    """Every page with an odd text in each part of its path, and behind the question mark."""
    for row in permissions.rows_of(door):
        if row.method != "GET" or row.path in {"/live", "/static"}:
            continue
        for text in map(sendable, some(TEXTS, 3)):
            path = re.sub(r"\{\w+\}", lambda _, text=text: pathed(text), row.path)
            query = dict.fromkeys(("cursor", "asset", "kind", "q", "state", "before", "from", "after"), text[:3000])
            what = f"GET {row.path} {text[:30]!a}"
            with attack.timed(what):
                answer = await client.get(f"{base}{path}", params=query, follow_redirects=False)
            attack.judge(answer, what)


async def test_in_every_header(harness, things, attack):
    """Odd texts in headers, at every door."""
    paths = ("/v1/customers", "/v1/usage", "/billing/", "/billing/open/x", "/console/", "/healthz")
    for path in paths:
        for name in HEADERS:
            for text in some((*TEXTS, *ODD_HEADERS), 8):
                value = headed(text)
                what = f"{path} {name}: {value[:30]}"
                with attack.timed(what):
                    answer = await harness.api.request(
                        "POST" if path == "/v1/usage" else "GET", path, headers={name: value}, follow_redirects=False
                    )
                attack.judge(answer, what)


async def test_in_what_claims_to_be_stripes(harness, attack):
    """Odd bodies and signatures where Stripe's events come in."""
    before = await harness.sql("SELECT count(*) AS n FROM stripe_events")
    for body in some(BODIES, 6):
        for signature in SIGNATURES:
            headers = {} if signature is None else {"Stripe-Signature": headed(signature)}
            what = f"event {body[:30]} {str(signature)[:30]}"
            with attack.timed(what):
                answer = await harness.api.post("/v1/stripe/webhooks", content=body, headers=headers)
            attack.judge(answer, what)
            if answer.status_code < 400:
                attack.got_through(what)
    assert await harness.sql("SELECT count(*) AS n FROM stripe_events") == before


RAW = (
    b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    b"GET " + b"/a" * 50_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    b"POST /v1/usage HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/usage HTTP/1.1\r\nHost: x\r\nContent-Length: 9e9\r\n\r\n",
    b"POST /v1/usage HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST /v1/usage HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/usage HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    b"POST /v1/usage HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"GET /healthz HTTP/1.1\nHost: x\n\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET http://evil.example/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\n y: folded\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /billing/../v1/customers HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /billing/%2e%2e/v1/customers HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /billing/static/..%2f..%2fapp.py HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /billing/static/%2e%2e/app.py HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
)  # fmt: skip


async def _closed(writer):
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_in_what_is_hardly_http(harness, attack):
    """Bytes that are hardly HTTP."""
    port = int(harness.url.rpartition(":")[2])
    for raw in RAW:
        with attack.timed(f"{raw[:60]}"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw)
            writer.write_eof()
            head = await asyncio.wait_for(reader.read(4000), 10)
            await _closed(writer)
        if head[9:10] == b"5":
            attack.got_through(f"{raw[:60]} {head[:40]}")
        if b"def " in head or b"import " in head:
            attack.got_through(f"{raw[:60]} reads code")
    assert (await harness.api.get("/healthz")).status_code == 200


async def test_in_a_head_that_never_ends(harness, attack):
    """Heads and forms without end are cut off."""
    port = int(harness.url.rpartition(":")[2])
    for part in (b"A: " + b"b" * 60_000 + b"\r\n", b"b" * 60_000):
        with attack.timed("a head"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nB: ")
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    writer.write(part)
                    await writer.drain()
            with contextlib.suppress(ConnectionError):
                assert (await reader.read(12)) in {b"HTTP/1.1 431", b""}
            await _closed(writer)
    for path in ("/console/sign-in", "/billing/alerts/USD"):
        for body in (b"&" * 12_000_000, b"a=b&" * 3_000_000):
            visitor = await harness.visitor(await harness.customer())
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            with attack.timed(path):
                answer = await visitor.client.post(f"{harness.url}{path}", content=body, headers=headers)
            if answer.status_code != 413:
                attack.got_through(f"{path} read a form of 12 MB: {answer.status_code}")
