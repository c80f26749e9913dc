"""A code by mail between a form and what it changes, in Chromium."""

import pytest
from playwright.sync_api import expect

from support import postbox as postboxes, stage as stages
from support.accessibility import require_clean


@pytest.fixture(scope="module")
def postbox():
    with postboxes.opened() as box:
        yield box


@pytest.fixture(scope="module")
def stage(postbox):
    mail = {"BRIMFUL_SMTP_URL": postbox.url, "BRIMFUL_MAIL_FROM": "billing@glitch.example"}
    with stages.opened(**mail) as running:
        yield running


@pytest.mark.parametrize("script", [True, False], ids=["scripts", "no-scripts"])
def test_a_card_is_added_after_the_code_and_not_before(stage, postbox, visit, script):
    customer_id = stage.customer("Ada", email="ada@example.com")
    page = visit(customer_id, script=script)
    page.goto(f"{stage.url}/billing/cards")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Add a card").click()
    expect(page.get_by_role("heading", name="Verify it's you")).to_be_visible()
    page.get_by_label("Code").fill("wrong")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_contain_text("This code is wrong or has expired")
    page.get_by_label("Code").fill(postbox.code())
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{stage.sandbox_url}/**")


@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_axe_finds_nothing_where_the_code_is_asked_for(stage, postbox, visit, language):
    page = visit(stage.customer("Ada", email="ada@example.com"), language=language)
    page.goto(f"{stage.url}/billing/cards")
    page.get_by_role("checkbox").check()
    page.locator("main form button.main").last.click()
    page.locator("#step_up_code").fill("wrong")
    page.locator("main button.main").click()
    page.locator("#problem").wait_for()
    require_clean(page, "step-up")
