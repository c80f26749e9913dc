"""The console in Chromium: an operator signs in, finds out why, acts; nothing for axe to find on any page."""

import json
import re

from playwright.sync_api import expect

from support import accessibility


def test_an_operator_finds_out_why_and_hurries_a_retry(stage, console, floor):
    page = console("olga")
    page.get_by_role("link", name="Customers").click()
    page.get_by_label(re.compile("Name, e-mail")).fill("pike")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Rob Pike").click()
    expect(page.get_by_text("A top-up is retry wait (insufficient_funds).")).to_be_visible()
    [top_up] = stage.top_ups(floor["waits"])
    page.get_by_role("link", name=top_up["id"]).click()
    expect(page.get_by_text("insufficient_funds").first).to_be_visible()
    page.get_by_role("button", name="Try again now").click()
    stage.until(lambda: stage.top_ups(floor["waits"])[0]["tries"] == 2)
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("row", name=re.compile("Operator olga top_up.retried")).first).to_be_visible()


def test_charging_is_stopped_and_started_with_a_reason(stage, console):
    page = console("omar")
    page.get_by_role("link", name="Charging").first.click()
    page.get_by_label("Reason").fill("a look at the numbers")
    page.get_by_role("button", name="Stop charging").click()
    expect(page.get_by_role("cell", name="a look at the numbers")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("link", name="suspended")).to_be_visible()
    page.get_by_role("link", name="Charging").first.click()
    page.get_by_label("Reason").fill("they are right")
    page.get_by_role("button", name="Resume charging").click()
    expect(page.get_by_text("open", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out omar").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_axe_finds_nothing_on_any_page_of_the_console(stage, console, floor):
    page = console("olga", steps=1)
    [top_up] = stage.top_ups(floor["waits"])
    [paid] = stage.top_ups(floor["paid"])
    paths = ["/", "/customers", f"/customers/{floor['paid']}", f"/customers/{floor['paid']}/ledger/USD", "/top-ups",
             "/queue", f"/top-ups/{floor['waits']}/{top_up['id']}", f"/top-ups/{floor['paid']}/{paid['id']}",
             "/webhooks", "/stripe", "/reconciliation", "/charging", "/audit", "/nowhere"]  # fmt: skip
    for path in paths:
        page.goto(f"{stage.url}/console{path}")
        accessibility.require_clean(page, path)
    page.goto(f"{stage.url}/console/")
    page.get_by_role("button", name="Sign out").click()
    accessibility.require_clean(page, "sign-in")


def test_a_viewer_sees_no_button_but_the_way_out(stage, console, floor):
    page = console("vera")
    [top_up] = stage.top_ups(floor["waits"])
    page.goto(f"{stage.url}/console/top-ups/{floor['waits']}/{top_up['id']}")
    assert page.get_by_role("button").all_inner_texts() == ["Sign out vera"]
    assert json.dumps(page.context.cookies()[0]["httpOnly"]) == "true"
    assert page.context.cookies()[0]["sameSite"] == "Strict"
