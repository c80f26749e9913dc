"""A running Brimful for each file of stories, and one Chromium."""

import os

import pytest
from playwright.sync_api import sync_playwright

from support import browser, screens, stage as stages


@pytest.fixture(scope="module")
def stage():
    with stages.opened() as running:
        yield running


@pytest.fixture(scope="module")
def cast(stage):
    return screens.Cast(stage)


@pytest.fixture(scope="session")
def chromium():
    if browser.executable() is None:
        assert "CI" not in os.environ, "Chromium is missing"
        pytest.skip("Chromium is missing: apt-get install chromium")
    with sync_playwright() as play:
        running = browser.launch(play)
        yield running
        running.close()


@pytest.fixture
def visit(stage, chromium):
    """Opens the portal as a customer in a browser window of its own; at the end nothing may have been complained of."""
    contexts, complaints = [], []

    def open_portal(customer_id, *, language="en", width=1280, scheme="light", script=True, flow=None, link=None):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(link or stage.link(customer_id, locale=language, **(flow or {})))
        with page.expect_navigation():
            page.locator("main button").click()
        return page

    open_portal.complaints = complaints
    yield open_portal
    for context in contexts:
        context.close()
    # A page that answers 4xx is named by Chromium as an error of the page's own load; the stories expect those.
    assert [text for text in complaints if "the server responded with a status of" not in text] == []
