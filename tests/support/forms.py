"""Forms of the portal and the console, filled in with whatever is given."""

import re

from brimful.dev.demo.visitor import forms_of

__all__ = ["every_form", "token_of"]

# Forms that end the session or lead away from it.
_LEAVE = ("/leave", "/sign-out", "/sign-in")


def token_of(page):
    """The token that the forms of a page carry."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    return found[1] if found else ""


async def every_form(client, start, *, under):
    """Every form that can be reached from an address by links, as (page, action, fields). Presses nothing."""
    waiting, seen, found = [start], {start}, {}
    while waiting:
        address = waiting.pop()
        if address.endswith(("/live", ".csv")):
            continue
        page = await client.get(address)
        for form in forms_of(page):
            action = form.action or page.url.path
            if not action.endswith(_LEAVE):
                found.setdefault((action, tuple(sorted({*form.fields, *form.options}))), (page, action, form.fields))
        for href in re.findall(r'href="([^"]+)"', page.text):
            there = str(page.url.join(href.replace("&amp;", "&"))).partition("#")[0]
            if there.startswith(under) and "/static/" not in there and there not in seen and len(seen) < 200:
                seen.add(there)
                waiting.append(there)
    return list(found.values()), seen


async def refused_by_field(harness, customer_id, visitor, values, field, text):
    """The rule's form with these values is refused at that field, in these words, and nothing changes."""
    before = await harness.rule(customer_id)
    page = await visitor.get("/auto-top-up/USD")
    refused = await visitor.submit(page, "", {"agreed": "yes", "action": "save", **values})
    assert refused.status_code == 422
    assert text in refused.text
    assert f'id="{field}-error"' in refused.text
    assert await harness.rule(customer_id) == before
