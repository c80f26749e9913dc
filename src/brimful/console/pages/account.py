"""One's own password."""

from starlette.responses import Response

from brimful.auth import operators
from brimful.console.context import Page
from brimful.core.errors import Refused
from brimful.web import pages


async def password(page: Page) -> Response:
    """Change it, with the one that was and a code."""
    if page.deps.settings.console_proxy is not None:
        raise Refused("not_found", "Nobody signs in by password here: change it where you sign in.")
    values = {"session": page.session, "saved": False}
    if page.form is None:
        return page.context.show(page.request, "password.html", values)
    given = [str(page.form.get(name, "")) for name in ("password", "code", "new")]
    address = pages.client_address(page.request, page.deps.settings) or ""
    try:
        await operators.change_password(
            page.database, page.session, *given, merchant=page.deps.settings.merchant, address=address
        )
    except Refused as refused:
        return page.context.show(page.request, "password.html", {**values, "error": refused.detail}, refused.status)
    return page.context.show(page.request, "password.html", {**values, "saved": True})
