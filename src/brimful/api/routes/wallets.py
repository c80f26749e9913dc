"""Balances, their ledger, adjustments and charges."""

import datetime as dt
from decimal import Decimal
from typing import Any

from brimful import assets, budgets, customers, grants, ledger, top_ups
from brimful.api import context, pagination, schemas, shortage
from brimful.api.context import AppContext, Context, KnownCustomer, Transaction
from brimful.api.pagination import Limit
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx
from brimful.posting.model import Movement, Verdict

router = context.router_for("Wallets")


@router.get("/customers/{customer_id}/wallet")
async def get_wallet(tx: Transaction, customer: KnownCustomer) -> schemas.balances.Wallet:
    """Every balance of a customer."""
    accounts = await ledger.accounts.list_for(tx, customer.customer_id)
    return schemas.balances.Wallet(accounts=[schemas.balances.Account.of(account) for account in accounts])


@router.get("/customers/{customer_id}/wallet/{account_id}")
async def get_account(tx: Transaction, customer_id: CustomerId, account_id: str) -> schemas.balances.AccountDetails:
    """One balance, with what is on its way."""
    account = await account_of(tx, customer_id, account_id)
    pending = await top_ups.store.pending_units(tx, customer_id, account.asset)
    dry = ledger.runway.runs_dry_at(account.available, await ledger.runway.read(tx, account), await tx.now())
    return schemas.balances.AccountDetails.of(
        account,
        pending_in=money.text(pending),
        pending_out=money.text(account.held),
        runs_dry_at=None if dry is None else clock.rfc3339(dry),
    )


