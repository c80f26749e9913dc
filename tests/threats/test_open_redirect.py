"""Threat: an open redirect. Whoever is sent back is sent to an origin that the platform has listed, or nowhere."""

import pytest

from brimful.core import urls
from brimful.core.errors import Refused
from support.harness import HOME
from support.malformed import PLACES


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "//evil.example", "https://app.example@evil.example/", "javascript:alert(1)",
     "https:\\\\evil.example", "http://127.0.0.1.evil.example/", "https://аpp.example/", "", "http://127.0.0.1:x/"],
)  # fmt: skip
async def test_nobody_is_sent_to_a_strange_place(harness, url):
    customer_id = await harness.customer()
    body = {"customer_id": customer_id, "return_url": url, "failure_url": HOME}
    refused = await harness.call("POST", "/billing-portal/sessions", body, expect=422)
    assert refused["code"] == "origin_not_allowed"


@pytest.mark.parametrize("url", PLACES)
def test_no_other_spelling_of_it_passes(url):
    with pytest.raises(Refused) as refused:
        urls.validate_return_url(url, ("https://app.example",), loopback=False, field="return_url")
    assert refused.value.code == "origin_not_allowed"


@pytest.mark.parametrize("url", ["https://app.example", "https://app.example/", "https://app.example/a?b=c#d"])
def test_what_is_listed_passes(url):
    assert urls.validate_return_url(url, ("https://app.example",), loopback=False, field="return_url") == url


async def test_a_host_header_leads_nowhere(harness):
    """A path with a slash too many is not there, rather than redirected to whatever the header says."""
    evil = {"Host": "evil.example"}
    paths = ("/v1/customers/", "/docs", "/billing", "/console", "/billing/cards/", "/console/audit/", "/billing/static")
    for path in paths:
        answer = await harness.api.get(path, headers=evil, follow_redirects=False)
        assert "evil.example" not in answer.headers.get("location", ""), path


async def test_the_page_that_a_language_is_chosen_on_is_ours(harness):
    visitor = await harness.visitor(await harness.customer())
    page = await visitor.get("/")
    for back in PLACES:
        sent = {"language": "de", "back": back.encode("utf-8", "replace")}
        answer = await _submit(visitor, page, sent)
        assert answer.headers.get("location", f"{harness.url}/billing/").startswith(f"{harness.url}/billing/"), back


async def _submit(visitor, page, values):
    from brimful.dev.demo.visitor import forms_of

    form = next(form for form in forms_of(page) if form.action == "/billing/language")
    return await visitor.client.post(
        str(page.url.join(form.action)), data={**form.fields, **values}, follow_redirects=False
    )
