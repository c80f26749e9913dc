"""The customer's stories, in a real browser, from link to result."""

import csv
import http.server
import re
import threading
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from support import stage, stage as stages


def choose_card(page, number=stage.VISA):
    """On Stripe's page (the sandbox's): press the button of a test card."""
    page.wait_for_url(re.compile("/c/pay/"))
    page.locator(f'button[value="{number}"]').click()


def test_a_new_customer_tops_up_with_a_new_card(stage, visit):
    page = visit(stage.customer("Ada"))
    expect(page.get_by_role("heading", name="No balance yet.")).to_be_visible()
    page.get_by_role("link", name="Top up").first.click()
    expect(page.get_by_text("Between $5.00 and $500.00.")).to_be_visible()
    page.get_by_text("$50.00", exact=True).first.click()
    page.get_by_role("button", name="Pay $50.00").click()
    choose_card(page)
    expect(page.get_by_role("status")).to_contain_text("$50.00 added. New balance $50.00.")
    page.get_by_role("link", name="Receipt").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(page.get_by_role("link", name="See Stripe's receipt")).to_be_visible()


def test_a_card_is_added_and_auto_top_up_turned_on_with_the_preview_beside_it(stage, visit):
    customer_id = stage.customer("Ada")
    stage.past(customer_id, days=10)
    page = visit(customer_id, flow={"flow": "auto_top_up", "asset": "USD"})
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Add a card").click()
    choose_card(page)
    page.wait_for_url(re.compile("/auto-top-up/USD"))
    page.get_by_label("When my balance drops below").fill("10")
    expect(page.locator("#preview")).to_contain_text("Lowest balance")
    expect(page.locator("#terms")).to_contain_text("For example: Balance falls from $10.20 to $9.80")
    page.get_by_label("Monthly limit").fill("75")
    expect(page.locator("#terms")).to_contain_text("up to $75.00 in any 24 hours and $75.00 per calendar month")
    page.get_by_text("More control").click()
    page.get_by_label("Charge at most").fill("50")
    expect(page.locator("#terms")).to_contain_text("$25.00, or several times that at once, at most $50.00, each time")
    page.get_by_label("Charge at most").fill("")
    expect(page.locator("#exposure")).to_contain_text("In any case at most $75.00 in a month.")
    expect(page.locator("#terms")).not_to_contain_text("several times")
    page.locator("#agreed").check()
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_text("Auto top-up is on: we add $25.00")).to_be_visible()
    rule = stage.call("GET", f"/customers/{customer_id}/auto-top-ups/USD")
    assert rule["enabled"] is True
    page.get_by_role("link", name="Auto top-up settings").click()
    page.get_by_role("link", name="View", exact=True).click()
    expect(page.locator("blockquote")).to_contain_text("$75.00 in any 24 hours and $75.00 per calendar month (UTC)")


