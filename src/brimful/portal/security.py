"""What the portal's own pages need beside what all pages do."""

import hmac

from starlette.datastructures import FormData

from brimful.errors import Refused
from brimful.sessions import PortalSession
from brimful.settings import Settings
from brimful.web import host_cookie

__all__ = ["cookie_name", "require_csrf"]


def cookie_name(settings: Settings) -> str:
    """The cookie of a customer's session."""
    return host_cookie("brimful_portal", settings)


def require_csrf(form: FormData, session: PortalSession) -> None:
    """The token that only a page of this session knows."""
    given = form.get("csrf")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), session.csrf.encode()):
        raise Refused("forbidden", "This page is out of date. Go back, reload it and try again.")
