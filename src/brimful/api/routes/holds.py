"""Holds: set units aside for a running job, then capture what it cost."""

import datetime as dt
from decimal import Decimal
from typing import Literal

from brimful import budgets, customers, leases, ledger, posting
from brimful.api import context, pagination, schemas
from brimful.api.context import AppContext, Context, KnownCustomer, Transaction
from brimful.api.pagination import Limit
from brimful.api.routes import wallets
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId

router = context.router_for("Holds")


@router.post("/customers/{customer_id}/wallet/holds", status_code=201)
async def create_hold(
    context: Context, customer_id: CustomerId, body: schemas.requests.CreateHold
) -> schemas.balances.Hold:
    """Set units aside, if what is available covers them, and the budgets. The same id is one hold.

    With a `lease`, the hold renews itself: see `POST .../use`.
    """
    async with context.deps.database.transaction() as tx:
        asset = await context.deps.catalogue.get(tx, body.asset)
    given, field = (body.amount, "amount") if body.lease is None else (body.lease.chunk, "lease.chunk")
    if given is None or (body.lease is not None and body.amount is not None):
        raise Refused("invalid_field", "A hold has an amount, or a lease with its chunk.", field="amount")
    amount = money.positive(money.parse(given, scale=asset.scale, field=field), field=field)
    movement = posting.model.Movement(
        kind="hold", customer_id=customer_id, asset=asset.code, key=body.id, amount=-amount,
        description=body.description, expires_in=dt.timedelta(seconds=body.expires_in_s),
        subject=budgets.tags.subject(body.subject), dimensions=budgets.tags.dimensions(body.dimensions),
        lease=None if body.lease is None else leases.model.LeaseTerms(body.lease.wind_down_s),
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
    their = await leases.store.of_holds(tx, found[:limit])
    return schemas.balances.Holds(
        items=[schemas.balances.Hold.of(hold, their.get(hold.hold_id)) for hold in found[:limit]],
        next_cursor=next_cursor,
    )


@router.get("/customers/{customer_id}/wallet/holds/{hold_id}")
async def get_hold(context: Context, customer_id: CustomerId, hold_id: str) -> schemas.balances.Hold:
    """One hold as it stands."""
    return await _shown(context, customer_id, hold_id)


@router.post("/customers/{customer_id}/wallet/holds/{hold_id}/use")
async def use_lease(
    context: Context, customer_id: CustomerId, hold_id: str, body: schemas.requests.UseLease
) -> schemas.balances.LeaseUse:
    """Take what was used of a lease, and set its chunk aside again. The same id and amount is one use.

    The answer says what the job may do: go on (`running`, or `bridged` by a top-up that is in flight), or finish
    (`winding_down`: what there is ends soon, and `why` nothing more comes). An amount of zero is a sign of life.
    """
    hold = await _existing(context, customer_id, hold_id)
    async with context.deps.database.transaction() as tx:
        asset = await context.deps.catalogue.get(tx, hold.asset)
    amount = money.parse(body.amount, scale=asset.scale)
    if amount < 0:
        raise Refused("amount_invalid", "amount must not be negative: what was used cannot come back.", field="amount")
    movement = posting.model.Movement(
        "use", customer_id, hold.asset, f"{hold_id}/{body.id}", -amount, description=hold.description
    )
    [verdict] = await context.recorder.submit([movement])
    await wallets.answer(context, hold.account, verdict)
    lease = verdict.lease
    assert lease is not None and verdict.held is not None and verdict.balance is not None  # noqa: PT018
    assert verdict.available is not None
    return schemas.balances.LeaseUse(
        id=body.id, hold_id=hold_id, status="duplicate" if verdict.outcome == "duplicate" else "applied",
        state=lease.state, why=lease.why, held=money.text(verdict.held), used=money.text(lease.used),
        at=clock.rfc3339(lease.used_at),
        good_until=None if lease.good_until is None else clock.rfc3339(lease.good_until),
        balance=money.text(verdict.balance), available=money.text(verdict.available),
    )  # fmt: skip


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
    return await _shown(context, movement.customer_id, movement.key)


async def _shown(context: AppContext, customer_id: CustomerId, hold_id: str) -> schemas.balances.Hold:
    hold = await _existing(context, customer_id, hold_id)
    async with context.deps.database.transaction() as tx:
        their = await leases.store.of_holds(tx, [hold])
    return schemas.balances.Hold.of(hold, their.get(hold_id))


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
