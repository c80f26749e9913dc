"""Every screen in every look: nothing for axe to find, nothing that spills over, nothing the policy forbids."""

import itertools
import json
import pathlib

import axe_playwright_python
import pytest

from support import screens

AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
LOOKS = list(itertools.product(("light", "dark"), (360, 1280), ("en", "de", "ar")))
RUN = "axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify(found.violations))"


@pytest.mark.parametrize(("scheme", "width", "language"), LOOKS)
def test_axe_finds_nothing_on_any_screen(cast, visit, stage, scheme, width, language):
    wanted = screens.screens(cast)
    for customer_id in dict.fromkeys(customer for _, customer, _ in wanted):
        page = visit(customer_id, language=language, width=width, scheme=scheme)
        for name, customer, path in wanted:
            if customer != customer_id:
                continue
            page.goto(f"{stage.url}/billing{path}", wait_until="domcontentloaded")
            page.evaluate(AXE)
            found = json.loads(page.evaluate(RUN))
            said = [(item["id"], [node["html"][:150] for node in item["nodes"]][:3]) for item in found]
            assert said == [], f"{name}: {said}"
            too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert too_wide <= 0, f"{name} spills over by {too_wide} px"


def test_it_reflows_at_320_pixels(cast, visit, stage):
    page = visit(cast.full, language="de", width=320)
    for path in ("/", "/top-up?asset=USD", "/auto-top-up/USD", "/cards", "/activity"):
        page.goto(f"{stage.url}/billing{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= 320"), path


def test_the_overview_is_light_and_paints_at_once(cast, visit, stage):
    page = visit(cast.full)
    sizes = []
    page.on("response", lambda answer: sizes.append(answer.request.sizes()["responseBodySize"]))
    page.goto(f"{stage.url}/billing/", wait_until="load")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first contentful paint {paint:.0f} ms")  # measured, not judged: no test asserts a time
    assert 0 < sum(size for size in sizes if size > 0) < 300_000
