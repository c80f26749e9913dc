"""Balances, their ledger, adjustments and charges."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from brimful import clock, customers, ledger, money, topups, wallets
from brimful.api import given, taken
from brimful.api.body import Instant
from brimful.api.door import Door, DoorOf, router_for
from brimful.api.paging import Limit, Offset, cursor_after, read_number
from brimful.db import Tx
from brimful.errors import Refused
from brimful.usage import Movement, Verdict

__all__ = ["account_of", "answer", "router"]

router = router_for("Wallets")


class GrantFilter(BaseModel):
    """How a list of grants may be narrowed. Nothing expires, so the filters by expiry change nothing."""

    limit: Limit = 50
    offset: Offset = 0
    purpose: str | None = None
    exclude_expired: bool | None = None
    effective_from: Instant | None = None
    effective_to: Instant | None = None
    expired_from: Instant | None = None
    expired_to: Instant | None = None


@router.get("/customers/{customer_id}/wallet")
async def get_wallet(door: DoorOf, customer_id: str) -> given.Wallet:
    """Every balance of a customer."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        accounts = await wallets.list_for(tx, customer_id)
    return given.Wallet(accounts=[given.Account.of(account) for account in accounts])


@router.get("/customers/{customer_id}/wallet/{account_id}")
async def get_account(door: DoorOf, customer_id: str, account_id: str) -> given.AccountDetails:
    """One balance, with what is on its way."""
    async with door.deps.database.transaction() as tx:
        account = await account_of(tx, customer_id, account_id)
        pending = await topups.pending_units(tx, customer_id, account.asset)
    return given.AccountDetails.of(account, pending_in=money.text(pending), pending_out=money.text(account.held))


@router.get("/customers/{customer_id}/wallet/{account_id}/entries")
async def list_entries(
    door: DoorOf,
    customer_id: str,
    account_id: str,
    kind: ledger.Kind | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> given.Entries:
    """The ledger of one balance, newest first."""
    before = read_number("s", cursor)
    async with door.deps.database.transaction() as tx:
        account = await account_of(tx, customer_id, account_id)
        kinds = None if kind is None else [kind]
        rows = await ledger.newest(tx, customer_id, account.asset, before=before, limit=limit + 1, kinds=kinds)
    more = len(rows) > limit
    next_cursor = cursor_after("s", str(rows[limit - 1]["seq"])) if more else None
    return given.Entries(items=[given.Entry.of(row) for row in rows[:limit]], next_cursor=next_cursor)


@router.get("/customers/{customer_id}/wallet/{account_id}/grants")
async def list_grants(
    door: DoorOf, customer_id: str, account_id: str, narrowed: Annotated[GrantFilter, Query()]
) -> given.Grants:
    """The credits of one balance in the form of Credyt's grants, newest first."""
    async with door.deps.database.transaction() as tx:
        account = await account_of(tx, customer_id, account_id)
        rows, total = await ledger.credits_page(
            tx, customer_id, account.asset, limit=narrowed.limit, offset=narrowed.offset, kind=narrowed.purpose,
            since=narrowed.effective_from, until=narrowed.effective_to,
        )  # fmt: skip
    items = [given.Grant.of(row) for row in rows]
    return given.Grants(items=items, total_count=total, limit=narrowed.limit, offset=narrowed.offset)


@router.post("/customers/{customer_id}/wallet/adjustments", status_code=201)
async def create_adjustment(door: DoorOf, customer_id: str, body: taken.Adjustment) -> given.Created:
    """Change a balance by a signed amount. The same transaction_id is one adjustment."""
    if body.effective_at is not None or body.expires_at is not None:
        raise Refused("invalid_field", "Adjustments take effect at once and do not expire.", field="effective_at")
    metadata = {**(body.metadata or {}), "reason": body.reason}
    verdict = await _post(door, customer_id, "adjustment", body, metadata)
    recorded_at = None if verdict.recorded_at is None else clock.rfc3339(verdict.recorded_at)
    return given.Created(id=body.transaction_id, created_at=recorded_at)


@router.post("/customers/{customer_id}/wallet/charges", status_code=201)
async def create_charge(door: DoorOf, customer_id: str, body: taken.Charge) -> given.Id:
    """Take a fee, if the balance covers it. The same transaction_id is one charge."""
    names = ("subject", "input_units", "input_volume", "unit_price", "volume_rate", "package_size")
    priced = {name: str(getattr(body, name)) for name in names if getattr(body, name) is not None}
    await _post(door, customer_id, "charge", body, {**(body.metadata or {}), **priced})
    return given.Id(id=body.transaction_id)


@router.get("/customers/{customer_id}/wallet/transactions/{transaction_id}")
async def get_transaction(door: DoorOf, customer_id: str, transaction_id: str) -> given.Transaction:
    """One adjustment or charge."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        row = await ledger.find_by_key(tx, customer_id, "api", transaction_id)
    if row is None:
        raise Refused("transaction_not_found", "There is no transaction with this id.")
    return given.Transaction.of(row)


async def _post(
    door: Door,
    customer_id: str,
    kind: Any,
    body: taken.Adjustment | taken.Charge,
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
    return answer(door, verdict)


def answer(door: Door, verdict: Verdict) -> Verdict:
    """The verdict on one movement; refusals become problems."""
    if verdict.outcome == "refused":
        assert verdict.code is not None
        extra: dict[str, Any] = {} if verdict.balance is None else {"balance": money.text(verdict.balance)}
        if verdict.code == "insufficient_funds" and door.deps.settings.topup_url is not None:
            extra["topup_url"] = door.deps.settings.topup_url
        raise Refused(verdict.code, verdict.detail or verdict.code, **extra)
    return verdict


async def account_of(tx: Tx, customer_id: str, account_id: str) -> wallets.Account:
    await customers.get(tx, customer_id)
    name, _, asset = account_id.partition(":")
    account = await wallets.get(tx, customer_id, asset) if name == "default" else None
    if account is None:
        raise Refused("account_not_found", "There is no such account; ids look like default:USD.")
    return account
