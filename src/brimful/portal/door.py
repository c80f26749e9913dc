"""What a view gets: the door with its templates, and the page with its session and form."""

import dataclasses
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from brimful.deps import Deps
from brimful.errors import Refused
from brimful.paying import Till
from brimful.sessions import PortalSession

__all__ = ["Door", "Page"]


class Door:
    """Built once: what it needs and its templates."""

    def __init__(self, deps: Deps, templates: Jinja2Templates) -> None:
        self.deps = deps
        self._templates = templates

    def url(self, path: str) -> str:
        """A path of the portal as an absolute address: Stripe sends people back to it."""
        return f"{self.deps.settings.public_url}/billing{path}"

    def page(self, request: Request, template: str, values: dict[str, Any], *, status: int = 200) -> Response:
        """A page without a session unless `values` has one."""
        return self._templates.TemplateResponse(request, template, {"session": None, **values}, status_code=status)

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        values = {"title": "This did not work", "text": error.detail}
        return self.page(request, "error.html", values, status=error.status)

    async def missing(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        return self.page(request, "error.html", {"title": "Not found", "text": "There is no such page."}, status=status)

    async def database_down(self, request: Request, error: Exception) -> Response:  # noqa: ARG002 - starlette's form
        text = "Billing is not available at the moment. Nothing was charged. Try again in a minute."
        return self.page(request, "error.html", {"title": "Not available", "text": text}, status=503)


@dataclasses.dataclass(frozen=True)
class Page:
    """One request of a customer: session and origin have been judged."""

    door: Door
    request: Request
    session: PortalSession
    form: FormData | None

    @property
    def deps(self) -> Deps:
        return self.door.deps

    @property
    def posted(self) -> bool:
        return self.form is not None

    def field(self, name: str) -> str:
        """A field of the form, trimmed; empty when it is missing."""
        value = None if self.form is None else self.form.get(name)
        return value.strip() if isinstance(value, str) else ""

    def till(self) -> Till:
        """The till; refuses where no payment provider is configured."""
        if self.deps.till is None:
            raise Refused("payments_unavailable", "Payments are not available here. Your balance is safe.")
        return self.deps.till

    def show(self, template: str, values: dict[str, Any], *, status: int = 200) -> Response:
        return self.door.page(self.request, template, {"session": self.session, **values}, status=status)

    def go(self, path: str) -> Response:
        """To another page of the portal."""
        return RedirectResponse(self.door.url(path), 303)
