"""Balances, their ledger, adjustments and charges."""

from typing import Any

from starlette.responses import JSONResponse

from brimful import clock, customers, ledger, money, topups, wallets
from brimful.api import schemas
from brimful.api.door import Door, DoorOf, router_for
from brimful.api.paging import Limit, cursor_after, read_cursor
from brimful.db import Tx
from brimful.errors import Refused
from brimful.usage import Movement, Verdict

__all__ = ["router"]

router = router_for("Wallets", "wallets")


@router.get("/customers/{customer_id}/wallet")
async def get_wallet(door: DoorOf, customer_id: str) -> JSONResponse:
    """Every balance of a customer."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        accounts = await wallets.list_for(tx, customer_id)
    return JSONResponse({"accounts": [schemas.show_account(account) for account in accounts]})


@router.get("/customers/{customer_id}/wallet/{account_id}")
async def get_account(door: DoorOf, customer_id: str, account_id: str) -> JSONResponse:
    """One balance, with what is on its way."""
    async with door.deps.database.transaction() as tx:
        account = await _account(tx, customer_id, account_id)
        pending = await topups.pending_units(tx, customer_id, account.asset)
    shown = schemas.show_account(account)
    return JSONResponse({**shown, "pending_in": money.text(pending), "pending_out": "0"})


@router.get("/customers/{customer_id}/wallet/{account_id}/entries")
async def list_entries(
    door: DoorOf, customer_id: str, account_id: str, limit: Limit = 50, cursor: str | None = None
) -> JSONResponse:
    """The ledger of one balance, newest first."""
    before = read_cursor(cursor)
    async with door.deps.database.transaction() as tx:
        account = await _account(tx, customer_id, account_id)
        rows = await ledger.newest(tx, customer_id, account.asset, before=before, limit=limit + 1)
    more = len(rows) > limit
    next_cursor = cursor_after(rows[limit - 1]["seq"]) if more else None
    return JSONResponse({"items": [schemas.show_entry(row) for row in rows[:limit]], "next_cursor": next_cursor})


@router.post("/customers/{customer_id}/wallet/adjustments", status_code=201)
async def create_adjustment(door: DoorOf, customer_id: str, body: schemas.Adjustment) -> JSONResponse:
    """Change a balance by a signed amount. The same transaction_id is one adjustment."""
    if body.effective_at is not None or body.expires_at is not None:
        raise Refused("invalid_field", "Adjustments take effect at once and do not expire.", field="effective_at")
    metadata = {**(body.metadata or {}), "reason": body.reason}
    verdict = await _post(door, customer_id, "adjustment", body, metadata)
    recorded_at = None if verdict.recorded_at is None else clock.rfc3339(verdict.recorded_at)
    return JSONResponse({"id": body.transaction_id, "created_at": recorded_at}, 201)


@router.post("/customers/{customer_id}/wallet/charges", status_code=201)
async def create_charge(door: DoorOf, customer_id: str, body: schemas.Charge) -> JSONResponse:
    """Take a fee, if the balance covers it. The same transaction_id is one charge."""
    names = ("subject", "input_units", "input_volume", "unit_price", "volume_rate", "package_size")
    given = {name: str(getattr(body, name)) for name in names if getattr(body, name) is not None}
    await _post(door, customer_id, "charge", body, {**(body.metadata or {}), **given})
    return JSONResponse({"id": body.transaction_id}, 201)


@router.get("/customers/{customer_id}/wallet/transactions/{transaction_id}")
async def get_transaction(door: DoorOf, customer_id: str, transaction_id: str) -> JSONResponse:
    """One adjustment or charge."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        row = await ledger.find_by_key(tx, customer_id, "api", transaction_id)
    if row is None:
        raise Refused("transaction_not_found", "There is no transaction with this id.")
    return JSONResponse(schemas.show_transaction(row))


async def _post(
    door: Door,
    customer_id: str,
    kind: Any,
    body: schemas.Adjustment | schemas.Charge,
    metadata: dict[str, str],
) -> Verdict:
    """One adjustment or charge through the recorder; refusals become problems."""
    if body.account_name not in {None, "default"}:
        raise Refused(
            "unknown_account_name", "A wallet has one account per asset, named default.", field="account_name"
        )
    async with door.deps.database.transaction() as tx:
        asset = await door.deps.catalogue.get(tx, body.asset)
    amount = money.parse(body.amount, scale=asset.scale)
    if kind == "charge":
        amount = -money.positive(amount)
    elif not amount:
        raise Refused("amount_invalid", "amount must not be zero.", field="amount")
    [verdict] = await door.recorder.submit(
        [
            Movement(
                kind=kind, customer_id=customer_id, asset=asset.code, key=body.transaction_id, amount=amount,
                covered_only=kind == "charge", description=body.description, metadata=metadata or None,
            )
        ]
    )  # fmt: skip
    if verdict.outcome == "refused":
        assert verdict.code is not None
        extra: dict[str, Any] = {} if verdict.balance is None else {"balance": money.text(verdict.balance)}
        if verdict.code == "insufficient_funds" and door.deps.settings.topup_url is not None:
            extra["topup_url"] = door.deps.settings.topup_url
        raise Refused(verdict.code, verdict.detail or verdict.code, **extra)
    return verdict


async def _account(tx: Tx, customer_id: str, account_id: str) -> wallets.Account:
    await customers.get(tx, customer_id)
    name, _, asset = account_id.partition(":")
    account = await wallets.get(tx, customer_id, asset) if name == "default" else None
    if account is None:
        raise Refused("account_not_found", "There is no such account; ids look like default:USD.")
    return account
