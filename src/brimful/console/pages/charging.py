"""Charging: whether payments are sent; stopping and starting it."""

from starlette.responses import Response

from brimful import suspensions
from brimful.console import view_model
from brimful.console.context import Page
from brimful.console.view_model import Act, Cell, Field, Table, View
from brimful.core.errors import Refused


async def shown(page: Page) -> Response:
    """Every suspension that stands."""
    async with page.database.transaction() as tx:
        standing = await suspensions.store.list_all(tx)
    facts: list[tuple[str, Cell | str]] = [("Charging", Cell("suspended", None, "bad") if standing else "open")]
    table = Table(
        "Suspensions",
        ("Kind", "Reason", "By", "Since"),
        [[one.kind, one.reason, one.actor, view_model.moment(one.since)] for one in standing],
    )
    stopped = any(one.kind == "operator" for one in standing)
    reason = [Field("reason", "Reason", required=True)]
    acts = [Act("/charging/start", "Resume charging", reason)] if stopped else [
        Act("/charging/stop", "Stop charging", reason, "Debits go on; top-ups are requested and wait.")
    ]  # fmt: skip
    return page.show(View("Charging", "charging", facts, [table], acts))


def _reason(page: Page) -> str:
    if not page.field("reason"):
        raise Refused("invalid_field", "Say why: everybody who asks is shown it.", field="reason")
    return page.field("reason")


async def stop(page: Page) -> Response:
    """Send no payment until it is started."""
    async with page.database.transaction() as tx:
        await suspensions.store.suspend(tx, "operator", _reason(page), actor=page.session.actor)
    return page.go("/charging")


async def start(page: Page) -> Response:
    """Resume charging that an operator stopped; other suspensions stand on."""
    async with page.database.transaction() as tx:
        await suspensions.store.resume(tx, "operator", actor=page.session.actor, reason=_reason(page))
    return page.go("/charging")
