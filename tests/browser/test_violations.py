"""Markup in every text, every page of portal and console in Chromium: no script runs, no policy is violated."""

import re

import pytest

from support.attack import long_form
from support.malformed import MARKUP


@pytest.mark.parametrize("polyglot", MARKUP if long_form() else MARKUP[::8])
def test_no_page_of_the_portal_breaks_the_policy(stage, visit, polyglot):
    customer_id = stage.customer(polyglot)
    stage.give(customer_id, "5")
    stage.use(customer_id, "1", "odd", description=polyglot)
    page = visit(customer_id)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    seen = {f"{stage.url}/billing/"}
    waiting = list(seen)
    while waiting:
        page.goto(waiting.pop())
        assert page.evaluate("document.querySelectorAll('script:not([src])').length") == 0
        for href in page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
            there = href.partition("#")[0]
            if (
                there.startswith(f"{stage.url}/billing/")
                and ".csv" not in there
                and there not in seen
                and len(seen) < 40
            ):
                seen.add(there)
                waiting.append(there)
    assert len(seen) >= 6


def test_no_page_of_the_console_breaks_the_policy(stage, console, floor):
    page = console("otto")
    complaints = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    customer_id = stage.customer(MARKUP[1])
    stage.give(customer_id, "5")
    stage.use(customer_id, "1", "odd", description=MARKUP[0])
    seen = {f"{stage.url}/console/", f"{stage.url}/console/customers/{customer_id}", f"{stage.url}/console/password"}
    waiting = list(seen)
    while waiting:
        page.goto(waiting.pop())
        for href in page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
            there = re.sub(r"#.*", "", href)
            if there.startswith(f"{stage.url}/console/") and there not in seen and len(seen) < 20:
                seen.add(there)
                waiting.append(there)
    assert len(seen) >= 12
    assert complaints == []