@router.get("/customers/{customer_id}/wallet/{account_id}/entries")
async def list_entries(
    tx: Transaction,
    customer_id: CustomerId,
    account_id: str,
    kind: ledger.entries.Kind | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> schemas.balances.Entries:
    """The ledger of one balance, newest first."""
    before = pagination.read_number("s", cursor)
    account = await account_of(tx, customer_id, account_id)
    kinds = None if kind is None else [kind]
    rows = await ledger.entries.newest(tx, customer_id, account.asset, before=before, limit=limit + 1, kinds=kinds)
    page, next_cursor = pagination.cut("s", rows, limit, lambda row: row["seq"])
    return schemas.balances.Entries(items=[schemas.balances.Entry.of(row) for row in page], next_cursor=next_cursor)


@router.post("/customers/{customer_id}/wallet/adjustments", status_code=201)
async def create_adjustment(
    context: Context, customer_id: CustomerId, body: schemas.requests.Adjustment
) -> schemas.balances.Posted:
    """Change a balance by a signed amount. The same transaction_id is one adjustment.

    One that adds takes effect at `effective_at` and expires at `expires_at`, where these are set; until it takes effect
    it is no part of the balance.
    """
    metadata = {**(body.metadata or {}), "reason": body.reason}
    verdict = await _post(context, customer_id, "adjustment", body, metadata)
    return schemas.balances.Posted.of(body.transaction_id, verdict)


@router.post("/customers/{customer_id}/wallet/charges", status_code=201)
async def create_charge(
    context: Context, customer_id: CustomerId, body: schemas.requests.Charge
) -> schemas.balances.Posted:
    """Take a fee, if the balance covers it. The same transaction_id is one charge."""
    names = ("subject", "input_units", "input_volume", "unit_price", "volume_rate", "package_size")
    priced = {name: str(getattr(body, name)) for name in names if getattr(body, name) is not None}
    verdict = await _post(context, customer_id, "charge", body, {**(body.metadata or {}), **priced})
    return schemas.balances.Posted.of(body.transaction_id, verdict)


@router.get("/customers/{customer_id}/wallet/transactions/{transaction_id}")
async def get_transaction(
    tx: Transaction, customer: KnownCustomer, transaction_id: str
) -> schemas.balances.Transaction:
    """One adjustment or charge."""
    row = await ledger.entries.find_by_key(tx, customer.customer_id, "api", transaction_id)
    if row is not None:
        return schemas.balances.Transaction.of(row)
    for credit in await grants.scheduled.by_keys(tx, {(customer.customer_id, transaction_id)}):
        return schemas.balances.Transaction.scheduled(credit)
    raise Refused("transaction_not_found", "There is no transaction with this id.")


async def _post(
    context: AppContext,
    customer_id: CustomerId,
    kind: Any,
    body: schemas.requests.Adjustment | schemas.requests.Charge,
    metadata: dict[str, str],
) -> Verdict:
    """One adjustment or charge through the recorder; refusals become problems."""
    if body.account_name not in {None, "default"}:
        raise Refused(
            "unknown_account_name", "A wallet has one account per asset, named default.", field="account_name"
        )
    async with context.deps.database.transaction() as tx:
        asset, now = await context.deps.catalogue.get(tx, body.asset), await tx.now()
    amount = money.parse(body.amount, scale=asset.scale)
    if kind == "charge":
        amount = -money.positive(amount)
    elif not amount:
        raise Refused("amount_invalid", "amount must not be zero.", field="amount")
    subject = dimensions = None
    if isinstance(body, schemas.requests.Charge):
        subject, dimensions = budgets.tags.subject(body.subject), budgets.tags.dimensions(body.dimensions)
    terms = _terms(body, amount, now) if isinstance(body, schemas.requests.Adjustment) else None
    [verdict] = await context.recorder.submit(
        [
            Movement(
                kind=kind, customer_id=customer_id, asset=asset.code, key=body.transaction_id, amount=amount,
                covered_only=kind == "charge", description=body.description, metadata=metadata or None,
                terms=terms, subject=subject, dimensions=dimensions,
            )
        ]
    )  # fmt: skip
    return await answer(context, (customer_id, asset.code), verdict)


_PURPOSES: dict[str, ledger.lots.Purpose] = {"gift": "promotional", "external_topup": "paid"}


def _terms(body: schemas.requests.Adjustment, amount: Decimal, now: dt.datetime) -> ledger.lots.Terms | None:
    """The terms of an adjustment that adds; None for the usual ones."""
    given = {name: getattr(body, name) for name in ("effective_at", "expires_at", "purpose", "priority")}
    if amount < 0:
        for name, value in given.items():
            if value is not None:
                raise Refused("invalid_field", f"Only a credit has {name}: this takes units away.", field=name)
        return None
    if body.expires_at is not None and body.expires_at <= now:
        raise Refused("invalid_field", "expires_at has passed: a credit expires later than now.", field="expires_at")
    if body.expires_at is not None and body.effective_at is not None and body.expires_at <= body.effective_at:
        raise Refused("invalid_field", "expires_at must lie after effective_at.", field="expires_at")
    purpose = body.purpose or _PURPOSES.get(body.reason)
    if purpose is None and not any(value is not None for value in given.values()):
        return None
    purpose = purpose or "correction"
    priority = ledger.lots.PRIORITY[purpose] if body.priority is None else body.priority
    return ledger.lots.Terms(purpose, priority, body.effective_at, body.expires_at)


async def answer(context: AppContext, account: ledger.accounts.AccountKey, verdict: Verdict) -> Verdict:
    """The verdict on one movement of this account; refusals become problems."""
    if verdict.outcome != "refused":
        return verdict
    assert verdict.code is not None
    lacking = [account] if verdict.code == shortage.CODE else []
    coming = await shortage.on_their_way(context.deps.database, lacking)
    extra = shortage.facts(verdict, coming.get(account))
    if lacking and context.deps.settings.topup_url is not None:
        extra["topup_url"] = context.deps.settings.topup_url
    raise Refused(verdict.code, verdict.detail or verdict.code, **extra)


async def account_of(tx: Tx, customer_id: CustomerId, account_id: str) -> ledger.accounts.Account:
    """The account; of an asset that the customer never used, one with nothing on it."""
    await customers.get(tx, customer_id)
    name, _, asset = account_id.partition(":")
    if name != "default":
        raise Refused("account_not_found", "There is no such account; ids look like default:USD.")
    account = await ledger.accounts.get(tx, customer_id, asset)
    return account or ledger.accounts.unused(customer_id, (await assets.get(tx, asset)).code)
