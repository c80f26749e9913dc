"""`<brimful-balance>` in a page of another origin, under a Content Security Policy without unsafe words."""

import contextlib
import http.server
import json
import threading

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from support import node

PAGE = """<!doctype html><html lang="{language}"><title>A shop</title><script type="module" src="/balance.js"></script>
<main><h1>A shop</h1><brimful-balance server="{server}" token-url="/token" {attributes}></brimful-balance></main>"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The element as it is packed."""
    folder = node.copied(tmp_path_factory.mktemp("element"))
    node.run("npm", "ci", cwd=folder)
    node.run("npm", "run", "build", cwd=folder)
    return (folder / "dist" / "balance.js").read_bytes()


class Shop:
    """A platform with a page of its own, which makes tokens with its API key."""

    def __init__(self, stage, script, customer_id):
        self.tokens, self.broken, self.language, self.attributes = [], False, "en", 'asset="USD" top-up-url="/billing"'
        shop = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                kind, body = "text/html", b"<!doctype html><title>Billing</title>The portal"
                if self.path == "/":
                    body = PAGE.format(server=stage.url, attributes=shop.attributes, language=shop.language).encode()
                elif self.path == "/balance.js":
                    kind, body = "text/javascript", script
                elif self.path == "/token":
                    shop.tokens.append(stage.call("POST", "/balance-tokens", {"customer_id": customer_id}))
                    kind, body = "application/json", json.dumps(shop.tokens[-1]).encode()
                self.send_response(500 if shop.broken and self.path == "/token" else 200)
                policy = (
                    f"default-src 'none'; script-src 'self'; connect-src 'self' {stage.url}; frame-ancestors 'none'"
                )
                self.send_header("Content-Security-Policy", policy)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def shop(stage, script):
    @contextlib.contextmanager
    def opened(customer_id):
        running = Shop(stage, script, customer_id)
        yield running
        running.close()

    return opened


@pytest.fixture
def window(chromium):
    context = chromium.new_context(viewport={"width": 360, "height": 600})
    page, complaints = context.new_page(), []
    page.set_default_timeout(10_000)
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert [text for text in complaints if "favicon" not in text and "status of 50" not in text] == []


def test_it_shows_the_balance_how_long_it_lasts_and_the_way_to_top_up(stage, shop, window):
    customer_id = stage.customer("Ada")
    stage.give(customer_id, "1034.5")
    stage.use(customer_id, "10", "an-hour-of-use")
    with shop(customer_id) as platform:
        window.goto(platform.url)
        expect(window.locator("brimful-balance")).to_contain_text("$1,024.50")
        expect(window.get_by_text("4 days left")).to_be_visible()
        stage.use(customer_id, "1000.0025", "a-large-job")
        window.evaluate("document.querySelector('brimful-balance').refresh()")
        expect(window.get_by_role("status")).to_have_text("$24.4975")
        assert len(platform.tokens) == 1  # one token serves until it ends
        assert Axe().run(window).response["violations"] == []
        window.get_by_role("link", name="Top up").click()
        expect(window.get_by_text("The portal")).to_be_visible()


def test_auto_top_up_is_said_instead_of_days_and_words_can_be_ones_own(stage, shop, window):
    customer_id = stage.funded("Ada")
    with shop(customer_id) as platform:
        platform.language = "de"
        platform.attributes = 'asset="USD" auto-text="Wird nachgeladen" top-up-url="/billing" top-up-text="Aufladen"'
        window.goto(platform.url)
        expect(window.locator("brimful-balance")).to_contain_text("31,40\u00a0$")
        expect(window.get_by_text("Wird nachgeladen")).to_be_visible()
        expect(window.get_by_role("link", name="Aufladen")).to_be_visible()


def test_a_balance_that_was_never_used_is_zero_and_nothing_is_offered_that_was_not_asked_for(stage, shop, window):
    with shop(stage.customer("New")) as platform:
        platform.attributes = 'asset="USD"'
        window.goto(platform.url)
        expect(window.get_by_role("status")).to_have_text("$0.00")
        expect(window.get_by_role("link")).to_have_count(0)


def test_a_token_that_has_ended_is_replaced_and_a_failure_is_said_and_tried_again(stage, shop, window):
    customer_id = stage.customer("Ada")
    stage.give(customer_id, "5")
    with shop(customer_id) as platform:
        window.goto(platform.url)
        expect(window.get_by_role("status")).to_have_text("$5.00")
        window.evaluate("(() => { const { parse } = Date; Date.parse = (text) => parse(text) - 3_600_000 })()")
        window.evaluate("document.querySelector('brimful-balance').refresh()")
        for _ in range(50):
            if len(platform.tokens) == 2:
                break
            window.wait_for_timeout(20)
        assert len(platform.tokens) == 2
        platform.broken = True
        window.evaluate("document.querySelector('brimful-balance').refresh()")
        expect(window.get_by_role("status")).to_have_text("Balance unavailable")
        platform.broken = False
        window.evaluate("document.querySelector('brimful-balance').refresh()")
        expect(window.get_by_role("status")).to_have_text("$5.00")
