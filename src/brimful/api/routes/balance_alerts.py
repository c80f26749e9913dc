"""Balance alerts: a notification that a balance is low or used up, whether or not it is topped up."""

from starlette.responses import Response

from brimful import customers, ledger
from brimful.api import context, schemas
from brimful.api.context import Context, KnownCustomer, Transaction
from brimful.core import money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.notifications import balance_alerts

router = context.router_for("Alerts")


@router.get("/customers/{customer_id}/alerts")
async def list_alerts(tx: Transaction, customer: KnownCustomer) -> schemas.balances.Alerts:
    """A customer's alerts by asset."""
    found = await balance_alerts.list_for(tx, customer.customer_id)
    return schemas.balances.Alerts(items=[schemas.balances.Alert.of(alert) for alert in found])


@router.get("/customers/{customer_id}/alerts/{asset}")
async def get_alert(tx: Transaction, customer: KnownCustomer, asset: str) -> schemas.balances.Alert:
    """The alert of one balance."""
    alert = await balance_alerts.get(tx, customer.customer_id, asset)
    if alert is None:
        raise Refused("not_found", "This balance has no alert.")
    return schemas.balances.Alert.of(alert)


@router.put("/customers/{customer_id}/alerts/{asset}")
async def set_alert(
    context: Context, customer_id: CustomerId, asset: str, body: schemas.requests.SetAlert
) -> schemas.balances.Alert:
    """Tell `balance.low` below a threshold, `balance.depleted` when nothing is left; at once where that is so now."""
    async with context.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        known = await context.deps.catalogue.get(tx, asset)
        await ledger.accounts.create_missing(tx, [(customer_id, known.code)])
    threshold = money.positive(money.parse(body.threshold, scale=known.scale, field="threshold"), field="threshold")
    async with context.deps.database.transaction() as tx:
        return schemas.balances.Alert.of(await balance_alerts.set_threshold(tx, customer_id, known.code, threshold))


@router.delete("/customers/{customer_id}/alerts/{asset}", status_code=204)
async def remove_alert(tx: Transaction, customer: KnownCustomer, asset: str) -> Response:
    """Tell nothing about this balance any more."""
    if not await balance_alerts.remove(tx, customer.customer_id, asset):
        raise Refused("not_found", "This balance has no alert.")
    return Response(status_code=204)
