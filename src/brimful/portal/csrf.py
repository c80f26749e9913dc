"""What the portal's own pages need beside what all pages do."""

import hmac

from starlette.datastructures import FormData

from brimful.auth.portal_sessions import PortalSession
from brimful.core.errors import Refused
from brimful.settings.model import Settings
from brimful.web import pages


def cookie_name(settings: Settings) -> str:
    """The cookie of a customer's session."""
    return pages.host_cookie("brimful_portal", settings)


def require_csrf(form: FormData, session: PortalSession) -> None:
    """The token that only a page of this session knows."""
    given = form.get("csrf")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), session.csrf.encode()):
        raise Refused("forbidden", "This page is out of date. Go back, reload it and try again.")
