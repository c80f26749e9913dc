"""Holds: set units aside for a running job, then capture what it cost."""

import datetime as dt
from decimal import Decimal
from typing import Literal

from brimful import customers, ledger, posting
from brimful.api import context, pagination, schemas
from brimful.api.context import AppContext, Context, KnownCustomer, Transaction
from brimful.api.pagination import Limit
from brimful.api.routes import wallets
from brimful.core import money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId

router = context.router_for("Holds")


@router.post("/customers/{customer_id}/wallet/holds", status_code=201)
async def create_hold(
    context: Context, customer_id: CustomerId, body: schemas.requests.CreateHold
) -> schemas.balances.Hold:
    """Set units aside, if what is available covers them. The same id is one hold."""
    async with context.deps.database.transaction() as tx:
        asset = await context.deps.catalogue.get(tx, body.asset)
    amount = money.positive(money.parse(body.amount, scale=asset.scale))
    movement = posting.model.Movement(
        kind="hold", customer_id=customer_id, asset=asset.code, key=body.id, amount=-amount,
        description=body.description, expires_in=dt.timedelta(seconds=body.expires_in_s),
    )  # fmt: skip
    return await _act(context, movement)


@router.get("/customers/{customer_id}/wallet/holds")
async def list_holds(
    tx: Transaction,
    customer: KnownCustomer,
    asset: str | None = None,
    state: Literal["open", "captured", "released", "expired"] | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> schemas.balances.Holds:
    """A customer's holds, newest first."""
    before = _position(pagination.read_cursor("h", cursor))
    found = await ledger.holds.list_page(
        tx, customer.customer_id, limit=limit + 1, asset=asset, state=state, before=before
    )
    next_cursor = None
    if len(found) > limit:
        last = found[limit - 1]
        next_cursor = pagination.cursor_after("h", f"{last.created_at.isoformat()} {last.hold_id}")
    return schemas.balances.Holds(
        items=[schemas.balances.Hold.of(hold) for hold in found[:limit]], next_cursor=next_cursor
    )


@router.get("/customers/{customer_id}/wallet/holds/{hold_id}")
async def get_hold(context: Context, customer_id: CustomerId, hold_id: str) -> schemas.balances.Hold:
    """One hold as it stands."""
    return schemas.balances.Hold.of(await _existing(context, customer_id, hold_id))


@router.post("/customers/{customer_id}/wallet/holds/{hold_id}/capture")
async def capture_hold(
    context: Context, customer_id: CustomerId, hold_id: str, body: schemas.requests.CaptureHold
) -> schemas.balances.Hold:
    """Turn a hold into a debit of what the job cost. The same amount again is one capture."""
    hold = await _existing(context, customer_id, hold_id)
    async with context.deps.database.transaction() as tx:
        asset = await context.deps.catalogue.get(tx, hold.asset)
    amount = money.positive(money.parse(body.amount, scale=asset.scale))
    movement = posting.model.Movement(
        kind="capture", customer_id=customer_id, asset=hold.asset, key=hold_id, amount=-amount,
        description=body.description or hold.description, overrun=body.overrun,
    )  # fmt: skip
    return await _act(context, movement)


@router.post("/customers/{customer_id}/wallet/holds/{hold_id}/release")
async def release_hold(context: Context, customer_id: CustomerId, hold_id: str) -> schemas.balances.Hold:
    """Make a hold available again. Doing it twice is the same as once."""
    hold = await _existing(context, customer_id, hold_id)
    return await _act(context, posting.model.Movement("release", customer_id, hold.asset, hold_id, Decimal(0)))


async def _act(context: AppContext, movement: posting.model.Movement) -> schemas.balances.Hold:
    [verdict] = await context.recorder.submit([movement])
    await wallets.answer(context, (movement.customer_id, movement.asset), verdict)
    return schemas.balances.Hold.of(await _existing(context, movement.customer_id, movement.key))


async def _existing(context: AppContext, customer_id: CustomerId, hold_id: str) -> ledger.holds.Hold:
    async with context.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        hold = await ledger.holds.find(tx, customer_id, hold_id)
    if hold is None:
        raise Refused("hold_not_found", f"There is no hold {hold_id[:60]!r}.")
    return hold


def _position(text: str | None) -> tuple[dt.datetime, str] | None:
    if text is None:
        return None
    moment, _, hold_id = text.partition(" ")
    try:
        return dt.datetime.fromisoformat(moment), hold_id
    except ValueError:
        raise Refused("invalid_field", "This cursor is not one that we gave.", field="cursor") from None
