"""Charging: whether payments are sent; stopping and starting it."""

from starlette.responses import Response

from brimful import charging
from brimful.console.door import Page
from brimful.console.screen import Act, Cell, Field, Screen, Table, moment
from brimful.errors import Refused

__all__ = ["shown", "start", "stop"]


async def shown(page: Page) -> Response:
    """Every hold that stands."""
    async with page.database.transaction() as tx:
        holds = await charging.holds(tx)
    facts: list[tuple[str, Cell | str]] = [("Charging", Cell("held", None, "bad") if holds else "open")]
    table = Table(
        "Holds", ("Kind", "Reason", "Since"), [[hold.kind, hold.reason, moment(hold.since)] for hold in holds]
    )
    stopped = any(hold.kind == "operator" for hold in holds)
    reason = [Field("reason", "Reason", required=True)]
    acts = [Act("/charging/start", "Lift the operator's hold", reason)] if stopped else [
        Act("/charging/stop", "Stop charging", reason, "Debits go on; top-ups are requested and wait.")
    ]  # fmt: skip
    return page.show(Screen("Charging", "charging", facts, [table], acts))


def _reason(page: Page) -> str:
    if not page.field("reason"):
        raise Refused("invalid_field", "Say why: everybody who asks is shown it.", field="reason")
    return page.field("reason")


async def stop(page: Page) -> Response:
    """Send no payment until it is started."""
    async with page.database.transaction() as tx:
        await charging.hold(tx, "operator", _reason(page), actor=page.session.actor)
    return page.go("/charging")


async def start(page: Page) -> Response:
    """Lift the operator's hold; others stand on."""
    async with page.database.transaction() as tx:
        await charging.lift(tx, "operator", actor=page.session.actor, reason=_reason(page))
    return page.go("/charging")