def test_below_the_line_the_button_says_that_it_pays_now_and_it_does(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"))
    stage.give(customer_id, "4")
    page = visit(customer_id, flow={"flow": "auto_top_up", "asset": "USD"})
    page.get_by_label("When my balance drops below").fill("10")
    expect(page.get_by_role("button", name="Turn on and pay $25.00 now")).to_be_visible()
    page.locator("#agreed").check()
    page.get_by_role("button", name="Turn on and pay $25.00 now").click()
    stage.state(customer_id, "succeeded")
    expect(page.locator("#figure-USD")).to_have_text("$29.00")  # by the stream, without a reload


def test_the_balance_changes_before_the_customers_eyes(stage, visit):
    customer_id = stage.customer("Ada")
    stage.give(customer_id, "20")
    page = visit(customer_id)
    expect(page.locator("#figure-USD")).to_have_text("$20.00")
    page.evaluate("window.kept = true")
    stage.use(customer_id, "1.50", "live")
    expect(page.locator("#figure-USD")).to_have_text("$18.50")
    assert page.evaluate("window.kept") is True


def test_a_stream_that_breaks_says_from_when_the_balance_is(stage, visit):
    customer_id = stage.customer("Ada")
    stage.give(customer_id, "20")
    page = visit(customer_id)
    page.route("**/billing/live", lambda route: route.abort())
    page.goto(f"{stage.url}/billing/")
    expect(page.locator("#stale")).to_contain_text("Live updates paused. Showing the balance from", timeout=15_000)
    visit.complaints.clear()  # the aborted requests


def test_a_declined_card_is_told_in_plain_words_and_charges_nothing(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"), stages.NO_FUNDS)
    page = visit(customer_id, flow={"flow": "top_up", "asset": "USD"})
    page.get_by_role("button", name="Pay $25.00").click()
    expect(page.get_by_role("status")).to_contain_text("Not enough funds. Try a smaller amount or another card.")
    expect(page.get_by_role("link", name="Try again")).to_be_visible()
    assert "insufficient" not in page.content()
    assert [item["state"] for item in stage.top_ups(customer_id)] == ["failed"]


def test_the_bank_asks_and_the_customer_confirms_from_the_banner(stage, visit):
    customer_id = stage.funded("Ada", balance="12", number=stages.ASKS_ALWAYS)
    stage.use(customer_id, "3", "crossing")
    stage.state(customer_id, "action_required")
    page = visit(customer_id)
    page.get_by_role("link", name="Confirm payment").first.click()
    expect(page.get_by_text("Nothing has been charged yet.")).to_be_visible()
    page.get_by_role("button", name="Confirm $25.00").click()
    page.locator('button[value="complete"]').click()
    expect(page.get_by_role("status")).to_contain_text("$25.00 added. New balance $34.00.")


def test_an_outcome_nobody_knows_says_do_not_pay_again(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"))
    stage.switch(call="payment_intents.confirm", fault="drop_after")
    stage.switch(call="payment_intents.retrieve", fault="error_before", times=20)
    page = visit(customer_id, flow={"flow": "top_up", "asset": "USD"})
    page.get_by_role("button", name="Pay $25.00").click()
    expect(page.get_by_role("status")).to_contain_text("Don't pay again.")
    stage.sandbox.delete("/sandbox/switches")
    expect(page.get_by_role("status")).to_contain_text("$25.00 added.", timeout=30_000)
    assert stage.balance(customer_id) == Decimal(25)


def test_two_windows_edit_one_rule_and_the_second_is_told(stage, visit):
    customer_id = stage.funded("Ada")
    first = visit(customer_id, flow={"flow": "auto_top_up", "asset": "USD"})
    second = visit(customer_id, flow={"flow": "auto_top_up", "asset": "USD"})
    for page, limit in ((first, "90"), (second, "80")):
        page.get_by_label("Monthly limit").fill(limit)
        expect(page.locator("#terms")).to_contain_text(f"up to ${limit}.00")
        page.get_by_role("button", name="Save changes").click()
    expect(second.get_by_role("alert")).to_contain_text("changed in another window")
    expect(second.get_by_role("alert")).to_be_focused()
    assert stage.call("GET", f"/customers/{customer_id}/auto-top-ups/USD")["monthly_limit"] == "90"


def test_a_double_click_on_pay_pays_once(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"))
    page = visit(customer_id, flow={"flow": "top_up", "asset": "USD"})
    page.get_by_role("button", name="Pay $25.00").dblclick()
    expect(page.get_by_role("status")).to_contain_text("$25.00 added.")
    assert stage.balance(customer_id) == Decimal(25)


def test_going_back_and_paying_again_shows_the_payment_that_was_made(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"))
    page = visit(customer_id, flow={"flow": "top_up", "asset": "USD"})
    page.get_by_role("button", name="Pay $25.00").click()
    expect(page.get_by_role("status")).to_contain_text("$25.00 added.")
    page.go_back()
    page.wait_for_url(re.compile("/top-up"))
    page.get_by_role("button", name=re.compile("Pay")).click()
    page.wait_for_load_state()
    # The browser may have kept the form (the same attempt: nothing new is paid) or fetched it anew (a new one).
    stage.until(lambda: stage.balance(customer_id) in {Decimal(25), Decimal(50)})
    paid = [item for item in stage.top_ups(customer_id) if item["state"] == "succeeded"]
    assert stage.balance(customer_id) == Decimal(25 * len(paid))


def test_a_link_used_twice_and_a_session_that_ended_say_what_to_do(stage, visit, platform):
    customer_id = stage.customer("Ada")
    link = stage.link(customer_id, return_url=platform, failure_url=platform)
    page = visit(customer_id, link=link)
    page.get_by_role("button", name="Back to Glitch AI").click()
    page.wait_for_url(platform)
    page.goto(f"{stage.url}/billing/")
    expect(page.get_by_role("heading", name="Your secure session ended.")).to_be_visible()
    expect(page.get_by_text("Go back to Glitch AI to open billing again.")).to_be_visible()
    page.goto(link)
    expect(page.get_by_role("heading", name="This link has expired or was already used.")).to_be_visible()
    visit.complaints.clear()  # 401 and 410 are errors to Chromium


@pytest.mark.parametrize("script", [True, False], ids=["scripts", "no-scripts"])
def test_back_leads_to_the_platform_and_ends_the_session(stage, visit, platform, script):
    """Browsers hold a form's redirect against the policy: a redirect to another site went nowhere."""
    customer_id = stage.customer("Ada")
    page = visit(customer_id, script=script, link=stage.link(customer_id, return_url=platform, failure_url=platform))
    page.get_by_role("button", name="Back to Glitch AI").click()
    page.wait_for_url(platform)
    expect(page.get_by_role("heading", name="The platform")).to_be_visible()
    page.goto(f"{stage.url}/billing/")
    expect(page.get_by_role("heading", name="Your secure session ended.")).to_be_visible()


def test_back_from_a_payment_link_leads_to_the_platform(stage, visit, platform):
    customer_id = stage.customer("Ada")
    body = {"customer_id": customer_id, "currency": "USD", "amount": "25", "return_url": platform,
            "failure_url": platform}  # fmt: skip
    link = stage.call("POST", "/top-ups", body)["redirect_url"]
    page = visit(customer_id, link=link)
    page.get_by_role("button", name="Back to Glitch AI").click()
    page.wait_for_url(platform)


@pytest.fixture(scope="module")
def platform():
    """The platform's own page."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><html lang=en><title>Platform</title><h1>The platform</h1>")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/app"
        server.shutdown()


def test_a_tab_closed_on_stripes_page_still_gets_its_card(stage, visit):
    customer_id = stage.customer("Ada")
    page = visit(customer_id, flow={"flow": "cards"})
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Add a card on Stripe's page").click()
    page.wait_for_url(re.compile("/c/pay/"))
    page.route(f"{stage.url}/billing/**", lambda route: route.abort())  # the way back is never taken
    page.locator(f'button[value="{stages.VISA}"]').click(no_wait_after=True)
    cards = f"/customers/{customer_id}/cards"
    stage.until(lambda: stage.call("GET", cards)["items"], 90)
    page.close()
    assert visit(customer_id, flow={"flow": "cards"}).get_by_text("Visa ···· 4242").count() == 1
    visit.complaints.clear()


def test_removing_a_used_card_names_the_assets_and_offers_another(stage, visit):
    customer_id = stage.funded("Ada")
    stage.with_card(customer_id, "5555555555554444")
    page = visit(customer_id, flow={"flow": "cards"})
    page.get_by_role("link", name="Replace or remove").click()
    expect(page.get_by_text("Auto top-up charges this card for: US dollars.")).to_be_visible()
    page.get_by_role("link", name="Choose another card for US dollars").click()
    expect(page.get_by_label("Charge this card")).to_contain_text("Mastercard ···· 4444")
    page.locator("#agreed").check()
    page.get_by_role("button", name="Save changes").click()
    page.wait_for_url(re.compile("done=rule_saved"))  # the page before says nearly the same
    expect(page.get_by_text("Auto top-up is on: we add $25.00")).to_contain_text("Mastercard ···· 4444")


def test_a_tick_stays_when_the_preview_comes_late(stage, visit):
    """What is agreed to was on the page from the start: only the preview is fetched, and it takes nothing away."""
    customer_id = stage.funded("Ada")
    stage.with_card(customer_id, "5555555555554444")
    page = visit(customer_id, flow={"flow": "cards"})
    page.get_by_role("link", name="Replace or remove").click()
    late = []
    page.route("**/terms", lambda route: late.append(route))
    page.get_by_role("link", name="Choose another card for US dollars").click()
    page.locator("#agreed").check()
    while not late:
        page.wait_for_timeout(20)
    late[0].continue_()
    expect(page.locator("#preview")).to_contain_text("With these settings")
    page.wait_for_timeout(500)
    expect(page.locator("#agreed")).to_be_checked()
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("Auto top-up is on: we add $25.00")).to_contain_text("Mastercard ···· 4444")


def test_a_payment_that_wants_its_customer_is_announced_while_they_look(stage, visit):
    customer_id = stage.funded("Ada", balance="12", number=stages.ASKS_ALWAYS)
    page = visit(customer_id)
    expect(page.get_by_text("Updated just now").first).to_be_visible()
    expect(page.get_by_role("link", name="Confirm payment")).to_have_count(0)
    stage.use(customer_id, "3", "crossing")
    expect(page.get_by_role("link", name="Confirm payment")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("status").filter(has_text="Your bank wants you to confirm")).to_be_visible()


def test_off_is_one_press_and_at_once(stage, visit):
    customer_id = stage.funded("Ada")
    page = visit(customer_id, flow={"flow": "auto_top_up", "asset": "USD"})
    page.get_by_role("button", name="Turn off").click()
    expect(page.get_by_text("Auto top-up is off.").first).to_be_visible()
    assert stage.call("GET", f"/customers/{customer_id}/auto-top-ups/USD")["enabled"] is False


def test_everything_works_with_the_keyboard_alone(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"))
    stage.give(customer_id, "30")
    page = visit(customer_id, flow={"flow": "auto_top_up", "asset": "USD"})
    page.locator("body").press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.get_by_label("When my balance drops below").focus()
    page.keyboard.type("10")
    expect(page.locator("#agreed")).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "agreed":
            break
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Turn on")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Auto top-up is on.")).to_be_visible()


def test_it_works_without_scripts(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"))
    stage.past(customer_id, days=5)
    page = visit(customer_id, script=False, flow={"flow": "auto_top_up", "asset": "USD"})
    page.get_by_label("When my balance drops below").fill("10")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("Lowest balance")
    page.locator("#agreed").check()
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_text("Auto top-up is on: we add $25.00")).to_be_visible()
    page.get_by_role("link", name="Top up").first.click()
    page.locator('input[name="amount"][value="10"]').check()
    page.get_by_role("button", name="Pay $25.00").click()
    expect(page.get_by_text("Please check the amount, then pay.")).to_be_visible()
    page.get_by_role("button", name="Pay $10.00").click()
    expect(page.get_by_role("status")).to_contain_text("$10.00 added.")


def test_a_large_amount_is_asked_about_once_more(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"))
    page = visit(customer_id, flow={"flow": "top_up", "asset": "USD"})
    page.get_by_label("Other amount").fill("300")
    expect(page.get_by_role("button", name="Pay $300.00")).to_be_visible()
    page.get_by_role("button", name="Pay $300.00").click()
    assert stage.top_ups(customer_id) == []
    page.get_by_label("This is a large amount.").check()
    page.get_by_role("button", name="Pay $300.00").click()
    expect(page.get_by_role("status")).to_contain_text("$300.00 added.")


def test_an_amount_typed_before_the_scripts_arrived_is_on_the_button(stage, visit):
    customer_id = stage.with_card(stage.customer("Ada"))
    page = visit(customer_id)
    held = []
    page.route("**/static/vendor/htmx-4*", lambda route: held.append(route))
    page.goto(f"{stage.url}/billing/top-up?asset=USD", wait_until="commit")
    page.get_by_label("Other amount").fill("300")
    expect(page.get_by_role("button", name="Pay $25.00")).to_be_visible()
    while not held:
        page.wait_for_timeout(20)
    held[0].continue_()
    expect(page.get_by_role("button", name="Pay $300.00")).to_be_visible()


def test_a_wrong_amount_is_named_at_its_field_and_changes_nothing(stage, visit):
    customer_id = stage.funded("Ada")
    page = visit(customer_id, flow={"flow": "auto_top_up", "asset": "USD"})
    page.get_by_label("Add").fill("1000")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter an amount between $5.00 and $500.00.")
    expect(page.get_by_label("Add")).to_have_attribute("aria-invalid", "true")
    assert stage.call("GET", f"/customers/{customer_id}/auto-top-ups/USD")["amount"] == "25"


def test_a_german_reader_types_a_comma_and_a_point_is_not_misread(stage, visit):
    customer_id = stage.funded("Ada")
    page = visit(customer_id, language="de", flow={"flow": "auto_top_up", "asset": "USD"})
    page.get_by_label("Monatslimit").fill("90.50")
    page.get_by_role("button", name="Änderungen speichern").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "Geben Sie einen Betrag mit höchstens 2 Nachkommastellen ein, etwa 12,5."
    )
    page.get_by_label("Monatslimit").fill("90,50")
    page.get_by_role("button", name="Änderungen speichern").click()
    expect(page.get_by_text("von 90,50 $")).to_be_visible()
    assert stage.call("GET", f"/customers/{customer_id}/auto-top-ups/USD")["monthly_limit"] == "90.5"


def test_the_language_is_changed_on_the_page_and_kept(stage, visit):
    page = visit(stage.customer("Ada"))
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("heading", name="Noch kein Guthaben.")).to_be_visible()
    page.get_by_role("link", name="Karten").click()
    expect(page.get_by_role("heading", name="Noch keine Karten.")).to_be_visible()


def test_names_that_are_markup_stay_text(stage, visit):
    evil = "<img src=x onerror=alert(1)>\"'{{7*7}}"
    customer_id = stage.customer(evil)
    stage.give(customer_id, "5")
    stage.use(customer_id, "1", "odd", description="<script>alert(2)</script>")
    page = visit(customer_id)
    expect(page.get_by_text(evil)).to_be_visible()
    expect(page.get_by_text("<script>alert(2)</script>")).to_be_visible()
    page.goto(f"{stage.url}/billing/activity")
    expect(page.get_by_text("<script>alert(2)</script>")).to_be_visible()


def test_activity_filters_pages_and_downloads(stage, visit):
    customer_id = stage.customer("Ada")
    stage.past(customer_id, days=25)
    stage.use(customer_id, "0.01", "formula", description="=1+1")
    page = visit(customer_id)
    page.get_by_role("link", name="All activity").click()
    newest = page.locator(".rows .when").first.inner_text()
    page.get_by_role("link", name="Load older").click()
    assert page.locator(".rows .when").first.inner_text() != newest
    page.get_by_label("Show").select_option("money")  # acts at once: there is no button to press
    page.wait_for_url("**/activity?kind=money**")
    expect(page.get_by_role("button", name="Apply")).to_have_count(0)
    expect(page.locator(".rows li").first).to_contain_text("Credit")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0] == '"date","type","description","asset","amount","balance_after","reference","subject","dimensions"'
    assert "'=1+1" in lines[1]
    [account] = stage.call("GET", f"/customers/{customer_id}/wallet")["accounts"]
    assert len(lines) > 340
    assert account["available"] == next(csv.reader(lines[1:2]))[5]
