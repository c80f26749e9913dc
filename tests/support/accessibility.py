"""What every screen must pass in every look: axe, and no spilling over."""

import itertools
import json
import pathlib

import axe_playwright_python

AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
LOOKS = list(itertools.product(("light", "dark"), (360, 1280)))
RUN = "axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify(found.violations))"


def findings(page):
    page.evaluate(AXE)
    found = json.loads(page.evaluate(RUN))
    return [(item["id"], [node["html"][:150] for node in item["nodes"]][:3]) for item in found]


def require_clean(page, name):
    """The page, as it stands, in every look."""
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert findings(page) == [], f"{name} {scheme} {width}"
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, f"{name} spills over by {too_wide} px at {width}"
