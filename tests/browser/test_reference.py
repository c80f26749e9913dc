"""GET /docs/ in a real browser, under its own policy."""

from playwright.sync_api import expect


def test_the_reference_shows_the_operations_and_breaks_no_policy(stage, chromium):
    complaints, asked = [], []
    page = chromium.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{stage.url}/docs/")
    expect(page.get_by_text("/v1/usage", exact=True)).to_be_visible(timeout=20_000)
    expect(page.get_by_text("Record usage", exact=True)).to_be_visible()
    assert complaints == []
    assert all(url.startswith((stage.url, "data:")) for url in asked)
    page.close()
