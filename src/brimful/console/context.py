"""What a page of the console gets: the wiring, who is there, the form; and how it answers."""

import dataclasses
import hmac
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from brimful.auth.operators import OperatorSession
from brimful.console import view_model
from brimful.console.view_model import View
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Database
from brimful.suspensions.store import Suspension
from brimful.wiring import Deps

BASE = "/console"


class AppContext:
    """Built once: the wiring under the engine's role, and the templates."""

    def __init__(self, deps: Deps, templates: Jinja2Templates) -> None:
        self.deps = deps
        self._templates = templates

    def show(self, request: Request, template: str, values: dict[str, Any], status: int = 200) -> Response:
        shared = {"session": None, "error": None, "screen": None, "alarms": ()}
        return self._templates.TemplateResponse(request, template, {**shared, **values}, status_code=status)


@dataclasses.dataclass(frozen=True)
class Page:
    """One request of somebody who may make it."""

    context: AppContext
    request: Request
    session: OperatorSession
    form: FormData | None
    suspended: Sequence[Suspension] = ()  # why nothing is charged now: said on every page

    @property
    def deps(self) -> Deps:
        return self.context.deps

    @property
    def database(self) -> Database:
        return self.context.deps.database

    @property
    def may_act(self) -> bool:
        return self.session.role == "operator"

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    @property
    def customer_id(self) -> CustomerId:
        """The customer that the path names."""
        return CustomerId(self.path("customer_id"))

    def query(self, name: str) -> str | None:
        """A value of the address, or None when it is empty."""
        return self.request.query_params.get(name, "").strip()[:300] or None

    def field(self, name: str) -> str:
        value = None if self.form is None else self.form.get(name)
        return value.strip() if isinstance(value, str) else ""

    def show(self, screen: View) -> Response:
        values = {"session": self.session, "screen": screen, "may_act": self.may_act}
        alarms = [view_model.suspended(one) for one in self.suspended]
        return self.context.show(self.request, "screen.html", {**values, "alarms": alarms})

    def go(self, path: str) -> Response:
        return RedirectResponse(f"{BASE}{path}", 303)


def require_csrf(form: FormData, session: OperatorSession) -> None:
    """The token that only a page of this session knows."""
    given = form.get("csrf")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), session.csrf.encode()):
        raise Refused("forbidden", "This page is out of date. Go back, reload it and try again.")
