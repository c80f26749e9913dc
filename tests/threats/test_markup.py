"""Threat: markup in names, branding and descriptions. Everything is escaped, and the policy runs no other script."""

import html.parser

import pytest

from support.attack import long_form
from support.forms import every_form
from support.malformed import MARKUP
from support.operator import colleague


async def test_every_page_carries_its_policy_and_the_cookie_its_attributes(harness):
    customer_id = await harness.customer()
    link = await harness.link(customer_id)
    stranger = await harness.stranger()
    answer = await stranger.client.post(link, follow_redirects=False)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    for path in ("/", "/cards", "/nowhere", "/static/portal.css"):
        headers = (await stranger.get(path)).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert headers["referrer-policy"] == "no-referrer"


async def test_names_and_descriptions_are_shown_as_text(harness):
    polyglot = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    customer_id = await harness.customer(name=polyglot)
    await harness.give(customer_id, 5)
    await harness.use(customer_id, "1", "x", description=polyglot)
    text = (await (await harness.visitor(customer_id)).get("/")).text
    assert "<script>" not in text
    assert "<img" not in text


class _Tags(html.parser.HTMLParser):
    """What a browser would make of a page: elements that nobody of ours has written."""

    def __init__(self):
        super().__init__()
        self.odd = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        ours = tag != "script" or (values.get("src") or "").startswith(("/billing/static/", "/console/static/"))
        if not ours or (
            tag in {"img", "iframe", "object", "embed", "base"} and values.get("src") != "/billing/logo.png"
        ):
            self.odd.append((tag, attrs))
        for name, value in attrs:
            leads = name in {"href", "src", "action", "formaction", "srcdoc", "data", "xlink:href"}
            scripts = (value or "").strip().lower().startswith(("javascript:", "data:text", "vbscript:"))
            if name.startswith("on") or (leads and scripts):
                self.odd.append((tag, attrs))
            if name == "style":
                self.odd.append((tag, attrs))


@pytest.mark.parametrize("polyglot", MARKUP if long_form() else MARKUP[::3])
async def test_in_every_text_on_every_page(harness, attack, polyglot):
    """Markup in every text that a platform or a customer writes, on every page of portal and console."""
    customer_id = await harness.customer(name=polyglot, external_id=polyglot, metadata={"a": polyglot})
    rates = [{"source": "USD", "rate": "0.1"}]
    texts = {"name": polyglot[:100], "label": polyglot[:50], "symbol": polyglot[:8]}
    await harness.call("POST", "/assets", {"code": "CREDIT", **texts, "rates": rates}, expect=201)
    for asset in ("USD", "CREDIT"):
        await harness.give(customer_id, 20, asset)
        await harness.use(customer_id, "1", f"use-{asset}", asset=asset, description=polyglot)
        about = {"description": polyglot, "metadata": {"a": polyglot}}
        charge = {"transaction_id": f"{polyglot[:200]}-{asset}", "asset": asset, "amount": "1", **about}
        await harness.call("POST", f"/customers/{customer_id}/wallet/charges", charge, expect=201)
    visitor = await harness.visitor(customer_id)
    async with colleague(harness, "olga") as olga:
        for client, base, start in (
            (visitor.client, f"{harness.url}/billing", "/"),
            (olga.http, f"{harness.url}/console", f"/customers/{customer_id}"),
        ):
            _, pages = await every_form(client, base + start, under=base)
            assert len(pages) >= 6
            for address in pages:
                if address.endswith(("/live", ".csv")):
                    continue
                answer = await client.get(address)
                attack.count()
                attack.judge(answer, address)
                tags = _Tags()
                tags.feed(answer.text)
                if tags.odd:
                    attack.got_through(f"{address} {tags.odd}")
