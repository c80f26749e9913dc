"""A running Brimful, and one Chromium, for all stories of a test process."""

import asyncio
import concurrent.futures
import os

import pytest
from playwright.sync_api import expect, sync_playwright

from brimful.db.pool import Database
from support import browser, operator, screens, stage as stages


@pytest.fixture(scope="session")
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        item.stash[_FAILED] = True
    return report


_FAILED = pytest.StashKey[bool]()


def shown(request, contexts):
    """What the windows of a story that failed show: a time-out alone says nothing."""
    if request.node.stash.get(_FAILED, False):
        for page in (page for context in contexts for page in context.pages):
            print(f"--- {page.url}\n{page.locator('body').inner_text()}")


@pytest.fixture
def visit(request, stage, chromium):
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
    shown(request, contexts)
    for context in contexts:
        context.close()
    # A page that answers 4xx is named by Chromium as an error of the page's own load; the stories expect those.
    assert [text for text in complaints if "the server responded with a status of" not in text] == []


# --- the operators' pages --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def people(stage):
    """A viewer and three operators, by name, with the secrets of their second factors."""

    async def hire():
        database = Database(stage.environment["DATABASE_URL"], "brimful_engine", pool_max=1)
        await database.open()
        try:
            return {name: await operator.hire(database, name, role) for name, role in
                    (("vera", "viewer"), ("olga", "operator"), ("omar", "operator"), ("otto", "operator"))}  # fmt: skip
        finally:
            await database.close()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, hire()).result()


@pytest.fixture(scope="session")
def floor(stage):
    """Customers who give an operator something to look at."""
    waits = stage.funded("Rob Pike", balance="12", number=stages.NO_FUNDS)
    stage.use(waits, "3", "crossing")
    stage.state(waits, "retry_wait")
    paid = stage.funded("Ada Lovelace", balance="12")
    stage.use(paid, "3", "crossing")
    stage.state(paid, "succeeded")
    return {"waits": waits, "paid": paid}


@pytest.fixture
def console(request, stage, chromium, people):
    """Signs somebody in, each in a window of their own; at the end nothing may have been complained of."""
    contexts, complaints = [], []

    def sign_in(name, *, steps=0, width=1280):
        context = chromium.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{stage.url}/console/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(operator.PASSWORD)
        page.get_by_label("Code of your authenticator").fill(operator.code(people[name], steps=steps))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        return page

    yield sign_in
    shown(request, contexts)
    for context in contexts:
        context.close()
    assert [text for text in complaints if "the server responded with a status of" not in text] == []
