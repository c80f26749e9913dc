"""Alerts: be told that a balance is low or used up, whether or not anything tops it up."""

from starlette.responses import Response

from brimful import alerts, customers, money, wallets
from brimful.api import given, taken
from brimful.api.door import DoorOf, router_for
from brimful.errors import Refused

__all__ = ["router"]

router = router_for("Alerts")


@router.get("/customers/{customer_id}/alerts")
async def list_alerts(door: DoorOf, customer_id: str) -> given.Alerts:
    """A customer's alerts by asset."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        found = await alerts.list_for(tx, customer_id)
    return given.Alerts(items=[given.Alert.of(alert) for alert in found])


@router.get("/customers/{customer_id}/alerts/{asset}")
async def get_alert(door: DoorOf, customer_id: str, asset: str) -> given.Alert:
    """The alert of one balance."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        alert = await alerts.get(tx, customer_id, asset)
    if alert is None:
        raise Refused("not_found", "This balance has no alert.")
    return given.Alert.of(alert)


@router.put("/customers/{customer_id}/alerts/{asset}")
async def set_alert(door: DoorOf, customer_id: str, asset: str, body: taken.SetAlert) -> given.Alert:
    """Tell `balance.low` below a threshold, `balance.depleted` when nothing is left; at once where that is so now."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        known = await door.deps.catalogue.get(tx, asset)
        await wallets.create_missing(tx, [(customer_id, known.code)])
    threshold = money.positive(money.parse(body.threshold, scale=known.scale, field="threshold"), field="threshold")
    async with door.deps.database.transaction() as tx:
        return given.Alert.of(await alerts.set_threshold(tx, customer_id, known.code, threshold))


@router.delete("/customers/{customer_id}/alerts/{asset}", status_code=204)
async def remove_alert(door: DoorOf, customer_id: str, asset: str) -> Response:
    """Tell nothing about this balance any more."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        if not await alerts.remove(tx, customer_id, asset):
            raise Refused("not_found", "This balance has no alert.")
    return Response(status_code=204)
