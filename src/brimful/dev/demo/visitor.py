"""A customer at the portal, as a program: follows links, reads forms, presses buttons. No shortcut.

It knows only what a person sees: the portal's own forms and Stripe's pages (here the sandbox's).
"""

import asyncio
import dataclasses
import html.parser
from collections.abc import Awaitable, Callable, Mapping

import httpx

_REDIRECTS_MAX = 60


class VisitorError(Exception):
    """The portal did not go where the visitor wanted; the message has the page's own words."""


@dataclasses.dataclass
class Form:
    """A form as it stands on a page: where it goes, and its fields as they are filled in."""

    action: str
    fields: dict[str, str] = dataclasses.field(default_factory=dict)
    options: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)  # name -> value -> label


class _Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.alerts: list[str] = []
        self._open: Form | None = None
        self._select = ""
        self._option = ""
        self._alert = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if values.get("role") == "alert":
            self._alert = 1
            self.alerts.append("")
        if tag == "form":
            self._open = Form(values.get("action", ""))
            self.forms.append(self._open)
        elif self._open is not None and tag == "input":
            self._input(self._open, values)
        elif self._open is not None and tag == "select":
            self._select = values.get("name", "")
        elif self._open is not None and tag == "option":
            self._option = values.get("value", "")
            self._open.options.setdefault(self._select, {})[self._option] = ""
            if "selected" in values or self._select not in self._open.fields:
                self._open.fields[self._select] = self._option

    @staticmethod
    def _input(form: Form, values: Mapping[str, str]) -> None:
        kind, name = values.get("type", "text"), values.get("name", "")
        if kind == "radio":
            form.options.setdefault(name, {})[values.get("value", "")] = ""
        if name and (kind not in {"checkbox", "radio"} or "checked" in values):
            form.fields[name] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        if tag == "option":
            self._option = ""
        if tag in {"div", "p"}:
            self._alert = 0

    def handle_data(self, data: str) -> None:
        if self._alert:
            self.alerts[-1] += data.strip()
        if self._open is not None and self._option:
            self._open.options[self._select][self._option] += data.strip()


def forms_of(page: httpx.Response) -> list[Form]:
    """The forms of a page, in order."""
    reader = _Reader()
    reader.feed(page.text)
    return reader.forms


def alert_of(page: httpx.Response) -> str:
    """What the page complains about."""
    reader = _Reader()
    reader.feed(page.text)
    return " ".join(reader.alerts) or page.text[:200]


class Visitor:
    """One customer's browser."""

    def __init__(self, base_url: str, client: httpx.AsyncClient | None = None) -> None:
        self._base = base_url
        self.code: Callable[[], Awaitable[str]] | None = None  # reads the code that was mailed, where one is asked for
        self.client = client or httpx.AsyncClient(
            follow_redirects=True, max_redirects=_REDIRECTS_MAX, timeout=30, headers={"User-Agent": "brimful-visitor"}
        )

    async def close(self) -> None:
        await self.client.aclose()

    async def open(self, link: str) -> httpx.Response:
        """Open a link and press its button."""
        page = await self.client.get(link)
        if not forms_of(page):
            raise VisitorError(f"the link does not open: {page.status_code}")
        return await self.client.post(link)

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(f"{self._base}/billing{path}")

    async def submit(self, page: httpx.Response, action: str, values: Mapping[str, str]) -> httpx.Response:
        """Fill in the form that goes to `action` ('' for the page's own) and send it."""
        form = next((form for form in forms_of(page) if form.action == action), None)
        if form is None:
            raise VisitorError(f"no form {action!r} on {page.url}: {alert_of(page)}")
        target = str(page.url) if not form.action else str(page.url.join(form.action))
        answer = await self.client.post(target, data={**form.fields, **values})
        asked = next((form for form in forms_of(answer) if "step_up_code" in form.fields), None)
        if asked is None or self.code is None:
            return answer
        return await self.client.post(
            target, data={**asked.fields, "step_up_code": await self.code(), "step_up_again": ""}
        )

    async def add_card(self, number: str, *, asset: str = "") -> httpx.Response:
        """Add a card: tick the box, choose it on Stripe's page, come back, wait until it is there."""
        page = await self.get("/cards")
        page = await self.submit(page, "/billing/cards/add", {"agreed": "yes", "asset": asset})
        page = await self.choose_card(page, number)
        return await self.until_saved(page)

    async def choose_card(self, page: httpx.Response, number: str, *, answer: str = "complete") -> httpx.Response:
        """Press a card's button on Stripe's page, and answer the bank if it asks."""
        page = await self.submit(page, "", {"number": number})
        while "Your bank" in page.text and "authenticate" in str(page.url):
            page = await self.client.post(str(page.url), data={"answer": answer})
        return page

    async def until_saved(self, page: httpx.Response) -> httpx.Response:
        """Follow the page that waits for the card, as its refresh would."""
        for turn in range(200):
            if "/cards/added/" not in str(page.url):
                return page
            if turn > 20:
                await asyncio.sleep(0.1)  # the worker may just be starting
            page = await self.client.get(str(page.url.copy_with(query=f"turn={turn % 20}".encode())))
        raise VisitorError("the card was not saved")

    async def turn_on(
        self, asset: str, *, threshold: str, amount: str, limit: str, card: str | None = None, **more: str
    ) -> httpx.Response:
        """Fill in the rule, read the consent that answers with these numbers, tick it, turn it on. Without `day_on`
        among `more`, the day's limit that the form proposes is taken off.
        """
        page = await self.get(f"/auto-top-up/{asset}")
        values = {"threshold": threshold, "amount": amount, "limit": limit, "action": "turn_on", "day_on": "", **more}
        if card is not None:
            values["card"] = card
        review = await self.submit(page, "", {**values, "shown": ""})
        if not any("shown" in form.fields for form in forms_of(review)):
            raise VisitorError(f"auto top-up was not offered: {alert_of(review)}")
        done = await self.submit(review, "", {"agreed": "yes", "action": "turn_on"})
        if done.status_code != 200:
            raise VisitorError(f"auto top-up was not turned on: {alert_of(done)}")
        return done
