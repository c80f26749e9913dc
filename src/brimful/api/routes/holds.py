"""Holds: set units aside for a running job, then capture what it cost."""

import datetime as dt
from decimal import Decimal
from typing import Literal

from brimful import customers, money, usage
from brimful.api import given, taken
from brimful.api.door import Door, DoorOf, router_for
from brimful.api.paging import Limit, cursor_after, read_cursor
from brimful.api.routes.wallets import answer
from brimful.errors import Refused
from brimful.wallets import holds

__all__ = ["router"]

router = router_for("Holds")


@router.post("/customers/{customer_id}/wallet/holds", status_code=201)
async def create_hold(door: DoorOf, customer_id: str, body: taken.CreateHold) -> given.Hold:
    """Set units aside, if what is available covers them. The same id is one hold."""
    async with door.deps.database.transaction() as tx:
        asset = await door.deps.catalogue.get(tx, body.asset)
    amount = money.positive(money.parse(body.amount, scale=asset.scale))
    movement = usage.Movement(
        kind="hold", customer_id=customer_id, asset=asset.code, key=body.id, amount=-amount,
        description=body.description, expires_in=dt.timedelta(seconds=body.expires_in_s),
    )  # fmt: skip
    return await _act(door, movement)


@router.get("/customers/{customer_id}/wallet/holds")
async def list_holds(
    door: DoorOf,
    customer_id: str,
    asset: str | None = None,
    state: Literal["open", "captured", "released", "expired"] | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> given.Holds:
    """A customer's holds, newest first."""
    before = _place(read_cursor("h", cursor))
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        found = await holds.list_page(tx, customer_id, limit=limit + 1, asset=asset, state=state, before=before)
    next_cursor = None
    if len(found) > limit:
        last = found[limit - 1]
        next_cursor = cursor_after("h", f"{last.created_at.isoformat()} {last.hold_id}")
    return given.Holds(items=[given.Hold.of(hold) for hold in found[:limit]], next_cursor=next_cursor)


@router.get("/customers/{customer_id}/wallet/holds/{hold_id}")
async def get_hold(door: DoorOf, customer_id: str, hold_id: str) -> given.Hold:
    """One hold as it stands."""
    return given.Hold.of(await _known(door, customer_id, hold_id))


@router.post("/customers/{customer_id}/wallet/holds/{hold_id}/capture")
async def capture_hold(door: DoorOf, customer_id: str, hold_id: str, body: taken.CaptureHold) -> given.Hold:
    """Turn a hold into a debit of what the job cost. The same amount again is one capture."""
    hold = await _known(door, customer_id, hold_id)
    async with door.deps.database.transaction() as tx:
        asset = await door.deps.catalogue.get(tx, hold.asset)
    amount = money.positive(money.parse(body.amount, scale=asset.scale))
    movement = usage.Movement(
        kind="capture", customer_id=customer_id, asset=hold.asset, key=hold_id, amount=-amount,
        description=body.description or hold.description, overrun=body.overrun,
    )  # fmt: skip
    return await _act(door, movement)


@router.post("/customers/{customer_id}/wallet/holds/{hold_id}/release")
async def release_hold(door: DoorOf, customer_id: str, hold_id: str) -> given.Hold:
    """Make a hold available again. Doing it twice is the same as once."""
    hold = await _known(door, customer_id, hold_id)
    return await _act(door, usage.Movement("release", customer_id, hold.asset, hold_id, Decimal(0)))


async def _act(door: Door, movement: usage.Movement) -> given.Hold:
    [verdict] = await door.recorder.submit([movement])
    answer(door, verdict)
    return given.Hold.of(await _known(door, movement.customer_id, movement.key))


async def _known(door: Door, customer_id: str, hold_id: str) -> holds.Hold:
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        hold = await holds.find(tx, customer_id, hold_id)
    if hold is None:
        raise Refused("hold_not_found", f"There is no hold {hold_id[:60]!r}.")
    return hold


def _place(text: str | None) -> tuple[dt.datetime, str] | None:
    if text is None:
        return None
    moment, _, hold_id = text.partition(" ")
    try:
        return dt.datetime.fromisoformat(moment), hold_id
    except ValueError:
        raise Refused("invalid_field", "This cursor is not one that we gave.", field="cursor") from None
