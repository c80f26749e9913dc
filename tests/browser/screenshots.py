"""`make screenshots`: every screen and state into a folder that is not committed. Look at each."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from playwright.sync_api import sync_playwright

from support import browser, screens, stage

LOOKS = [
    ("desk", 1280, 900, "light", "en"),
    ("phone-dark", 360, 780, "dark", "de"),
    ("phone-rtl", 360, 780, "light", "ar"),
]


def main(folder, only=""):
    folder.mkdir(parents=True, exist_ok=True)
    with stage.opened() as running, sync_playwright() as play:
        cast = screens.Cast(running)
        chromium = browser.launch(play)
        for look, width, height, scheme, language in LOOKS:
            wanted = [screen for screen in screens.screens(cast) if only in screen[0]]
            for customer_id in dict.fromkeys(customer for _, customer, _ in wanted):
                context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                page = screens.open_as(context, cast, customer_id, language)
                for name, customer, path in wanted:
                    if customer != customer_id:
                        continue
                    page.goto(f"{running.url}/billing{path}")
                    page.wait_for_timeout(350)
                    page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)
                    print(f"{name}-{look}.png")
                context.close()
        chromium.close()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"), *sys.argv[2:3])
