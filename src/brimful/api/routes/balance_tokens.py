"""What a page of the platform may read in its customer's browser: balances, with a token of minutes."""

import datetime as dt

from starlette.requests import Request

from brimful import assets, auto_top_up, customers, ledger
from brimful.api import context, schemas
from brimful.api.context import Context, Transaction
from brimful.auth import balance_tokens
from brimful.auth.balance_tokens import BalanceToken
from brimful.core import clock, money
from brimful.core.errors import Refused
from brimful.db.pool import Tx

router = context.router_for("Balance tokens")
PATH = "/v1/balances"


@router.post("/balance-tokens", status_code=201)
async def create_balance_token(
    context: Context, tx: Transaction, body: schemas.requests.CreateBalanceToken
) -> schemas.balances.BalanceToken:
    """Make a token with which a browser reads one customer's balances, and can do nothing else."""
    customer = await customers.get(tx, await customers.named(tx, body.customer_id))
    end = (await tx.now() + dt.timedelta(seconds=body.expires_in_s)).replace(microsecond=0)
    token = balance_tokens.issue(context.deps.keyring, BalanceToken(customer.customer_id, end))
    return schemas.balances.BalanceToken(token=token, expires_at=clock.rfc3339(end))


@router.get("/balances")
async def read_balances(request: Request, tx: Transaction) -> schemas.balances.Balances:
    """Every balance of the customer of a balance token, for pages of any origin."""
    token: BalanceToken = request.state.balance_token
    if token.expires_at <= await tx.now():
        raise Refused("unauthorized", "This balance token has ended: make a new one.")
    customer = await customers.get(tx, token.customer_id)
    rules = {rule.asset: rule for rule in await auto_top_up.rules.list_rules(tx, customer.customer_id)}
    accounts = await ledger.accounts.list_for(tx, customer.customer_id)
    return schemas.balances.Balances(
        items=[await _balance(tx, account, rules.get(account.asset)) for account in accounts]
    )


async def _balance(
    tx: Tx, account: ledger.accounts.Account, rule: auto_top_up.rules.Rule | None
) -> schemas.balances.Balance:
    asset = await assets.get(tx, account.asset)
    dry = ledger.runway.runs_dry_at(account.available, await ledger.runway.read(tx, account), await tx.now())
    on = rule is not None and rule.enabled and rule.paused_at is None
    return schemas.balances.Balance(
        asset=asset.code,
        name=asset.label or asset.name,
        currency=asset.kind == "currency",
        symbol=asset.symbol,
        available=money.text(account.available),
        runs_dry_at=None if dry is None or on else clock.rfc3339(dry),
        auto_top_up=on,
    )
