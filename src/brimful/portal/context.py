"""What a view gets: the application's context with its templates, and the page with its session, form and words."""

import dataclasses
import urllib.parse
from decimal import Decimal
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from brimful import cards, i18n
from brimful.auth.portal_sessions import PortalSession
from brimful.core import money
from brimful.core.errors import Refused
from brimful.payments.context import PaymentContext
from brimful.portal import error_messages, notices
from brimful.portal.live import Hub
from brimful.web import pages
from brimful.web.pages import RefusalLog
from brimful.wiring import Deps


class AppContext:
    """Built once: what it needs, its templates, and the streams that are open."""

    def __init__(self, deps: Deps, templates: Jinja2Templates, hub: Hub) -> None:
        self.deps = deps
        self.hub = hub
        self._templates = templates
        self._refusals = RefusalLog("portal", deps.settings)

    def url(self, path: str) -> str:
        """A path of the portal as an absolute address: Stripe sends people back to it."""
        return f"{self.deps.settings.public_url}/billing{path}"

    def words(self, request: Request, *wishes: str | None, zone: str = "UTC") -> i18n.words.Words:
        """The reader's language: what was chosen, else what the browser asks for."""
        return i18n.words.speak(i18n.words.choose(*wishes, request.headers.get("accept-language")), zone)

    def page(
        self,
        request: Request,
        template: str,
        values: dict[str, Any],
        *,
        words: i18n.words.Words | None = None,
        status: int = 200,
    ) -> Response:
        """A page without a session unless `values` has one."""
        words = words or self.words(request)
        shared = {
            "session": None, "done": None, "words": words, "t": words.t, "n": words.n,
            "languages": i18n.words.LANGUAGES,
        }  # fmt: skip
        return self._templates.TemplateResponse(request, template, {**shared, **values}, status_code=status)

    def render(self, template: str, values: dict[str, Any], words: i18n.words.Words) -> str:
        """A fragment as text: for the stream of live balances."""
        shared = {"words": words, "t": words.t, "n": words.n}
        text: str = self._templates.get_template(template).render({**shared, **values})
        return text

    def error(self, request: Request, title: str, text: str, *, status: int, words: i18n.words.Words) -> Response:
        return self.page(request, "error.html", {"title": title, "text": text}, words=words, status=status)

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        self._refusals.note(request, error)
        words = self._known_words(request)
        if error.code == "link_expired":
            return self.page(request, "landing.html", {"opens": None}, words=words, status=error.status)
        title = words.t("Not found") if error.status == 404 else words.t("This did not work")
        announced = self.error(request, title, error_messages.text(words, error), status=error.status, words=words)
        if "retry_after_s" in error.extra:
            announced.headers["Retry-After"] = str(error.extra["retry_after_s"])
        return announced

    async def missing(self, request: Request, error: Exception) -> Response:
        status, words = getattr(error, "status_code", 404), self._known_words(request)
        return self.error(request, words.t("Not found"), words.t("There is no such page."), status=status, words=words)

    async def database_down(self, request: Request, error: Exception) -> Response:  # noqa: ARG002 - starlette's form
        words = self._known_words(request)
        text = words.t("Billing is not available at the moment. Nothing was charged. Try again in a minute.")
        return self.error(request, words.t("Not available"), text, status=503, words=words)

    def _known_words(self, request: Request) -> i18n.words.Words:
        """The words of the page that failed, if it came so far."""
        known: i18n.words.Words | None = getattr(request.state, "words", None)
        return known or self.words(request)


@dataclasses.dataclass(frozen=True)
class Page:
    """One request of a customer: session and origin have been checked."""

    context: AppContext
    request: Request
    session: PortalSession
    form: FormData | None
    words: i18n.words.Words

    @property
    def deps(self) -> Deps:
        return self.context.deps

    @property
    def posted(self) -> bool:
        return self.form is not None

    def field(self, name: str) -> str:
        """A field of the form, trimmed; empty when it is missing."""
        value = None if self.form is None else self.form.get(name)
        return value.strip() if isinstance(value, str) else ""

    def query(self, name: str) -> str:
        """A value of the address, bounded; empty when it is missing."""
        return self.request.query_params.get(name, "").strip()[:300]

    def amount(self, name: str, *, scale: int, of: i18n.words.Unit | str) -> Decimal:
        """A field as the customer's language writes amounts of this asset or currency; refuses anything but a positive
        one.
        """
        return money.positive(self.words.read(self.field(name), scale=scale, of=of, field=name), field=name)

    @property
    def card_limits(self) -> cards.setups.Limits:
        return cards.setups.Limits(self.deps.settings.cards_per_hour, self.deps.settings.cards_per_address)

    def payment_context(self) -> PaymentContext:
        """The payment context; refuses where no payment provider is configured."""
        if self.deps.payments is None:
            raise Refused("payments_unavailable", "Payments are not available here. Your balance is safe.")
        return self.deps.payments

    def show(self, template: str, values: dict[str, Any], *, status: int = 200) -> Response:
        done = None if self.posted else notices.text(self.words, self.query("done"))
        values = {"session": self.session, "done": done, **values}
        return self.context.page(self.request, template, values, words=self.words, status=status)

    def go(self, path: str, *, done: notices.Done | None = None) -> Response:
        """To another page of the portal, which says what was done."""
        said = "" if done is None else f"{'&' if '?' in path else '?'}done={done}"
        return RedirectResponse(self.context.url(path + said), 303)

    def away(self, url: str, *, signed_out: bool = False) -> Response:
        """To a page of Stripe's or the platform's. Where the policy would not let a form's redirect lead there (the
        platform's own site, a Checkout under a domain of its own), a page of ours goes on by itself.
        """
        if pages.origin_of(url) in pages.form_targets(self.deps.settings):
            return RedirectResponse(url, 303)
        values: dict[str, Any] = {"url": url, "site": urllib.parse.urlsplit(url).hostname or url}
        return self.show("away.html", {**values, "session": None} if signed_out else values)
